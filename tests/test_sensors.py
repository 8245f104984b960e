"""The sensor, in its three modes, with dbt Cloud stood in for by `responses`."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import responses
from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowNotFoundException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferralError,
    TaskDeferred,
)
from airflow.sdk.serde import deserialize, serialize
from freezegun import freeze_time
from responses import matchers
from structlog.testing import capture_logs

from airflow_dbt_cloud.errors import (
    DbtCloudConfigurationError,
    DbtCloudLostTrack,
    DbtCloudRunCancelled,
    DbtCloudRunFailed,
)
from airflow_dbt_cloud.sensors import DbtCloudJobRunSensor
from airflow_dbt_cloud.triggers import RunEvent

HOST = "https://ab123.us1.dbt.com"
RUN = f"{HOST}/api/v2/accounts/42/runs/7/"
URL = f"{HOST}/deploy/42/projects/3/runs/7/"
NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)
LINKS = {"job_run_url": URL, "_link_DbtCloudJobRunLink": URL}
FIRST_POKE_FAILS = {"status": 503}
PLAIN, SOFT, NEVER = {}, {"soft_fail": True}, {"never_fail": True}


def envelope(data, code=200, message="Success!"):
    """Return an answer as dbt Cloud wraps it."""
    status = {"code": code, "is_success": code < 400, "user_message": message, "developer_message": ""}
    return {"status": status, "data": data}


class TaskInstance:
    """What the sensor needs of Airflow's task instance; remembers what is pushed."""

    dag_id, run_id, task_id, map_index, try_number = "dag", "manual__1", "wait", -1, 1
    start_date = NOW

    def __init__(self, first_reschedule=None):
        self.xcoms = {}
        self.pushed = []
        self.first_reschedule = first_reschedule

    def xcom_push(self, key, value):
        self.xcoms[key] = value
        self.pushed.append(key)

    def get_first_reschedule_date(self, _):
        return self.first_reschedule


def connect(monkeypatch, **fields):
    """Put a connection into the environment."""
    connection = {"conn_type": "dbt_cloud", "host": HOST, "login": "42", "password": "dbtc_sensor", **fields}
    monkeypatch.setenv("AIRFLOW_CONN_DBT_CLOUD_DEFAULT", json.dumps(connection))


@pytest.fixture(autouse=True)
def _connection(monkeypatch):
    connect(monkeypatch)


@pytest.fixture
def cloud():
    """Stand in for dbt Cloud, which must be asked for all that is registered, and for nothing else."""
    with responses.RequestsMock() as mock:
        yield mock


def sensor(**parameters):
    """Return a sensor of run 7 in a DAG; it pokes without a pause."""
    parameters = {"run_id": 7, "poke_interval": 0, "hook_params": {"retry_limit": 1}, **parameters}
    with DAG("dag", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
        return DbtCloudJobRunSensor(task_id="wait", **parameters)


def run(task, ti=None):
    """Execute a task."""
    return task.execute({"ti": ti or TaskInstance()})


def becomes(cloud, *statuses, **fields):
    """Let run 7 have these statuses, one each time it is asked for; the last one stays."""
    for status in statuses:
        cloud.get(RUN, json=envelope({"id": 7, "status": status, "project_id": 3, **fields}))


# Poking


@pytest.mark.parametrize("run_id", [7, "7"])
def test_success(cloud, run_id):
    """The sensor pokes until dbt Cloud says Success, and returns the run's id as a number."""
    becomes(cloud, 1, 2, 3, 10)
    assert run(sensor(run_id=run_id)) == 7


@pytest.mark.parametrize("status", [0, 4, 11, 99])
def test_unknown_status(cloud, status):
    """A status number that is new to us does not end the wait."""
    becomes(cloud, status, status, 10)
    assert run(sensor()) == 7


def test_failed(cloud):
    """A run that failed is an error with dbt Cloud's message and the URL."""
    becomes(cloud, 3, 20, status_message="dbt command failed")
    with pytest.raises(DbtCloudRunFailed) as caught:
        run(sensor())
    assert str(caught.value) == f"dbt Cloud run 7 failed: dbt command failed. {URL}"


def test_cancelled(cloud):
    """A run that a person cancelled is an error that names the person."""
    becomes(cloud, 30, audit={"cancellation": {"actor": {"name": "Ada"}}})
    with pytest.raises(DbtCloudRunCancelled, match="by Ada"):
        run(sensor())


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 503},
        {"status": 404, "json": envelope(None, 404)},
        {"status": 401, "json": envelope(None, 401)},
        {"status": 403, "json": envelope(None, 403)},
        {"status": 429, "headers": {"Retry-After": "300"}},
        {"body": "<html>Sign in</html>"},
        {"body": '{"status": {"code": 200}, "da'},
        {"body": ConnectionResetError("reset")},
    ],
)
def test_trouble_is_waited_out(cloud, trouble):
    """Whatever keeps the run from being seen is a poke in vain, not a failed task."""
    for _ in range(5):
        cloud.get(RUN, **trouble)
    becomes(cloud, 10)
    assert run(sensor()) == 7


