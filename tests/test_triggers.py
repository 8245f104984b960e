"""The trigger, on an event loop whose time only the tests' own waiting moves."""

import asyncio
import json
import logging
import random
import time
from collections import Counter
from types import SimpleNamespace

import pytest
from airflow.sdk._shared.secrets_masker import redact
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import (
    ErrorResponse,
    GetTaskStates,
    MaskSecret,
    TaskStatesResult,
)
from airflow.sdk.serde import deserialize, serialize
from airflow.triggers.base import BaseTrigger
from structlog.contextvars import bind_contextvars, get_contextvars, merge_contextvars
from structlog.testing import capture_logs

from airflow_dbt_cloud.errors import (
    DbtCloudConfigurationError,
    DbtCloudLostTrack,
    DbtCloudRunCancelled,
    DbtCloudRunFailed,
    DbtCloudWaitTimeout,
)
from airflow_dbt_cloud.triggers import DbtCloudRunJobTrigger, RunEvent

HOST = "https://ab123.us1.dbt.com"
URL = f"{HOST}/deploy/42/projects/3/runs/7/"
TOKEN = "dbtc_trigger_token"
SUCCESS, ERROR, CANCELLED = 10, 20, 30


def connect(monkeypatch, conn_id="DBT_CLOUD_DEFAULT", **fields):
    """Put a connection into the environment."""
    connection = {"conn_type": "dbt_cloud", "host": HOST, "login": "42", "password": TOKEN, **fields}
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id}", json.dumps(connection))


@pytest.fixture(autouse=True)
def _connection(monkeypatch):
    connect(monkeypatch)


class Wall:
    """The clock on the wall: it goes with the loop's, but may be put forward or back."""

    def __init__(self, loop):
        self._loop = loop
        self.offset = 1_800_000_000.0 - loop.began

    def __call__(self):
        return self._loop.now + self.offset


@pytest.fixture
def wall(loop, monkeypatch):
    """Return the clock on the wall."""
    wall = Wall(loop)
    monkeypatch.setattr(time, "time", wall)
    return wall


@pytest.fixture
def make(wall, inline_threads):  # noqa: ARG001 - a trigger always needs the clock
    """Return a function that makes triggers; `fire` and others see to it that they have no threads."""

    def make(**arguments):
        arguments = {
            "conn_id": "dbt_cloud_default",
            "run_id": 7,
            "poll_interval": 10,
            "host": HOST,
            "run_account_id": 42,
            "run_url": URL,
            **arguments,
        }
        trigger = DbtCloudRunJobTrigger(**arguments)
        trigger.inline_threads = inline_threads
        return trigger

    return make


async def events(trigger):
    """Return the payloads of all events of a trigger."""
    client = trigger._poller().client
    client._threads = client._threads_beside = trigger.inline_threads
    return [event.payload async for event in trigger.run()]


async def fired(trigger):
    """Return the only event of a trigger, as its task reads it."""
    (payload,) = await events(trigger)
    return RunEvent.from_payload(json.loads(json.dumps(payload)))


def after(loop, seconds, act):
    """Do something at a time of the test's clock."""
    loop.call_at(loop.began + seconds, act)


def end(loop, cloud, seconds, status=SUCCESS, run_id=7):
    """Have a run that goes on until then."""
    cloud.statuses[run_id] = 3
    after(loop, seconds, lambda: cloud.statuses.update({run_id: status}))


# The event


@pytest.mark.parametrize(
    "event",
    [
        RunEvent(outcome="ended", run_id=7, status=10, message="All is well.", href=URL),
        RunEvent(outcome="timeout", run_id=7),
        RunEvent(outcome="lost_track", run_id=7, message="ünïcode"),
    ],
)
def test_event_round_trip(event):
    """An event is the same when it has crossed from triggerer to worker as JSON."""
    assert RunEvent.from_payload(json.loads(json.dumps(event.to_payload()))) == event


@pytest.mark.parametrize("shown", [None, "much", []])
def test_event_without_a_console(shown):
    """An event of an older triggerer, or one that is odd in what was shown, is an event all the same."""
    event = RunEvent(outcome="ended", run_id=7, status=10)
    older = event.to_payload()
    del older["shown"]
    assert RunEvent.from_payload(older) == event
    assert RunEvent.from_payload({**older, "shown": shown}) == event


def test_event_of_a_newer_minor_version():
    """What a newer version adds to an event is left out."""
    event = RunEvent(outcome="ended", run_id=7, status=10)
    assert RunEvent.from_payload({**event.to_payload(), "mood": "good"}) == event


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "success",
        [],
        {},
        {"status": "success", "message": "Job run 7 has completed successfully.", "run_id": 7},
        {"version": 2, "outcome": "ended", "run_id": 7, "status": 10},
        {"version": "1", "outcome": "ended", "run_id": 7, "status": 10},
        {"version": 1},
        {"version": 1, "outcome": "ended", "status": 10},
        {"version": 1, "run_id": 7, "status": 10},
        {"version": 1, "outcome": "ended", "run_id": "7", "status": 10},
        {"version": 1, "outcome": "ended", "run_id": 7, "status": "10"},
        {"version": 1, "outcome": "ended", "run_id": 7, "status": 10, "message": None},
    ],
)
def test_garbage_is_no_event(payload):
    """What is none of our events is an error that shows what came, never a success."""
    with pytest.raises(ValueError, match="does not understand") as caught:
        RunEvent.from_payload(payload)
    assert repr(payload) in str(caught.value)


def test_only_success_is_success():
    """An event passes only if dbt Cloud said Success."""
    RunEvent(outcome="ended", run_id=7, status=SUCCESS).raise_for_outcome()


