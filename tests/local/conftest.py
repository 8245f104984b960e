"""What the tests of the local server share: a small dbt project, servers, the contract with dbt Cloud's API.

The contract is checked on every JSON answer that a test receives, if `DBT_CLOUD_OPENAPI_DIR` names the
folder with dbt Cloud's two OpenAPI documents. Null is allowed for every property, because recorded answers
have nulls that the documents do not declare. `format: date-time` is not checked: run times are recorded with
a blank.
"""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import jsonschema
import pytest
import requests
import yaml
from starlette.testclient import TestClient

from airflow_dbt_cloud.local.application import Application
from airflow_dbt_cloud.local.cloud import Cloud
from airflow_dbt_cloud.local.faults import Faults
from airflow_dbt_cloud.local.project import read_project
from airflow_dbt_cloud.local.records import Status
from airflow_dbt_cloud.local.store import Store

ACCOUNT = 70403103922125
TOKEN = "dbtc_local_token"
PATIENCE = 90

FILES = {
    "dbt_project.yml": """
        name: ferry
        profile: ferry
        models:
          +materialized: table
    """,
    "dbt_cloud.yml": """
        account: {id: 70403103922125, name: Ferry Line}
        environments:
          - {name: Production, deployment_type: production, schema: analytics}
          - {name: Staging, deployment_type: staging, schema: trial}
          - {name: Slow lane}
        jobs:
          - name: Nightly build
            environment: Production
            commands: ["dbt seed", "dbt run --select trips", "dbt test"]
            generate_docs: true
            run_generate_sources: true
          - name: Report
            environment: Staging
            commands: ["dbt seed", "dbt build --exclude endless", "dbt ls --quiet"]
          - name: Greeting
            environment: Staging
            commands: ["dbt run-operation greet"]
          - name: Endless
            environment: Slow lane
            commands: ["dbt seed", "dbt run --select trips endless"]
          - {name: Idle, environment: Slow lane, commands: [dbt parse]}
          - {name: Idle too, environment: Production, commands: [dbt parse]}
    """,
    "seeds/boats.csv": "id,name\n1,Alma\n2,Berta\n",
    "models/trips.sql": "select * from {{ ref('boats') }}",
    "models/schema.yml": """
        models:
          - name: trips
            columns: [{name: id, data_tests: [not_null]}]
    """,
    # Fails as long as nobody has put the file there.
    "models/report.sql": """
        select * from read_csv('{{ env_var("DBT_LANDING") }}/report.csv'), {{ ref('trips') }}
    """,
    "models/summary.sql": "select count(*) as reports from {{ ref('report') }}",
    "models/endless.sql": """
        select count(*) as n from range(1000000000) a, range(1000000000) b, {{ ref('trips') }}
    """,
    "macros/greet.sql": """
        {% macro greet() %}
          {% set run_id, reason = env_var("DBT_CLOUD_RUN_ID"), env_var("DBT_CLOUD_RUN_REASON") %}
          {{ log("<script>hello</script> " ~ [target.schema, target.name, target.threads], info=true) }}
          {{ log("run " ~ run_id ~ " because " ~ reason, info=true) }}
        {% endmacro %}
    """,
}


def write_project(folder):
    """Write the files of the project."""
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
    return folder