def test_rotated_token(cloud, monkeypatch):
    """A token that is rotated while the sensor pokes is read anew from the connection."""

    def refuse(_):
        connect(monkeypatch, password="dbtc_new")
        return 401, {}, json.dumps(envelope(None, 401, "Invalid token."))

    cloud.add_callback(responses.GET, RUN, callback=refuse)
    new_token = matchers.header_matcher({"Authorization": "Token dbtc_new"})
    cloud.get(RUN, json=envelope({"id": 7, "status": 10}), match=[new_token])
    assert run(sensor()) == 7


def test_timeout(cloud):
    """When `timeout` is over the sensor fails as every sensor does, and the run is not cancelled."""
    becomes(cloud, 3)
    with pytest.raises(AirflowSensorTimeout):
        run(sensor(timeout=0))


def test_links(cloud):
    """URL and link are in XCom as soon as the run is seen, and are written once."""
    cloud.get(RUN, status=503)
    seen = []
    ti = TaskInstance()

    def answer(_):
        seen.append(dict(ti.xcoms))
        return 200, {}, json.dumps(envelope({"id": 7, "status": 3, "project_id": 3}))

    cloud.add_callback(responses.GET, RUN, callback=answer)
    cloud.add_callback(responses.GET, RUN, callback=answer)
    becomes(cloud, 20)
    task = sensor()
    with pytest.raises(DbtCloudRunFailed):
        run(task, ti)
    assert seen == [{}, LINKS]
    assert ti.pushed == [*LINKS, "dbt_cloud_run"]
    (link,) = task.operator_extra_links
    assert link.get_link(task, ti_key=ti) == URL


STEP = {"id": 70, "index": 4, "name": "Invoke dbt with `dbt build`", "status": 3, "logs": "one\n"}


def said(lines):
    """Return which lines of the step a log has."""
    texts = [line["event"] % line.get("positional_args", ()) for line in lines]
    return [text for text in texts if text in {"one", "two"}]


@pytest.mark.parametrize(("parameters", "shown"), [({}, []), ({"stream_logs": "True"}, ["one", "two"])])
def test_console(cloud, parameters, shown):
    """A sensor that pokes shows what somebody else's run writes, once, if that is wanted."""
    becomes(cloud, 3, 3, run_steps=[STEP])
    becomes(cloud, 10, run_steps=[{**STEP, "status": 10, "logs": "one\ntwo"}])
    with capture_logs() as lines:
        run(sensor(**parameters))
    assert said(lines) == shown


@pytest.mark.parametrize("mode", [{"mode": "reschedule"}, {"deferrable": True}])
def test_console_of_one_poke(cloud, mode):
    """A sensor that leaves after a poke shows no lines that whoever comes next would show again."""
    becomes(cloud, 3, run_steps=[STEP])
    with capture_logs() as lines, pytest.raises((AirflowRescheduleException, TaskDeferred)):
        run(sensor(stream_logs=True, **mode))
    assert said(lines) == []