@pytest.mark.parametrize(
    ("outcome", "status", "error", "words"),
    [
        ("ended", ERROR, DbtCloudRunFailed, f"dbt Cloud run 7 failed: the reason. {URL}"),
        ("ended", CANCELLED, DbtCloudRunCancelled, f"dbt Cloud run 7 was cancelled: the reason. {URL}"),
        ("ended", 0, ValueError, "Run 7 has not ended: status 0."),
        ("ended", 3, ValueError, "Run 7 has not ended: Running."),
        ("ended", 99, ValueError, "Run 7 has not ended: status 99."),
        ("timeout", 0, DbtCloudWaitTimeout, f"dbt Cloud run 7 has not ended in time: the reason. {URL}"),
        ("execution_timeout", 0, AirflowTaskTimeout, f"dbt Cloud run 7 had not ended: the reason. {URL}"),
        ("lost_track", 0, DbtCloudLostTrack, f"dbt Cloud run 7 is out of sight: the reason. {URL}"),
        ("misconfigured", 0, DbtCloudConfigurationError, "the reason"),
        (
            "success",
            SUCCESS,
            ValueError,
            "The trigger of dbt Cloud run 7 sent the unknown outcome 'success'.",
        ),
        ("", SUCCESS, ValueError, "The trigger of dbt Cloud run 7 sent the unknown outcome ''."),
    ],
)
def test_outcomes(outcome, status, error, words):
    """Every other outcome is an error of its own kind that says which run, why and where."""
    event = RunEvent(outcome=outcome, run_id=7, status=status, message="the reason", href=URL)
    with pytest.raises(error) as caught:
        event.raise_for_outcome()
    assert type(caught.value) is error
    assert str(caught.value) == words


# The arguments


def test_arguments_are_primitives(make):
    """The arguments are JSON's own kinds of values, survive Airflow's serialiser, and hold no token."""
    trigger = make(end_time=1.5, execution_deadline=2.5, account_id=42, hook_params={"timeout_seconds": 9.0})
    path, arguments = trigger.serialize()
    assert path == "airflow_dbt_cloud.triggers.DbtCloudRunJobTrigger"
    assert json.loads(json.dumps(arguments)) == arguments
    assert deserialize(serialize(arguments)) == arguments
    assert TOKEN not in repr(arguments)


def test_made_again_from_its_arguments(make):
    """A trigger that is made again from its arguments has the same ones."""
    first = make(
        account_id=42,
        poll_interval=33,
        end_time=1.0,
        execution_deadline=2.0,
        hook_params={"timeout_seconds": 3},
        cancel_on_kill=False,
    )
    _, arguments = first.serialize()
    assert DbtCloudRunJobTrigger(**arguments).serialize() == first.serialize()
    assert set(arguments) == set(DbtCloudRunJobTrigger.__init__.__kwdefaults__) | {"conn_id", "run_id"}


def test_arguments_of_the_official_provider(loop, cloud, wall, inline_threads):
    """The arguments that the official provider's trigger has make a working one."""
    end(loop, cloud, 25)
    trigger = DbtCloudRunJobTrigger(
        conn_id="dbt_cloud_default",
        run_id=7,
        end_time=wall() + 3600,
        execution_deadline=None,
        poll_interval=10,
        account_id=None,
        hook_params={"retry_limit": 3, "retry_delay": 1},
    )
    trigger.inline_threads = inline_threads
    event = loop.run_until_complete(fired(trigger))
    assert (event.outcome, event.status, event.href) == ("ended", SUCCESS, URL)


def test_the_fewest_arguments(loop, cloud, wall, inline_threads):  # noqa: ARG001 - the clock is the wall's
    """The connection and the run are enough: arguments that an older version did not store have defaults."""
    end(loop, cloud, 100)
    trigger = DbtCloudRunJobTrigger(conn_id="dbt_cloud_default", run_id=7)
    trigger.inline_threads = inline_threads
    assert loop.run_until_complete(fired(trigger)).status == SUCCESS


@pytest.mark.parametrize(
    "arguments", [{"run_id": "seven"}, {"run_id": None}, {"poll_interval": 0}, {"poll_interval": "often"}]
)
def test_bad_arguments(make, arguments):
    """Arguments that cannot be meant are refused in the worker, before the task is deferred."""
    with pytest.raises(DbtCloudConfigurationError, match=next(iter(arguments))):
        make(**arguments)


# The end of the run


@pytest.mark.parametrize("status", [SUCCESS, ERROR, CANCELLED])
def test_ended(loop, cloud, make, status):
    """The trigger fires once when the run has ended, within an interval, with status, message and URL."""
    end(loop, cloud, 25, status)
    cloud.messages[7] = "in dbt Cloud's words"
    event = loop.run_until_complete(fired(make()))
    assert event == RunEvent(
        outcome="ended", run_id=7, status=status, message="in dbt Cloud's words", href=URL
    )
    assert 25 <= loop.elapsed <= 35


def test_not_too_soon(loop, cloud, make):
    """A run that has ended already is told 5 s after the trigger began: Airflow's worker needs them."""
    cloud.statuses[7] = SUCCESS
    loop.run_until_complete(fired(make(poll_interval=1)))
    assert loop.elapsed == pytest.approx(5)


def test_no_later_than_needed(loop, cloud, make):
    """A run that lasts longer than 5 s is told as soon as it is seen."""
    end(loop, cloud, 6)
    loop.run_until_complete(fired(make(poll_interval=0.5)))
    assert loop.elapsed <= 6.6


