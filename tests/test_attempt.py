"""What a killed task decides about its run, with an Airflow and a dbt Cloud that only the tests move."""

import logging
import re
import threading
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from freezegun import freeze_time

from airflow_dbt_cloud.attempt import KILL_BUDGET, STATE_BUDGET, Attempt, make_marker
from airflow_dbt_cloud.errors import DbtCloudError, DbtCloudServerError, DbtCloudWaitInterrupted
from airflow_dbt_cloud.models import Run

RUN = Run(id=7, status=1, href="https://ab123.us1.dbt.com/deploy/42/projects/3/runs/7/")

EARLIER = Run(id=6, status=3)

log = logging.getLogger("task")


class TaskInstance:
    """A task of which Airflow knows the state, once the gate is open."""

    dag_id, run_id, task_id, map_index = "dag", "manual__1", "build", -1

    def __init__(self, state="running", *, error=None):
        self.state = state
        self.error = error
        self.asked = []
        self.gate = threading.Event()
        self.gate.set()

    def get_task_states(self, **question):
        self.asked.append(question)
        assert self.gate.wait(30)
        if self.error:
            raise self.error
        index = question["map_index"]
        return {self.run_id: {self.task_id if index is None else f"{self.task_id}_{index}": self.state}}


class Hook:
    """A hook whose client notes what it is told to cancel, and how much time it has for that."""

    def __init__(self, error=None):
        self.error = error
        self.cancelled = []
        self.patience = None

    def get_conn(self):
        return self

    def hurried(self, seconds):
        self.patience = seconds
        return self

    def end_run(self, run_id):
        self.cancel_run(run_id)

    def cancel_run(self, run_id):
        self.cancelled.append(run_id)
        if self.error:
            raise self.error


@pytest.fixture
def hook():
    """Return a hook."""
    return Hook()


def kill(attempt):
    """Kill a task, and wait until it has been decided what becomes of its run."""
    attempt.kill()
    decided(attempt)


def decided(attempt):
    """Wait until it has been decided what becomes of the run."""
    assert attempt._is_over.wait(30)


@pytest.mark.parametrize("state", ["failed", "success", "skipped", "removed", "restarting"])
def test_a_persons_wish(hook, state):
    """The run is cancelled once if a person has ended the task, and whoever waits for it is told so."""
    attempt = Attempt(TaskInstance(state), hook, log)
    attempt.take_note(RUN)
    kill(attempt)
    assert hook.cancelled == [7]
    with pytest.raises(
        DbtCloudWaitInterrupted, match=f"a person ended the task .its state is {state}"
    ) as caught:
        attempt.pause(3600)
    assert caught.value.run is RUN


@pytest.mark.parametrize(
    "state",
    ["running", "queued", "scheduled", "up_for_retry", "up_for_reschedule", "deferred", "new", "", None],
)
def test_nobodys_wish(hook, state):
    """The run goes on if only the process has to go, and whoever waits for it is told so."""
    attempt = Attempt(TaskInstance(state), hook, log)
    attempt.take_note(RUN)
    kill(attempt)
    assert hook.cancelled == []
    with pytest.raises(DbtCloudWaitInterrupted, match="so the run goes on"):
        attempt.pause(3600)


@pytest.mark.parametrize("error", [RuntimeError("no supervisor"), OSError("closed"), KeyError("manual__1")])
def test_airflow_does_not_say(hook, error, caplog):
    """The run goes on if Airflow does not say which state the task has, and the log says why."""
    attempt = Attempt(TaskInstance("failed", error=error), hook, log)
    attempt.take_note(RUN)
    kill(attempt)
    assert hook.cancelled == []
    assert repr(error) in caplog.text
    with pytest.raises(DbtCloudWaitInterrupted, match="its state is unknown"):
        attempt.pause(3600)


def test_airflow_is_silent(hook):
    """The run goes on if Airflow does not say within two seconds which state the task has."""
    ti = TaskInstance("failed")
    ti.gate.clear()
    attempt = Attempt(ti, hook, log)
    attempt.take_note(RUN)
    kill(attempt)
    ti.gate.set()
    assert hook.cancelled == []


def test_airflow_kills_after_five_seconds():
    """What a kill may take, the question to Airflow included, is over before the process is ended."""
    assert STATE_BUDGET <= 2
    assert STATE_BUDGET < KILL_BUDGET <= 4