@pytest.mark.parametrize("mode", [{"mode": "reschedule"}, {"deferrable": True}])
def test_console_of_the_last_poke(cloud, mode):
    """If that poke sees the end of the run it shows all that was written."""
    becomes(cloud, 10, run_steps=[{**STEP, "status": 10, "logs": "one\ntwo"}])
    with capture_logs() as lines:
        run(sensor(stream_logs=True, **mode))
    assert said(lines) == ["one", "two"]


# Rescheduling


@pytest.mark.parametrize("leniency", [PLAIN, SOFT, NEVER])
def test_reschedule(cloud, leniency):
    """Between two pokes the worker is given free, whatever the sensor does about failures."""
    becomes(cloud, 3)
    with freeze_time(NOW), pytest.raises(AirflowRescheduleException) as caught:
        run(sensor(mode="reschedule", poke_interval=90, **leniency))
    assert caught.value.reschedule_date == NOW + timedelta(seconds=90)


@pytest.mark.parametrize("leniency", [PLAIN, SOFT, NEVER])
def test_reschedule_ends(cloud, leniency):
    """A poke that sees the end of the run ends the task."""
    becomes(cloud, 10)
    assert run(sensor(mode="reschedule", **leniency)) == 7


def test_reschedule_through_trouble(cloud):
    """A poke in vain is no failure."""
    cloud.get(RUN, status=503)
    with pytest.raises(AirflowRescheduleException):
        run(sensor(mode="reschedule"))


def test_reschedule_and_the_run_is_not_there(cloud):
    """A run that is not found is told at each poke, whose process knows nothing of the ones before."""
    cloud.get(RUN, status=404, json=envelope(None, 404, "Not found."))
    ti = TaskInstance()
    with capture_logs() as lines, pytest.raises(AirflowRescheduleException):
        run(sensor(mode="reschedule"), ti)
    assert "404" in lines[-1]["event"]
    assert ti.xcoms == {}


def test_reschedule_times_out(cloud):
    """The time counts from the first poke, in whatever process it was."""
    becomes(cloud, 3)
    with freeze_time(NOW), pytest.raises(AirflowSensorTimeout):
        run(sensor(mode="reschedule", timeout=3600), TaskInstance(NOW - timedelta(hours=2)))


# Leniency


@pytest.mark.parametrize(
    ("leniency", "error"),
    [(PLAIN, DbtCloudRunFailed), (SOFT, AirflowSkipException), (NEVER, AirflowSkipException)],
)
@pytest.mark.parametrize("mode", [{}, {"mode": "reschedule"}, {"deferrable": True}])
def test_failed_leniently(cloud, mode, leniency, error):
    """With soft_fail or never_fail a run that failed skips the task, in every mode, and says why."""
    becomes(cloud, 20, status_message="dbt command failed")
    with pytest.raises(error, match=r"run 7 failed: dbt command failed|never_fail"):
        run(sensor(**mode, **leniency))


@pytest.mark.parametrize(
    ("leniency", "error"),
    [(PLAIN, AirflowSensorTimeout), (SOFT, AirflowSkipException), (NEVER, AirflowSkipException)],
)
@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_timeout_leniently(cloud, mode, leniency, error):
    """With soft_fail or never_fail a timeout skips the task."""
    becomes(cloud, 3)
    with pytest.raises(error):
        run(sensor(timeout=0, mode=mode, **leniency), TaskInstance(NOW - timedelta(days=3650)))


@pytest.mark.parametrize(
    ("leniency", "error"),
    [(PLAIN, AirflowTaskTimeout), (SOFT, AirflowSkipException), (NEVER, AirflowSkipException)],
)
@pytest.mark.parametrize("mode", [{}, {"deferrable": True}])
def test_execution_timeout_leniently(cloud, mode, leniency, error):
    """With soft_fail or never_fail Airflow's execution_timeout skips the task, and cancels nothing."""
    becomes(cloud, 3)

    class Timeout(TaskInstance):
        def xcom_push(self, **_):
            # Airflow raises this from a signal handler, wherever the task is.
            raise AirflowTaskTimeout

    with pytest.raises(error):
        run(sensor(**mode, **leniency), Timeout())