@pytest.mark.parametrize("status", [0, 4, 11, 99])
def test_unknown_status(loop, cloud, make, status):
    """A status number that is new to us does not end the run, and is logged once."""
    cloud.statuses[7] = 3
    after(loop, 70, lambda: cloud.statuses.update({7: status}))
    after(loop, 500, lambda: cloud.statuses.update({7: SUCCESS}))
    with capture_logs() as lines:
        assert loop.run_until_complete(fired(make())).status == SUCCESS
    assert loop.elapsed >= 500
    assert len([line for line in lines if "is new to us" in line["event"]]) == 1


# Deadlines


def test_timeout(loop, cloud, wall, make):
    """At its deadline the trigger asks once more, and tells that the time is over."""
    cloud.statuses[7] = 3
    event = loop.run_until_complete(fired(make(end_time=wall() + 95)))
    assert (event.outcome, event.run_id, event.href) == ("timeout", 7, URL)
    assert "The run goes on" in event.message
    assert loop.elapsed == pytest.approx(95)
    at, _, params = cloud.requests[-1]
    assert at == pytest.approx(95)
    assert params["pk__in"] == "[7]"


def test_execution_timeout(loop, cloud, wall, make):
    """When the task's execution_timeout is over the trigger says that, and cancels nothing itself."""
    cloud.statuses[7] = 3
    event = loop.run_until_complete(fired(make(execution_deadline=wall() + 95)))
    assert event.outcome == "execution_timeout"
    assert loop.elapsed == pytest.approx(95)
    assert cloud.cancelled == []


@pytest.mark.parametrize(
    ("end_in", "execution_in", "outcome", "at"),
    [
        (50, 95, "timeout", 50),
        (95, 50, "execution_timeout", 50),
        (50, 50, "execution_timeout", 50),
        (None, 50, "execution_timeout", 50),
        (50, None, "timeout", 50),
    ],
)
def test_the_earlier_deadline_wins(loop, cloud, wall, make, end_in, execution_in, outcome, at):
    """Of two deadlines the earlier one counts; if both are one, that which cancels the run."""
    cloud.statuses[7] = 3
    deadlines = {"end_time": end_in, "execution_deadline": execution_in}
    trigger = make(**{name: seconds and wall() + seconds for name, seconds in deadlines.items()})
    assert loop.run_until_complete(fired(trigger)).outcome == outcome
    assert loop.elapsed == pytest.approx(at)


@pytest.mark.parametrize("status", [SUCCESS, ERROR, CANCELLED])
def test_ended_by_the_deadline(loop, cloud, wall, make, status):
    """A run that has ended when it is asked for at the deadline has ended in time."""
    end(loop, cloud, 60, status)
    event = loop.run_until_complete(fired(make(end_time=wall() + 61, poll_interval=3600)))
    assert (event.outcome, event.status) == ("ended", status)
    assert loop.elapsed == pytest.approx(61)


def test_deadline_that_is_over_already(loop, cloud, wall, make):
    """A trigger that comes to a triggerer after its deadline asks once, and tells."""
    cloud.statuses[7] = 3
    event = loop.run_until_complete(fired(make(end_time=wall() - 1000)))
    assert event.outcome == "timeout"
    assert len(cloud.requests) == 1


def test_one_deadline_of_many(loop, cloud, wall, make):
    """A thousand triggers with one deadline ask once more together, within the budget."""
    run_ids = range(1, 1001)
    cloud.statuses = dict.fromkeys(run_ids, 3) | {500: SUCCESS}
    end_time = wall() + 95

    async def follow_all():
        triggers = [make(run_id=run_id, end_time=end_time, poll_interval=3600) for run_id in run_ids]
        return await asyncio.gather(*map(fired, triggers))

    outcomes = {event.run_id: event.outcome for event in loop.run_until_complete(follow_all())}
    assert outcomes.pop(500) == "ended"
    assert set(outcomes.values()) == {"timeout"}
    assert len(cloud.requests) <= 12
    assert all(at >= 94.99 for at, _, _ in cloud.requests)
    assert loop.elapsed == pytest.approx(95 + 9 * 60 / 500, abs=0.3)


def test_deadline_during_a_pause(loop, cloud, wall, make, reply):
    """A deadline does not break the silence that dbt Cloud wants, nor does it wait for its end."""
    cloud.statuses[7] = 3
    cloud.answers = [reply(429, None, "slow down", {"Retry-After": "300"})]
    event = loop.run_until_complete(fired(make(end_time=wall() + 60)))
    assert event.outcome == "timeout"
    assert loop.elapsed == pytest.approx(90)
    assert len(cloud.requests) == 1


def test_deadline_at_the_end_of_a_pause(loop, cloud, wall, make, reply):
    """Where the silence ends soon after the deadline, the run is asked for then."""
    cloud.answers = [reply(429, None, "slow down", {"Retry-After": "60"})]
    end(loop, cloud, 30)
    event = loop.run_until_complete(fired(make(end_time=wall() + 59)))
    assert (event.outcome, event.status) == ("ended", SUCCESS)


def test_deadline_while_blind(loop, cloud, wall, make):
    """The deadline holds also while dbt Cloud cannot be seen."""
    cloud.answers = [(503, {}, "<html>")] * 1000
    event = loop.run_until_complete(fired(make(end_time=wall() + 300)))
    assert event.outcome == "timeout"
    assert loop.elapsed == pytest.approx(300)