def git(folder, *arguments):
    """Call git, and give what it says."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],  # noqa: S607 - whichever git there is
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def write_repository(folder):
    """Commit the project, with a branch where the greeting differs and one that cannot be parsed."""
    write_project(folder)
    git(folder, "init", "--quiet", "--initial-branch=main")
    for branch, file, text in (
        ("main", None, None),
        (
            "polite",
            "macros/greet.sql",
            '{% macro greet() %}{{ log("good morning", info=true) }}{% endmacro %}',
        ),
        ("broken", "models/trips.sql", "select * from {{ ref('no_such_boat') }}"),
    ):
        git(folder, "checkout", "--quiet", "-B", branch, *([] if file is None else ["main"]))
        if file is not None:
            (folder / file).write_text(text, encoding="utf-8")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "--message", branch)
    git(folder, "checkout", "--quiet", "main")
    return folder


def wait_until(condition, what, patience=PATIENCE):
    """Ask until the answer is true, and give it."""
    end = time.monotonic() + patience
    while not (answer := condition()):
        assert time.monotonic() < end, f"waited {patience} s for {what}"
        time.sleep(0.05)
    return answer


class Contract:
    """The response schemas of dbt Cloud's OpenAPI documents."""

    def __init__(self, folder):
        self._schemas = []
        self.names = set()
        for name in ("openapi-v2.yaml", "openapi-v3.yaml") if folder else ():
            document = yaml.load((Path(folder) / name).read_bytes(), Loader=yaml.CSafeLoader)
            self.names.update(_property_names(document))
            components = _nullable(document["components"])
            for template, methods in document["paths"].items():
                pattern = re.compile(re.sub(r"\\\{\w+\\\}", r"[^/]+", re.escape(template)))
                for method, operation in methods.items():
                    self._add(components, pattern, method, operation)

    def _add(self, components, pattern, method, operation):
        content = operation["responses"].get("200", {}).get("content") if method != "parameters" else None
        if content and "schema" in content.get("application/json", {}):
            schema = {**content["application/json"]["schema"], "components": components}
            self._schemas.append((pattern, method.upper(), jsonschema.Draft202012Validator(schema)))

    def check(self, method, path, response):
        if "application/json" not in response.headers.get("content-type", "") or "/artifacts/" in path.rstrip(
            "/"
        ):
            return
        value = response.json()
        if path.startswith("/api/") and "detail" not in value:
            assert list(value)[:2] == ["status", "data"]
            assert list(value["status"]) == ["code", "is_success", "user_message", "developer_message"]
            assert value["status"]["code"] == response.status_code
        if response.status_code < 300:
            for pattern, expected_method, validator in self._schemas:
                if expected_method == method and pattern.fullmatch(f"{path.rstrip('/')}/"):
                    validator.validate(value)


def _property_names(value):
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for entry in entries:
        yield from _property_names(entry)
    if isinstance(value, dict) and isinstance(value.get("properties"), dict):
        yield from value["properties"]


def _nullable(value):
    if isinstance(value, list):
        return [_nullable(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    converted = {name: _nullable(entry) for name, entry in value.items()}
    if isinstance(properties := converted.get("properties"), dict):
        converted["properties"] = {
            name: {"anyOf": [entry, {"type": "null"}]} for name, entry in properties.items()
        }
    return converted


class Api:
    """A simple client: paths are relative to the account, every answer is held to the contract."""

    def __init__(self, session, base_url, contract):
        self.session, self.base_url, self._contract = session, base_url, contract

    def ask(self, method, path, *, token=TOKEN, params=None, json=None, headers=None):
        full = path if path.startswith("/") else f"/api/v2/accounts/{ACCOUNT}/{path}"
        given = {} if token is None else {"Authorization": f"Token {token}"}
        response = self.session.request(
            method, f"{self.base_url}{full}", params=params, json=json, headers={**given, **(headers or {})}
        )
        self._contract.check(method, full, response)
        return response

    def get(self, path, **params):
        return self.ask("GET", path, params=params)

    def post(self, path, json=None):
        return self.ask("POST", path, json=json)

    def data(self, path, **params):
        response = self.get(path, **params)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def job_id(self, name):
        return next(job["id"] for job in self.data("jobs/") if job["name"] == name)

    def trigger(self, job, **fields):
        response = self.post(f"jobs/{self.job_id(job)}/run/", {"cause": "a test", **fields})
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def run(self, run_id, related="run_steps"):
        return self.data(f"runs/{run_id}/", include_related=related)

    def finish(self, run_id, related="run_steps"):
        """Wait for a run's end."""
        wait_until(lambda: self.data(f"runs/{run_id}/")["is_complete"], f"the end of run {run_id}")
        return self.run(run_id, related)

    def fault(self, kind, **keys):
        response = self.post("/local/faults/", {"kind": kind, **keys})
        assert response.status_code == 201, response.text

    def clear_faults(self):
        assert self.ask("DELETE", "/local/faults/").status_code == 204


def _ignore_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Server:
    """A server in a process of its own."""

    def __init__(self, folder, *arguments, verify=True):
        self.log = folder.parent / f"{folder.name}-{time.monotonic_ns()}.log"
        command = [
            sys.executable,
            "-m",
            "airflow_dbt_cloud.local",
            "--project",
            str(folder),
            "--port",
            "0",
            *arguments,
        ]
        # Interrupts are ignored, as under a shell's &: dbt must be interrupted all the same.
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "DBT_LANDING": str(folder.parent)},
                preexec_fn=_ignore_interrupts,  # noqa: PLW1509 - the tests start no threads
            )
        self.lines = []
        while not self.lines or not self.lines[-1].startswith("Token: "):
            line = self.process.stdout.readline().decode()
            assert line, f"the server did not start: {self.log.read_text()}"
            self.lines.append(line.strip())
        self.url = self.lines[0].removeprefix("Ready: ")
        self.landing = folder.parent
        session = requests.Session()
        session.verify = verify
        session.trust_env = False
        self.api = Api(session, self.url, CONTRACT)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(20)
        self.process.stdout.close()
        self.api.session.close()
        return code


