"""What a task does about its trigger, whether it started the run or only waits for it."""

import json
import logging
from datetime import timedelta

import pytest
import responses
from airflow.sdk.serde import deserialize, serialize
from freezegun import freeze_time

from airflow_dbt_cloud.deferral import defer_arguments, end_overdue, look_once, stand_in_event
from airflow_dbt_cloud.errors import (
    DbtCloudConfigurationError,
)
from airflow_dbt_cloud.hooks import DbtCloudHook
from airflow_dbt_cloud.models import Run
from airflow_dbt_cloud.triggers import RunEvent

HOST = "https://ab123.us1.dbt.com"
RUN = f"{HOST}/api/v2/accounts/42/runs/7/"
URL = f"{HOST}/deploy/42/projects/3/runs/7/"
NOW = 1_800_000_000.0
# Deadlines.
PASSED, AHEAD = 0.0, 1e12
ADA = {"cancellation": {"actor": {"id": "1", "type": "user", "name": "Ada"}}}

log = logging.getLogger("task")


def envelope(data, code=200, message="Success!"):
    """Return an answer as dbt Cloud wraps it."""
    status = {"code": code, "is_success": code < 400, "user_message": message, "developer_message": ""}
    return {"status": status, "data": data}


def row(status, **fields):
    """Return run 7 as dbt Cloud tells it."""
    return envelope({"id": 7, "status": status, "project_id": 3, **fields})


@pytest.fixture(autouse=True)
def _connection(monkeypatch):
    connection = {"conn_type": "dbt_cloud", "host": HOST, "login": "42", "password": "dbtc_of_a_deferral"}
    monkeypatch.setenv("AIRFLOW_CONN_DBT_CLOUD_DEFAULT", json.dumps(connection))


@pytest.fixture
def cloud():
    """Stand in for dbt Cloud; whatever is registered must be asked for."""
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def hook():
    """Return a hook that asks once."""
    return DbtCloudHook(retry_limit=1)


# Before


def test_look(cloud, hook):
    """The run is seen as it is now, with who cancelled it."""
    cloud.get(f"{RUN}?include_related=audit", json=row(30, audit=ADA))
    run = look_once(hook, Run(id=7, status=1), log)
    assert (run.status, run.cancelled_by) == (30, "Ada")


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 503},
        {"status": 404, "json": envelope(None, 404)},
        {"status": 401, "json": envelope(None, 401)},
        {"status": 429, "headers": {"Retry-After": "300"}},
        {"body": "<html>Sign in</html>"},
        {"body": ConnectionResetError("reset")},
    ],
)
def test_look_in_vain(cloud, hook, trouble, caplog):
    """A run that cannot be seen is as it was, after one question, and the log says why."""
    before = Run(id=7, status=1, href=URL)
    asked = cloud.get(RUN, **trouble)
    assert look_once(hook, before, log) is before
    assert asked.call_count == 1
    assert "Cannot see dbt Cloud run 7" in caplog.text


def arguments(hook, run=None, **options):
    """Return the arguments of `defer` for run 7."""
    options = {"interval": 60, "end_time": NOW + 3600, "execution_deadline": None, **options}
    with freeze_time("2027-01-15T08:00:00Z"):
        return defer_arguments(hook, run or Run(id=7, status=1, href=URL), **options)


def test_hand_over(hook):
    """The trigger knows the connection, the place of the run and the deadlines; but no secret."""
    given = arguments(hook, execution_deadline=NOW + 1800)
    assert given["method_name"] == "execute_complete"
    _, stored = given["trigger"].serialize()
    assert stored == {
        "conn_id": "dbt_cloud_default",
        "run_id": 7,
        "account_id": None,
        "poll_interval": 60,
        "end_time": NOW + 3600,
        "execution_deadline": NOW + 1800,
        "hook_params": {},
        "host": HOST,
        "run_account_id": 42,
        "run_url": URL,
        "cancel_on_kill": True,
        "stream_logs": False,
    }


def test_hand_over_of_the_hooks_parameters():
    """The task's own account and timeout go with the run, as plain numbers that Airflow can store."""
    hook = DbtCloudHook(account_id="99", timeout_seconds="4.5", retry_limit=3, retry_delay=1)
    _, stored = arguments(hook, cancel_on_kill=False)["trigger"].serialize()
    assert stored["account_id"] == stored["run_account_id"] == 99
    assert stored["hook_params"] == {"timeout_seconds": 4.5}
    assert stored["cancel_on_kill"] is False
    assert deserialize(serialize(stored)) == stored