def test_clock_put_forward(loop, cloud, wall, make):
    """A clock that is put forward past the deadline is noticed within a minute."""
    cloud.statuses[7] = 3
    after(loop, 100, lambda: setattr(wall, "offset", wall.offset + 7200))
    assert loop.run_until_complete(fired(make(end_time=wall() + 3600))).outcome == "timeout"
    assert 100 <= loop.elapsed <= 160


def test_clock_put_back(loop, cloud, wall, make):
    """A clock that is put back makes the wait longer, and a run that ends meanwhile is told at once."""
    end(loop, cloud, 5000)
    after(loop, 100, lambda: setattr(wall, "offset", wall.offset - 7200))
    event = loop.run_until_complete(fired(make(end_time=wall() + 3600)))
    assert event.outcome == "ended"
    assert 5000 <= loop.elapsed <= 5010


def test_clock_put_back_at_the_deadline(loop, cloud, wall, make, reply):
    """A clock that is put back while the last question is on its way ends no run that goes on."""
    end(loop, cloud, 500)

    def put_back(_):
        wall.offset -= 7200
        return reply(200, {"id": 7, "status": 3})

    cloud.answers = [put_back]
    event = loop.run_until_complete(fired(make(end_time=wall() + 95, poll_interval=3600)))
    assert (event.outcome, event.status) == ("ended", SUCCESS)
    assert 500 <= loop.elapsed <= 3700


# Trouble


def test_lost_track(loop, cloud, wall, make):
    """After twelve hours of nothing but failures the trigger says that nobody knows how the run is."""
    cloud.answers = [(503, {}, "<html>")] * 100_000
    event = loop.run_until_complete(fired(make(poll_interval=60, end_time=wall() + 14 * 3600)))
    assert event.outcome == "lost_track"
    assert "for 12 hours nobody could say how it is. The run may go on." in event.message
    assert "503" in event.message
    assert loop.elapsed == pytest.approx(12 * 3600, abs=180)


def test_vanished(loop, cloud, make):
    """A run that vanished is waited for like one that cannot be seen, and is told if it comes back."""
    end(loop, cloud, 3000)
    after(loop, 200, lambda: cloud.statuses.pop(7))
    with capture_logs() as lines:
        event = loop.run_until_complete(fired(make()))
    assert (event.outcome, event.status) == ("ended", SUCCESS)
    assert loop.elapsed >= 3000
    assert "404" in next(line["event"] for line in lines if line["log_level"] == "warning")


def test_not_visible_at_first(loop, cloud, make):
    """A run that is not found in its first two minutes is worth no warning."""
    end(loop, cloud, 200)
    del cloud.statuses[7]
    after(loop, 50, lambda: cloud.statuses.update({7: 3}))
    with capture_logs() as lines:
        assert loop.run_until_complete(fired(make())).status == SUCCESS
    assert not [line for line in lines if line["log_level"] == "warning"]


@pytest.mark.parametrize("interval", [10, 60])
@pytest.mark.parametrize("visible_after", [65, 90, 115])
def test_visible_late(loop, cloud, make, interval, visible_after):
    """Nor is one that becomes visible just before: what counts is when dbt Cloud did not find it."""
    end(loop, cloud, 400)
    del cloud.statuses[7]
    after(loop, visible_after, lambda: cloud.statuses.update({7: 3}))
    with capture_logs() as lines:
        assert loop.run_until_complete(fired(make(poll_interval=interval))).status == SUCCESS
    assert not [line for line in lines if line["log_level"] == "warning"]


@pytest.mark.parametrize(
    "trouble",
    [
        (401, {}, "{}"),
        (403, {}, "{}"),
        (404, {}, "{}"),
        (429, {"Retry-After": "30"}, "{}"),
        (429, {}, "{}"),
        (500, {}, "<html>"),
        (200, {}, "<html>Sign in</html>"),
        (200, {}, '{"status": {"code": 200}, "da'),
        (302, {"Location": "https://elsewhere.test/"}, ""),
        ConnectionResetError("reset by peer"),
    ],
)
def test_trouble_is_waited_out(loop, cloud, make, trouble):
    """Whatever keeps a run from being seen for an hour ends neither the wait nor the run."""
    cloud.statuses[7] = 3
    cloud.answers = [trouble] * 10_000
    after(loop, 3600, cloud.answers.clear)
    after(loop, 4000, lambda: cloud.statuses.update({7: SUCCESS}))
    with capture_logs() as lines:
        event = loop.run_until_complete(fired(make(poll_interval=30)))
    assert (event.outcome, event.status) == ("ended", SUCCESS)
    assert 4000 <= loop.elapsed <= 4100
    warnings = [line["event"] for line in lines if line["log_level"] == "warning"]
    assert 10 <= len(warnings) <= 15
    assert "Cannot see dbt Cloud run 7; still waiting for it." in warnings[0]
    assert "in sight again" in warnings[-1]


def test_rotated_token(loop, cloud, make, monkeypatch):
    """After a token was rotated the connection is read again, and the new token is used."""
    end(loop, cloud, 200)
    cloud.valid_tokens = {TOKEN}

    def rotate():
        cloud.valid_tokens = {"dbtc_new"}

    after(loop, 50, rotate)
    after(loop, 100, lambda: connect(monkeypatch, password="dbtc_new"))
    assert loop.run_until_complete(fired(make())).status == SUCCESS
    assert {TOKEN, "dbtc_new"} == set(cloud.tokens)
    assert cloud.tokens[-1] == "dbtc_new"


