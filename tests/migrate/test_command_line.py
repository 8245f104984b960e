"""The command, as it is called: what it prints, what it writes, and how it ends."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_dbt_cloud.migrate.command_line import main

OLD = "from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator\n"
NEW = "from airflow_dbt_cloud.operators import DbtCloudRunJobOperator\n"
GONE = "from airflow.providers.dbt.cloud.hooks.dbt import TokenAuth\n"
LOOK = OLD + "DbtCloudRunJobOperator(task_id='a', job_id=1, retry_from_failure=True)\n"


@pytest.fixture
def dags(tmp_path, monkeypatch):
    """Return a function that makes DAG files in a folder `dags`, where the command is called."""
    monkeypatch.chdir(tmp_path)
    folder = Path("dags")
    folder.mkdir()

    def make(**sources):
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(source)
        return folder

    return make


def test_dry_run(dags, capsys):
    """By default nothing is written; the diff goes to one stream, and the words to the other."""
    folder = dags(a=OLD, b="x = 1\n")
    assert main(["dags"]) == 1
    printed = capsys.readouterr()
    assert printed.out == f"--- dags/a.py\n+++ dags/a.py\n@@ -1 +1 @@\n-{OLD}+{NEW}"
    assert printed.err == "2 files looked at; 1 to rewrite (with --write).\n"
    assert (folder / "a.py").read_text() == OLD


def test_write(dags, capsys):
    """With --write the files are rewritten, and those that have nothing to do are not touched."""
    folder = dags(a=OLD, b="x = 1\n")
    before = (folder / "b.py").stat()
    assert main(["--write", "dags"]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "dags/a.py: rewritten\n2 files looked at; 1 rewritten.\n")
    assert (folder / "a.py").read_text() == NEW
    assert (folder / "b.py").stat().st_mtime_ns == before.st_mtime_ns
    assert (folder / "b.py").stat().st_ino == before.st_ino
    assert main(["dags"]) == 0


def test_what_the_page_shows(dags, capsys):
    """The page on migrating shows what the tool says of such files."""
    dag = """from datetime import datetime

from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook
from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator
from airflow.sdk import dag, task


@task
def tell():
    print(DbtCloudHook().get_job(5).json()["data"]["name"])


@dag(schedule=None, start_date=datetime(2026, 1, 1))
def nightly():
    DbtCloudRunJobOperator(task_id="build", job_id=5, retry_from_failure=True)
"""
    dags(nightly=dag, other="x = 1\n")
    assert main(["dags/"]) == 1
    printed = capsys.readouterr()
    page = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text()
    assert f"prints\n\n```text\n{printed.out}{printed.err}```\n" in page


def test_no_such_file(capsys):
    """A path that leads nowhere is an error, and no file that was looked at."""
    assert main(["nosuch.py"]) == 2
    said = "nosuch.py: error: No such file or directory\n"
    assert (
        capsys.readouterr().err == f"{said}0 files looked at; 0 to rewrite (with --write); 1 file in error.\n"
    )


@pytest.mark.parametrize(
    ("source", "arguments", "code", "words"),
    [
        ("x = 1\n", [], 0, "1 file looked at; 0 to rewrite (with --write).\n"),
        (GONE, [], 1, "dags/a.py:1: change: TokenAuth is not here: use the hook's methods\n"),
        (GONE, ["--write"], 1, "1 file looked at; 0 rewritten; 1 to change by hand.\n"),
        (LOOK, ["--write"], 0, "dags/a.py:2: look: retry_from_failure repeats"),
        (LOOK, [], 1, "; 1 to look at.\n"),
        (f"{OLD}print 'two'\n", [], 2, "dags/a.py: error: line 2: this is no Python"),
        (f"{OLD}print 'two'\n", ["--write"], 2, "1 file looked at; 0 rewritten; 1 file in error.\n"),
    ],
)
def test_exit_codes(dags, capsys, source, arguments, code, words):
    """The exit code says whether something is left to do, and the words say what."""
    dags(a=source)
    assert main([*arguments, "dags"]) == code
    assert words in capsys.readouterr().err


def test_the_others_are_done(dags, capsys):
    """A file that cannot be read holds up no other."""
    folder = dags(a=f"{OLD}print 'two'\n", b=OLD)
    assert main(["--write", "dags", "missing.py"]) == 2
    assert (folder / "b.py").read_text() == NEW
    assert "missing.py: error: No such file or directory\n" in capsys.readouterr().err


def test_quiet(dags, capsys):
    """With --quiet there is no diff."""
    dags(a=OLD)
    assert main(["--quiet", "dags"]) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(shutil.which("patch") is None, reason="there is no patch")
@pytest.mark.parametrize("source", [OLD, OLD.strip(), OLD.replace("\n", "\r\n") + "x = 1\r\n"])
def test_patch(dags, source):
    """The diff is a patch that does what --write does."""
    folder = dags(a="")
    (folder / "a.py").write_bytes(source.encode())
    command = [sys.executable, "-m", "airflow_dbt_cloud.migrate", "dags"]
    done = subprocess.run(command, capture_output=True, check=False)
    subprocess.run(["patch", "-p0", "--binary"], input=done.stdout, check=True, capture_output=True)  # noqa: S607
    assert (folder / "a.py").read_bytes() == source.replace(OLD.strip(), NEW.strip()).encode()


def test_long_chains(dags):
    """A chain of some hundred tasks is no trouble."""
    folder = dags(a=f"{OLD}{' >> '.join(['task'] * 500)}\n")
    command = [sys.executable, "-m", "airflow_dbt_cloud.migrate", "--write", "dags"]
    subprocess.run(command, capture_output=True, check=True)
    assert (folder / "a.py").read_text().startswith(NEW)


def test_nobody_reads_on(dags):
    """A reader who has seen enough of the diff is no reason for a traceback."""
    dags(**{f"dag_{number}": OLD for number in range(3)})
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "airflow_dbt_cloud.migrate", "dags"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == ""


def test_no_airflow(dags):
    """The tool loads neither Airflow nor the rest of this package."""
    dags(a=OLD)
    script = (
        "import sys; from airflow_dbt_cloud.migrate.command_line import main; main(['dags', '--quiet']);"
        "print(*sorted(name for name in sys.modules if name.startswith('airflow')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert "airflow_dbt_cloud.migrate.plan" in modules
    assert all(
        f"{name}.".startswith(("airflow_dbt_cloud.migrate.", "airflow_dbt_cloud.")) for name in modules
    )
    assert {name for name in modules if "migrate" not in name} == {"airflow_dbt_cloud"}


def test_without_libcst(dags):
    """Where libcst is missing it is said what to install."""
    folder = dags(a=OLD)
    script = (
        "import runpy, sys; sys.modules['libcst'] = None; sys.argv = ['migrate', 'dags'];"
        "runpy.run_module('airflow_dbt_cloud.migrate', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'airflow-dbt-cloud[migrate]'" in done.stderr
    assert (folder / "a.py").read_text() == OLD