@pytest.mark.parametrize(
    ("leniency", "error"),
    [(PLAIN, AirflowNotFoundException), (SOFT, AirflowNotFoundException), (NEVER, AirflowSkipException)],
)
@pytest.mark.parametrize("mode", [{}, {"mode": "reschedule"}, {"deferrable": True}])
def test_no_connection(monkeypatch, mode, leniency, error):
    """A connection that does not exist is an error of the task, which only never_fail skips."""
    monkeypatch.delenv("AIRFLOW_CONN_DBT_CLOUD_DEFAULT")
    with pytest.raises(error):
        run(sensor(**mode, **leniency))


@pytest.mark.parametrize(
    ("leniency", "error"),
    [(PLAIN, DbtCloudConfigurationError), (SOFT, DbtCloudConfigurationError), (NEVER, AirflowSkipException)],
)
def test_template_gone_wrong(leniency, error):
    """A template that rendered to nonsense is an error that names it, which only never_fail skips."""
    task = sensor(run_id="{{ missing }}", **leniency)
    task.render_template_fields({"missing": None})
    with pytest.raises(error, match=r"run_id must be a number.*'None'"):
        run(task)


# Deferring


def deferred(task, ti=None):
    """Execute a task that defers, at a known time, and return what it says to Airflow."""
    with freeze_time(NOW), pytest.raises(TaskDeferred) as caught:
        run(task, ti)
    return caught.value


@pytest.mark.parametrize(
    ("given", "default_args", "expected"),
    [
        ({"deferrable": True}, {}, 5),
        ({}, {"deferrable": True}, 5),
        ({"deferrable": True, "poke_interval": 20}, {}, 20),
        ({"deferrable": True}, {"poke_interval": 20}, 20),
        ({"deferrable": False}, {}, 60),
    ],
)
def test_default_interval(given, default_args, expected):
    """A sensor that defers asks every 5 s, another one every minute, unless the DAG says otherwise."""
    with DAG("dag", schedule=None, default_args=default_args):
        task = DbtCloudJobRunSensor(task_id="wait", run_id=7, **given)
    assert task.poke_interval == expected


def test_default_interval_of_mapped_sensors():
    """What a mapped sensor says is not lost."""
    with DAG("dag", schedule=None):
        mapped = DbtCloudJobRunSensor.partial(task_id="wait", deferrable=True).expand(run_id=[7, 8])
    assert mapped.unmap({"run_id": 7}).poke_interval == 5


def test_defers(cloud):
    """A run that goes on is handed over to a trigger that may not cancel it."""
    becomes(cloud, 3)
    ti = TaskInstance()
    given = deferred(sensor(deferrable=True, poke_interval=20, timeout=3600), ti)
    assert given.method_name == "execute_complete"
    assert given.timeout == timedelta(seconds=4200)
    _, stored = given.trigger.serialize()
    assert stored == {
        "conn_id": "dbt_cloud_default",
        "run_id": 7,
        "account_id": None,
        "poll_interval": 20,
        "end_time": NOW.timestamp() + 3600,
        "execution_deadline": None,
        "hook_params": {},
        "host": HOST,
        "run_account_id": 42,
        "run_url": URL,
        "cancel_on_kill": False,
        "stream_logs": False,
    }
    assert deserialize(serialize(stored)) == stored
    assert ti.xcoms == LINKS


def test_defers_unseen(cloud):
    """A run that cannot be seen now is handed over, too."""
    cloud.get(RUN, **FIRST_POKE_FAILS)
    ti = TaskInstance()
    _, stored = deferred(sensor(deferrable=True, run_id="7"), ti).trigger.serialize()
    assert (stored["run_id"], stored["run_url"], stored["poll_interval"]) == (7, "", 1)
    assert ti.xcoms == {}


