"""
The token, and a proxy's password, in whatever the package says, stores or raises: nowhere.

dbt Cloud is a real server here, behind a real proxy, and says the token in each of its answers.
"""

import base64
import json
import logging
import pickle
import traceback
import zlib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import TaskDeferred
from structlog.testing import capture_logs

from airflow_dbt_cloud.errors import DbtCloudError
from airflow_dbt_cloud.hooks import DbtCloudHook
from airflow_dbt_cloud.operators import (
    DbtCloudGetJobRunArtifactOperator,
    DbtCloudListJobRunsOperator,
    DbtCloudListJobsOperator,
    DbtCloudRunJobOperator,
)
from airflow_dbt_cloud.sensors import DbtCloudJobRunSensor
from airflow_dbt_cloud.tab.sight import Subject, look

# What is looked for: the middle of the token stays as it is, however the rest is quoted.
TOKEN_CORE, PASSWORD_CORE = "S3cr3t0fN0body", "h7nter2"
SECRETS = (TOKEN_CORE, PASSWORD_CORE)
TOKENS = {"plain": f"dbtc_{TOKEN_CORE}", "odd": f"dbtc_+/=%&\"'\\;<{TOKEN_CORE}>{{{{x}}}}%0d%0a"}
STARTED = {"id": 7, "status": 1, "job_definition_id": 5, "project_id": 3}


class DbtCloud:
    """A dbt Cloud whose run has these statuses, one after the other, and that says what it was sent."""

    def __init__(self, answer):
        self.statuses = [3, 10]
        self.failure = None
        self.tokens = set()
        self._answer = answer

    def __call__(self, request, connection):
        said = request.headers["authorization"]
        self.tokens.add(said)
        if self.failure:
            return self.failure(said, connection)
        if "/artifacts/" in request.target:
            return self._answer(body=json.dumps(self._results(said)).encode())
        things = self._things(request, said)
        is_list = request.target.partition("?")[0].endswith(("runs/", "jobs/", "projects/", "environments/"))
        data = [things] if is_list else things
        status = {"code": 200, "is_success": True, "user_message": said}
        return self._answer(body=json.dumps({"status": status, "data": data}).encode(), x_token=TOKEN_CORE)

    def _things(self, request, said):
        if "/runs/" in request.target or request.target.endswith("/run/"):
            is_asked = request.method == "GET"
            status = self.statuses.pop(0) if is_asked and len(self.statuses) > 1 else self.statuses[0]
            step = {
                "id": 1,
                "index": 1,
                "name": "Invoke dbt with `dbt build`",
                "status": 20,
                "logs": f"{said}\n",
            }
            times = {"started_at": "2026-01-01 12:00:00Z", "finished_at": "2026-01-01 12:00:09Z"}
            shown = {"status_message": said, "trigger": {"cause": said}, "run_steps": [{**step, **times}]}
            audit = {"cancellation": {"actor": {"name": said}}}
            return {**STARTED, "status": status if is_asked else 1, **shown, "audit": audit}
        return {"id": 1, "name": said, "plan": said, "description": said, "execute_steps": [said]}

    def _results(self, said):
        node = {"unique_id": "model.a.b", "status": "error", "message": said, "compiled_code": said}
        return {"metadata": {"invocation_id": "x"}, "results": [node], "args": {"which": "build"}}


@pytest.fixture
def dbt_cloud(answer):
    """Return the dbt Cloud."""
    return DbtCloud(answer)


@pytest.fixture(autouse=True, params=sorted(TOKENS))
def _connection(request, monkeypatch, serve, forward_proxy, dbt_cloud):
    proxy = forward_proxy(serve(dbt_cloud))
    connection = {
        "conn_type": "dbt_cloud",
        "host": "http://localhost:9",
        "login": "42",
        "password": TOKENS[request.param],
        "extra": {"proxies": {"http": f"http://me:{PASSWORD_CORE}%2F@localhost:{proxy.port}"}},
    }
    monkeypatch.setenv("AIRFLOW_CONN_DBT_CLOUD_DEFAULT", json.dumps(connection))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    yield
    # Else nothing was looked at.
    assert dbt_cloud.tokens == {f"Token {TOKENS[request.param]}"}
    assert "proxy-authorization" in proxy.requests[0].headers