@pytest.mark.parametrize(
    ("end_in", "execution_in", "patience"),
    [(3600, None, 4200), (3600, 1800, 2400), (1800, 3600, 2400), (3600, -5, 600), (-5, None, 600)],
)
def test_backstop(hook, end_in, execution_in, patience):
    """Airflow ends the deferral ten minutes after the first deadline, in case no triggerer does it."""
    deadline = None if execution_in is None else NOW + execution_in
    given = arguments(hook, end_time=NOW + end_in, execution_deadline=deadline)
    assert given["timeout"] == timedelta(seconds=patience)


@pytest.mark.parametrize("forever", [1e10, 1e12, 1e300])
def test_backstop_of_a_wait_without_end(hook, forever):
    """A timeout that means "for ever" is one that Airflow can add to today's date."""
    given = arguments(hook, end_time=NOW + forever)
    assert timedelta(days=3650) <= given["timeout"] <= timedelta(days=366_000)


# At the end of the task's time


def test_overdue(cloud, hook):
    """The run of a task whose execution_timeout is over is cancelled."""
    cancelled = cloud.post(f"{RUN}cancel/", json=row(30))
    end_overdue(hook, Run(id=7, status=0), log)
    assert cancelled.call_count == 1


@pytest.mark.parametrize(
    "trouble",
    [{"status": 503}, {"status": 403, "json": envelope(None, 403)}, {"body": ConnectionResetError("x")}],
)
def test_cancel_in_vain(cloud, hook, trouble, caplog):
    """A cancel that fails hides nothing, and the log says that the run may go on."""
    cloud.post(f"{RUN}cancel/", **trouble)
    end_overdue(hook, Run(id=7, status=0), log)
    assert "dbt Cloud run 7 could not be cancelled and may go on" in caplog.text


def test_cancel_without_a_connection(hook, monkeypatch, caplog):
    """A connection that is gone does not turn a timeout into something else."""
    monkeypatch.delenv("AIRFLOW_CONN_DBT_CLOUD_DEFAULT")
    end_overdue(hook, Run(id=7, status=0), log)
    assert "dbt Cloud run 7 could not be cancelled and may go on" in caplog.text


# Without a triggerer


@pytest.mark.parametrize("status", [10, 20, 30])
def test_ended_unseen(cloud, hook, status):
    """A run that has ended while no triggerer was up has ended in time, and tells what dbt Cloud says."""
    cloud.get(RUN, json=row(status, status_message="All is said."))
    event = stand_in_event(hook, 7, PASSED)
    assert event == RunEvent(outcome="ended", run_id=7, status=status, message="All is said.", href=URL)


def test_ended_unseen_without_words(cloud, hook):
    """No words are put into dbt Cloud's mouth."""
    cloud.get(RUN, json=row(20))
    assert stand_in_event(hook, 7, None).message == ""


@pytest.mark.parametrize(
    ("deadline", "outcome"), [(PASSED, "execution_timeout"), (AHEAD, "timeout"), (None, "timeout")]
)
def test_over_unseen(cloud, hook, deadline, outcome):
    """A run that goes on at a deadline that nobody watched is out of time, whatever its own message says."""
    cloud.get(RUN, json=row(3, status_message="Installing packages"))
    event = stand_in_event(hook, 7, deadline)
    assert (event.outcome, event.run_id, event.href) == (outcome, 7, URL)
    assert "no triggerer" in event.message
    assert "Installing" not in event.message


@pytest.mark.parametrize("trouble", [{"status": 503}, {"status": 404}, {"body": ConnectionResetError("x")}])
def test_last_question_in_vain(cloud, hook, trouble):
    """If the last question fails the time is over all the same, and the message says why."""
    cloud.get(RUN, **trouble)
    event = stand_in_event(hook, 7, PASSED)
    assert (event.outcome, event.run_id) == ("execution_timeout", 7)
    assert "dbt Cloud" in event.message


def test_last_question_without_a_connection(hook, monkeypatch):
    """If the connection is gone the time is over all the same."""
    monkeypatch.delenv("AIRFLOW_CONN_DBT_CLOUD_DEFAULT")
    event = stand_in_event(hook, 7, None)
    assert event.outcome == "timeout"
    assert "dbt_cloud_default" in event.message


@pytest.mark.parametrize("run_id", [None, "", "seven"])
def test_no_run_to_ask_for(hook, run_id):
    """A run id that is lost is an error that says what there was instead."""
    with pytest.raises(DbtCloudConfigurationError, match="must be a number"):
        stand_in_event(hook, run_id, None)