@pytest.mark.parametrize("leniency", [SOFT, NEVER])
def test_defers_leniently(cloud, leniency):
    """A deferral is nothing to skip."""
    becomes(cloud, 3)
    assert deferred(sensor(deferrable=True, **leniency))


def test_defers_with_an_execution_timeout(cloud):
    """The execution_timeout counts while the task is deferred, too."""
    becomes(cloud, 3)
    given = deferred(sensor(deferrable=True, execution_timeout=timedelta(minutes=30), timeout=3600))
    _, stored = given.trigger.serialize()
    assert stored["execution_deadline"] == NOW.timestamp() + 1800
    assert given.timeout == timedelta(seconds=1800 + 600)


def test_defers_no_run_that_has_ended(cloud):
    """A run that has ended costs no deferral."""
    becomes(cloud, 10)
    assert run(sensor(deferrable=True)) == 7


@pytest.mark.parametrize(
    ("default", "parameter", "is_deferrable"),
    [("True", None, True), ("False", None, False), ("True", False, False), ("False", True, True)],
)
def test_deferrable_by_default(monkeypatch, default, parameter, is_deferrable):
    """Without a word of the author's Airflow's configuration decides."""
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", default)
    assert sensor(deferrable=parameter).deferrable is is_deferrable


# Resumed


def resume(task, event=None, *, reason=None, ti=None):
    """Resume a task as Airflow does: with the trigger's event, or with the reason why there is none."""
    context = {"ti": ti or TaskInstance()}
    if reason is not None:
        return task.resume_execution("__fail__", {"error": reason}, context)
    return task.resume_execution("execute_complete", {"event": event}, context)


def payload(outcome, status=0, message="the reason"):
    """Return the payload of an event of run 7."""
    return RunEvent(outcome=outcome, run_id=7, status=status, message=message, href=URL).to_payload()


def test_resumed_after_success(cloud):
    """The sensor returns the run's id when the trigger saw it succeed, whatever dbt Cloud says then."""
    becomes(cloud, 20)
    ti = TaskInstance()
    task = sensor(deferrable=True)
    assert resume(task, payload("ended", 10), ti=ti) == 7
    assert ti.xcoms.items() >= LINKS.items()
    assert task.run_url == URL


@pytest.mark.parametrize(
    ("outcome", "status", "error"),
    [
        ("timeout", 0, AirflowSensorTimeout),
        ("execution_timeout", 0, AirflowTaskTimeout),
        ("lost_track", 0, DbtCloudLostTrack),
    ],
)
@pytest.mark.parametrize("leniency", [PLAIN, SOFT, NEVER])
def test_resumed_after_another_outcome(outcome, status, error, leniency):
    """Every other outcome is its own error, or skips the task; nothing is asked or cancelled."""
    with pytest.raises(AirflowSkipException if leniency else error, match="the reason"):
        resume(sensor(deferrable=True, **leniency), payload(outcome, status))


@pytest.mark.parametrize(("status", "error"), [(20, DbtCloudRunFailed), (30, DbtCloudRunCancelled)])
@pytest.mark.parametrize("leniency", [PLAIN, SOFT, NEVER])
def test_resumed_after_a_bad_end(cloud, status, error, leniency):
    """A run that ended badly is judged as by the operator, or skips the task."""
    becomes(cloud, status, status_message="Oh no.", audit={"cancellation": {"actor": {"name": "Ada"}}})
    with pytest.raises(AirflowSkipException if leniency else error, match="Oh no"):
        resume(sensor(deferrable=True, **leniency), payload("ended", status))


@pytest.mark.parametrize(
    ("leniency", "error"),
    [(PLAIN, DbtCloudConfigurationError), (SOFT, DbtCloudConfigurationError), (NEVER, AirflowSkipException)],
)
def test_resumed_after_a_misconfiguration(leniency, error):
    """A connection that leads elsewhere is an error of the task, which only never_fail skips."""
    with pytest.raises(error, match="the reason"):
        resume(sensor(deferrable=True, **leniency), payload("misconfigured"))