def test_kill_asks_nobody_itself(hook):
    """A kill returns before Airflow answers: it interrupts the very code that would read the answer."""
    ti = TaskInstance("failed")
    ti.gate.clear()
    attempt = Attempt(ti, hook, log)
    attempt.take_note(RUN)
    attempt.kill()
    assert not attempt._is_over.is_set()
    ti.gate.set()
    decided(attempt)
    assert hook.cancelled == [7]


@pytest.mark.parametrize(("map_index", "asked"), [(-1, None), (None, None), (0, 0), (12, 12)])
def test_mapped_task(hook, map_index, asked):
    """A mapped task asks for its own state, not for its siblings'."""
    ti = TaskInstance("failed")
    ti.map_index = map_index
    attempt = Attempt(ti, hook, log)
    attempt.take_note(RUN)
    kill(attempt)
    assert hook.cancelled == [7]
    assert ti.asked == [
        {"dag_id": "dag", "task_ids": ["build"], "run_ids": ["manual__1"], "map_index": asked}
    ]


def test_the_cancel_has_no_time(hook):
    """The cancel of a killed task is over before Airflow kills the process for good, 5 s after the kill."""
    attempt = Attempt(TaskInstance("failed"), hook, log)
    attempt.take_note(RUN)
    kill(attempt)
    assert 0.5 <= hook.patience <= 2


def test_cancel_in_vain():
    """A cancel that fails does not keep the wait from ending."""
    hook = Hook(DbtCloudServerError("POST", "/cancel/", 503, "busy"))
    attempt = Attempt(TaskInstance("failed"), hook, log)
    attempt.take_note(RUN)
    kill(attempt)
    assert hook.cancelled == [7]
    with pytest.raises(DbtCloudWaitInterrupted):
        attempt.pause(3600)


def test_killed_while_starting(hook):
    """A run that is known only after a person ended the task is cancelled then, and not waited for."""
    attempt = Attempt(TaskInstance("failed"), hook, log)
    kill(attempt)
    assert hook.cancelled == []
    with pytest.raises(DbtCloudWaitInterrupted, match="a person ended the task"):
        attempt.take_note(RUN)
    assert hook.cancelled == [7]


def test_process_ended_while_starting(hook):
    """A run that is known only after the process had to go is left alone, and not waited for."""
    attempt = Attempt(TaskInstance("running"), hook, log)
    kill(attempt)
    with pytest.raises(DbtCloudWaitInterrupted, match="the run goes on"):
        attempt.take_note(RUN)
    assert hook.cancelled == []


def test_started_while_airflow_is_asked(hook):
    """A run that becomes known while Airflow is being asked is cancelled once, by the kill."""
    ti = TaskInstance("failed")
    ti.gate.clear()
    attempt = Attempt(ti, hook, log)
    attempt.kill()
    attempt.take_note(RUN)
    ti.gate.set()
    decided(attempt)
    assert hook.cancelled == [7]


@pytest.mark.parametrize("state", ["failed", "running"])
def test_too_late_to_start(hook, state):
    """A killed task must not start a run any more, and its pauses end."""
    attempt = Attempt(TaskInstance(state), hook, log)
    attempt.pause(0)
    kill(attempt)
    for seconds in (0, 3600):
        with pytest.raises(DbtCloudError, match="This try ends before it has a dbt Cloud run") as caught:
            attempt.pause(seconds)
        assert "goes on" not in str(caught.value)
    assert hook.cancelled == []


def test_a_pause_is_interrupted(hook):
    """A kill ends a pause that is going on."""
    attempt = Attempt(TaskInstance("running"), hook, log)
    attempt.take_note(RUN)
    ended = []

    def pause():
        with pytest.raises(DbtCloudWaitInterrupted):
            attempt.pause(3600)
        ended.append(True)

    thread = threading.Thread(target=pause, daemon=True)
    thread.start()
    kill(attempt)
    thread.join(30)
    assert ended


def test_a_pause_of_a_task_that_lives(hook):
    """Without a kill a pause is a pause."""
    attempt = Attempt(TaskInstance(), hook, log)
    attempt.take_note(RUN)
    attempt.pause(0.001)
    assert attempt.ti.asked == []


def test_a_task_that_stood_still(hook):
    """A process that stood still before it has a run asks for none: another try may be at work."""
    attempt = Attempt(TaskInstance(), hook, log)
    # It looks at the clock before and after.
    with (
        freeze_time("2026-01-02", auto_tick_seconds=60),
        pytest.raises(DbtCloudError, match="stood still for 60 s, and another try may be at work"),
    ):
        attempt.pause(0.0)
    attempt.take_note(RUN)
    with freeze_time("2026-01-02", auto_tick_seconds=60):
        attempt.pause(0.0)