class TaskInstance:
    dag_id, run_id, task_id, map_index = "dag", "manual__1", "build", -1
    try_number, max_tries = 1, 0
    start_date = None

    def __init__(self):
        self.xcoms = {}

    def xcom_push(self, key, value):
        self.xcoms[key] = value


@pytest.fixture
def hides(caplog, capsys, recwarn):
    """Return a function that looks into values, and into all that was said so far, by anybody."""
    caplog.set_level(logging.DEBUG)
    with capture_logs() as lines:

        def look_into(*values):
            warned = [str(warning.message) for warning in recwarn.list]
            streams = capsys.readouterr()
            said = [caplog.text, repr(lines), streams.out, streams.err, *warned]
            assert any("GET" in text or "POST" in text for text in said), "urllib3 says what it asks"
            for text in (*said, *map(_text_of, values)):
                assert not [secret for secret in SECRETS if secret in text]

        yield look_into


def _text_of(value):
    if isinstance(value, BaseException):
        shown = [
            *traceback.format_exception(value),
            repr(value),
            repr(vars(value)),
            repr(pickle.dumps(value)),
        ]
        frames = [frame for frame, _ in traceback.walk_tb(value.__traceback__)]
        ours = [frame.f_locals for frame in frames if frame.f_code.co_filename != __file__]
        return "\n".join([*shown, *map(repr, ours)])
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_text_of(inner)}" for key, inner in value.items())
    if isinstance(value, str) and value.startswith("eJ"):
        return zlib.decompress(base64.b64decode(value)).decode()
    return f"{value!r} {value}"


def execute(task, ti):
    """Execute a task, and return what comes of it, be it an error."""
    try:
        return task.execute(
            {
                "ti": ti,
                "dag_run": SimpleNamespace(start_date=datetime(2026, 1, 2, tzinfo=UTC), clear_number=0),
            }
        )
    except (DbtCloudError, TaskDeferred) as error:
        return error