@pytest.mark.parametrize("leniency", [PLAIN, SOFT, NEVER])
@pytest.mark.parametrize(
    "event", [None, {}, "success", {"status": "success", "run_id": 7}, payload("fine", 10)]
)
def test_resumed_after_garbage(event, leniency):
    """An event that nobody understands is an error, never a success."""
    with pytest.raises(ValueError, match=r"does not understand|unknown outcome"):
        resume(sensor(deferrable=True, **leniency), event)


def test_no_triggerer_but_success(cloud):
    """A run that succeeded while no triggerer was up is a success."""
    becomes(cloud, 10)
    ti = TaskInstance()
    assert resume(sensor(deferrable=True), reason="Trigger timeout", ti=ti) == 7
    assert ti.xcoms.items() >= LINKS.items()


@pytest.mark.parametrize("leniency", [PLAIN, SOFT, NEVER])
@pytest.mark.parametrize("seen", [True, False])
def test_no_triggerer_and_no_end(cloud, leniency, seen):
    """A deadline that passed while no triggerer was up is a sensor's timeout, seen or unseen."""
    if seen:
        becomes(cloud, 3)
    else:
        cloud.get(RUN, status=503)
    with pytest.raises(AirflowSkipException if leniency else AirflowSensorTimeout, match="no triggerer"):
        resume(sensor(deferrable=True, **leniency), reason="Trigger timeout")


def test_no_triggerer_at_the_execution_timeout(cloud):
    """An execution_timeout that passed while no triggerer was up is one, which Airflow may retry."""
    becomes(cloud, 3)
    task = sensor(deferrable=True, execution_timeout=timedelta(minutes=30), timeout=7200)
    with freeze_time(NOW + timedelta(minutes=40)), pytest.raises(AirflowTaskTimeout, match="no triggerer"):
        resume(task, reason="Trigger timeout")


@pytest.mark.parametrize("leniency", [PLAIN, SOFT, NEVER])
def test_trigger_failed(leniency):
    """A trigger that failed is Airflow's own error, or skips the task."""
    with pytest.raises(AirflowSkipException if leniency else TaskDeferralError, match="Trigger failure"):
        resume(sensor(deferrable=True, **leniency), reason="Trigger failure")


# Parameters


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"run_id": "seven"}, "run_id must be a number.*'seven'"),
        ({"run_id": None}, "run_id must be a number.*None"),
        ({"run_id": 0}, "run_id must be a number.*0"),
        ({"run_id": True}, "run_id must be a number.*True"),
        ({"account_id": "acme"}, "account_id must be a number.*'acme'"),
        (
            {"hook_params": {"retry_args": {}}},
            "hook_params takes timeout_seconds, retry_limit and retry_delay",
        ),
        ({"hook_params": {"timeout_seconds": "soon"}}, "timeout_seconds must be"),
    ],
)
def test_bad_parameters(parameters, message):
    """What cannot be meant is refused when the DAG is parsed."""
    with pytest.raises(DbtCloudConfigurationError, match=message):
        sensor(**parameters)


def test_templates(cloud, monkeypatch):
    """Connection, run and account are templated."""
    connection = {"conn_type": "dbt_cloud", "host": HOST, "login": "1", "password": "dbtc_sensor"}
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(connection))
    becomes(cloud, 10)
    task = sensor(run_id="{{ run }}", account_id="{{ account }}", dbt_cloud_conn_id="{{ conn }}")
    task.render_template_fields({"run": 7, "account": 42, "conn": "other"})
    assert run(task) == 7


def test_mapped():
    """The sensor can be mapped over runs, and over what another task returns."""
    with DAG("mapped", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
        first = DbtCloudJobRunSensor(task_id="first", run_id=7)
        mapped = DbtCloudJobRunSensor.partial(task_id="many").expand(run_id=[1, 2])
        later = DbtCloudJobRunSensor(task_id="later", run_id=first.output)
    assert mapped.operator_class is DbtCloudJobRunSensor
    assert later.upstream_task_ids == {"first"}
