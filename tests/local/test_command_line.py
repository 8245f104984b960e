"""Tests of `airflow_dbt_cloud.local.command_line`: how the server starts, and why it does not."""

import argparse
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import requests
import trustme
import uvicorn
import yaml

import airflow_dbt_cloud
from airflow_dbt_cloud.local.command_line import _connection, _ready_block, main
from airflow_dbt_cloud.local.manual import DESCRIPTION
from airflow_dbt_cloud.local.project import read_project

from .conftest import ACCOUNT, TOKEN, wait_until, write_project


def refusal(capsys, project, *arguments):
    """Start a server that cannot start, and give what it says."""
    pytest.importorskip("duckdb", reason="the extra local is not installed")
    assert main(["--project", str(project), "--port", "0", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1, "one line"
    return said.err


def test_no_project(capsys, tmp_path):
    """A folder that is no dbt project is refused."""
    assert "dbt_project.yml does not exist" in refusal(capsys, tmp_path)


def test_no_folder(capsys, tmp_path):
    """A project that is not there is refused by its own name, and so is a file."""
    nowhere = tmp_path / "nope"
    assert f"--project {nowhere} does not exist: expected a dbt project's folder" in refusal(capsys, nowhere)
    nowhere.write_text("")
    assert f"--project {nowhere} is no folder: expected" in refusal(capsys, nowhere)


def test_malformed_project(capsys, project):
    """A malformed dbt_cloud.yml is refused."""
    (project / "dbt_cloud.yml").write_text("environments: 7")
    assert "dbt_cloud.yml: environments: found 7, expected a list" in refusal(capsys, project)


def test_taken_port(capsys, project):
    """A port that is taken is refused, with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(capsys, project, "--port", str(port))
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use; choose another --port" in said


def test_hosts_that_cannot_be(capsys, project):
    """A host that is not ours, and a port that is none, are refused."""
    assert "cannot listen on 192.0.2.1" in refusal(capsys, project, "--host", "192.0.2.1", "--token", "x")
    assert "cannot listen on 127.0.0.1 port 99999: expected 0 to 65535" in refusal(
        capsys, project, "--port", "99999"
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org"])  # noqa: S104 - it is refused
def test_open_host_with_the_known_token(capsys, project, host):
    """Other machines are let in only with a token that not everybody knows."""
    assert "everybody knows the default token" in refusal(capsys, project, "--host", host)


def test_certificates(capsys, project, tmp_path):
    """A certificate that is missing, broken, or without its key is refused."""
    certificate = trustme.CA().issue_cert("localhost")
    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(pem)
    key.write_text("no key")
    assert "go together" in refusal(capsys, project, "--tls-cert", str(pem))
    for given in (pem, tmp_path / "missing.pem"):
        assert "cannot be used" in refusal(capsys, project, "--tls-cert", str(given), "--tls-key", str(key))


def test_malformed_options(capsys, project):
    """A fault and a token that cannot be read are refused, and the option is named."""
    said = refusal(capsys, project, "--fault", "refuse:", "--fault", "explode")
    assert "--fault number 2: kind: found 'explode', expected one of" in said
    assert "--token number 1 is empty" in refusal(capsys, project, "--token", "ci=")


def test_state_in_use(capsys, project, cloud):
    """A state folder that another server uses is refused."""
    said = refusal(capsys, project, "--state", str(cloud.store.folder))
    assert "another local server" in said


def test_help(capsys):
    """The help explains the file, the faults and what is an assumption."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for word in ("dbt_cloud.yml", "lose_reply", "assumptions", "--run-slots", "Ready: ", ".dbt_cloud_local"):
        assert word in said
    assert f"(default: {TOKEN})" in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= 100


def test_the_file_in_the_help(tmp_path):
    """The dbt_cloud.yml of the help can be read, and what it calls a default is one."""
    _, _, rest = DESCRIPTION.partition("may be left out:\n")
    example = yaml.safe_load(rest.partition("POST ")[0])
    (tmp_path / "dbt_project.yml").write_text("name: ferry")
    file = tmp_path / "dbt_cloud.yml"
    file.write_text(yaml.safe_dump(example))
    folder = read_project(tmp_path)
    assert (folder.account.id, folder.jobs[0].timeout_seconds) == (ACCOUNT, 1800)

    (environment,), (job,) = example["environments"], example["jobs"]
    required = {name: job[name] for name in ("name", "environment", "commands")}
    file.write_text(yaml.safe_dump({"environments": [{"name": environment["name"]}], "jobs": [required]}))
    folder = read_project(tmp_path)
    assert (folder.account.name, folder.project.name) == ("Local account", "ferry")
    (environment,), (job,) = folder.environments, folder.jobs
    assert (environment.deployment_type, environment.schema) == (None, "main")
    assert (job.description, job.threads, job.timeout_seconds, job.target_name) == ("", 4, 0, "default")
    assert (job.generate_docs, job.run_generate_sources) == (False, False)


def test_the_request_in_the_help(api):
    """The request that the help shows starts a run."""
    _, _, line = DESCRIPTION.partition("\n  curl ")
    curl = argparse.ArgumentParser()
    curl.add_argument("url")
    curl.add_argument("-H", action="append")
    curl.add_argument("-d")
    given = curl.parse_args(shlex.split(line.replace("\\\n", " ")))
    path = given.url.removeprefix("http://127.0.0.1:8580")
    response = api.ask(
        "POST",
        path.replace("70403100000001", str(api.job_id("Report"))),
        token=None,
        headers=dict(header.split(": ") for header in given.H),
        json=json.loads(given.d),
    )
    assert response.status_code == 200
    assert response.json()["data"]["account_id"] == ACCOUNT


def test_without_a_web_server(project, tmp_path):
    """A Python without the packages of the extra gets one line that says what to install."""
    # Where the package is, its dependencies may be, too.
    (tmp_path / "airflow_dbt_cloud").symlink_to(Path(airflow_dbt_cloud.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-S", "-m", "airflow_dbt_cloud.local", "--project", str(project)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    install = r"pip install 'airflow-dbt-cloud\[local\]', or in a clone '.\[local\]'"
    assert re.fullmatch(rf"error: \w+ is not installed for \S+: {install}\n", done.stderr)


@pytest.mark.slow
def test_without_dbt(project, tmp_path):
    """Without dbt-duckdb the error says what to install."""
    blocker = tmp_path / "site" / "dbt" / "__init__.py"
    blocker.parent.mkdir(parents=True)
    blocker.write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "airflow_dbt_cloud.local", "--project", str(project), "--port", "0"],
        env={**os.environ, "PYTHONPATH": f"{blocker.parent.parent}{os.pathsep}{os.getcwd()}"},  # noqa: PTH109
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: dbt-core is not installed for ")
    assert "pip install 'airflow-dbt-cloud[local]'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("import no_such_boat", "ModuleNotFoundError: No module named 'no_such_boat'"),
        ("this is no Python", "SyntaxError: invalid syntax"),
        ("raise SystemExit('no boat')", "SystemExit: no boat"),
        ("import os; os._exit(1)", "it ended the process that imported it"),
    ],
)
def test_a_dbt_that_cannot_be_imported(project, tmp_path, statement, reason):
    """A broken dbt is refused in one line, with the last line of its traceback."""
    broken = tmp_path / "site" / "dbt"
    (broken / "adapters" / "duckdb").mkdir(parents=True)
    (broken / "cli").mkdir()
    for folder in (broken, broken / "adapters", broken / "cli"):
        (folder / "__init__.py").write_text("")
    (broken / "adapters" / "duckdb" / "__init__.py").write_text(statement)
    done = subprocess.run(
        [sys.executable, "-m", "airflow_dbt_cloud.local", "--project", str(project), "--port", "0"],
        env={**os.environ, "PYTHONPATH": f"{broken.parent}{os.pathsep}{os.getcwd()}"},  # noqa: PTH109
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    expected = f"error: dbt is installed, but cannot be imported: {reason}; try `dbt --version`\n"
    assert done.stderr == expected


@pytest.mark.slow
def test_ready_block(server):
    """The first line can be parsed; account, token and jobs follow."""
    assert server.lines[0].startswith("Ready: http://127.0.0.1:")
    assert server.lines[1:] == [f"Account: {ACCOUNT}", f"Token: {TOKEN}"]
    lines = [server.process.stdout.readline().decode().strip() for _ in range(9)]
    assert lines[0] == "Project: ferry"
    assert lines[1] == f"Job: {server.api.job_id('Nightly build')}  Production / Nightly build"
    assert lines[7].startswith("# To connect Airflow")
    command, _, setting = lines[8].partition(" ")
    name, _, connection = shlex.split(setting)[0].partition("=")
    assert (command, name) == ("export", "AIRFLOW_CONN_DBT_CLOUD_DEFAULT")
    assert json.loads(connection) == {
        "conn_type": "dbt_cloud",
        "host": server.url,
        "login": str(ACCOUNT),
        "password": TOKEN,
    }


@pytest.mark.parametrize(
    ("host", "connection"),
    [
        ("127.0.0.1", {"host": "http://127.0.0.1:80"}),
        ("0.0.0.0", {"host": "http://127.0.0.1:80"}),  # noqa: S104 - nothing listens
        ("::", {"host": "http://[::1]:80"}),
        ("192.0.2.7", {"host": "http://192.0.2.7:80", "extra": {"allow_http": True}}),
    ],
)
def test_connection_to_other_addresses(host, connection):
    """The connection leads to an address that can be reached, and may go there without TLS."""
    given = {"conn_type": "dbt_cloud", "login": "7", "password": "t"}
    assert _connection("http", host, 80, 7, "t") == given | connection


def test_a_job_whose_environment_is_gone(cloud):
    """A job that the API made stays in the list when its environment leaves dbt_cloud.yml."""
    job = cloud.store.jobs()[0]
    cloud.store.save_job(replace(job, id=7, name="Made", environment_id=8))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        said = _ready_block(uvicorn.Config(app=None), listener, cloud, {TOKEN: "local"})
    assert "Job: 7  (not in dbt_cloud.yml any more) / Made\n" in said


def test_own_tokens_are_not_printed(cloud):
    """A token that the user chose is not printed: logs would keep it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        said = _ready_block(uvicorn.Config(app=None), listener, cloud, {"dbtc_own": "ci"})
    assert "dbtc_own" not in said
    assert "Token: as given with --token\n" in said
    assert '"password": "<your token>"' in said


@pytest.mark.slow
def test_tls_faults_and_lost_connections(server_of, tmp_path):
    """Over TLS, with faults from the command line, connections are dropped before and after the work."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    pem = str(tmp_path / "server.pem")
    options = ("--tls-cert", pem, "--tls-key", pem, "--fault", "slow_start:wait=600")
    server = server_of(
        *options, "--fault", "lose_reply:method=POST,path=/run/,times=1", verify=str(tmp_path / "ca.pem")
    )
    assert server.url.startswith("https://127.0.0.1:")
    path = f"jobs/{server.api.job_id('Report')}/run/"
    with pytest.raises(requests.ConnectionError):
        server.api.post(path, {"cause": "lost"})
    assert [run["trigger"]["cause"] for run in server.api.data("runs/", include_related="trigger")] == [
        "lost"
    ]
    server.api.fault("refuse", method="POST", path="/run/", times=1)
    with pytest.raises(requests.ConnectionError):
        server.api.post(path, {"cause": "refused"})
    assert len(server.api.data("runs/")) == 1
    server.api.fault("delay", wait=0.2, path="/runs/$", times=1)
    start = time.monotonic()
    run = server.api.data("runs/")[0]
    assert time.monotonic() - start >= 0.2
    assert run["href"].startswith(server.url)
    assert server.stop() == 0
    assert server.log.read_text() == ""


def descendants(pid):
    """List the processes below a process."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, rest = [], [pid]
    while rest:
        rest += (below := children.get(rest.pop(), []))
        found += below
    return found


def is_alive(pid):
    """Say whether a process is there and no zombie."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_server_leaves_nothing(server_of, tmp_path, number):
    """A server that is stopped or killed takes its dbt processes with it; its runs and logs outlive it."""
    folder = write_project(tmp_path / "project")
    server = server_of(folder=folder)
    run = server.api.trigger("Endless")
    queued = server.api.trigger("Endless", steps_override=["dbt parse"], timeout_seconds_override=600)
    made = server.api.post("jobs/", server.api.data(f"jobs/{run['job_id']}/") | {"name": "Made"}).json()[
        "data"
    ]

    def is_building():
        steps = server.api.run(run["id"])["run_steps"]
        return steps and "START sql table model main.endless" in steps[-1]["logs"]

    wait_until(is_building, "the endless model")
    below = descendants(server.process.pid)
    assert len(below) >= 3, "the fork server, its tracker and dbt"
    start = time.monotonic()
    code = server.stop(number)
    assert time.monotonic() - start < 15
    assert code == (0 if number == signal.SIGTERM else -number)
    wait_until(lambda: not any(map(is_alive, below)), "the end of all processes", patience=15)

    again = server_of(folder=folder)
    ended = again.api.run(run["id"])
    assert (ended["status"], ended["is_cancelled"]) == (30, True)
    assert ended["status_message"] == "The local server was restarted while this run was going."
    assert [step["status"] for step in ended["run_steps"]] == [10, 10, 10, 10, 30]
    assert "START sql table model main.endless" in ended["run_steps"][-1]["logs"]
    assert again.api.data(f"jobs/{made['id']}/")["name"] == "Made"
    assert again.api.get(f"runs/{run['id']}/artifacts/run_results.json", step=4).status_code == 200
    assert again.api.finish(queued["id"])["status"] == 10, "what was queued goes on"
    assert again.api.trigger("Report")["id"] > queued["id"]
    assert again.stop() == 0
