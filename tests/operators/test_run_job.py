"""The operator, from its parameters to its end, with dbt Cloud stood in for by `responses`."""

import json
import logging
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import responses
from airflow.sdk import DAG, Asset, AssetAlias, TaskGroup
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRuntimeError,
    AirflowSkipException,
    AirflowTaskTimeout,
    ErrorType,
    TaskDeferralError,
    TaskDeferred,
)
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, GetXCom, XComResult
from airflow.sdk.serde import deserialize, serialize
from freezegun import freeze_time
from responses import matchers
from structlog.testing import capture_logs

from airflow_dbt_cloud.console import Console
from airflow_dbt_cloud.errors import (
    DbtCloudConfigurationError,
    DbtCloudError,
    DbtCloudJobBusy,
    DbtCloudLostTrack,
    DbtCloudNotFound,
    DbtCloudRateLimited,
    DbtCloudRunCancelled,
    DbtCloudRunFailed,
    DbtCloudSuperseded,
    DbtCloudWaitInterrupted,
    DbtCloudWaitTimeout,
)
from airflow_dbt_cloud.markers import Marker
from airflow_dbt_cloud.models import Run, Step
from airflow_dbt_cloud.operators import DbtCloudRunJobOperator
from airflow_dbt_cloud.triggers import RunEvent

HOST = "https://ab123.us1.dbt.com"
ACCOUNT = f"{HOST}/api/v2/accounts/42"
V3 = f"{HOST}/api/v3/accounts/42"
URL = f"{HOST}/deploy/42/projects/3/runs/7/"
DAG_RUN = SimpleNamespace(start_date=datetime(2026, 1, 2, tzinfo=UTC), clear_number=0)
# The key of the task instance below, and this try of it.
MARKER = "[airflow:954197f97e881712:0.0.1]"
LINKS = {"job_run_id": 7, "job_run_url": URL, "_link_DbtCloudJobRunLink": URL}
STARTED = {"id": 7, "status": 1, "job_definition_id": 5, "href": URL}


def envelope(data, code=200, message="Success!"):
    """Return an answer as dbt Cloud wraps it."""
    status = {"code": code, "is_success": code < 400, "user_message": message, "developer_message": ""}
    return {"status": status, "data": data}


class TaskInstance:
    """What the operator needs of Airflow's task instance; remembers what is pushed."""

    dag_id, run_id, task_id, map_index = "dag", "manual__1", "build", -1
    try_number, max_tries = 1, 0
    start_date = None

    def __init__(self, state="running"):
        self.xcoms = {}
        self.is_announced = threading.Event()
        self.state = state
        self.asked = []

    def xcom_push(self, key, value):
        self.xcoms[key] = value
        if key == "_link_DbtCloudJobRunLink":
            self.is_announced.set()

    def get_task_states(self, **question):
        self.asked.append(question)
        return {self.run_id: {self.task_id: self.state}}


@pytest.fixture(autouse=True)
def _connection(monkeypatch):
    connection = {"conn_type": "dbt_cloud", "host": HOST, "login": "42", "password": "dbtc_of_an_operator"}
    monkeypatch.setenv("AIRFLOW_CONN_DBT_CLOUD_DEFAULT", json.dumps(connection))


@pytest.fixture
def cloud():
    """Stand in for dbt Cloud."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def operator(**parameters):
    """Return an operator in a DAG; job 5 unless the parameters name another."""
    parameters = {"job_id": 5, "check_interval": 0.001, "hook_params": {"retry_limit": 1}, **parameters}
    with DAG("dag", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
        return DbtCloudRunJobOperator(task_id="build", **parameters)


def run(task, ti=None):
    """Execute a task."""
    return task.execute({"ti": ti or TaskInstance(), "dag_run": DAG_RUN})


def starts(cloud, **body):
    """Expect a start of job 5."""
    cause = f"Triggered via Apache Airflow by task build in the dag DAG. {MARKER}"
    expected = matchers.json_params_matcher({"cause": cause, **body})
    return cloud.post(f"{ACCOUNT}/jobs/5/run/", json=envelope(STARTED), match=[expected])


def becomes(cloud, *statuses, **fields):
    """Let run 7 have these statuses, one each time it is asked for; the last one stays."""
    for status in statuses:
        cloud.get(f"{ACCOUNT}/runs/7/", json=envelope({**STARTED, "status": status, **fields}))


def test_success(cloud):
    """The task returns the run's id once dbt Cloud says Success."""
    started = starts(cloud)
    becomes(cloud, 1, 2, 3, 10)
    assert run(operator()) == 7
    assert started.call_count == 1


def test_run_is_announced_at_once(cloud):
    """Id, URL and link are in XCom before the first question how the run is."""
    starts(cloud)
    ti = TaskInstance()
    seen = []

    def answer(_):
        seen.append(dict(ti.xcoms))
        return 200, {}, json.dumps(envelope({**STARTED, "status": 20}))

    cloud.add_callback(responses.GET, f"{ACCOUNT}/runs/7/", callback=answer)
    with pytest.raises(DbtCloudRunFailed):
        run(operator(), ti)
    assert seen[0] == {**LINKS, "job_run_is_own": True}


def test_retry_is_announced(cloud):
    """A try that lets dbt Cloud retry the run of the try before says so, and which run that is."""
    failed = {"id": 6, "status": 20, "can_retry": True, "trigger": {"cause": f"Again {MARKER}"}}
    cloud.get(f"{ACCOUNT}/runs/", json={**envelope([failed]), "extra": {"pagination": {"total_count": 1}}})
    cloud.post(f"{ACCOUNT}/runs/6/retry/", json=envelope({**STARTED, "retrying_run_id": 6}))
    ti = TaskInstance()
    ti.try_number = 2
    with capture_logs() as lines:
        assert run(operator(retry_from_failure=True, wait_for_termination=False), ti) == 7
    said = [line["event"] % line.get("positional_args", ()) for line in lines]
    assert f"Started dbt Cloud run 7 of job 5, a retry of run 6: {URL}" in said


def test_no_wait(cloud):
    """Without wait_for_termination the task ends when the run is started."""
    starts(cloud)
    assert run(operator(wait_for_termination=False)) == 7


@pytest.mark.parametrize("state", ["failed", "success", "removed"])
def test_ended_by_a_person_without_a_wait(cloud, state):
    """A task that a person has ended before its process did leaves no run, though nobody waits for it."""
    starts(cloud)
    cancelled = cloud.post(f"{ACCOUNT}/runs/7/cancel/", json=envelope({**STARTED, "status": 30}))
    with pytest.raises(DbtCloudWaitInterrupted, match=f"a person ended the task .its state is {state}"):
        run(operator(wait_for_termination=False), TaskInstance(state))
    assert cancelled.call_count == 1


def test_failed(cloud):
    """A run that failed is an error with dbt Cloud's message and the URL."""
    starts(cloud)
    becomes(cloud, 3, 20, status_message="dbt command failed")
    with pytest.raises(DbtCloudRunFailed) as caught:
        run(operator())
    assert str(caught.value) == f"dbt Cloud run 7 failed: dbt command failed. {URL}"


def test_cancelled_in_dbt_cloud(cloud):
    """A run that a person cancelled in dbt Cloud is an error that names the person."""
    starts(cloud)
    audit = {"cancellation": {"actor": {"id": "1", "type": "user", "name": "Ada"}}}
    becomes(cloud, 3, 30, status_message="Cancelled by user.", audit=audit)
    with pytest.raises(DbtCloudRunCancelled, match=r"was cancelled: by Ada\. Cancelled by user\. https"):
        run(operator())