def test_missing_connection(loop, cloud, make, monkeypatch):
    """A connection that is missing is dbt Cloud out of sight, until it is there again."""
    end(loop, cloud, 200)
    monkeypatch.delenv("AIRFLOW_CONN_DBT_CLOUD_DEFAULT")
    after(loop, 300, lambda: connect(monkeypatch))
    with capture_logs() as lines:
        assert loop.run_until_complete(fired(make())).status == SUCCESS
    assert loop.elapsed >= 300
    assert "the connection 'dbt_cloud_default' cannot be read" in lines[0]["event"]


@pytest.mark.parametrize("fields", [{"password": ""}, {"host": "ftp://x"}, {"login": "me"}])
def test_broken_connection(loop, cloud, make, monkeypatch, fields):
    """A connection that is being edited is waited for as one that is missing."""
    end(loop, cloud, 200)
    connect(monkeypatch, **fields)
    after(loop, 300, lambda: connect(monkeypatch))
    assert loop.run_until_complete(fired(make())).status == SUCCESS


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"login": "99"}, f"now leads to account 99 at {HOST}; the run is in account 42"),
        ({"host": "cd456.eu1.dbt.com"}, "now leads to account 42 at https://cd456.eu1.dbt.com"),
    ],
)
def test_connection_that_leads_elsewhere(loop, cloud, make, monkeypatch, fields, words):
    """A connection that leads to another host or account meanwhile is an error that names both places."""
    cloud.statuses[7] = 3
    connect(monkeypatch, **fields)
    event = loop.run_until_complete(fired(make()))
    assert event.outcome == "misconfigured"
    assert words in event.message
    assert cloud.requests == []


def test_account_of_the_task(loop, cloud, make, monkeypatch):
    """The task's own account id beats the connection's."""
    end(loop, cloud, 20)
    connect(monkeypatch, login="99")
    assert loop.run_until_complete(fired(make(account_id=42))).status == SUCCESS


def test_timeout_of_the_hook(loop, cloud, make):
    """The hook's timeout_seconds counts in the trigger, too."""
    end(loop, cloud, 20)
    trigger = make(hook_params={"timeout_seconds": 4.5})
    loop.run_until_complete(fired(trigger))
    assert cloud.timeouts == {4.5}


# Options


def test_option_lost_track_after(loop, cloud, make, monkeypatch):
    """How long a trigger goes on without an answer is an option."""
    monkeypatch.setenv("AIRFLOW__DBT_CLOUD__LOST_TRACK_AFTER", "3600")
    cloud.answers = [(503, {}, "<html>")] * 10_000
    event = loop.run_until_complete(fired(make(poll_interval=60)))
    assert event.outcome == "lost_track"
    assert loop.elapsed == pytest.approx(3600, abs=180)


def test_option_min_deferral(loop, cloud, make, monkeypatch):
    """How long a task is deferred at least is an option."""
    monkeypatch.setenv("AIRFLOW__DBT_CLOUD__MIN_DEFERRAL", "20")
    cloud.statuses[7] = SUCCESS
    loop.run_until_complete(fired(make(poll_interval=1)))
    assert loop.elapsed == pytest.approx(20)


@pytest.mark.parametrize(("conn_ids", "requests"), [(["dbt_cloud_default"] * 5, 1), (["a", "b", "c"], 3)])
def test_option_requests_per_minute(loop, cloud, make, monkeypatch, conn_ids, requests):
    """How many requests a triggerer may send is an option, and holds for all its connections together."""
    monkeypatch.setenv("AIRFLOW__DBT_CLOUD__REQUESTS_PER_MINUTE", "6")
    cloud.statuses[7] = SUCCESS
    for conn_id in set(conn_ids):
        connect(monkeypatch, conn_id.upper())

    async def follow_all():
        await asyncio.gather(*(fired(make(conn_id=conn_id, poll_interval=1)) for conn_id in conn_ids))

    loop.run_until_complete(follow_all())
    times = [at for at, _, _ in cloud.requests]
    assert len(times) == requests
    assert times[-1] - times[0] == pytest.approx((requests - 1) * 10)


@pytest.mark.parametrize("option", ["lost_track_after", "min_deferral", "requests_per_minute"])
def test_option_that_cannot_be_meant(loop, cloud, make, monkeypatch, option):
    """A typing error in the configuration ends no wait: the run goes on already. The task's log tells."""
    monkeypatch.setenv(f"AIRFLOW__DBT_CLOUD__{option.upper()}", "12h")
    cloud.statuses[7] = SUCCESS
    with capture_logs() as lines:
        assert loop.run_until_complete(fired(make(poll_interval=1))).status == SUCCESS
    assert loop.elapsed == pytest.approx(5)
    (warning,) = {line["event"] for line in lines if line["log_level"] == "warning"}
    assert f"[dbt_cloud] {option} must be" in warning
    assert "The default holds." in warning


# Metrics


@pytest.fixture
def stats(monkeypatch):
    """Stand in for Airflow's stats, and return what is sent by name."""
    sent = {}

    class Stats:
        def incr(self, name, count=1):
            sent.setdefault(name, []).append(count)

        def gauge(self, name, value):
            sent.setdefault(name, []).append(value)

    monkeypatch.setattr("airflow.sdk.observability.stats.Stats", Stats())
    return sent


def test_metrics(loop, cloud, make, stats, reply):
    """Airflow's stats learn what the triggers of a triggerer wait for, and what they ask."""
    end(loop, cloud, 35)
    cloud.answers = [None, reply(429, None, "slow down", {"Retry-After": "5"})]

    async def follow_and_go_on():
        await fired(make())
        await asyncio.sleep(100)

    loop.run_until_complete(follow_and_go_on())
    *before, last = stats["dbt_cloud.runs_waiting"]
    assert set(before) == {1}
    assert last == 0
    assert sum(stats["dbt_cloud.requests"]) == len(cloud.requests)
    assert stats["dbt_cloud.rate_limited"] == [1]
    assert 0 < max(stats["dbt_cloud.oldest_poll_age"]) <= 15


