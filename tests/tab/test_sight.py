"""A look at a run that goes, with a dbt Cloud that `responses` stands in for; and who cannot look at it."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import responses
from airflow.sdk.exceptions import AirflowNotFoundException
from responses import matchers

from airflow_dbt_cloud.errors import DbtCloudConfigurationError, DbtCloudNotFound
from airflow_dbt_cloud.markers import Marker, make_key
from airflow_dbt_cloud.tab.database import Task
from airflow_dbt_cloud.tab.sight import LONGEST_CONSOLE, TOO_LONG, Subject, Unseen, look, subject_of

HOST = "https://ab123.us1.dbt.com"
TOKEN = "dbtc_of_a_tab"
START = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
MARKER = Marker(key="0123456789abcdef", max_tries=1, clear_number=0, try_number=1)
OTHERS = replace(MARKER, key="f" * 16)
SUBJECT = Subject(7, "dbt_cloud_default", marker_key=MARKER.key)
STEPS = [
    {
        "id": 71,
        "index": 4,
        "name": "Invoke dbt with `dbt build`",
        "status": 3,
        "started_at": "2026-01-01 12:00:02+00:00",
        "logs": "12:00:03  1 of 9 START \x1b[32msql\x1b[0m view model <b>\r\n",
    },
    {
        "id": 70,
        "index": 1,
        "name": "Clone git repository",
        "status": 10,
        "started_at": "2026-01-01 12:00:00+00:00",
        "finished_at": "2026-01-01 12:00:01.500+00:00",
        "logs": "Cloning",
    },
]


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    connection = {"conn_type": "dbt_cloud", "host": HOST, "login": "42", "password": TOKEN}
    monkeypatch.setenv("AIRFLOW_CONN_DBT_CLOUD_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__DBT_CLOUD__DEPLOYMENT_ID", "of tests")


@pytest.fixture
def cloud():
    """Stand in for dbt Cloud."""
    with responses.RequestsMock() as mock:
        yield mock


def serve(cloud, run_id=7, cause=f"Nightly {MARKER}", account=42, match=(), **run):
    """Expect one question for a run."""
    row = {"id": run_id, "status": 3, "trigger": {"cause": cause}, "run_steps": STEPS, **run}
    url = f"{HOST}/api/v2/accounts/{account}/runs/{run_id}/"
    cloud.get(url, json={"status": {"is_success": True}, "data": row}, match=match)


def task(key, rendered, xcoms=()):
    """Return a task that runs."""
    fields = {"dag_run_started_at": START, "rendered": rendered, "xcoms": dict(xcoms)}
    return Task(key, "running", 1, "DbtCloudRunJobOperator", **fields)


OPERATOR = {"dbt_cloud_conn_id": "production", "job_id": 9, "account_id": None}
SENSOR = {"dbt_cloud_conn_id": "production", "run_id": "7", "account_id": "43"}


def test_subject_of_an_operator(key):
    """An operator's run is the one that it has told, and must bear its marker."""
    mark = make_key(
        deployment_id="of tests",
        dag_id=key.dag_id,
        run_id=key.run_id,
        task_id=key.task_id,
        map_index=-1,
        started_at=START,
    )
    subject = subject_of(task(key, OPERATOR, {"job_run_id": 7}))
    assert subject == Subject(7, "production", None, mark)


def test_subject_of_a_sensor(key):
    """A sensor's run is the one that its own field names, whatever stands in its XComs."""
    assert subject_of(task(key, SENSOR, {"job_run_id": 8})) == Subject(7, "production", 43, "")


@pytest.mark.parametrize(
    ("rendered", "xcoms"),
    [
        ({}, {"job_run_id": 7}),
        (OPERATOR, {}),
        (OPERATOR, {"job_run_id": None}),
        ({**OPERATOR, "dbt_cloud_conn_id": None}, {"job_run_id": 7}),
        ({**SENSOR, "run_id": None}, {}),
    ],
)
def test_no_subject(key, rendered, xcoms):
    """A task that has not begun, or has no run yet, has nothing to look at."""
    assert subject_of(task(key, rendered, xcoms)) is None


@pytest.mark.parametrize(
    ("rendered", "xcoms"),
    [
        (OPERATOR, {"job_run_id": "../../accounts"}),
        (OPERATOR, {"job_run_id": {"a": 1}}),
        ({**OPERATOR, "account_id": "x"}, {"job_run_id": 7}),
        ({**SENSOR, "run_id": "{{ x }}"}, {}),
    ],
)
def test_an_odd_subject(key, rendered, xcoms):
    """Where it cannot be told which run it is, there is nothing to see, and a sentence says so."""
    with pytest.raises(Unseen, match=r"\w+"):
        subject_of(task(key, rendered, xcoms))


def test_look(cloud):
    """A look shows the run's steps in order, and what the last one writes, as text without colours."""
    query = [matchers.query_param_matcher({"include_related": "trigger,run_steps"})]
    serve(cloud, match=query)
    sight = look(SUBJECT)
    assert (sight.run["status"], sight.note) == ("Running", "")
    steps = sight.run["steps"]
    assert [(step["index"], step["status"], step["seconds"]) for step in steps] == [
        (1, "Success", 1.5),
        (4, "Running", None),
    ]
    assert steps[1]["started_at"] == "2026-01-01T12:00:02+00:00"
    assert sight.console == "12:00:03  1 of 9 START sql view model <b>\n"
    assert sight.seen_at.tzinfo is UTC
    assert len(cloud.calls) == 1