def test_timeout(cloud):
    """When `timeout` is over the task fails, and the run is not cancelled."""
    starts(cloud)
    becomes(cloud, 3)
    cancelled = cloud.post(f"{ACCOUNT}/runs/7/cancel/", json=envelope(STARTED))
    with pytest.raises(DbtCloudWaitTimeout, match="The run goes on"):
        run(operator(timeout=0.05))
    assert cancelled.call_count == 0


def test_execution_timeout(cloud):
    """When Airflow's execution_timeout is over the run is cancelled."""
    starts(cloud)
    becomes(cloud, 3)
    cancelled = cloud.post(f"{ACCOUNT}/runs/7/cancel/", json=envelope({**STARTED, "status": 30}))
    task = operator()

    class Timeout(TaskInstance):
        def xcom_push(self, **_):
            # Airflow raises this from a signal handler, wherever the task is.
            raise AirflowTaskTimeout

    with pytest.raises(AirflowTaskTimeout):
        run(task, Timeout())
    assert cancelled.call_count == 1


def test_no_cancel_twice_after_execution_timeout(cloud):
    """`on_kill`, which Airflow calls after an execution_timeout, finds nothing left to do."""
    starts(cloud)
    becomes(cloud, 10)
    task = operator()
    ti = TaskInstance(state="failed")
    run(task, ti)
    task.on_kill()
    assert ti.asked == []


NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)


def deferred(task, ti=None):
    """Execute a task that defers, at a known time, and return what it says to Airflow."""
    ti = ti or TaskInstance()
    with freeze_time(NOW), pytest.raises(TaskDeferred) as caught:
        run(task, ti)
    return caught.value


def test_defers(cloud):
    """A run that goes on is handed over to a trigger, with all that it takes to follow it, and no secret."""
    starts(cloud)
    becomes(cloud, 1)
    ti = TaskInstance()
    given = deferred(operator(deferrable=True, check_interval=20, hook_params={"timeout_seconds": 5}), ti)
    assert given.method_name == "execute_complete"
    path, stored = given.trigger.serialize()
    assert path == "airflow_dbt_cloud.triggers.DbtCloudRunJobTrigger"
    assert stored == {
        "conn_id": "dbt_cloud_default",
        "run_id": 7,
        "account_id": None,
        "poll_interval": 20,
        "end_time": NOW.timestamp() + 7 * 24 * 3600,
        "execution_deadline": None,
        "hook_params": {"timeout_seconds": 5},
        "host": HOST,
        "run_account_id": 42,
        "run_url": URL,
        "cancel_on_kill": True,
        "stream_logs": False,
    }
    assert deserialize(serialize(stored)) == stored
    assert ti.xcoms.items() >= {**LINKS, "job_run_is_own": True}.items()


def test_defers_a_run_that_cannot_be_seen(cloud):
    """A run that cannot be seen just after its start is handed over all the same."""
    starts(cloud)
    asked = cloud.get(f"{ACCOUNT}/runs/7/", status=404, json=envelope(None, 404, "Not found."))
    assert deferred(operator(deferrable=True)).trigger.run_id == 7
    assert asked.call_count == 1


def test_defers_no_run_that_has_ended(cloud):
    """A run that has ended when it is first asked for costs no deferral."""
    starts(cloud)
    becomes(cloud, 10)
    assert run(operator(deferrable=True)) == 7


@pytest.mark.parametrize(("status", "error"), [(20, DbtCloudRunFailed), (30, DbtCloudRunCancelled)])
def test_judges_a_run_that_has_ended(cloud, status, error):
    """A run that ended badly before the task could defer is an error like any other."""
    starts(cloud)
    becomes(cloud, status)
    with pytest.raises(error):
        run(operator(deferrable=True))


def test_deferrable_without_a_wait(cloud):
    """Without wait_for_termination a deferrable task ends when the run is started, and asks nothing."""
    starts(cloud)
    assert run(operator(deferrable=True, wait_for_termination=False)) == 7
    assert len(cloud.calls) == 1


@pytest.mark.parametrize(
    ("default", "parameter", "is_deferrable"),
    [("True", None, True), ("False", None, False), ("True", False, False), ("False", True, True)],
)
def test_deferrable_by_default(monkeypatch, default, parameter, is_deferrable):
    """Without a word of the author's Airflow's configuration decides."""
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", default)
    assert operator(deferrable=parameter).deferrable is is_deferrable


@pytest.mark.parametrize(
    ("timeout", "execution_timeout", "patience"),
    [(3600, None, 3600), (3600, timedelta(minutes=30), 1790), (600, timedelta(minutes=30), 600)],
)
def test_deadlines(cloud, timeout, execution_timeout, patience):
    """`timeout` counts from now, execution_timeout from the task's start; Airflow's own comes 600 s later."""
    starts(cloud)
    becomes(cloud, 1)
    ti = TaskInstance()
    ti.start_date = NOW - timedelta(seconds=10)
    given = deferred(operator(deferrable=True, timeout=timeout, execution_timeout=execution_timeout), ti)
    assert given.trigger.end_time == NOW.timestamp() + timeout
    assert given.trigger.execution_deadline == (execution_timeout and NOW.timestamp() + 1790)
    assert given.timeout == timedelta(seconds=patience + 600)


def resume(task, event=None, *, reason=None):
    """Resume a task as Airflow does: with the trigger's event, or with the reason why there is none."""
    ti = TaskInstance()
    ti.start_date = NOW - timedelta(hours=1)
    with freeze_time(NOW):
        if reason is not None:
            return task.resume_execution("__fail__", {"error": reason}, {"ti": ti})
        return task.resume_execution("execute_complete", {"event": event}, {"ti": ti})


def payload(outcome, status=0):
    """Return the payload of an event of run 7."""
    event = RunEvent(outcome=outcome, run_id=7, status=status, message="the trigger's words", href=URL)
    return event.to_payload()


def test_resumed_after_success(cloud):
    """The task returns the run's id when the trigger saw it succeed, whatever dbt Cloud says then."""
    cloud.get(f"{ACCOUNT}/runs/7/", json=envelope({**STARTED, "status": 20}))
    task = operator(deferrable=True)
    assert resume(task, payload("ended", 10)) == 7
    assert task.run_url == URL


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (20, DbtCloudRunFailed, f"dbt Cloud run 7 failed: Oh no. {URL}"),
        (30, DbtCloudRunCancelled, f"dbt Cloud run 7 was cancelled: by Ada. Oh no. {URL}"),
    ],
)
def test_resumed_after_a_bad_end(cloud, status, error, words):
    """A run that ended badly is an error with dbt Cloud's message, who cancelled it, and the URL."""
    audit = {"cancellation": {"actor": {"id": "1", "type": "user", "name": "Ada"}}}
    becomes(cloud, status, status_message="Oh no.", audit=audit)
    with pytest.raises(error) as caught:
        resume(operator(deferrable=True), payload("ended", status))
    assert str(caught.value) == words


