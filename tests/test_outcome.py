"""What a task tells of a run that has ended, with dbt Cloud stood in for by `responses`."""

import json
import logging
import zlib
from base64 import b64decode

import pytest
import responses
from airflow.sdk.exceptions import AirflowRuntimeError, AirflowTaskTimeout, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from airflow.sdk.log import mask_secret
from responses import matchers

from airflow_dbt_cloud.console import Console
from airflow_dbt_cloud.hooks import DbtCloudHook
from airflow_dbt_cloud.models import Run
from airflow_dbt_cloud.outcome import TellingCutShort, tell

HOST = "https://ab123.us1.dbt.com"
RUNS = f"{HOST}/api/v2/accounts/42/runs/7/"
URL = f"{HOST}/deploy/42/projects/3/runs/7/"
RUN = Run(id=7, status=20, href=URL)
BUILD = "Invoke dbt with `dbt build`"
STEP = {"id": 70, "index": 4, "name": BUILD, "status": 20, "started_at": "2026-01-02 00:00:01+00:00"}
LINE = "00:00:02  1 of 1 ERROR creating sql table model analytics.port_dues  [ERROR in 0.10s]\n"
FAILED = {"unique_id": "model.ferry.port_dues", "status": "error", "message": "Database Error\n  no tariff"}
log = logging.getLogger(__name__)


class TaskInstance:
    """Remembers what is pushed."""

    def __init__(self):
        self.xcoms = {}

    def xcom_push(self, key, value):
        self.xcoms[key] = value


@pytest.fixture(autouse=True)
def _connection(monkeypatch):
    connection = {"conn_type": "dbt_cloud", "host": HOST, "login": "42", "password": "dbtc_of_an_outcome"}
    monkeypatch.setenv("AIRFLOW_CONN_DBT_CLOUD_DEFAULT", json.dumps(connection))


@pytest.fixture
def cloud(caplog):
    """Stand in for dbt Cloud."""
    caplog.set_level(logging.INFO)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def ti():
    """Stand in for Airflow's task instance."""
    return TaskInstance()


def envelope(**run):
    """Return run 7 as dbt Cloud wraps it."""
    return {"status": {"is_success": True}, "data": {"id": 7, "status": 20, "href": URL, **run}}


def tells(ti, run=RUN, **more):
    """Tell of a run, with a hook that asks for everything once."""
    return tell({"ti": ti}, DbtCloudHook(retry_limit=1), run, log, **more)


def serve(cloud, **run):
    """Expect the questions for a run that failed in its build."""
    cloud.get(RUNS, json=envelope(run_steps=[{**STEP, "logs": LINE}], **run))
    by_step = [matchers.query_param_matcher({"step": "4"})]
    cloud.get(f"{RUNS}artifacts/run_results.json", json={"results": [FAILED]}, match=by_step)


def test_a_failed_run(cloud, ti, caplog):
    """Log, XCom and error say which node failed and why."""
    serve(cloud)
    report = tells(ti, console=Console(RUN, log))
    assert "1 of 1 ERROR creating sql table model analytics.port_dues" in caplog.text
    assert "1 node: 1 error" in caplog.text
    assert "no tariff" in caplog.text
    assert ti.xcoms["dbt_cloud_run"]["failed"][0]["unique_id"] == "model.ferry.port_dues"
    assert "Database Error: no tariff" in report.explanation


def test_a_run_that_was_not_seen_to_end(cloud, ti):
    """Of a run that has outlived the task's time it is told how it is now."""
    serve(cloud, status=30)
    assert tells(ti, Run(id=7, status=0)).run.status == 30
    assert ti.xcoms["dbt_cloud_run"]["status"] == "Cancelled"


def test_without_a_console(cloud, ti, caplog):
    """Whoever follows somebody else's run shows its nodes, and not its console."""
    serve(cloud)
    tells(ti)
    assert "1 node: 1 error" in caplog.text
    assert "creating sql table model" not in caplog.text


def test_as_it_was_seen(cloud, ti):
    """A later answer does not change how the run ended."""
    serve(cloud, status=3)
    report = tells(ti)
    assert report.run.status == 20
    assert ti.xcoms["dbt_cloud_run"]["status"] == "Error"


def test_a_console_that_is_too_long(cloud, ti, caplog):
    """A run whose steps are too long an answer is told of without them."""
    with_steps = matchers.query_param_matcher({"include_related": "run_steps,trigger,audit"})
    cloud.get(RUNS, body=b" " * (2**25 + 1), match=[with_steps])
    cloud.get(
        RUNS, json=envelope(), match=[matchers.query_param_matcher({"include_related": "trigger,audit"})]
    )
    tells(ti)
    assert f"too long for this log: {URL}" in caplog.text
    assert ti.xcoms["dbt_cloud_run"]["run_id"] == 7


def unpack(text):
    """Read a part of the picture as a browser does."""
    return json.loads(zlib.decompress(b64decode(text)))