# Secrets and logs


def test_the_token_is_masked(loop, cloud, make, monkeypatch):
    """The token as it is sent, and a proxy's password, are masked in the triggerer's log."""
    end(loop, cloud, 20)
    fields = {
        "password": " dbtc_masked_by_us ",
        "extra": '{"proxies": {"ftp": "http://u:pass_of_proxy@p:1"}}',
    }
    connect(monkeypatch, **fields)
    loop.run_until_complete(fired(make()))
    assert redact(["Token dbtc_masked_by_us", "http://u:pass_of_proxy@p:1"]) == ["Token ***", "***"]


def test_the_token_shows_nowhere(loop, cloud, make, monkeypatch, caplog):
    """However much goes wrong, the token is in no line of a log, no event and no argument."""
    caplog.set_level(logging.DEBUG)
    token = "dbtc_that_nobody_may_see"
    connect(monkeypatch, password=token)
    end(loop, cloud, 2000)
    troubles = [
        (401, {}, json.dumps({"status": {"user_message": f"Bad token {token}"}})),
        (500, {}, token),
        ConnectionResetError(f"Token {token}"),
        (429, {"Retry-After": "1"}, "{}"),
    ]
    cloud.answers = troubles * 20
    trigger = make()
    with capture_logs() as lines:
        payloads = loop.run_until_complete(events(trigger))
    assert token in cloud.tokens
    assert lines
    assert token not in repr([caplog.text, lines, payloads, trigger, trigger.serialize()])


def test_streamed(loop, cloud, make, wall):
    """A trigger that streams logs what the steps write, fires no later for it, and says what it showed."""
    end(loop, cloud, 100)
    step = {"id": 70, "index": 4, "name": "dbt", "status": 3, "started_at": "2026-01-02", "logs": "one\n"}
    cloud.steps[7] = [step]
    after(loop, 40, lambda: step.update(logs="one\ntwo\n"))
    began = wall()
    with capture_logs() as lines:
        event = loop.run_until_complete(fired(make(stream_logs=True)))
    said = [line["event"] % line.get("positional_args", ()) for line in lines]
    assert [line for line in said if "Running" not in line] == ["Step 4: dbt", "one", "two"]
    assert wall() - began <= 110
    assert event.shown["lines"] == 2
    assert sum(cloud.step in url for _, url, _ in cloud.requests) >= 5


@pytest.fixture
def console(cloud):
    """Let run 7 have a step that writes."""
    step = {"id": 70, "index": 4, "name": "dbt", "status": 3, "started_at": "2026-01-02", "logs": "one\n"}
    cloud.steps[7] = [step]
    return step


def test_streamed_until_a_deadline(loop, cloud, make, wall, console):  # noqa: ARG001 - is only there
    """What was shown is told with every outcome."""
    cloud.statuses[7] = 3
    event = loop.run_until_complete(fired(make(stream_logs=True, end_time=wall() + 100)))
    assert (event.outcome, event.shown["lines"]) == ("timeout", 1)


@pytest.mark.parametrize("status", [200, 503])
def test_slow_console(loop, cloud, make, wall, console, reply, status):  # noqa: ARG001 - is only there
    """A console that takes for ever keeps no trigger from firing, and what was not written was not shown."""
    end(loop, cloud, 100)

    class Slow:
        async def run(self, call):
            answer = call()
            await asyncio.sleep(10_000)
            return answer

    async def scene():
        trigger = make(stream_logs=True)
        streamed = asyncio.create_task(fired(trigger))
        await asyncio.sleep(1)
        trigger._poller().client._threads_beside = Slow()
        if status != 200:
            cloud.answers = [reply(status, None, "busy")]
        return await streamed

    event = loop.run_until_complete(scene())
    assert (event.status, event.shown["lines"], event.shown["steps"]) == (SUCCESS, 0, [])
    assert loop.elapsed <= 110


def test_not_streamed(loop, cloud, make):
    """A trigger that does not stream asks for no steps."""
    end(loop, cloud, 100)
    assert loop.run_until_complete(fired(make())).shown == {}
    assert not [url for _, url, params in cloud.requests if "steps" in url + str(params)]


def test_whose_lines_are_whose(loop, cloud, make):
    """Each trigger's lines carry its own context, the poller's that of nobody."""
    for run_id in (7, 8):
        end(loop, cloud, 400, run_id=run_id)
    cloud.answers = [None, None, (429, {"Retry-After": "100"}, "{}")] * 3
    of_the_poller = []

    class Handler(logging.Handler):
        def emit(self, _):
            of_the_poller.append(get_contextvars())

    async def as_airflow_runs_it(trigger_id, trigger):
        bind_contextvars(trigger_id=trigger_id)
        return await fired(trigger)

    async def both():
        runs = {1: make(run_id=7), 2: make(run_id=8)}
        await asyncio.gather(*(as_airflow_runs_it(*pair) for pair in runs.items()))

    handler = Handler()
    logger = logging.getLogger("airflow_dbt_cloud.poller")
    logger.addHandler(handler)
    with capture_logs(processors=[merge_contextvars]) as lines:
        loop.run_until_complete(both())
    logger.removeHandler(handler)
    assert of_the_poller
    assert all(context == {} for context in of_the_poller)
    assert {(line["trigger_id"], "run 7" in line["event"]) for line in lines} == {(1, True), (2, False)}


# Many triggers