@pytest.mark.parametrize(("status", "error"), [(20, DbtCloudRunFailed), (30, DbtCloudRunCancelled)])
@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 503},
        {"status": 404, "json": envelope(None, 404)},
        {"body": ConnectionResetError("reset")},
        {"json": envelope({})},
        {"json": envelope({**STARTED, "status": 3, "status_message": "the trigger's words"})},
        {"json": envelope({**STARTED, "status": 10, "status_message": "the trigger's words"})},
    ],
)
def test_resumed_without_details(cloud, status, error, trouble):
    """A failed look-up of the details, or an older answer, does not hide that the run ended badly."""
    cloud.get(f"{ACCOUNT}/runs/7/", **trouble)
    with pytest.raises(error, match="the trigger's words") as caught:
        resume(operator(deferrable=True), payload("ended", status))
    assert URL in str(caught.value)


def test_resumed_without_a_connection(monkeypatch):
    """A connection that is gone hides nothing of what the trigger has seen."""
    monkeypatch.delenv("AIRFLOW_CONN_DBT_CLOUD_DEFAULT")
    with pytest.raises(DbtCloudRunFailed, match="the trigger's words"):
        resume(operator(deferrable=True), payload("ended", 20))


@pytest.mark.parametrize("status", [0, 3, 99])
def test_resumed_after_an_end_that_is_none(cloud, status):
    """An event that says "ended" of a run that has not is an error, never a success."""
    becomes(cloud, 10)
    with pytest.raises(ValueError, match="has not ended"):
        resume(operator(deferrable=True), payload("ended", status))


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        ("timeout", DbtCloudWaitTimeout),
        ("lost_track", DbtCloudLostTrack),
        ("misconfigured", DbtCloudConfigurationError),
        ("fine", ValueError),
    ],
)
def test_resumed_after_another_outcome(cloud, outcome, error):
    """Every other outcome is an error of its own, and the run is neither asked for nor cancelled."""
    with pytest.raises(error) as caught:
        resume(operator(deferrable=True), payload(outcome, 10))
    assert type(caught.value) is error
    assert len(cloud.calls) == 0


@pytest.mark.parametrize("event", [None, {}, "success", {"status": "success", "run_id": 7}])
def test_resumed_after_garbage(event):
    """An event that nobody understands is an error, never a success."""
    with pytest.raises(ValueError, match="does not understand"):
        resume(operator(deferrable=True), event)


@pytest.mark.usefixtures("supervisor")
def test_resumed_after_the_execution_timeout(cloud):
    """When the execution_timeout is over the run is cancelled, and the task fails as Airflow's tasks do."""
    cancelled = cloud.post(f"{ACCOUNT}/runs/7/cancel/", json=envelope({**STARTED, "status": 30}))
    with pytest.raises(AirflowTaskTimeout, match="the trigger's words"):
        resume(operator(deferrable=True), payload("execution_timeout"))
    assert cancelled.call_count == 1


@pytest.mark.parametrize(
    ("is_own", "parameters"), [(True, {"cancel_on_kill": False}), (False, {}), (None, {})]
)
def test_a_run_that_is_not_to_be_cancelled(cloud, supervisor, is_own, parameters):
    """An execution_timeout leaves a run alone that the task did not start, or shall not cancel."""
    supervisor.xcoms["job_run_is_own"] = is_own
    cancelled = cloud.post(f"{ACCOUNT}/runs/7/cancel/", json=envelope({**STARTED, "status": 30}))
    with pytest.raises(AirflowTaskTimeout, match="the trigger's words"):
        resume(operator(deferrable=True, **parameters), payload("execution_timeout"))
    assert cancelled.call_count == 0


class Supervisor:
    """Airflow's supervisor, which keeps the XComs of a task."""

    def __init__(self, **xcoms):
        self.xcoms = xcoms

    def send(self, message):
        if isinstance(message, GetXCom):
            where = (message.dag_id, message.run_id, message.task_id, message.map_index)
            assert where == ("dag", "manual__1", "build", -1)
            return XComResult(key=message.key, value=self.xcoms.get(message.key))
        return None


@pytest.fixture
def supervisor(monkeypatch):
    """Stand in for Airflow's supervisor, where Airflow puts it."""
    supervisor = Supervisor(job_run_id=7, job_run_url=URL, job_run_is_own=True)
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


@pytest.mark.usefixtures("supervisor")
def test_no_triggerer_but_success(cloud):
    """A run that succeeded while no triggerer was up is a success, also after the execution_timeout."""
    becomes(cloud, 10)
    task = operator(deferrable=True, execution_timeout=timedelta(minutes=30))
    assert resume(task, reason="Trigger timeout") == 7
    assert task.run_url == URL


@pytest.mark.usefixtures("supervisor")
@pytest.mark.parametrize("execution_timeout", [None, timedelta(hours=2)])
def test_no_triggerer_and_no_end(cloud, execution_timeout):
    """A `timeout` that passed while no triggerer was up leaves the run alone."""
    becomes(cloud, 3)
    cancelled = cloud.post(f"{ACCOUNT}/runs/7/cancel/", json=envelope({**STARTED, "status": 30}))
    with pytest.raises(DbtCloudWaitTimeout, match="no triggerer"):
        resume(operator(deferrable=True, execution_timeout=execution_timeout), reason="Trigger timeout")
    assert cancelled.call_count == 0


@pytest.mark.usefixtures("supervisor")
@pytest.mark.parametrize("answer", [{"json": envelope({**STARTED, "status": 3})}, {"status": 503}])
def test_no_triggerer_at_the_execution_timeout(cloud, answer):
    """An execution_timeout that passed while no triggerer was up cancels the run, seen or unseen."""
    cloud.get(f"{ACCOUNT}/runs/7/", **answer)
    cancelled = cloud.post(f"{ACCOUNT}/runs/7/cancel/", json=envelope({**STARTED, "status": 30}))
    task = operator(deferrable=True, execution_timeout=timedelta(minutes=30), hook_params={"retry_limit": 1})
    with pytest.raises(AirflowTaskTimeout, match="no triggerer"):
        resume(task, reason="Trigger timeout")
    assert cancelled.call_count == 1


@pytest.mark.usefixtures("supervisor")
def test_the_link_survives(cloud):
    """A run that cannot be seen at the end keeps the link that it had."""
    cloud.get(f"{ACCOUNT}/runs/7/", status=503)
    task = operator(deferrable=True, hook_params={"retry_limit": 1})
    with pytest.raises(DbtCloudWaitTimeout):
        resume(task, reason="Trigger timeout")
    (link,) = task.operator_extra_links
    assert link.get_link(task, ti_key=TaskInstance()) == URL


def test_no_triggerer_and_no_run(supervisor):
    """A run id that is lost is an error that says so, and no success."""
    supervisor.xcoms.clear()
    with pytest.raises(DbtCloudConfigurationError, match=r"must be a number.*None"):
        resume(operator(deferrable=True), reason="Trigger timeout")


def test_trigger_failed(cloud):
    """A trigger that failed is Airflow's own error; the run is left alone, for the next try."""
    with pytest.raises(TaskDeferralError, match="Trigger failure"):
        resume(operator(deferrable=True), reason="Trigger failure")
    assert len(cloud.calls) == 0


class Killed:
    """A task that is waiting in a thread when Airflow kills it."""

    def __init__(self, task, ti):
        self.task, self.ti, self.error = task, ti, None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            run(self.task, self.ti)
        except DbtCloudWaitInterrupted as error:
            self.error = error

    def kill(self):
        """Start the task, and kill it when it waits."""
        self.thread.start()
        assert self.ti.is_announced.wait(10)
        self.task.on_kill()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def waiting(cloud):
    """Have run 7 going, and return the count of its cancels."""
    starts(cloud)
    becomes(cloud, 3)
    return cloud.post(f"{ACCOUNT}/runs/7/cancel/", json=envelope({**STARTED, "status": 30}))