def test_a_queued_run(cloud):
    """A look at a run that has not begun shows who or what started it, since when it waits, and for what."""
    serve(cloud, status=1, run_steps=[], created_at="2026-01-01 12:00:00+00:00", blocked_by=[5, 6])
    run = look(SUBJECT).run
    assert (run["status"], run["cause"], run["created_at"], run["blocked_by"]) == (
        "Queued",
        "Nightly",
        "2026-01-01T12:00:00+00:00",
        [5, 6],
    )


def test_account(cloud):
    """The task's own account beats the connection's."""
    serve(cloud, account=43)
    look(Subject(7, "dbt_cloud_default", 43, MARKER.key))


@pytest.mark.parametrize("cause", ["", "Kicked off by Ada", f"{MARKER} by Ada", str(OTHERS)])
def test_a_run_of_somebody_else(cloud, cause):
    """Nothing is told of a run that does not bear the task's marker."""
    serve(cloud, cause=cause)
    with pytest.raises(Unseen, match="does not bear this task's marker") as caught:
        look(SUBJECT)
    assert "sql" not in str(caught.value)


def test_another_try(cloud):
    """A run that another try of the task has started is the task's, too."""
    serve(cloud, cause=f"Nightly {replace(MARKER, max_tries=3, clear_number=2, try_number=3)}")
    assert look(SUBJECT).run["status"] == "Running"


def test_a_retry(cloud):
    """A run that does again what a run of the task failed to do is the task's, too."""
    serve(cloud, cause="Rerun", retrying_run_id=6)
    serve(cloud, 6, cause="Rerun", retrying_run_id=5)
    serve(cloud, 5)
    assert look(SUBJECT).run["status"] == "Running"


def test_a_retry_of_a_run_of_somebody_else(cloud):
    """A run that does again what somebody else's run failed to do is not the task's."""
    serve(cloud, cause="Rerun", retrying_run_id=6)
    serve(cloud, 6, cause="By Ada")
    with pytest.raises(Unseen):
        look(SUBJECT)


def test_retries_without_end(cloud):
    """Runs that retry each other, which cannot be, are given up."""
    serve(cloud, cause="Rerun", retrying_run_id=7)
    with pytest.raises(Unseen):
        look(SUBJECT)
    assert len(cloud.calls) == 11


def test_a_known_run(cloud):
    """A run that is known to be the task's is asked for only once."""
    serve(cloud, cause="Rerun", retrying_run_id=6)
    assert look(SUBJECT, is_known=True).run["status"] == "Running"
    assert len(cloud.calls) == 1


def test_the_run_of_a_sensor(cloud):
    """The run that a sensor's own field names needs no marker."""
    serve(cloud, cause="By Ada")
    assert look(Subject(7, "dbt_cloud_default")).run["status"] == "Running"


def test_a_long_console(cloud):
    """Of a long log the end is shown, in whole lines."""
    log = "".join(f"line {number:06}\n" for number in range(50_000))
    serve(cloud, run_steps=[{**STEPS[0], "logs": log}])
    console = look(SUBJECT).console
    assert LONGEST_CONSOLE - 20 < len(console) <= LONGEST_CONSOLE
    assert log.endswith(console)
    assert console.startswith("line ")


def test_an_answer_that_is_too_long(cloud):
    """A run whose logs are too long an answer is shown without them."""
    with_steps = matchers.query_param_matcher({"include_related": "trigger,run_steps"})
    cloud.get(f"{HOST}/api/v2/accounts/42/runs/7/", body=b" " * (2**25 + 1), match=[with_steps])
    serve(cloud, match=[matchers.query_param_matcher({"include_related": "trigger"})], run_steps=[])
    sight = look(SUBJECT)
    assert (sight.run["status"], sight.run["steps"]) == ("Running", [])
    assert (sight.console, sight.note) == ("", TOO_LONG)


def test_an_unknown_run(cloud):
    """A run that is not there, or not yet, is an error that says so."""
    cloud.get(f"{HOST}/api/v2/accounts/42/runs/7/", status=404)
    with pytest.raises(DbtCloudNotFound):
        look(SUBJECT)


@pytest.mark.parametrize(
    "answer", [{"status": 503}, {"status": 401}, {"body": ConnectionError("gone")}, {"body": TOKEN}]
)
def test_a_dbt_cloud_that_does_not_answer(cloud, answer):
    """An answer that is of no use is an error, after one try, and never holds the token."""
    cloud.get(f"{HOST}/api/v2/accounts/42/runs/7/", **answer)
    with pytest.raises(Exception, match="dbt Cloud") as caught:
        look(SUBJECT)
    assert TOKEN not in str(caught.value)
    assert len(cloud.calls) == 1


def test_a_connection_that_is_gone():
    """A connection that there is not, or that is none of dbt Cloud's, is an error."""
    with pytest.raises(AirflowNotFoundException):
        look(Subject(7, "nowhere"))
    with pytest.raises(DbtCloudConfigurationError):
        look(Subject(0, "dbt_cloud_default", 0))


@pytest.mark.usefixtures("_schema")
def test_a_stored_connection(cloud, monkeypatch):
    """A connection that was saved in the form, with empty fields in its extra, is read where the tab is."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    # As Airflow's API server says of itself.
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    extra = dict.fromkeys(("timeout_seconds", "proxies", "ca_bundle", "allow_http"))
    fields = {"host": HOST, "login": "42", "password": TOKEN, "port": 0, "extra": json.dumps(extra)}
    with create_session(scoped=False) as session:
        session.add(Connection("stored", "dbt_cloud", **fields))
    serve(cloud)
    assert look(replace(SUBJECT, conn_id="stored")).run["status"] == "Running"