def test_one_poller_for_a_connection(loop, cloud, make):
    """Triggers of the same connection share their requests, whatever else they differ in."""
    run_ids = range(1, 51)
    for run_id in run_ids:
        end(loop, cloud, 1000, run_id=run_id)

    async def follow_all():
        triggers = [make(run_id=run_id, end_time=time.time() + 5000 + run_id) for run_id in run_ids]
        return await asyncio.gather(*map(fired, triggers))

    assert all(event.status == SUCCESS for event in loop.run_until_complete(follow_all()))
    assert len(cloud.requests) <= 1000 / 8.5 + 20


def test_not_all_at_once(loop, cloud, wall, make, monkeypatch):
    """Triggers that began together do not all look at their deadlines together."""
    looks = Counter()

    def look_at_the_clock():
        looks[round(loop.elapsed)] += 1
        return wall()

    for run_id in range(1, 101):
        end(loop, cloud, 100, run_id=run_id)
    monkeypatch.setattr(time, "time", look_at_the_clock)

    async def follow_all():
        triggers = [make(run_id=run_id, end_time=wall() + 5000, poll_interval=60) for run_id in range(1, 101)]
        await asyncio.gather(*map(fired, triggers))

    loop.run_until_complete(follow_all())
    del looks[0]
    assert 0 < max(looks.values()) <= 50


def test_other_connections_have_their_own(loop, cloud, make, monkeypatch):
    """Triggers of different connections ask with their own tokens."""
    connect(monkeypatch, "OTHER", password="dbtc_other")
    for run_id in (7, 8):
        end(loop, cloud, 100, run_id=run_id)

    async def both():
        await asyncio.gather(fired(make()), fired(make(run_id=8, conn_id="other")))

    loop.run_until_complete(both())
    asked = {
        (token, ids)
        for token, (_, _, params) in zip(cloud.tokens, cloud.requests, strict=True)
        for ids in json.loads(params["pk__in"])
    }
    assert asked == {(TOKEN, 7), ("dbtc_other", 8)}


def test_a_cancelled_trigger_touches_no_other(loop, cloud, make):
    """A trigger that is cancelled takes nothing from those that follow the same run, or another."""
    for run_id in (7, 8):
        end(loop, cloud, 100, run_id=run_id)

    async def scene():
        others = [asyncio.create_task(fired(make(run_id=run_id))) for run_id in (7, 8)]
        doomed = [asyncio.create_task(fired(make(cancel_on_kill=False))) for _ in range(3)]
        await asyncio.sleep(random.uniform(20, 40))
        for task in doomed:
            task.cancel()
        await asyncio.wait(doomed)
        assert all(task.cancelled() for task in doomed)
        return await asyncio.gather(*others)

    assert [event.status for event in loop.run_until_complete(scene())] == [SUCCESS, SUCCESS]


# Killed while deferred


class Airflow:
    """Airflow as a trigger sees it: what it says of a task."""

    def __init__(self):
        self.state = "deferred"
        self.asked = []
        self.instead = None
        self.takes = 0

    def send(self, message):
        assert isinstance(message, MaskSecret)

    async def asend(self, question):
        if isinstance(question, MaskSecret):
            return None
        self.asked.append(question)
        await asyncio.sleep(self.takes)
        if isinstance(self.instead, BaseException):
            raise self.instead
        if self.instead is not None:
            return self.instead
        (run_id,), (task_id,) = question.run_ids, question.task_ids
        name = task_id if question.map_index is None else f"{task_id}_{question.map_index}"
        return TaskStatesResult(task_states={run_id: {name: self.state}})


@pytest.fixture
def airflow(monkeypatch):
    """Stand in for Airflow's supervisor, where Airflow puts it."""
    airflow = Airflow()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", airflow, raising=False)
    return airflow


@pytest.fixture(params=["3.2", "3.3"])
def kill(request, loop, cloud, monkeypatch):
    """Return a function that ends a trigger as Airflow 3.2 and 3.3 do, 30 s after it began."""
    cloud.statuses[7] = 3
    if request.param == "3.2":
        # It does not know of `on_kill`, neither to call it nor to inherit it.
        monkeypatch.delattr(BaseTrigger, "on_kill", raising=False)

    async def scene(trigger, seconds):
        task = asyncio.create_task(events(trigger))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.wait({task})
        # Anything else counts as a failure of the trigger, and so of the task.
        assert task.cancelled()
        if hasattr(BaseTrigger, "on_kill"):
            await trigger.on_kill()

    def kill(trigger, map_index=-1, seconds=30):
        trigger.task_instance = SimpleNamespace(
            dag_id="dag", run_id="manual__1", task_id="build", map_index=map_index
        )
        with capture_logs() as lines:
            loop.run_until_complete(scene(trigger, seconds))
        return lines

    return kill


@pytest.mark.parametrize(
    "state",
    ["failed", "success", "skipped", "removed", "upstream_failed", "restarting", "scheduled", "queued", None],
)
def test_ended_by_a_person(cloud, make, airflow, kill, state):
    """The run is cancelled once if the task's state is one that a person's action leads to."""
    airflow.state = state
    kill(make())
    assert cloud.cancelled == [7]


@pytest.mark.parametrize("state", ["running", "deferred", "up_for_retry", "up_for_reschedule", "new_in_3.9"])
def test_ended_by_nobody(cloud, make, airflow, kill, state):
    """The run goes on if the trigger only moves to another triggerer, or its task is at work again."""
    airflow.state = state
    kill(make())
    assert cloud.cancelled == []