def test_killed_by_a_person(waiting):
    """The run is cancelled once when a person has ended the task."""
    killed = Killed(operator(), TaskInstance("failed"))
    killed.kill()
    assert waiting.call_count == 1
    assert "a person ended the task (its state is failed)" in str(killed.error)


def test_killed_by_nobody(waiting):
    """The run goes on when only the process has to go, and the error says so, so that a retry is right."""
    killed = Killed(operator(), TaskInstance("running"))
    killed.kill()
    assert waiting.call_count == 0
    assert "the run goes on" in str(killed.error)


def killed_while(cloud, url, method, ti, answer):
    """Kill a task while dbt Cloud is answering a request, and return what the task raised."""
    task = operator()

    def answer_late(_):
        task.on_kill()
        assert task._attempt._is_over.wait(10)
        return 200, {}, json.dumps(envelope(answer))

    cloud.add_callback(method, url, callback=answer_late)
    with pytest.raises(DbtCloudError) as caught:
        run(task, ti)
    return caught.value


def test_killed_while_starting(cloud):
    """A run whose start was on its way when a person ended the task is cancelled once it is known."""
    cancelled = cloud.post(f"{ACCOUNT}/runs/7/cancel/", json=envelope({**STARTED, "status": 30}))
    error = killed_while(cloud, f"{ACCOUNT}/jobs/5/run/", responses.POST, TaskInstance("failed"), STARTED)
    assert cancelled.call_count == 1
    assert "a person ended the task" in str(error)


def test_process_ended_while_starting(cloud):
    """A run whose start was on its way when only the process had to go is left alone."""
    cancelled = cloud.post(f"{ACCOUNT}/runs/7/cancel/", json=envelope({**STARTED, "status": 30}))
    error = killed_while(cloud, f"{ACCOUNT}/jobs/5/run/", responses.POST, TaskInstance("running"), STARTED)
    assert cancelled.call_count == 0
    assert "the run goes on" in str(error)


@pytest.mark.parametrize("state", ["failed", "running"])
def test_killed_before_the_start(cloud, state):
    """A task that is killed while it looks up its job starts no run."""
    started = starts(cloud)
    task = operator(job_id=None, project_name="Ferry", environment_name="Production", job_name="Nightly")
    cloud.get(f"{V3}/projects/1/environments/", json=envelope([{"id": 3, "name": "Production"}]))
    cloud.get(f"{ACCOUNT}/jobs/", json=envelope([{"id": 5, "name": "Nightly"}]))

    def answer_late(_):
        task.on_kill()
        assert task._attempt._is_over.wait(10)
        return 200, {}, json.dumps(envelope([{"id": 1, "name": "Ferry"}]))

    cloud.add_callback(responses.GET, f"{V3}/projects/", callback=answer_late)
    with pytest.raises(DbtCloudError, match="This try ends before it has a dbt Cloud run"):
        run(task, TaskInstance(state))
    assert started.call_count == 0


def test_structures_written_out_by_templates(cloud):
    """A list or a dict that a template wrote out as text is read again."""
    starts(cloud, steps_override=["dbt seed", "dbt build"], threads_override=8)
    becomes(cloud, 10)
    task = operator(steps_override="{{ steps }}", additional_run_config="{{ config }}")
    task.render_template_fields({"steps": ["dbt seed", "dbt build"], "config": {"threads_override": 8}})
    assert run(task) == 7


def test_every_override(cloud):
    """Every field of the start request is a parameter; what templates make of it is read."""
    starts(
        cloud,
        steps_override=["dbt build"],
        schema_override="dev",
        git_branch="main",
        git_sha="abc",
        target_name_override="ci",
        threads_override=8,
        dbt_version_override="latest",
        generate_docs_override=True,
        timeout_seconds_override=60,
        azure_pull_request_id=1,
        github_pull_request_id=2,
        gitlab_merge_request_id=3,
        non_native_pull_request_id=4,
    )
    becomes(cloud, 10)
    task = operator(
        steps_override=["dbt build"],
        schema_override="dev",
        git_branch="main",
        git_sha="abc",
        target_name_override="ci",
        threads_override="8",
        dbt_version_override="latest",
        generate_docs_override="True",
        timeout_seconds_override="60",
        azure_pull_request_id="1",
        github_pull_request_id=2,
        additional_run_config={"gitlab_merge_request_id": "3", "non_native_pull_request_id": 4},
    )
    assert run(task) == 7


def test_names(cloud):
    """A job may be named by its project, its environment and its own name."""
    cloud.get(f"{V3}/projects/", json=envelope([{"id": 1, "name": "Ferry"}, {"id": 2, "name": "Other"}]))
    cloud.get(f"{V3}/projects/1/environments/", json=envelope([{"id": 3, "name": "Production"}]))
    cloud.get(f"{ACCOUNT}/jobs/", json=envelope([{"id": 5, "name": "Nightly"}, {"id": 6, "name": "Hourly"}]))
    starts(cloud)
    becomes(cloud, 10)
    names = {"project_name": "Ferry", "environment_name": "Production", "job_name": "Nightly"}
    assert run(operator(job_id=None, **names)) == 7


def test_unknown_name(cloud):
    """A name that does not exist is an error that lists what does; nothing is started."""
    cloud.get(f"{V3}/projects/", json=envelope([{"id": 1, "name": "Ferry"}]))
    names = {"project_name": "Fery", "environment_name": "Production", "job_name": "Nightly"}
    with pytest.raises(DbtCloudConfigurationError, match=r"'Fery'\. There are: 'Ferry'"):
        run(operator(job_id=None, **names))


def test_refused(cloud):
    """A start that dbt Cloud refuses is an error at once, with its words."""
    asked = cloud.post(f"{ACCOUNT}/jobs/5/run/", status=404, json=envelope(None, 404, "Not here."))
    with pytest.raises(DbtCloudNotFound, match="Not here"):
        run(operator())
    assert asked.call_count == 1


@pytest.mark.parametrize("job_id", ["5", " 5 ", 5])
def test_job_id_as_text(cloud, job_id):
    """The job's id may be a string of digits."""
    starts(cloud)
    becomes(cloud, 10)
    assert run(operator(job_id=job_id)) == 7


