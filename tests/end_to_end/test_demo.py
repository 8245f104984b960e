"""`make demo`, as a stranger runs it, and as a stranger interrupts it."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from demo.processes import Process, wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def demo(tmp_path):
    """Start the demo in a folder of its own, and stop what is left of it."""
    environment = {**os.environ, "DEMO_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "demo"]
    with Process("The demo", command, env=environment, log=tmp_path / "output.log") as process:
        yield process


def left_behind(home):
    """Return the ids and command lines of processes that know of the demo's folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and str(home).encode() in (process / "environ").read_bytes():
                found.append((int(process.name), (process / "cmdline").read_bytes()))
        except OSError:
            # It ended while we looked.
            continue
    return found


def test_demo(demo, tmp_path):
    """The demo runs its DAGs, shows the mart's rows and both addresses, stops everything and exits with 0."""
    # Whoever has these ports keeps them; the demo takes others.
    with socket.socket() as airflows, socket.socket() as dbt_clouds:
        for taken, port in ((airflows, 8080), (dbt_clouds, 8580)):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()
        assert demo.wait(480) == 0
    output = demo.log.read_text()
    assert "Task build: success" in output
    assert "Step 5: Invoke dbt with `dbt build`" in output
    assert len(re.findall(r"dbt Cloud run \d+ succeeded after", output)) == 2
    assert re.search(r"^  Lyngvik - Havnsund +\d+ +\d+ ", output, re.MULTILINE)
    assert re.search(r"Airflow +http://127.0.0.1:(?!8080)\d+", output)
    assert re.search(r"dbt Cloud +http://127.0.0.1:(?!8580)\d+", output)
    assert "Task refresh[4]: success" in output
    assert len(re.findall(r"^  Refresh \w+ +run \d+ \(Success after \d+ s\)$", output, re.MULTILINE)) == 5
    assert_retried(output)
    assert "Port 8580 is taken; using" in output
    assert "Traceback" not in output
    assert left_behind(tmp_path / "home") == []


def assert_retried(output):
    """Fail unless the output shows a try that fails and a second that runs only what the first has left."""
    assert "Task build: up_for_retry" in output
    assert "Task build: success (try 2)" in output
    shown = re.search(
        r"""  try 1: run (?P<first>\d+) \(Error\)
         (?P<ok>\d+) of (?P<all>\d+) nodes ok, (?P<failed>\d+) error, (?P<skipped>\d+) skipped
         not built: (?P<left>port_dues, .+)
  try 2: run (?P<second>\d+) \(Success\), a retry of run (?P=first)
         (?P<again>\d+) of (?P=again) nodes ok
         built: (?P=left)
""",
        output,
    )
    assert shown, output
    counts = {name: int(shown[name]) for name in ("ok", "all", "failed", "skipped", "again")}
    assert counts["again"] == counts["failed"] + counts["skipped"] == counts["all"] - counts["ok"]
    assert counts["again"] < counts["ok"]
    assert f"dbt Cloud run {shown['first']} failed: " in output
    assert re.search(rf"dbt Cloud run {shown['second']} succeeded after \d+ s: http", output)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(demo, tmp_path, number):
    """An interrupted demo stops everything that it started."""
    wait_until(
        lambda: len(left_behind(tmp_path / "home" / "airflow")) >= 3,
        within=60,
        what="The start of Airflow",
        watching=[demo],
    )
    os.kill(demo.pid, number)
    assert demo.wait(60) == 130
    assert demo.log.read_text().endswith("Stopped.\n")
    assert left_behind(tmp_path / "home") == []


def test_second_demo(demo, tmp_path):
    """A second demo in the same folder is refused, and does not touch the first."""
    wait_until((tmp_path / "home" / "lock").exists, within=30, what="The demo's start", watching=[demo])
    second = subprocess.run(
        [sys.executable, "-m", "demo"],
        env={**os.environ, "DEMO_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert "Another demo is running" in second.stderr
    demo.check()


def test_a_component_dies(demo, tmp_path):
    """A demo whose Airflow dies says which part it was and where its log is, and stops the rest."""
    wait_until(
        lambda: "Task extract: " in demo.log.read_text(), within=90, what="The first task", watching=[demo]
    )
    (scheduler,) = (pid for pid, line in left_behind(tmp_path / "home") if b"scheduler\0--skip" in line)
    os.kill(scheduler, signal.SIGKILL)
    assert demo.wait(60) == 1
    assert "Airflow's scheduler ended with code -9. Its log, " in demo.log.read_text()
    assert left_behind(tmp_path / "home") == []


def test_foreign_folders(demo, tmp_path):
    """A demo whose home holds other things leaves them alone."""
    precious = tmp_path / "home" / "precious" / "file"
    wait_until((tmp_path / "home" / "lock").exists, within=30, what="The demo's start", watching=[demo])
    precious.parent.mkdir()
    precious.write_text("keep me")
    demo.signal(signal.SIGINT)
    assert demo.wait(60) == 130
    command = [sys.executable, "-m", "demo"]
    environment = {**os.environ, "DEMO_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    with Process("The second demo", command, env=environment, log=tmp_path / "second.log") as second:
        wait_until(
            (tmp_path / "home" / "dbt-cloud.log").exists,
            within=30,
            what="The second demo's start",
            watching=[second],
        )
        assert precious.read_text() == "keep me"