@pytest.mark.parametrize("state", ["failed", "deferred"])
@pytest.mark.parametrize(
    "trouble",
    [
        OSError("the supervisor is gone"),
        RuntimeError("Response read out of order!"),
        asyncio.IncompleteReadError(b"", 4),
        ErrorResponse(),
        TaskStatesResult(task_states={"manual__1": {}}),
    ],
)
def test_airflow_does_not_say(cloud, make, airflow, kill, state, trouble):
    """The run goes on if the task's state cannot be learned, and the task's log says so."""
    airflow.state = state
    airflow.instead = trouble
    lines = kill(make())
    assert cloud.cancelled == []
    (line,) = [line for line in lines if line["log_level"] == "warning"]
    assert "dbt Cloud run 7 may go on" in line["event"]


def test_the_dag_run_is_deleted(cloud, make, airflow, kill):
    """The run is cancelled if a person has deleted the DAG run, so that Airflow knows no such task."""
    airflow.instead = TaskStatesResult(task_states={})
    kill(make())
    assert cloud.cancelled == [7]


def test_airflow_is_silent(loop, cloud, make, airflow, kill):
    """The run goes on if Airflow does not answer within 25 seconds."""
    airflow.state, airflow.takes = "failed", 100
    kill(make())
    assert cloud.cancelled == []
    assert loop.elapsed == pytest.approx(55)


def test_no_supervisor(cloud, make, kill):
    """The run goes on where there is nobody to ask, as in `dag.test`."""
    kill(make())
    assert cloud.cancelled == []


def test_cancelled_runs_are_counted(make, airflow, kill, stats):
    """A run that a trigger cancels is counted."""
    airflow.state = "failed"
    kill(make())
    assert stats["dbt_cloud.runs_cancelled"] == [1]


def test_dbt_cloud_refuses_the_cancel(cloud, make, airflow, kill, stats, reply):
    """A cancel that dbt Cloud refuses is a line in the task's log, and no error."""
    airflow.state = "failed"
    cloud.cancel_answer = reply(403, None, "This token may not cancel.")
    lines = kill(make())
    assert "This token may not cancel." in lines[-1]["event"]
    assert "dbt_cloud.runs_cancelled" not in stats


def test_dbt_cloud_cannot_cancel_now(loop, cloud, make, airflow, kill, reply):
    """A cancel that fails is tried again for some time, because nobody else will."""
    airflow.state = "failed"
    cloud.cancel_answer = reply(503, None, "Busy.")
    # The trigger is killed after 30 s.
    loop.call_later(33, lambda: setattr(cloud, "cancel_answer", None))
    lines = kill(make())
    assert cloud.cancelled == [7]
    assert "Cancelling again in 1 s" in " ".join(line["event"] for line in lines)


def test_dbt_cloud_wants_no_cancel_now(loop, cloud, make, airflow, kill, reply):
    """A cancel that is answered 429 is tried again when dbt Cloud wants it, and not before."""
    airflow.state = "failed"
    cloud.cancel_answer = reply(429, None, "Slow down.", {"Retry-After": "300"})
    # The trigger is killed after 30 s.
    loop.call_later(30 + 299, lambda: setattr(cloud, "cancel_answer", None))
    lines = kill(make())
    assert cloud.cancelled == [7]
    assert sum("Cancelling again in 300 s" in line["event"] for line in lines) == 1
    assert loop.elapsed >= 330


@pytest.mark.parametrize("deadline", ["end_time", "execution_deadline"])
def test_past_the_deadline(cloud, wall, make, airflow, kill, deadline):
    """Past the deadline nothing is asked or cancelled: it is Airflow that ends the trigger then."""
    airflow.state = "scheduled"
    trigger = make(**{deadline: wall() + 3600})
    wall.offset += 3601
    kill(trigger, seconds=0)
    assert cloud.cancelled == []
    assert airflow.asked == []


def test_a_run_that_is_not_the_tasks_own(cloud, make, airflow, kill):
    """The run of a sensor is never cancelled, and nothing is asked."""
    airflow.state = "failed"
    kill(make(cancel_on_kill=False))
    assert cloud.cancelled == []
    assert airflow.asked == []


@pytest.mark.parametrize(("map_index", "asked"), [(-1, None), (0, 0), (12, 12)])
def test_mapped_task(cloud, make, airflow, kill, map_index, asked):
    """A mapped task asks for its own state, not for its siblings'."""
    airflow.state = "failed"
    kill(make(), map_index)
    assert cloud.cancelled == [7]
    question = GetTaskStates(dag_id="dag", task_ids=["build"], run_ids=["manual__1"], map_index=asked)
    assert airflow.asked == [question]


def test_killed_before_the_connection_was_read(loop, cloud, make, airflow, kill):
    """A trigger that is killed at once reads the connection to cancel the run."""
    airflow.state = "failed"
    kill(make(), seconds=0)
    assert cloud.cancelled == [7]
    assert loop.elapsed < 1


def test_cancelled_again_meanwhile(loop, cloud, make, airflow):
    """The decision is taken in peace, though Airflow cancels the trigger again and again until it is gone."""
    cloud.statuses[7] = 3
    airflow.state, airflow.takes = "failed", 3

    async def scene():
        trigger = make()
        trigger._poller().client._threads = trigger.inline_threads
        trigger.task_instance = SimpleNamespace(
            dag_id="dag", run_id="manual__1", task_id="build", map_index=-1
        )
        task = asyncio.create_task(trigger.on_kill())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait({task})
        assert cloud.cancelled == []
        await asyncio.sleep(5)

    loop.run_until_complete(scene())
    assert cloud.cancelled == [7]