def test_cancel(hook, caplog):
    """A cancel says why, takes the time that it needs, and happens only if there is a run."""
    caplog.set_level(logging.INFO)
    attempt = Attempt(TaskInstance(), hook, log)
    attempt.cancel("of this test")
    assert hook.cancelled == []
    assert "No dbt Cloud run was started" in caplog.text
    attempt.take_note(RUN)
    attempt.cancel("of this test")
    assert hook.cancelled == [7]
    assert hook.patience is None
    assert "Cancelling dbt Cloud run 7, because of this test." in caplog.text


def test_cancel_refused(caplog):
    """A cancel that dbt Cloud refuses is a line in the log, and no error."""
    attempt = Attempt(TaskInstance(), Hook(DbtCloudServerError("POST", "/cancel/", 503, "busy")), log)
    attempt.take_note(RUN)
    attempt.cancel("of this test")
    assert "dbt Cloud run 7 may go on: it could not be cancelled." in caplog.text
    assert "busy" in caplog.text


def test_a_kill_that_is_not_decided_yet(hook):
    """From the kill on nothing is started: whoever wants to go on waits for the decision, and then ends."""
    ti = TaskInstance("failed")
    ti.gate.clear()
    attempt = Attempt(ti, hook, log)
    attempt.expect_run(lambda _: [RUN])
    attempt.kill()
    threading.Timer(0.05, ti.gate.set).start()
    with pytest.raises(DbtCloudError, match="a person ended the task"):
        attempt.pause(0)
    assert hook.cancelled == [7]


def test_a_start_in_flight(hook):
    """A run whose id is not known yet is looked for by its marker, once, in no time, and cancelled."""
    asked = []

    def find(client):
        asked.append(client.patience)
        return [RUN, EARLIER]

    attempt = Attempt(TaskInstance("failed"), hook, log)
    attempt.expect_run(find)
    kill(attempt)
    assert hook.cancelled == [7, 6]
    (patience,) = asked
    assert 0.5 <= patience <= 2


def test_a_start_in_flight_that_nobody_ended(hook):
    """A run that is not to be cancelled is not looked for."""
    attempt = Attempt(TaskInstance("running"), hook, log)
    attempt.expect_run(lambda _: pytest.fail("asked"))
    kill(attempt)
    assert hook.cancelled == []


def test_a_start_in_flight_that_left_nothing(hook, caplog):
    """If there is no run yet, the log says that none was cancelled."""
    attempt = Attempt(TaskInstance("failed"), hook, log)
    attempt.expect_run(lambda _: [])
    kill(attempt)
    assert hook.cancelled == []
    assert "Nothing to cancel" in caplog.text


def test_a_start_in_flight_that_cannot_be_looked_for(hook, caplog):
    """If dbt Cloud cannot be asked for the run, the log says that it may go on."""

    def find(_):
        raise DbtCloudServerError("GET", "/runs/", 503, "busy")

    attempt = Attempt(TaskInstance("failed"), hook, log)
    attempt.expect_run(find)
    kill(attempt)
    assert hook.cancelled == []
    assert "dbt Cloud the run that was being started may go on" in caplog.text


def test_a_run_that_is_known_is_not_looked_for(hook):
    """Once the run is known nobody looks for it."""
    attempt = Attempt(TaskInstance("failed"), hook, log)
    attempt.expect_run(lambda _: pytest.fail("asked"))
    attempt.take_note(RUN)
    kill(attempt)
    assert hook.cancelled == [7]


@pytest.mark.parametrize("is_killed_first", [True, False])
def test_a_run_of_others(hook, is_killed_first, caplog):
    """A run that the task did not start goes on, whoever ended the task and whenever."""
    caplog.set_level(logging.INFO)
    attempt = Attempt(TaskInstance("failed"), hook, log)
    if is_killed_first:
        kill(attempt)
        with pytest.raises(DbtCloudWaitInterrupted):
            attempt.take_note(RUN, is_own=False)
    else:
        attempt.take_note(RUN, is_own=False)
        kill(attempt)
    attempt.cancel("of this test")
    assert hook.cancelled == []
    assert "dbt Cloud run 7 goes on: this task did not start it." in caplog.text


