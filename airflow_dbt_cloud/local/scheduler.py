"""The queue: which runs go, which wait, and for what.

The runs of one job go one after another; different jobs go at the same time, up to the account's run slots.
A run for a pull request waits for nothing and takes no slot, and a newer one for the same pull request
cancels it.

Invariant: every change of the queue happens under the store's lock, and is followed by `_dispatch`.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from airflow_dbt_cloud.local.execution import CANCELLED_BY_USER
from airflow_dbt_cloud.local.records import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_dbt_cloud.local.execution import Execution, OnEnd
    from airflow_dbt_cloud.local.records import Run
    from airflow_dbt_cloud.local.store import Store

SUPERSEDED = "Cancelled because a newer commit was pushed to the pull request."
SYSTEM = "dbt Cloud"
_SHUTDOWN_SECONDS = 6.0


class Scheduler:
    """Starts, cancels and ends runs."""

    def __init__(self, store: Store, run_slots: int, execution: Callable[[Run, OnEnd], Execution]) -> None:
        self._store, self._run_slots, self._execution = store, run_slots, execution
        self._going: dict[int, Execution] = {}
        self._is_stopping = False

    def start(self) -> None:
        """Begin with what an earlier server left in the queue."""
        with self._store.lock:
            self._dispatch()

    def submit(self, run: Run) -> Run:
        """Queue a new run. It may be going when this returns; the value is the queued run."""
        with self._store.lock:
            for other in self._store.unfinished_runs():
                if (
                    run.is_ci
                    and other.job.id == run.job.id
                    and other.trigger.pull_request == run.trigger.pull_request
                ):
                    self._cancel(other, SUPERSEDED, SYSTEM)
            self._store.add_run(run)
            self._dispatch()
            return run

    def cancel(self, run: Run, by: str) -> Run:
        """Cancel a run; one that is finished stays as it is."""
        with self._store.lock:
            self._cancel(run, CANCELLED_BY_USER, by)
            self._dispatch()
            return self._store.find_run(run.id) or run

    def blocked_by(self, run: Run) -> list[int]:
        """Find the run that a queued run waits for: the one before it of the same job."""
        if run.status is not Status.QUEUED or run.is_ci:
            return []
        earlier = [
            other.id
            for other in self._store.unfinished_runs()
            if other.job.id == run.job.id and other.id < run.id and not other.is_ci
        ]
        return earlier[-1:]

    def stop(self) -> None:
        """End all dbt processes; the next start of the server says so in their runs."""
        with self._store.lock:
            self._is_stopping = True
            executions = list(self._going.values())
        for execution in executions:
            execution.stop(None)
        deadline = time.monotonic() + _SHUTDOWN_SECONDS
        for execution in executions:
            execution.join(max(0.0, deadline - time.monotonic()))

    def _cancel(self, run: Run, message: str, by: str) -> None:
        run = self._store.find_run(run.id) or run
        if run.status.is_terminal or run.cancelled_by is not None:
            return
        if (execution := self._going.get(run.id)) is not None:
            # It stops also if the state cannot be written; it cannot end before we let go of the lock.
            execution.stop(message)
            self._store.update_run(run.id, cancelled_by=by)
        else:
            now = self._store.clock()
            self._store.update_run(
                run.id, status=Status.CANCELLED, status_message=message, cancelled_by=by, finished_at=now
            )

    def _dispatch(self) -> None:
        if self._is_stopping:
            return
        waiting = self._store.unfinished_runs()
        regular = [run for run in waiting if run.id in self._going and not run.is_ci]
        busy_jobs = {run.job.id for run in regular}
        free = self._run_slots - len(regular)
        for run in waiting:
            if run.status is not Status.QUEUED:
                continue
            if run.is_ci:
                self._begin(run)
            elif free > 0 and run.job.id not in busy_jobs and self._begin(run):
                busy_jobs.add(run.job.id)
                free -= 1

    def _begin(self, run: Run) -> bool:
        """Let a run go; one whose start cannot be written ends at once."""
        try:
            self._store.update_run(run.id, status=Status.STARTING, dequeued_at=self._store.clock())
        except sqlite3.Error as error:
            self._store.end_run(run.id, Status.ERROR, f"Internal error: {self._store.explain(error)}")
            return False
        self._going[run.id] = execution = self._execution(run, self._ended)
        execution.start()
        return True

    def _ended(self, run_id: int) -> None:
        with self._store.lock:
            del self._going[run_id]
            self._dispatch()
