"""The wait for a run, with a clock that only the tests move."""

import logging

import pytest
from freezegun import freeze_time

from airflow_dbt_cloud.errors import (
    DbtCloudLostTrack,
    DbtCloudNotFound,
    DbtCloudRateLimited,
    DbtCloudServerError,
    DbtCloudUnauthorized,
    DbtCloudUnreachable,
    DbtCloudWaitTimeout,
)
from airflow_dbt_cloud.models import Run
from airflow_dbt_cloud.waiting import Watch, wait_for_end

QUEUED, RUNNING, SUCCESS, ERROR, CANCELLED = 1, 3, 10, 20, 30
UNREACHABLE = DbtCloudUnreachable("GET", "/runs/7/", "ConnectionResetError", may_have_arrived=True)
SERVER_ERROR = DbtCloudServerError("GET", "/runs/7/", 503, "busy")
UNAUTHORIZED = DbtCloudUnauthorized("GET", "/runs/7/", 401, "Invalid token.")
NOT_FOUND = DbtCloudNotFound("GET", "/runs/7/", 404, "not found")


class Scene:
    """A clock, a script of answers, and what the wait does with them."""

    def __init__(self, *script, repeat_last=False, **watch):
        self.now = 1_000_000.0
        self.pauses = []
        self.asked_at = []
        self._script = list(script)
        self._repeat_last = repeat_last
        self.watch = Watch(Run(id=7, status=QUEUED), clock=lambda: self.now, **watch)

    def ask(self):
        self.asked_at.append(self.now - 1_000_000)
        answer = self._script[0] if self._repeat_last and len(self._script) == 1 else self._script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Run(id=7, status=answer)

    def pause(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds

    def wait(self, interval=60):
        return wait_for_end(self.watch, self.ask, interval=interval, pause=self.pause)


@pytest.mark.parametrize("status", [SUCCESS, ERROR, CANCELLED])
def test_terminal(status):
    """The wait returns a run that has ended, however it ended."""
    assert Scene(QUEUED, RUNNING, status).wait().status == status


@pytest.mark.parametrize("status", [0, 2, 3, 4, 11, 99, -1])
def test_unknown_status(status, caplog):
    """A status that is new to us is "still going", and is logged once."""
    scene = Scene(status, status, status, SUCCESS)
    assert scene.wait().is_success
    assert len([record for record in caplog.records if "new to us" in record.message]) == (
        0 if status in {2, 3} else 1
    )


def test_unknown_status_from_the_start(caplog):
    """A run whose start is answered with a status that is new to us is logged once, too."""
    answers = iter([Run(id=7, status=7), Run(id=7, status=7), Run(id=7, status=SUCCESS)])
    wait_for_end(Watch(Run(id=7, status=7)), lambda: next(answers), interval=1, pause=lambda _: None)
    assert len([record for record in caplog.records if "new to us" in record.message]) == 1


def test_interval():
    """Between two questions lies the interval."""
    scene = Scene(QUEUED, RUNNING, RUNNING, SUCCESS)
    scene.wait(interval=42)
    assert scene.pauses == [42, 42, 42]


@pytest.mark.parametrize("error", [UNREACHABLE, SERVER_ERROR, UNAUTHORIZED, NOT_FOUND])
def test_failures_are_not_the_runs(error):
    """A failure to see the run does not end the wait, whatever its kind."""
    assert Scene(RUNNING, *[error] * 50, SUCCESS).wait().is_success


def test_warnings_are_rare(caplog):
    """A failure is logged when it begins, every five minutes while it lasts, and when it ends."""
    Scene(RUNNING, *[SERVER_ERROR] * 10, RUNNING, SUCCESS).wait(interval=60)
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert [message.split(";")[0] for message in warnings] == [
        "Cannot see dbt Cloud run 7",
        "Cannot see dbt Cloud run 7",
        "dbt Cloud run 7 is in sight again after 600 s.",
    ]
    assert "503" in warnings[0]


def test_not_found_at_first(caplog):
    """A run that is not found in its first two minutes is not worth a warning."""
    Scene(NOT_FOUND, NOT_FOUND, RUNNING, SUCCESS).wait(interval=59)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_not_found_later(caplog):
    """A run that is not found later is worth one."""
    Scene(RUNNING, RUNNING, RUNNING, NOT_FOUND, SUCCESS).wait(interval=60)
    assert "Cannot see dbt Cloud run 7" in caplog.text


def test_old_news(caplog):
    """Not being found in the first two minutes is not worth a warning either if it is told later."""
    scene = Scene()
    scene.now += 170
    scene.watch.missed(NOT_FOUND, age=51)
    assert "Cannot see" not in caplog.text
    scene.watch.missed(NOT_FOUND, age=50)
    assert "Cannot see" in caplog.text


def test_lost_track():
    """After twelve hours of nothing but failures the wait ends, and says that the run may go on."""
    scene = Scene(RUNNING, UNREACHABLE, repeat_last=True)
    with pytest.raises(DbtCloudLostTrack, match=r"for 12 hours .* may go on.*ConnectionResetError") as caught:
        scene.wait()
    assert scene.asked_at[-1] == pytest.approx(12 * 3600, abs=60)
    assert caught.value.run.status == RUNNING


def test_any_answer_finds_the_track_again():
    """One answer in twelve hours is enough to go on."""
    almost = 12 * 60 - 1
    scene = Scene(RUNNING, *[UNREACHABLE] * almost, RUNNING, *[UNREACHABLE] * almost, SUCCESS)
    assert scene.wait(interval=60).is_success


def test_deadline():
    """At the deadline the run is asked for once more, then the wait ends and says that the run goes on."""
    scene = Scene(RUNNING, repeat_last=True, end_time=1_000_000 + 150)
    with pytest.raises(DbtCloudWaitTimeout, match="The run goes on"):
        scene.wait(interval=60)
    assert scene.asked_at == [0, 60, 120, 150]


def test_success_at_the_deadline():
    """A run that has ended when it is asked for at the deadline has ended in time."""
    assert Scene(RUNNING, RUNNING, SUCCESS, end_time=1_000_000 + 90).wait(interval=60).is_success


def test_deadline_while_blind():
    """The deadline holds also while the run cannot be seen."""
    scene = Scene(SERVER_ERROR, repeat_last=True, end_time=1_000_000 + 150)
    with pytest.raises(DbtCloudWaitTimeout):
        scene.wait(interval=60)


@pytest.mark.parametrize(
    ("retry_after", "least", "most"), [(200.0, 200, 200), (3.0, 60, 60), (None, 60, 300)]
)
def test_rate_limited(retry_after, least, most):
    """After a 429 the wait asks no sooner than dbt Cloud wants, and than the interval says."""
    limited = DbtCloudRateLimited("GET", "/runs/7/", 429, "slow down", retry_after)
    scene = Scene(limited, SUCCESS)
    scene.wait(interval=60)
    (pause,) = scene.pauses
    assert least <= pause <= most


def test_clock_set_back():
    """A clock that jumps back makes the wait longer, never ends it early or sleeps a negative time."""
    scene = Scene(RUNNING, RUNNING, SUCCESS, end_time=1_000_000 + 3600)
    scene.now -= 7200
    assert scene.wait().is_success
    assert all(pause >= 0 for pause in scene.pauses)


def test_progress_is_logged(caplog):
    """Each change of the status is one line, but for the end, which whoever waits tells."""
    caplog.set_level(logging.INFO)
    Scene(QUEUED, QUEUED, 2, RUNNING, RUNNING, SUCCESS).wait()
    assert [record.message for record in caplog.records] == [
        "dbt Cloud run 7: Starting.",
        "dbt Cloud run 7: Running.",
    ]


def test_a_computer_that_slept(caplog):
    """A first failure after a long sleep of the computer begins trouble, and is not twelve hours of it."""
    scene = Scene(RUNNING, UNREACHABLE, SUCCESS)
    pause, scene.pause = scene.pause, lambda seconds: pause(seconds + 13 * 3600)
    assert scene.wait().is_success
    assert "in sight again" in caplog.text


def test_wall_clock():
    """Without a clock of its own the watch looks at the time of the day, frozen or not."""
    with freeze_time("2026-01-01") as frozen:
        watch = Watch(Run(id=7, status=QUEUED), end_time=frozen().timestamp() + 60)
        before = watch.remaining
        frozen.tick(25)
        assert (before, watch.remaining) == (60, 35)