def test_account_id_beats_the_connection(cloud):
    """The operator's account_id beats the login of the connection."""
    other = ACCOUNT.replace("42", "99")
    cloud.post(f"{other}/jobs/5/run/", json=envelope(STARTED))
    cloud.get(f"{other}/runs/7/", json=envelope({**STARTED, "status": 10}))
    assert run(operator(account_id="99")) == 7


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"job_id": None}, "'build' does not say which job to run: give job_id, or all of project_name"),
        ({"job_id": None, "project_name": "a", "job_name": "b"}, "does not say which job"),
        ({"job_id": "nightly"}, "job_id must be a number.*'nightly'"),
        ({"job_id": 0}, "job_id must be a number.*0"),
        ({"account_id": "acme"}, "account_id must be a number.*'acme'"),
        ({"steps_override": "dbt build"}, r"steps_override must be a list of dbt commands.*'dbt build'"),
        ({"steps_override": []}, "steps_override must be a list"),
        ({"steps_override": ["build"]}, r"steps_override must be a list of dbt commands.*\['build'\]"),
        ({"threads_override": "many"}, "threads_override must be a whole number.*'many'"),
        ({"generate_docs_override": "maybe"}, "generate_docs_override must be True or False"),
        (
            {"additional_run_config": {"stepsoverride": 1}},
            "has no stepsoverride for a run. It has .*steps_override",
        ),
        ({"additional_run_config": {"cause": "x"}}, "has no cause"),
        ({"additional_run_config": {"x": "{{ ds }}"}}, "has no x"),
        ({"additional_run_config": ["git_branch"]}, "additional_run_config must be a dict"),
        ({"git_sha": "a", "additional_run_config": {"git_sha": "b"}}, "git_sha is given twice"),
        ({"check_interval": 0}, "check_interval must be a number of seconds above 0; got 0"),
        ({"start_timeout": "soon"}, "start_timeout must be a number of seconds above 0; got 'soon'"),
        ({"if_job_running": "wait"}, "if_job_running must be one of queue, reuse, skip, fail; got 'wait'"),
        ({"if_job_running": None}, "if_job_running must be one of queue, reuse, skip, fail; got None"),
        ({"timeout": "soon"}, "timeout must be a number of seconds above 0; got 'soon'"),
        (
            {"hook_params": {"retry_args": {}}},
            "hook_params takes timeout_seconds, retry_limit and retry_delay",
        ),
        ({"hook_params": {"retry_limit": "often"}}, "retry_limit must be"),
        ({"cancel_on_kill": "no"}, "cancel_on_kill must be True or False; got 'no'"),
        ({"deferrable": "sometimes"}, "deferrable must be True or False"),
        ({"durable": "False", "retry_from_failure": True}, "retry_from_failure needs durable"),
        ({"reuse_existing_run": True, "if_job_running": "skip"}, "contradicts if_job_running='skip'"),
        ({"emit_assets": "sometimes"}, "emit_assets must be True or False"),
        ({"emit_assets": True, "wait_for_termination": "False"}, "emit_assets needs wait_for_termination"),
    ],
)
def test_bad_parameters(parameters, message):
    """What cannot be meant is refused when the DAG is parsed."""
    with pytest.raises(DbtCloudConfigurationError, match=message):
        operator(**parameters)


@pytest.mark.parametrize("is_mapped", [False, True])
@pytest.mark.parametrize("emit_assets", [True, "true", False])
def test_alias_of_assets(is_mapped, emit_assets):
    """A task that emits assets has its alias beside the outlets of the author; no other has."""
    given = {"task_id": "build", "emit_assets": emit_assets, "outlets": [Asset("s3://bucket/sales")]}
    with DAG("dag", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag, TaskGroup("group"):
        if is_mapped:
            DbtCloudRunJobOperator.partial(**given).expand(job_id=[5, 6])
        else:
            DbtCloudRunJobOperator(job_id=5, **given)
    alias = [AssetAlias("dbt_cloud/dag/group.build")] if emit_assets else []
    assert dag.get_task("group.build").outlets == [Asset("s3://bucket/sales"), *alias]
    if is_mapped:
        unmapped = dag.get_task("group.build").unmap({"job_id": 5})
        assert unmapped.outlets == [Asset("s3://bucket/sales"), *alias]


def test_alias_of_assets_without_a_dag():
    """A task that has no DAG yet has no alias yet, be it mapped or not; it has when it runs."""
    assert DbtCloudRunJobOperator(task_id="build", job_id=5, emit_assets=True).outlets == []
    mapped = DbtCloudRunJobOperator.partial(task_id="build", emit_assets=True).expand(job_id=[5, 6])
    assert mapped.outlets == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"job_id": "{{ var.value.job }}"},
        {"account_id": "{{ var.value.account }}"},
        {"steps_override": "{{ params.steps }}"},
        {"threads_override": "{{ params.threads }}"},
        {"additional_run_config": "{{ params.config }}"},
        {"additional_run_config": {"threads_override": "{{ params.threads }}"}},
    ],
)
def test_templates_are_checked_later(parameters):
    """What a template will make is not known when the DAG is parsed."""
    assert operator(**parameters)


def test_templates(cloud):
    """Every parameter that goes to dbt Cloud is templated."""
    starts(cloud, schema_override="from_dag", threads_override=8)
    becomes(cloud, 10)
    task = operator(
        job_id="{{ job }}",
        schema_override="from_{{ dag_id }}",
        additional_run_config={"threads_override": "{{ 4 * 2 }}"},
    )
    task.render_template_fields({"job": 5, "dag_id": "dag"})
    assert run(task) == 7


def test_template_gone_wrong():
    """A template that rendered to nonsense is an error that names the parameter, before anything is sent."""
    task = operator(job_id="{{ missing_value }}")
    task.render_template_fields({"missing_value": None})
    with pytest.raises(DbtCloudConfigurationError, match=r"job_id must be a number.*'None'"):
        run(task)


def test_reason(cloud):
    """The reason is kept to what breaks nobody's SQL: ASCII, without quotes, 255 characters."""
    becomes(cloud, 10)
    started = cloud.post(f"{ACCOUNT}/jobs/5/run/", json=envelope(STARTED))
    run(operator(trigger_reason='Søren\'s "backfill"\n' + "é" * 300))
    cause = json.loads(started.calls[0].request.body)["cause"]
    assert cause.startswith("Sren s backfill eee")
    assert len(cause) == 255


class Child(TaskInstance):
    """A task instance as OpenLineage asks for it."""

    def __init__(self, task):
        super().__init__()
        moment = datetime(2026, 1, 2, tzinfo=UTC)
        self.task = task
        self.dag_id, self.task_id = task.dag_id, task.task_id
        self.dag_run = SimpleNamespace(logical_date=moment, run_after=moment, clear_number=0, conf={})

    def get_template_context(self):
        return {"dag_run": self.dag_run}


@pytest.fixture
def cause_with_parent(cloud):
    """Return a function that runs a task for OpenLineage, and returns its run's cause."""
    pytest.importorskip("airflow.providers.openlineage", reason="the extra openlineage is not installed")

    def run_it(task_id="build", *, wish=True, **parameters):
        started = cloud.post(f"{ACCOUNT}/jobs/5/run/", json=envelope(STARTED))
        with DAG("dag", schedule=None):
            task = DbtCloudRunJobOperator(
                task_id=task_id,
                job_id=5,
                wait_for_termination=False,
                openlineage_inject_parent_job_info=wish,
                **parameters,
            )
        run(task, Child(task))
        return cause_of(started)

    return run_it


def test_parent_in_the_cause(cause_with_parent):
    """The cause names the task as OpenLineage's parent in JSON, with the marker, if that is wanted."""
    cause = json.loads(cause_with_parent(trigger_reason="nightly"))
    assert cause["parent"]["job"] == {"namespace": "default", "name": "dag.build"}
    assert len(cause["parent"]["run"]["runId"]) == 36
    assert Marker.read(cause["airflow"]) is not None
    assert cause.keys() == {"parent", "airflow"}


def test_root_in_the_cause(cause_with_parent):
    """Where there is room, as without a marker, the root is named, too."""
    cause = json.loads(cause_with_parent("b", durable=False))
    assert cause["root"]["job"] == {"namespace": "default", "name": "dag"}
    assert cause.keys() == {"parent", "root"}