@pytest.mark.parametrize("is_killed_first", [True, False])
def test_a_run_that_shall_go_on(hook, is_killed_first, caplog):
    """With cancel_on_kill=False the run goes on, also if it was not known when the task was killed."""
    caplog.set_level(logging.INFO)
    attempt = Attempt(TaskInstance("failed"), hook, log, cancel_on_kill=False)
    attempt.expect_run(lambda _: [RUN])
    if not is_killed_first:
        attempt.take_note(RUN)
    kill(attempt)
    attempt.cancel("of this test")
    assert hook.cancelled == []
    assert "dbt Cloud run 7 goes on, as cancel_on_kill says." in caplog.text


# The marker


def context(*, clear_number=0, start_date=datetime(2026, 1, 2, tzinfo=UTC), **fields):
    """Return what Airflow tells a task of itself."""
    known = {"dag_id": "dag", "run_id": "manual__1", "task_id": "build", "map_index": -1}
    ti = SimpleNamespace(**{**known, "max_tries": 4, "try_number": 3, **fields})
    return {"ti": ti, "dag_run": SimpleNamespace(start_date=start_date, clear_number=clear_number)}


def test_marker():
    """The marker says which try of which task instance it is, in Airflow's numbers."""
    marker = make_marker(context(clear_number=2))
    assert (marker.max_tries, marker.clear_number, marker.try_number) == (4, 2, 3)
    assert make_marker(context(clear_number=None)).clear_number == 0


def test_markers_of_one_task_instance():
    """All tries of a task instance have one key, whatever was cleared meanwhile."""
    one = make_marker(context())
    assert make_marker(context(try_number=4, max_tries=7, clear_number=3)).key == one.key
    assert make_marker(context(map_index=None)).key == one.key


@pytest.mark.parametrize(
    "other",
    [
        {"map_index": 0},
        {"map_index": 1},
        {"task_id": "group.build"},
        {"dag_id": "d\u00e4g"},
        {"run_id": "manual__2026-01-01T00:00:00+00:00 \N{SHIP} \0 it's"},
        {"start_date": datetime(2026, 1, 3, tzinfo=UTC)},
        {"start_date": None},
    ],
    ids=repr,
)
def test_markers_of_two_task_instances(other):
    """Mapped siblings, other tasks and other DAG runs have other keys, however odd their ids are."""
    key = make_marker(context(**other)).key
    assert key != make_marker(context()).key
    assert re.fullmatch("[0-9a-f]{16}", key)


@pytest.mark.parametrize(
    ("section", "option"), [("DBT_CLOUD", "DEPLOYMENT_ID"), ("API", "BASE_URL")], ids=["ours", "airflows"]
)
def test_markers_of_two_deployments(monkeypatch, section, option):
    """Staging takes up no run of production, also if nobody gave them names."""
    key = make_marker(context()).key
    monkeypatch.setenv(f"AIRFLOW__{section}__{option}", "https://staging.example.com")
    assert make_marker(context()).key != key


def test_a_name_beats_the_url(monkeypatch):
    """A deployment that has a name keeps its runs when its URL changes."""
    monkeypatch.setenv("AIRFLOW__DBT_CLOUD__DEPLOYMENT_ID", "production")
    key = make_marker(context()).key
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://new.example.com")
    assert make_marker(context()).key == key


def test_no_marker_for_what_is_tried_out(monkeypatch):
    """`airflow tasks test` marks nothing, and so takes up and disturbs no run of the real task."""
    monkeypatch.setenv("AIRFLOW_TEST_MODE", "True")
    assert make_marker(context()) is None


@pytest.mark.parametrize(("state", "is_ended"), [("running", False), ("failed", True), ("restarting", True)])
def test_confirm(hook, state, is_ended):
    """A task that a person has ended since its last heartbeat is not deferred, and its run is cancelled."""
    attempt = Attempt(TaskInstance(state), hook, log)
    attempt.take_note(RUN)
    if is_ended:
        with pytest.raises(DbtCloudWaitInterrupted, match="a person ended the task"):
            attempt.confirm()
    else:
        attempt.confirm()
    assert hook.cancelled == [7] * is_ended


def test_settle(hook):
    """Whoever leaves waits until it has been decided what becomes of the run, if it must be."""
    attempt = Attempt(TaskInstance("failed"), hook, log)
    attempt.take_note(RUN)
    attempt.settle()
    attempt.kill()
    attempt.settle()
    assert hook.cancelled == [7]


def test_nothing_was_read_yet(caplog):
    """A task that is ended before it has read its connection does not read it for the end."""
    caplog.set_level(logging.INFO)
    attempt = Attempt(TaskInstance("failed"), None, log)
    attempt.cancel("of this test")
    assert "No dbt Cloud run was started" in caplog.text