def in_a_dag(kind, **parameters):
    """Return a task in a DAG."""
    with DAG("dag", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
        return kind(task_id="build", hook_params={"retry_limit": 1}, **parameters)


@pytest.mark.parametrize("status", [10, 20, 30])
def test_run_job(dbt_cloud, hides, status):
    """The operator that waits itself tells its log, XComs and error no secret, however its run ends."""
    dbt_cloud.statuses = [3, status]
    task, ti = in_a_dag(DbtCloudRunJobOperator, job_id=5, check_interval=0.01), TaskInstance()
    ended = execute(task, ti)
    assert isinstance(ended, int) == (status == 10)
    assert "dbt_cloud_run" in ti.xcoms
    assert "dbt_cloud_failures" in ti.xcoms
    rendered = {name: getattr(task, name) for name in task.template_fields}
    hides(ended, ti.xcoms, rendered, vars(task), task)


@pytest.mark.parametrize(
    ("kind", "what"), [(DbtCloudRunJobOperator, {"job_id": 5}), (DbtCloudJobRunSensor, {"run_id": 7})]
)
def test_deferred(dbt_cloud, hides, kind, what):
    """A task that defers hands no secret to its trigger, nor to whoever stores its arguments."""
    dbt_cloud.statuses = [3]
    ti = TaskInstance()
    deferred = execute(in_a_dag(kind, deferrable=True, **what), ti)
    assert isinstance(deferred, TaskDeferred)
    trigger = deferred.trigger
    hides(ti.xcoms, trigger, vars(trigger), *trigger.serialize(), deferred.kwargs)


def test_sensor(dbt_cloud, hides):
    """The sensor tells no secret while it pokes, and when it has seen the end."""
    dbt_cloud.statuses = [3, 20]
    ti = TaskInstance()
    task = in_a_dag(DbtCloudJobRunSensor, run_id=7, poke_interval=0.01, deferrable=False)
    hides(execute(task, ti), ti.xcoms, vars(task))


def test_lists_and_artifacts(hides, tmp_path):
    """What the other operators return holds no secret; a file is dbt Cloud's, byte for byte."""
    lists = [
        execute(in_a_dag(kind), TaskInstance())
        for kind in (DbtCloudListJobsOperator, DbtCloudListJobRunsOperator)
    ]
    file = tmp_path / "a.json"
    saved = execute(
        in_a_dag(DbtCloudGetJobRunArtifactOperator, run_id=7, path="a.json", output_file_name=file),
        TaskInstance(),
    )
    assert TOKEN_CORE in Path(saved).read_text("utf-8")
    hides(*lists, saved)


VERBS = {
    "get_account": (),
    "list_projects": (),
    "list_environments": (3,),
    "list_jobs": (),
    "get_job": (1,),
    "list_job_runs": (),
    "get_job_run": (7,),
    "trigger_job_run": (5,),
    "retry_job_run": (7,),
    "cancel_job_run": (7,),
    "list_job_run_artifacts": (7,),
}


def test_hook(hides):
    """No verb of the hook returns a secret, nor do the hook and what is in it show one."""
    hook = DbtCloudHook(retry_limit=1)
    values = []
    for verb, arguments in VERBS.items():
        try:
            values.append(getattr(hook, verb)(*arguments))
        except DbtCloudError as error:
            values.append(error)
    client = hook.get_conn()
    hides(*values, hook, vars(hook), client, vars(client), vars(client._transport), client._credentials)


def test_connection(hides):
    """The test of the connection, and the tab, show no secret."""
    sight = look(Subject(7, "dbt_cloud_default"))
    assert sight.console == "Token ***\n"
    hides(DbtCloudHook().test_connection(), asdict(sight))


def say(status, **headers):
    """Return what answers with a status and says the token in every place."""

    def fail(said, _connection):
        body = json.dumps(
            {"status": {"code": status, "is_success": False, "user_message": said}, "data": {said: said}}
        )
        lines = [
            f"HTTP/1.1 {status} {said}",
            f"Content-Length: {len(body)}",
            *(f"{name}: {said}" for name in headers),
        ]
        return "\r\n".join([*lines, "", body]).encode()

    return fail


FAILURES = {
    **{str(status): say(status) for status in (200, 400, 401, 403, 404, 429, 500, 503)},
    "location": say(302, location=1),
    "retry": say(429, **{"retry-after": 1, "content-type": 1}),
    "no JSON": lambda said, _: f"HTTP/1.1 200 OK\r\nContent-Length: {len(said)}\r\n\r\n{said}".encode(),
    "no HTTP": lambda said, _: f"{said}\r\n\r\n".encode(),
    "no length": lambda said, _: f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{said}\r\n".encode(),
    "no encoding": lambda said, _: (
        f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(said)}\r\n\r\n{said}".encode()
    ),
    "nothing": lambda *_: None,
}


@pytest.mark.parametrize("failure", FAILURES)
def test_errors(dbt_cloud, hides, failure):
    """An error shows no secret: not in its text, its pickle, or the variables of its frames."""
    dbt_cloud.failure = FAILURES[failure]
    hook = DbtCloudHook(retry_limit=1)
    calls = [
        hook.get_account,
        lambda: hook.trigger_job_run(5),
        lambda: hook.get_job_run_artifact(7, "a.json"),
        lambda: hook.get_conn().read_artifact(7, "a.json"),
        lambda: look(Subject(7, "dbt_cloud_default")),
    ]
    errors = []
    for call in calls:
        try:
            call()
        except DbtCloudError as error:
            errors.append(error)
    assert errors
    hides(
        *errors,
        hook.test_connection(),
        execute(in_a_dag(DbtCloudRunJobOperator, job_id=5, start_timeout=0.1), TaskInstance()),
    )
