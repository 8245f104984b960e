"""
The wait for a run: what each answer, each failure and each deadline means.

`Watch` holds what is known of one run. It is told what was seen and what failed, and says when the wait is
over; it asks nothing and sleeps never, so that every driver of a wait can share it. `wait_for_end` is the
driver that sleeps.

* Only Success, Error and Cancelled end a run. A status that we do not know is "still going".
* A failure to see the run is no failure of the run. It is logged when it begins, when it ends, and every five
  minutes between; after `lost_track_after` seconds of nothing else the wait ends in `DbtCloudLostTrack`.
* A run that is not found in the first two minutes after its start is dbt Cloud being slow.
* At the deadline dbt Cloud is asked once more.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Protocol

from airflow_dbt_cloud.errors import (
    DbtCloudApiError,
    DbtCloudError,
    DbtCloudLostTrack,
    DbtCloudNotFound,
    DbtCloudRateLimited,
    DbtCloudUnreachable,
    DbtCloudWaitTimeout,
)
from airflow_dbt_cloud.models import NOT_SEEN_YET, DbtCloudJobRunStatus
from airflow_dbt_cloud.retries import pause_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_dbt_cloud.models import Run

__all__ = ["LOST_TRACK_AFTER", "Log", "Watch", "wait_for_end"]

LOST_TRACK_AFTER = 12 * 60 * 60.0
NOT_FOUND_GRACE = 120.0
REMINDER = 300.0


class Log(Protocol):
    """What both Airflow's task logger and `logging.Logger` can do."""

    def debug(self, msg: str, /, *args: Any) -> Any:
        """Log what explains an odd case."""

    def info(self, msg: str, /, *args: Any) -> Any:
        """Log what tells the story."""

    def warning(self, msg: str, /, *args: Any) -> Any:
        """Log what may need a person."""


class Watch:
    """
    What is known of one run that is waited for.

    :param run: the run as it was started or last seen.
    :param end_time: when to stop waiting, in seconds since the epoch; None = never.
    :param lost_track_after: seconds of nothing but failures after which the wait ends.
    :param log: told what changes; each task gives its own.
    :param clock: the time, in seconds since the epoch; default `time.time`.
    """

    # A triggerer holds thousands.
    __slots__ = (
        "_began",
        "_clock",
        "_end_time",
        "_failing_since",
        "_log",
        "_lost_track_after",
        "_reminded",
        "run",
    )

    def __init__(
        self,
        run: Run,
        *,
        end_time: float | None = None,
        lost_track_after: float = LOST_TRACK_AFTER,
        log: Log | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.run = run
        self._end_time = end_time
        self._lost_track_after = lost_track_after
        self._log: Log = log or logging.getLogger(__name__)
        self._clock = clock or time.time
        self._began = self._clock()
        self._failing_since: float | None = None
        self._reminded = 0.0
        if run.status != NOT_SEEN_YET:
            self._tell_if_new()

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; infinite if there is none."""
        return float("inf") if self._end_time is None else self._end_time - self._clock()

    def look(self, ask: Callable[[], Run]) -> DbtCloudError | None:
        """
        Ask, take note of what comes, and return the error if it is one.

        :raises DbtCloudLostTrack: it has been one for too long.
        :raises DbtCloudConfigurationError: the connection leads elsewhere: the run cannot be asked for again.
        """
        try:
            self.saw(ask())
        except (DbtCloudApiError, DbtCloudUnreachable) as error:
            self.missed(error)
            return error
        return None

    def saw(self, run: Run) -> None:
        """Take note of an answer."""
        if self._failing_since is not None:
            blind = self._clock() - self._failing_since
            self._log.warning("dbt Cloud run %s is in sight again after %.0f s.", run.id, blind)
            self._failing_since = None
        is_other = run.status != self.run.status and not run.is_terminal
        self.run = run
        if is_other:
            self._log.info("dbt Cloud run %s: %s.", run.id, run.status_name)
            self._tell_if_new()

    def _tell_if_new(self) -> None:
        if self.run.status not in set(DbtCloudJobRunStatus):
            self._log.warning("%s is new to us; the run counts as still going.", self.run.status_name)

    def missed(self, error: DbtCloudError, *, age: float = 0.0) -> None:
        """
        Take note of a failure to see the run.

        :param age: how many seconds ago dbt Cloud was asked, where that was not just now.
        :raises DbtCloudLostTrack: it has lasted too long.
        """
        now = self._clock()
        if isinstance(error, DbtCloudNotFound) and now - age - self._began < NOT_FOUND_GRACE:
            self._log.debug("dbt Cloud run %s is not visible yet.", self.run.id)
            return
        # Not since the last answer: a computer that slept was not blind.
        blind = 0.0 if self._failing_since is None else now - self._failing_since
        if blind >= self._lost_track_after:
            hours = self._lost_track_after / 3600
            why = f"for {hours:.3g} hours nobody could say how it is. The run may go on. Last: {error}"
            raise DbtCloudLostTrack(self.run, why) from error
        if self._failing_since is None or now - self._reminded >= REMINDER:
            if self._failing_since is None:
                self._failing_since = now
            self._reminded = now
            self._log.warning("Cannot see dbt Cloud run %s; still waiting for it. %s", self.run.id, error)

    def check_deadline(self) -> None:
        """
        Look at the clock.

        :raises DbtCloudWaitTimeout: the deadline has passed.
        """
        if self.remaining <= 0:
            why = "the task's timeout is over, and the task stops waiting. The run goes on"
            raise DbtCloudWaitTimeout(self.run, why)


def wait_for_end(
    watch: Watch, ask: Callable[[], Run], *, interval: float, pause: Callable[[float], None]
) -> Run:
    """
    Ask until the run has ended, and return it, however it ended.

    :param ask: returns the run; its errors are tolerated as `Watch` says.
    :param interval: seconds between two questions; after a 429 as many as dbt Cloud wants, if that is more.
    :param pause: sleeps for some seconds.
    :raises DbtCloudWaitTimeout: the watch's deadline has passed.
    :raises DbtCloudLostTrack: nothing was seen for too long.
    :raises DbtCloudConfigurationError: the connection has come to lead elsewhere; the run goes on.
    """
    while True:
        error = watch.look(ask)
        if watch.run.is_terminal:
            return watch.run
        watch.check_deadline()
        seconds = interval
        if isinstance(error, DbtCloudRateLimited):
            seconds = max(interval, pause_after(error, 1))
        pause(max(0.0, min(seconds, watch.remaining)))