@pytest.mark.parametrize(("wish", "option", "is_told"), [(None, "True", True), (False, "True", False)])
def test_parent_in_the_cause_by_default(cause_with_parent, monkeypatch, wish, option, is_told):
    """Airflow's option for Spark says what holds for tasks that do not say it."""
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__SPARK_INJECT_PARENT_JOB_INFO", option)
    assert cause_with_parent(wish=wish).startswith('{"parent"') is is_told


def test_no_room_for_the_parent(cause_with_parent):
    """A parent that has no room is left out, with a warning, and the cause is what it would be without."""
    with capture_logs() as lines:
        cause = cause_with_parent("b" * 150, trigger_reason="nightly")
    assert cause.startswith("nightly [airflow:")
    assert any("has no room" in line["event"] for line in lines)


def test_a_parent_that_cannot_be_made(cloud):
    """A task of which OpenLineage cannot make a parent starts its run all the same, and says so."""
    started = starts(cloud)
    with capture_logs() as lines:
        run(operator(wait_for_termination=False, openlineage_inject_parent_job_info=True))
    assert started.call_count == 1
    assert any("does not name its OpenLineage parent" in line["event"] for line in lines)


def test_mapped():
    """The operator can be mapped over jobs."""
    with DAG("mapped", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
        mapped = DbtCloudRunJobOperator.partial(task_id="build", check_interval=5).expand(job_id=[1, 2])
    assert mapped.operator_class is DbtCloudRunJobOperator


def test_link():
    """The link leads to the run that was started, and to nothing before."""
    task = operator()
    (link,) = task.operator_extra_links
    assert link.name == "dbt Cloud run"
    task.run_url = URL
    assert link.get_link(task, ti_key=TaskInstance()) == URL
    task.run_url = ""
    assert link.get_link(task, ti_key=TaskInstance()) == ""


# Tries and their runs

NEXT_MARKER = MARKER.replace("0.0.1", "0.0.2")


class SecondTry(TaskInstance):
    """The second try of the task."""

    try_number = 2


def leaves(cloud, *rows, status=3):
    """Let the job have a run of the first try with this status, or other runs."""
    rows = rows or ({**STARTED, "status": status, "trigger": {"cause": f"nightly {MARKER}"}},)
    return cloud.get(f"{ACCOUNT}/runs/", json=envelope(list(rows)))


def cancels(cloud):
    """Let run 7 be cancelled."""
    return cloud.post(f"{ACCOUNT}/runs/7/cancel/", json=envelope({**STARTED, "status": 30}))


def cause_of(started):
    """Return the cause of the start that was sent."""
    (call,) = started.calls
    return json.loads(call.request.body)["cause"]


@pytest.fixture
def stats(monkeypatch):
    """Stand in for Airflow's stats, and return the counters that went up."""
    counted = []
    stats = SimpleNamespace(incr=lambda name, count=1: counted.extend([name] * count))
    monkeypatch.setattr("airflow.sdk.observability.stats.Stats", stats)
    return counted


def test_resumed(cloud, stats):
    """A second try follows the run of the first one."""
    leaves(cloud)
    becomes(cloud, 3, 10)
    ti = SecondTry()
    assert run(operator(), ti) == 7
    assert ti.xcoms.items() >= {**LINKS, "job_run_is_own": True}.items()
    assert stats == ["dbt_cloud.runs_resumed"]


@pytest.mark.parametrize("parameters", [{}, {"deferrable": True}, {"wait_for_termination": False}])
def test_resumed_after_its_end(cloud, parameters):
    """A run that succeeded while nobody watched is a success, and is neither waited for nor deferred."""
    looked_up = leaves(cloud, status=10)
    cloning = {"id": 1, "index": 1, "name": "Clone git repository", "status": 10}
    ended = {**STARTED, "status": 10, "run_steps": [cloning]}
    seen = cloud.get(f"{ACCOUNT}/runs/7/", json=envelope(ended))
    ti = SecondTry()
    assert run(operator(**parameters), ti) == 7
    assert looked_up.call_count == 2
    # What it did.
    assert seen.call_count == len(cloud.calls) - 2 == parameters.get("wait_for_termination", True)
    assert ti.xcoms.items() >= {**LINKS, "job_run_is_own": True}.items()


def test_counted(cloud, stats):
    """A run that was started is counted once."""
    starts(cloud)
    becomes(cloud, 10)
    run(operator())
    assert stats == ["dbt_cloud.runs_started"]


def test_superseded(cloud, stats):
    """A try that is out of date is an error of its own, and counted as such."""
    leaves(cloud, {**STARTED, "trigger": {"cause": f"nightly {MARKER.replace('0.0.1', '0.0.3')}"}})
    ti = SecondTry()
    with pytest.raises(DbtCloudSuperseded):
        run(operator(), ti)
    assert stats == ["dbt_cloud.attempts_superseded"]
    assert ti.xcoms == {}


@pytest.mark.parametrize(
    ("option", "parameter", "is_durable"),
    [(None, None, True), ("False", None, False), ("True", False, False), ("False", True, True)],
)
def test_durable(cloud, monkeypatch, option, parameter, is_durable):
    """Only a durable task marks its runs and looks for them; the task's word beats the configuration's."""
    if option:
        monkeypatch.setenv("AIRFLOW__DBT_CLOUD__DURABLE", option)
    looked_up = leaves(cloud, status=20)
    started = cloud.post(f"{ACCOUNT}/jobs/5/run/", json=envelope(STARTED))
    run(operator(durable=parameter, wait_for_termination=False), SecondTry())
    assert cause_of(started).endswith(NEXT_MARKER if is_durable else "in the dag DAG.")
    assert looked_up.call_count == (2 if is_durable else 0)


@pytest.mark.parametrize("is_durable", [True, False])
def test_a_retry_that_nobody_looks_for(cloud, monkeypatch, is_durable):
    """The log says that a platform which switches durable off switches retry_from_failure off, too."""
    monkeypatch.setenv("AIRFLOW__DBT_CLOUD__DURABLE", str(is_durable))
    cloud.post(f"{ACCOUNT}/jobs/5/run/", json=envelope(STARTED))
    with capture_logs() as lines:
        run(operator(retry_from_failure=True, wait_for_termination=False))
    assert any("retry_from_failure does nothing" in line["event"] for line in lines) is not is_durable


def test_tried_out(cloud, monkeypatch):
    """What `airflow tasks test` runs is marked by nothing and resumes nothing."""
    monkeypatch.setenv("AIRFLOW_TEST_MODE", "True")
    looked_up = leaves(cloud)
    started = cloud.post(f"{ACCOUNT}/jobs/5/run/", json=envelope(STARTED))
    run(operator(durable=True, wait_for_termination=False), SecondTry())
    assert cause_of(started) == "Triggered via Apache Airflow by task build in the dag DAG."
    assert looked_up.call_count == 0


def test_odd_reason(cloud):
    """However long and odd the reason is, the run is marked, once, and the rest fits."""
    reason = 'it\'s "odd"\n`x` \\ \N{SHIP} [airflow:ffffffffffffffff:9.9.9] ' * 200
    started = cloud.post(f"{ACCOUNT}/jobs/5/run/", json=envelope(STARTED))
    run(operator(trigger_reason=reason[:10_000], wait_for_termination=False))
    cause = cause_of(started)
    assert cause.startswith("it s odd x (airflow:ffffffffffffffff:9.9.9]")
    assert cause.endswith(f"... {MARKER}")
    assert len(cause) == 255
    assert cause.count("[airflow:") == 1
    assert not set("'\"`\\\n") & set(cause)


def test_reason_that_forges_a_marker(cloud):
    """A reason that ends in a marker is no marker, also where the task has none."""
    started = cloud.post(f"{ACCOUNT}/jobs/5/run/", json=envelope(STARTED))
    run(operator(trigger_reason=f"by hand {MARKER}", durable=False, wait_for_termination=False))
    assert Marker.read(cause_of(started)) is None


def test_mapped_tasks_do_not_meet(cloud):
    """A mapped task does not take up the run of its sibling."""
    leaves(cloud)
    started = cloud.post(f"{ACCOUNT}/jobs/5/run/", json=envelope({**STARTED, "id": 8}))
    ti = SecondTry()
    ti.map_index = 0
    assert run(operator(wait_for_termination=False), ti) == 8
    assert not cause_of(started).endswith(NEXT_MARKER)


@pytest.mark.parametrize(
    ("parameters", "option"), [({"start_timeout": 5}, "900"), ({}, "5"), ({"start_timeout": "5"}, "1")]
)
def test_start_timeout(cloud, monkeypatch, parameters, option):
    """A wait that would end after `start_timeout` is not begun; the task's word beats the configuration's."""
    monkeypatch.setenv("AIRFLOW__DBT_CLOUD__START_TIMEOUT", option)
    asked = cloud.post(f"{ACCOUNT}/jobs/5/run/", status=429, headers={"Retry-After": "6"})
    with pytest.raises(DbtCloudRateLimited):
        run(operator(hook_params={}, **parameters))
    assert asked.call_count == 1


def test_start_timeout_of_names(cloud):
    """What the job is named by is looked up within the same time."""
    asked = cloud.get(f"{V3}/projects/", status=429, headers={"Retry-After": "6"})
    names = {"project_name": "Ferry", "environment_name": "Production", "job_name": "Nightly"}
    with pytest.raises(DbtCloudRateLimited):
        run(operator(job_id=None, start_timeout=5, hook_params={}, **names))
    assert asked.call_count == 1


def test_check_interval_of_the_platform(cloud, monkeypatch):
    """A task that does not say how often to ask asks as often as the platform team says."""
    monkeypatch.setenv("AIRFLOW__DBT_CLOUD__CHECK_INTERVAL", "17")
    starts(cloud)
    becomes(cloud, 1)
    assert (
        deferred(operator(check_interval=None, deferrable=True)).trigger.serialize()[1]["poll_interval"] == 17
    )


# Other runs of the job


def others(cloud):
    """Let the job have a run of a person's, number 7."""
    return leaves(cloud, {**STARTED, "trigger": {"cause": "by hand"}})


@pytest.mark.parametrize("parameters", [{"reuse_existing_run": True}, {"if_job_running": "reuse"}])
def test_reused(cloud, stats, parameters):
    """A run that goes already is followed, and is not the task's own; nothing is counted as started."""
    others(cloud)
    becomes(cloud, 3, 10)
    ti = TaskInstance()
    assert run(operator(**parameters), ti) == 7
    assert ti.xcoms.items() >= {**LINKS, "job_run_is_own": False}.items()
    assert stats == []


def test_reused_and_deferred(cloud):
    """The trigger of a run that is not the task's own never cancels it."""
    others(cloud)
    becomes(cloud, 3)
    task = operator(if_job_running="reuse", deferrable=True)
    assert deferred(task).trigger.serialize()[1]["cancel_on_kill"] is False


def test_reused_and_killed(cloud):
    """A run that is not the task's own goes on when a person ends the task."""
    others(cloud)
    becomes(cloud, 3)
    cancelled = cancels(cloud)
    killed = Killed(operator(if_job_running="reuse"), TaskInstance("failed"))
    killed.kill()
    assert "a person ended the task" in str(killed.error)
    assert cancelled.call_count == 0


def test_reused_and_out_of_time(cloud):
    """A run that is not the task's own goes on when the execution_timeout is over."""
    others(cloud)
    cancelled = cancels(cloud)

    def time_is_over(_):
        raise AirflowTaskTimeout

    cloud.add_callback(responses.GET, f"{ACCOUNT}/runs/7/", callback=time_is_over)
    with pytest.raises(AirflowTaskTimeout):
        run(operator(if_job_running="reuse"))
    assert cancelled.call_count == 0


@pytest.mark.parametrize(("policy", "error"), [("skip", AirflowSkipException), ("fail", DbtCloudJobBusy)])
def test_busy(cloud, policy, error):
    """A task that wants no other run of its job beside its own is skipped, or fails; nothing is started."""
    others(cloud)
    with pytest.raises(error, match=f"dbt Cloud job 5 has run 7 going; no run was started.*{URL}"):
        run(operator(if_job_running=policy))
    assert len(cloud.calls) == 1


# A run that is cancelled in dbt Cloud


def test_cancelled_and_not_retried(cloud):
    """With retry_on_cancel=False a task whose run was cancelled fails for good, with the same words."""
    starts(cloud)
    becomes(cloud, 30, status_message="Cancelled by user.")
    with pytest.raises(AirflowFailException, match=r"run 7 was cancelled: Cancelled by user\."):
        run(operator(retry_on_cancel=False))


@pytest.mark.parametrize("is_seen", [True, False])
def test_cancelled_and_not_retried_after_a_deferral(cloud, is_seen):
    """So it does if the trigger saw that the run was cancelled, also if nobody can tell by whom."""
    if is_seen:
        becomes(cloud, 30, status_message="Cancelled by user.")
    else:
        cloud.get(f"{ACCOUNT}/runs/7/", status=503)
    with pytest.raises(AirflowFailException, match="run 7 was cancelled"):
        resume(operator(deferrable=True, retry_on_cancel=False), payload("ended", 30))


def test_failed_and_retried(cloud):
    """A run that failed leads to a further try, whatever retry_on_cancel says."""
    starts(cloud)
    becomes(cloud, 20)
    with pytest.raises(DbtCloudRunFailed):
        run(operator(retry_on_cancel=False))
    with pytest.raises(DbtCloudRunFailed):
        resume(operator(deferrable=True, retry_on_cancel=False), payload("ended", 20))


# Killed before the run is known


def test_killed_while_looking_up(cloud):
    """A person who ends a try before it could resume the run of the one before has that run cancelled."""
    cancelled = cancels(cloud)
    task = operator()
    rows = [{**STARTED, "status": 3, "trigger": {"cause": f"nightly {MARKER}"}}]
    asked = []

    def answer_late(_):
        asked.append(1)
        if len(asked) == 1:
            task.on_kill()
            assert task._attempt._is_over.wait(10)
        return 200, {}, json.dumps(envelope(rows))

    cloud.add_callback(responses.GET, f"{ACCOUNT}/runs/", callback=answer_late)
    with pytest.raises(DbtCloudError, match="a person ended the task"):
        run(task, with_state(SecondTry(), "failed"))
    assert cancelled.call_count == 1


def with_state(ti, state):
    """Return a task instance of which Airflow says this state."""
    ti.state = state
    return ti


def test_out_of_time_while_starting(cloud):
    """A run whose start was on its way when the time was over is found by its marker, and cancelled."""
    leaves(cloud)
    cancelled = cancels(cloud)

    def time_is_over(_):
        raise AirflowTaskTimeout

    cloud.add_callback(responses.POST, f"{ACCOUNT}/jobs/5/run/", callback=time_is_over)
    with pytest.raises(AirflowTaskTimeout):
        run(operator())
    assert cancelled.call_count == 1


def test_out_of_time_before_the_start(cloud):
    """If the execution_timeout ends before the job is known, nothing is asked any more."""

    def time_is_over(_):
        raise AirflowTaskTimeout

    cloud.add_callback(responses.GET, f"{V3}/projects/", callback=time_is_over)
    names = {"project_name": "Ferry", "environment_name": "Production", "job_name": "Nightly"}
    with pytest.raises(AirflowTaskTimeout):
        run(operator(job_id=None, **names))
    assert len(cloud.calls) == 1


@pytest.mark.parametrize("option", ["check_interval", "lost_track_after", "start_timeout", "durable"])
def test_a_slip_in_the_configuration(cloud, monkeypatch, option):
    """An option of [dbt_cloud] that cannot be meant is an error before anything is started."""
    monkeypatch.setenv(f"AIRFLOW__DBT_CLOUD__{option.upper()}", "often")
    started = starts(cloud)
    with pytest.raises(DbtCloudConfigurationError, match=rf"\[dbt_cloud\] {option} must be"):
        run(operator(check_interval=None))
    assert started.call_count == 0


def test_late(cloud):
    """A first try whose machine stood still starts nothing if a later try is at work meanwhile."""
    leaves(cloud, {**STARTED, "trigger": {"cause": f"nightly {MARKER.replace('0.0.1', '0.0.2')}"}})
    ti = TaskInstance()
    ti.start_date = datetime.now(UTC) - timedelta(minutes=1)
    with pytest.raises(DbtCloudSuperseded):
        run(operator(), ti)


def test_late_and_alone(cloud):
    """A first try that is late starts a run if no other one has done so."""
    leaves(cloud, {**STARTED, "id": 6, "trigger": {"cause": "somebody else's"}})
    started = starts(cloud)
    ti = TaskInstance()
    ti.start_date = datetime.now(UTC) - timedelta(minutes=1)
    assert run(operator(wait_for_termination=False), ti) == 7
    assert started.call_count == 1


def test_punctual(cloud):
    """A first try that has just begun asks for nothing before it starts its run."""
    starts(cloud)
    ti = TaskInstance()
    ti.start_date = datetime.now(UTC)
    assert run(operator(wait_for_termination=False), ti) == 7
    assert len(cloud.calls) == 1


def test_killed_while_it_is_deferred(cloud):
    """A person's kill just before the deferral cancels the run before the process ends."""
    starts(cloud)
    task = operator(deferrable=True)
    cancelled = cloud.post(f"{ACCOUNT}/runs/7/cancel/", json=envelope({**STARTED, "status": 30}))

    def look(_):
        task.on_kill()
        return 200, {}, json.dumps(envelope({**STARTED, "status": 3}))

    cloud.add_callback(responses.GET, f"{ACCOUNT}/runs/7/", callback=look)
    with pytest.raises(DbtCloudWaitInterrupted):
        run(task, TaskInstance("failed"))
    assert cancelled.call_count >= 1


@pytest.mark.parametrize(
    ("state", "error", "cancels"),
    [("failed", DbtCloudWaitInterrupted, 1), ("running", AirflowRuntimeError, 0)],
)
def test_airflow_refuses_the_announcement(cloud, state, error, cancels):
    """If Airflow takes no XComs, the run is cancelled if a person has ended the task; else it goes on."""

    class Gone(TaskInstance):
        def xcom_push(self, **_):
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status": 404}))

    starts(cloud)
    cancelled = cloud.post(f"{ACCOUNT}/runs/7/cancel/", json=envelope({**STARTED, "status": 30}))
    becomes(cloud, 30)
    with pytest.raises(error):
        run(operator(), Gone(state))
    assert cancelled.call_count == cancels


CONSOLE = "00:00:01  1 of 1 START sql table model analytics.port_dues  [RUN]\n"
BUILD = {"id": 70, "index": 4, "name": "Invoke dbt with `dbt build`", "status": 3, "logs": CONSOLE}


@pytest.mark.parametrize(
    ("parameters", "shown"),
    [({}, 1), ({"stream_logs": True}, 1), ({"stream_logs": "False"}, 0)],
)
def test_console(cloud, parameters, shown):
    """A task that waits shows what the steps write while they do, once, unless that is not wanted."""
    starts(cloud)
    becomes(cloud, 3, 3, run_steps=[BUILD])
    becomes(cloud, 10, run_steps=[{**BUILD, "status": 10}])
    with capture_logs() as lines:
        run(operator(**parameters))
    said = [line["event"] % line.get("positional_args", ()) for line in lines]
    assert sum("1 of 1 START sql table model" in line for line in said) == shown
    assert sum(line == "dbt Cloud run 7: 0 of 1 nodes." for line in said) == shown


@pytest.mark.parametrize(
    ("parameters", "already", "shown"),
    [
        ({}, [], ["first", "second"]),
        ({"stream_logs": True}, ["first"], ["second"]),
        ({"stream_logs": False}, [], []),
    ],
)
def test_console_after_a_deferral(cloud, parameters, already, shown):
    """A task that was deferred shows what its log does not have yet."""
    step = {**BUILD, "status": 10, "logs": "first\nsecond\n"}
    cloud.get(f"{ACCOUNT}/runs/7/", json=envelope({**STARTED, "status": 10, "run_steps": [step]}))
    console = Console(Run(id=7, status=3), logging.getLogger("triggerer"))
    logs = "".join(f"{line}\n" for line in already)
    console.show(Run(id=7, status=3, steps=(Step(id=70, index=4, name="dbt", status=3, logs=logs),)))
    event = RunEvent(outcome="ended", run_id=7, status=10, href=URL, shown=console.shown)
    with capture_logs() as lines:
        resume(operator(deferrable=True, **parameters), json.loads(json.dumps(event.to_payload())))
    said = [line["event"] % line.get("positional_args", ()) for line in lines]
    assert [line for line in said if line in {"first", "second"}] == shown


@pytest.mark.parametrize("status", [10, 20])
def test_killed_while_it_tells(cloud, status):
    """A task whose process has to end when its run has ended still ends as the run did."""
    starts(cloud)
    task = operator()
    asked = []

    def look(request):
        asked.append(request.params["include_related"])
        if "trigger" in asked[-1]:
            task.on_kill()
        return 200, {}, json.dumps(envelope({**STARTED, "status": status}))

    cloud.add_callback(responses.GET, f"{ACCOUNT}/runs/7/", callback=look)
    if status == 10:
        assert run(task) == 7
    else:
        with pytest.raises(DbtCloudRunFailed):
            run(task)
    assert "trigger" in asked[-1]


def test_flags_as_text():
    """A flag that a Variable made text of means what it says."""
    task = operator(cancel_on_kill="False", durable="true", retry_from_failure="True")
    assert (task.cancel_on_kill, task.durable, task.retry_from_failure) == (False, True, True)


def test_a_timedelta():
    """A time may be given as Airflow's own times are."""
    assert operator(timeout=timedelta(hours=2)).timeout == 7200
