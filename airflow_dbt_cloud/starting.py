"""
How a try of a task comes to its run: takes up the one that an earlier try has left, or starts one.

* A first try has no predecessor and looks for none, unless it is so late that Airflow may have begun another.
  A later one asks for the job's runs and decides by the table in `decisions`.
* A start whose fate is unknown is never repeated blindly: the run is looked for by its marker for two
  minutes. Only if it is nowhere, a start is sent again; three at most.
* If dbt Cloud cannot be asked within `timeout`, the try ends with an error rather than risk a second run.
* Nothing is cancelled but what bears the task's marker, or is a retry that this very try has asked for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_dbt_cloud.decisions import GiveWay, Left, Retry, Start, TakeUp, decide, find_ours
from airflow_dbt_cloud.errors import (
    DbtCloudApiError,
    DbtCloudError,
    DbtCloudInvalidRequest,
    DbtCloudJobBusy,
    DbtCloudNotFound,
    DbtCloudServerError,
    DbtCloudStartUnconfirmed,
    DbtCloudSuperseded,
    DbtCloudUnauthorized,
    DbtCloudUnreachable,
)
from airflow_dbt_cloud.markers import Marker
from airflow_dbt_cloud.models import DbtCloudJobRunStatus
from airflow_dbt_cloud.retries import START_BOUND, may_have_taken_effect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Unpack

    from airflow_dbt_cloud.client import Client
    from airflow_dbt_cloud.filters import RunFilters
    from airflow_dbt_cloud.models import Run
    from airflow_dbt_cloud.parameters import RunRequest
    from airflow_dbt_cloud.waiting import Log

__all__ = ["Starting", "Taken"]

MOST_STARTS = 3
# A request that was sent may still be on its way this many seconds later.
LOOK_FOR = 120.0
# Most runs are there at once; the others are looked for rarely, because all tasks may do so at the same time.
LOOK_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# By how much a worker's clock may be ahead of dbt Cloud's.
CLOCK_SKEW = timedelta(minutes=10)
# dbt Cloud filters by statuses that we know: a run with a new one is seen by its time of creation only.
GOING = (DbtCloudJobRunStatus.QUEUED, DbtCloudJobRunStatus.STARTING, DbtCloudJobRunStatus.RUNNING)
# dbt Cloud says no to what was asked, and has done nothing.
REFUSALS = (DbtCloudInvalidRequest, DbtCloudNotFound, DbtCloudUnauthorized)


@dataclass(frozen=True, slots=True)
class Taken:
    """
    The run that a task follows.

    :param run: as dbt Cloud told it last.
    :param how: `started`, `resumed` or `reused`.
    :param is_own: whether the task may cancel it: it bears the task's marker, or this very try asked for it.
    :param starts: how many starts were sent; after more than one there may be a second run.
    """

    run: Run
    how: str
    is_own: bool = True
    starts: int = 1


@dataclass(kw_only=True)
class Starting:
    """
    One try's way to its run.

    :param client: talks to the account.
    :param job_id: the job.
    :param request: what to run.
    :param log: the task's log: tells the story.
    :param marker: this try's; None = the task is not durable: looks for nothing, and marks nothing.
    :param since: when the DAG run began: no run of the task is older.
    :param is_late: whether this try was at a standstill for so long that a later one may be at work.
    :param if_job_running: what to do about other runs of the job; `queue`, `reuse`, `skip` or `fail`.
    :param retry_from_failure: whether a failed run of the task is retried rather than started anew.
    :param cancel_on_kill: whether the run of a cleared task is cancelled.
    :param timeout: seconds within which the run must be there; to look for one whose start got lost may take
        two minutes more.
    :param announce: is told the run as soon as it is settled, before doubles of a lost start are looked for.
    :param on_cancel: is called for each run that is cancelled.
    :param sleep: takes seconds; raises if the task is killed.
    :param clock: seconds that only grow.
    """

    client: Client
    job_id: int
    request: RunRequest
    log: Log
    marker: Marker | None = None
    since: datetime | None = None
    is_late: bool = False
    if_job_running: str = "queue"
    retry_from_failure: bool = False
    cancel_on_kill: bool = True
    timeout: float = START_BOUND
    announce: Callable[[Taken], object] = lambda taken: taken
    on_cancel: Callable[[], object] = lambda: None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _client: Client = field(init=False)
    _deadline: float = field(init=False)
    _retrying: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._client = self.client.within(self._get_remaining)
        self._deadline = self.clock() + self.timeout
        if self.marker is not None:
            self.request = replace(self.request, cause=self.marker.mark(self.request.cause))

    def take(self) -> Taken:
        """
        Return the run to follow; started, if there is none, and announced.

        :raises DbtCloudSuperseded: a later try of the task is at work.
        :raises DbtCloudJobBusy: another run of the job is going, and `if_job_running` is `skip` or `fail`.
        :raises DbtCloudStartUnconfirmed: nobody knows whether a run was started.
        :raises DbtCloudError: dbt Cloud refuses the start, or cannot be asked; no run was started.
        """
        taken = self._take()
        self.announce(taken)
        self._cancel_doubles(taken)
        return taken

    def find_started(self, client: Client) -> list[Run]:
        """
        Return the runs to cancel if the task is killed before its run is announced; asks once.

        Those are what this try has started, and what earlier ones have left. They go, and can be seen.
        """
        runs = self._runs(client, status__in=GOING) if self.marker else ()
        return [run for run in runs if self._is_mine(run) or self._is_of_earlier_try(run)]

    def _take(self) -> Taken:
        if self.marker is None or (self.marker.try_number <= 1 and not self.is_late):
            return self._start()
        try:
            ours = self._find_ours()
        except (DbtCloudApiError, DbtCloudUnreachable):
            self.log.warning("No run is started, because an earlier try may have left one that goes on.")
            raise
        decision = decide(
            self.marker,
            ours,
            retry_from_failure=self.retry_from_failure,
            cancel_on_kill=self.cancel_on_kill,
        )
        match decision:
            case GiveWay(run, why):
                raise DbtCloudSuperseded(run, why)
            case TakeUp(run, why, others):
                self._cancel(others)
                self.log.info("Resuming dbt Cloud run %s (%s), %s.", run.id, run.status_name, why)
                return Taken(run, "resumed", is_own=Left(run, self.marker).is_marked)
            case Retry(run, why):
                self.log.info("Retrying dbt Cloud run %s from its failure: %s.", run.id, why)
                return self._retry(run)
            case Start(why, others):
                self._cancel(others)
                self.log.info("Starting a run: %s.", why)
                return self._start()

    def _cancel_doubles(self, taken: Taken) -> None:
        """
        Cancel what else this try has started: of several starts, a lost one may have turned up late.

        Not so with a retry: dbt Cloud refuses a second one of the same run.
        """
        if taken.starts == 1 or self._retrying is not None:
            return
        try:
            doubles = [run for run in self._find_mine() if run.id != taken.run.id and not run.is_terminal]
            self._cancel(doubles)
        except (DbtCloudApiError, DbtCloudUnreachable) as error:
            self.log.warning("There may be a second run: dbt Cloud cannot be asked. %s", error)

    def _start(self) -> Taken:
        if self.if_job_running != "queue" and (reused := self._find_other_run()):
            return reused
        return self._send(lambda client: client.start_run(self.job_id, self.request))

    def _retry(self, failed: Run) -> Taken:
        self._retrying = failed.id
        try:
            return self._send(lambda client: client.retry_run(failed.id))
        except REFUSALS as error:
            self.log.warning("%s Starting a full run instead.", error)
            self._retrying = None
            return self._start()

    def _find_other_run(self) -> Taken | None:
        """Look at the job's other runs, and return the one to take up, if that is wanted."""
        others = [run for run in self._list(status__in=GOING) if self._read_own_marker(run) is None]
        if self.if_job_running != "reuse":
            if others:
                raise DbtCloudJobBusy(others[0], len(others))
            return None
        for run in others:
            # A run whose cause is not known has overrides that are not known either.
            if run.cause and not run.is_of_pull_request and run.overrides == self.request.overrides:
                self.log.info("Taking up dbt Cloud run %s, which goes already: %s", run.id, run.cause)
                return Taken(run, "reused", is_own=False)
        if others:
            self.log.info("Of the runs of the job that go (%d), none has the same overrides.", len(others))
        return None

    def _send(self, ask: Callable[[Client], Run]) -> Taken:
        """Start a run; after an answer that leaves open whether there is one, look for it."""
        for starts in range(1, MOST_STARTS + 1):
            # Whoever was killed meanwhile starts nothing.
            self.sleep(0.0)
            try:
                return Taken(ask(self._client), "started", starts=starts)
            except REFUSALS:
                # It may be refused because of what the one before has started.
                if starts > 1 and (mine := self._find_mine()):
                    return Taken(mine[0], "started", starts=starts)
                raise
            except (DbtCloudUnreachable, DbtCloudServerError) as error:
                if self.marker is None or not may_have_taken_effect(error):
                    raise
                self.log.warning("%s Looking whether there is a run all the same.", error)
                try:
                    run = self._look_for_mine()
                except DbtCloudSuperseded:
                    raise
                except DbtCloudError as trouble:
                    raise DbtCloudStartUnconfirmed(self.job_id, starts, str(trouble)) from error
                if run is not None:
                    self.log.info("There is: dbt Cloud run %s.", run.id)
                    return Taken(run, "started", starts=starts)
                last = error
            if self.clock() >= self._deadline:
                break
            self.log.warning("There is none after %.0f s.", LOOK_FOR)
        raise DbtCloudStartUnconfirmed(self.job_id, starts, str(last)) from last

    def _look_for_mine(self) -> Run | None:
        """Return the run that this try has started, looked for until a start can no longer be on its way."""
        until = self.clock() + LOOK_FOR
        self._deadline = max(self._deadline, until)
        pauses = iter(LOOK_PAUSES)
        while True:
            asked_at = self.clock()
            if found := self._find_mine():
                return found[0]
            if asked_at >= until:
                return None
            self.sleep(min(next(pauses, LOOK_PAUSES[-1]), max(0.0, until - self.clock())))

    def _find_mine(self) -> list[Run]:
        """
        Return the runs that this very try has started, oldest first.

        :raises DbtCloudSuperseded: a later try is at work meanwhile.
        """
        ours = self._find_ours()
        for left in ours:
            if self.marker is not None and left.marker.is_later_than(self.marker):
                raise DbtCloudSuperseded(
                    left.run, f"try {left.marker.try_number} has started run {left.run.id}"
                )
        return [left.run for left in ours if self._is_mine(left.run)]

    def _is_mine(self, run: Run) -> bool:
        if self._retrying is not None:
            # A retry bears no marker, and dbt Cloud does not let two retry the same run.
            return run.retrying_run_id == self._retrying
        return self.marker is not None and self._read_own_marker(run) == self.marker

    def _is_of_earlier_try(self, run: Run) -> bool:
        marker = self._read_own_marker(run)
        return marker is not None and self.marker is not None and not marker.is_later_than(self.marker)

    def _read_own_marker(self, run: Run) -> Marker | None:
        """Return the marker of a run that our task instance has started; a retry bears none."""
        marker = Marker.read(run.cause)
        is_own = marker is not None and self.marker is not None and marker.key == self.marker.key
        return marker if is_own and run.retrying_run_id is None else None

    def _find_ours(self) -> list[Left]:
        runs = {run.id: run for run in self._list(status__in=GOING)}
        if self.since is not None:
            ever = self.since - CLOCK_SKEW, datetime.now(UTC) + timedelta(days=1)
            # Asked for later, and so newer news.
            runs.update({run.id: run for run in self._list(created_at__range=ever)})
        if runs and not any(run.cause for run in runs.values()):
            # Without causes ours look like everybody's, and one more would be started.
            words = "the list does not say why the runs were started."
            raise DbtCloudServerError("GET", "runs/", 200, words)
        return find_ours(runs.values(), self.marker.key) if self.marker else []

    def _list(self, **filters: Unpack[RunFilters]) -> list[Run]:
        return list(self._runs(self._client, **filters))

    def _runs(self, client: Client, **filters: Unpack[RunFilters]) -> Iterator[Run]:
        """Yield runs of the job, newest first, with their cause."""
        filters = {**filters, "job_definition_id": self.job_id, "order_by": "-id"}
        return client.list_runs(include_related=["trigger"], **filters)

    def _cancel(self, runs: Iterable[Run]) -> None:
        for run in runs:
            self.log.info("Cancelling dbt Cloud run %s of this task: %s", run.id, run.cause)
            try:
                self._client.cancel_run(run.id)
                self.on_cancel()
            except REFUSALS as error:
                self.log.warning("dbt Cloud run %s may go on: it could not be cancelled. %s", run.id, error)

    def _get_remaining(self) -> float:
        return max(1.0, self._deadline - self.clock())