CONTRACT = Contract(os.environ.get("DBT_CLOUD_OPENAPI_DIR"))


class StandingExecution:
    """A run that goes until the test ends it: no process, no thread."""

    def __init__(self, site, run, on_end):
        self._site, self.run_id, self._on_end = site, run.id, on_end
        self.stops = []
        STANDING[run.id] = self

    def start(self):
        self._site.store.update_run(self.run_id, status=Status.RUNNING, started_at=self._site.store.clock())

    def stop(self, message):
        self.stops.append(message)

    def join(self, seconds):
        pass

    def end(self, status=Status.SUCCESS, **changes):
        store = self._site.store
        store.update_run(self.run_id, status=status, finished_at=store.clock(), **changes)
        self._on_end(self.run_id)


STANDING = {}


class Clock:
    """A clock that the test turns on."""

    def __init__(self):
        self.now = 1_790_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    """Give a clock that stands still."""
    return Clock()


@pytest.fixture
def project(tmp_path):
    """Give a dbt project of a few models."""
    return write_project(tmp_path / "project")


@pytest.fixture
def cloud(project, tmp_path, clock):
    """Give an account whose runs go until the test ends them."""
    folder = read_project(project)
    store = Store(tmp_path / "state", folder.jobs, clock)
    faults = Faults(clock, clock)
    yield Cloud(folder, store, faults, dbt_version="1.11.16", execution=StandingExecution)
    store.close()


@pytest.fixture
def standing():
    """Give the runs that go, by id."""
    STANDING.clear()
    return STANDING


@pytest.fixture
def api(cloud, standing):  # noqa: ARG001 - runs of earlier tests are forgotten
    """Give a client of that account, without a server process."""
    application = Application(cloud, {TOKEN: "local", "dbtc_second": "second"})
    return Api(TestClient(application, "http://localhost", client=("127.0.0.1", 1)), "", CONTRACT)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Give the server that most slow tests share; its project is a git repository."""
    folder = write_repository(tmp_path_factory.mktemp("shared") / "project")
    server = Server(folder, "--run-slots", "6", "--token", TOKEN, "--token", "night shift=dbtc_night")
    yield server
    assert server.stop() == 0
    assert server.log.read_text() == "", "the server is silent when nothing is wrong"


@pytest.fixture
def server_of(tmp_path):
    """Start a server of one's own: `server_of(*arguments)`."""
    started = []

    def start(*arguments, folder=None, **options):
        if folder is None:
            folder = write_project(tmp_path / "project")
        started.append(Server(folder, *arguments, **options))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)
