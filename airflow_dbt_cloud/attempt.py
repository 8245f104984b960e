"""
One execution of a task that starts a run: what its main thread and a kill have to tell each other.

Airflow calls `on_kill` for much that no person asked for: a scheduler that was restarted, a pod that is
drained, an API server that was away. It calls it in a signal handler on the main thread, where a question to
Airflow would wait for the very code that it interrupts, and it ends the process 5 s later. So a thread asks
for the task's state, cancels the run only if a person has ended the task, and then ends the wait; all within
4 s. If Airflow does not answer within 2 s, the run is left alone.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from airflow_dbt_cloud.errors import DbtCloudError, DbtCloudWaitInterrupted

if TYPE_CHECKING:
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

    from airflow_dbt_cloud.hooks import DbtCloudHook
    from airflow_dbt_cloud.models import Run
    from airflow_dbt_cloud.waiting import Log

__all__ = ["Attempt"]

KILL_BUDGET = 4.0
STATE_BUDGET = 2.0
# The states of a running task that only a person's action leads to.
ENDED_BY_A_PERSON = frozenset({"failed", "success", "skipped", "removed", "restarting"})


class Attempt:
    """
    One execution of a task.

    Invariant: whoever learns last of the two, of the run and of the kill, cancels the run; never both.

    :param ti: Airflow's task instance.
    :param hook: has read the connection already, because a kill must not ask Airflow for it.
    :param log: the task's log.
    """

    def __init__(self, ti: RuntimeTaskInstanceProtocol, hook: DbtCloudHook, log: Log) -> None:
        self.ti = ti
        self._hook = hook
        self._log = log
        self._lock = threading.Lock()
        self._run: Run | None = None
        self._ending = ""
        self._is_over = threading.Event()
        self._is_a_persons_wish = False

    def check(self) -> None:
        """
        Make sure that it is not too late to start a run.

        :raises DbtCloudError: the task is killed.
        """
        if self._ending:
            msg = f"No dbt Cloud run was started: {self._ending}."
            raise DbtCloudError(msg)

    def started(self, run: Run) -> None:
        """
        Take note of the run that was started.

        :raises DbtCloudWaitInterrupted: the task was killed while it was; then the run is cancelled if a
            person did it.
        """
        with self._lock:
            self._run = run
            is_too_late = bool(self._ending)
        if is_too_late:
            if self._is_a_persons_wish:
                self.cancel(self._ending)
            raise DbtCloudWaitInterrupted(run, self._ending)

    def pause(self, seconds: float) -> None:
        """
        Sleep.

        :raises DbtCloudWaitInterrupted: the task is killed; says whether the run goes on.
        :raises DbtCloudError: the task is killed, and there is no run yet.
        """
        if self._is_over.wait(seconds):
            if self._run is not None:
                raise DbtCloudWaitInterrupted(self._run, self._ending)
            self.check()

    def cancel(self, why: str, *, within: float | None = None) -> None:
        """
        Cancel the run if it is known and dbt Cloud can be reached, and log what came of it.

        :param within: seconds; by default as long as it takes.
        """
        if self._run is None:
            self._log.warning("Nothing to cancel: no dbt Cloud run is known to have been started.")
            return
        self._log.info("Cancelling dbt Cloud run %s, because %s.", self._run.id, why)
        # Half for the connection, half for the answer.
        client = self._hook.get_conn() if within is None else self._hook.get_conn().hurried(within / 2)
        try:
            client.cancel_run(self._run.id)
        except DbtCloudError as error:
            self._log.warning(
                "dbt Cloud run %s may go on: it could not be cancelled. %s", self._run.id, error
            )

    def kill(self) -> None:
        """Decide what becomes of the run now that Airflow ends this process; returns at once."""
        threading.Thread(target=self._stop, name="dbt-cloud-kill", daemon=True).start()

    def _stop(self) -> None:
        deadline = time.monotonic() + KILL_BUDGET
        state = self._ask_state(STATE_BUDGET)
        is_a_persons_wish = state in ENDED_BY_A_PERSON
        if is_a_persons_wish:
            ending = f"a person ended the task (its state is {state})"
        else:
            ending = f"nobody ended the task (its state is {state or 'unknown'}), so the run goes on"
        with self._lock:
            self._is_a_persons_wish, self._ending = is_a_persons_wish, ending
            is_started = self._run is not None
        self._log.warning("Airflow ends this process: %s.", ending)
        try:
            if is_a_persons_wish and is_started:
                self.cancel(ending, within=max(1.0, deadline - time.monotonic()))
        finally:
            self._is_over.set()

    def _ask_state(self, timeout: float) -> str | None:
        states: list[str] = []

        def ask() -> None:
            try:
                states.append(self._get_state())
            except Exception as error:  # noqa: BLE001 - whatever it is, the state cannot be learned
                self._log.warning("Airflow does not say which state the task has: %r", error)

        asking = threading.Thread(target=ask, name="dbt-cloud-task-state", daemon=True)
        asking.start()
        asking.join(timeout)
        return states[0] if states else None

    def _get_state(self) -> str:
        ti = self.ti
        is_mapped = ti.map_index is not None and ti.map_index >= 0
        states = ti.get_task_states(
            dag_id=ti.dag_id,
            task_ids=[ti.task_id],
            run_ids=[ti.run_id],
            map_index=ti.map_index if is_mapped else None,
        )
        return str(states[ti.run_id][f"{ti.task_id}_{ti.map_index}" if is_mapped else ti.task_id])