def test_picture(cloud, ti):
    """What the tab draws is stored also of a run that failed."""
    serve(cloud, trigger={"cause": "By Ada"})
    cloud.get(f"{RUNS}artifacts/manifest.json", json={"parent_map": {FAILED["unique_id"]: []}})
    tells(ti)
    assert ti.xcoms["dbt_cloud_run"]["cause"] == "By Ada"
    nodes = unpack(ti.xcoms["dbt_cloud_nodes"])["nodes"]
    assert (nodes["unique_id"], nodes["parents"]) == ([FAILED["unique_id"]], [[]])
    failures = unpack(ti.xcoms["dbt_cloud_failures"])["failures"]
    assert failures[FAILED["unique_id"]]["message"] == FAILED["message"]


def test_picture_without_a_manifest(cloud, ti, caplog):
    """Without a manifest it is not known which node waited for which, and everything else is."""
    serve(cloud)
    cloud.get(f"{RUNS}artifacts/manifest.json", status=404)
    tells(ti)
    assert "parents" not in unpack(ti.xcoms["dbt_cloud_nodes"])["nodes"]
    assert "which node waited for which is missing. " in caplog.text


def test_no_nodes(cloud, ti):
    """A run without nodes has no picture, and no manifest is asked for."""
    cloud.get(RUNS, json=envelope(run_steps=[{**STEP, "name": "Clone git repository"}]))
    tells(ti)
    assert set(ti.xcoms) == {"dbt_cloud_run"}
    assert len(cloud.calls) == 1


def test_a_picture_that_airflow_does_not_take(cloud, caplog):
    """What Airflow finds too large is missing, and nothing else suffers."""

    class Refusing(TaskInstance):
        def xcom_push(self, key, value):
            if key == "dbt_cloud_nodes":
                raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))
            super().xcom_push(key, value)

    serve(cloud)
    ti = Refusing()
    assert "no tariff" in tells(ti).explanation
    assert set(ti.xcoms) == {"dbt_cloud_run"}
    assert "dbt Cloud run 7 did: its picture in the tab dbt is missing. " in caplog.text
    assert "its summary is missing" not in caplog.text


@pytest.mark.parametrize("answer", [{"status": 503}, {"status": 404}, {"body": ConnectionError("gone")}])
def test_a_dbt_cloud_that_does_not_answer(cloud, ti, caplog, answer):
    """What cannot be fetched is said, and the run has ended as it did."""
    cloud.get(RUNS, **answer)
    report = tells(ti)
    assert report.run == RUN
    assert "Not all is told of what dbt Cloud run 7 did: its report is missing. " in caplog.text
    assert ti.xcoms["dbt_cloud_run"]["url"] == URL


@pytest.mark.usefixtures("cloud")
def test_a_connection_that_is_gone(ti, caplog, monkeypatch):
    """A connection that cannot be read any more hides nothing either."""
    monkeypatch.delenv("AIRFLOW_CONN_DBT_CLOUD_DEFAULT")
    assert tells(ti).run == RUN
    assert "Not all is told of what dbt Cloud run 7 did: its report is missing. " in caplog.text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AirflowTaskTimeout(), "its summary is missing. The task has no time left."),
        (OSError("no space"), "its summary is missing. OSError('no space')"),
        (
            AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR)),
            "its summary is missing. AirflowRuntimeError(",
        ),
    ],
)
def test_an_airflow_that_takes_nothing(cloud, caplog, error, words):
    """Neither an XCom that is refused nor a task that is out of time hides what is known."""

    class Refusing(TaskInstance):
        def xcom_push(self, **_):
            raise error

    serve(cloud)
    assert "no tariff" in tells(Refusing()).explanation
    assert words in caplog.text


def test_cut_short(cloud, ti, caplog):
    """A process that has to end while it waits for results still says how the run ended."""
    cloud.get(RUNS, json=envelope(run_steps=[{**STEP, "logs": LINE}]))
    cloud.get(f"{RUNS}artifacts/run_results.json", status=404)

    def cut_short(_):
        raise TellingCutShort

    assert tells(ti, sleep=cut_short).run == RUN
    assert ti.xcoms["dbt_cloud_run"]["status"] == "Error"
    assert "its report is missing. The task has no time left." in caplog.text


def test_a_run_that_goes_on(cloud, ti):
    """Of a run that goes on there are no results to wait for."""
    serve(cloud, status=3)
    tells(ti, Run(id=7, status=0))
    assert [call.request.url for call in cloud.calls if "artifacts" in call.request.url] == []
    assert ti.xcoms["dbt_cloud_run"]["status"] == "Running"


def test_secrets_are_masked(cloud, ti, caplog):
    """What Airflow masks in its logs is not stored either, and the token is nowhere."""
    mask_secret("hunter22-of-the-warehouse")
    words = "login failed: hunter22-of-the-warehouse, dbtc_of_an_outcome"
    cloud.get(RUNS, json=envelope(run_steps=[{**STEP, "logs": f"00:00:01  {words}\n"}]))
    failed = {**FAILED, "message": words, "compiled_code": words}
    cloud.get(f"{RUNS}artifacts/run_results.json", json={"results": [failed]})
    report = tells(ti, console=Console(RUN, log))
    said = repr([ti.xcoms["dbt_cloud_run"], unpack(ti.xcoms["dbt_cloud_failures"])])
    assert "login failed: ***, ***" in said
    assert "hunter22" not in said
    assert "dbtc_of_an_outcome" not in said + caplog.text + report.explanation
