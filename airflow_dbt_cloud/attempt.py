"""
One execution of a task that starts a run: what its main thread and a kill have to tell each other.

Airflow calls `on_kill` for much that no person asked for: a scheduler that was restarted, a pod that is
drained, an API server that was away. It calls it in a signal handler on the main thread, where a question to
Airflow would wait for the very code that it interrupts, and it ends the process 5 s later. So a thread asks
for the task's state, cancels the run only if a person has ended the task, and then ends the wait; all within
4 s. If Airflow does not answer within 2 s, the run is left alone.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from airflow_dbt_cloud import metrics, options
from airflow_dbt_cloud.errors import DbtCloudError, DbtCloudWaitInterrupted
from airflow_dbt_cloud.task_states import ENDED_WHILE_WORKING, question, read_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

    from airflow_dbt_cloud.client import Client
    from airflow_dbt_cloud.hooks import DbtCloudHook
    from airflow_dbt_cloud.markers import Marker
    from airflow_dbt_cloud.models import Run
    from airflow_dbt_cloud.waiting import Log

__all__ = ["STANDSTILL", "Attempt", "make_marker"]

KILL_BUDGET = 4.0
STATE_BUDGET = 2.0
# Seconds: who asks for a run so late may have stood still for so long that Airflow has begun another try.
STANDSTILL = 15.0


def make_marker(context: Context) -> Marker | None:
    """
    Return the marker of the runs that this try of a task starts.

    None for `airflow tasks test`: what is tried out has no tries before it, and must not disturb the real
    ones.
    """
    from airflow_dbt_cloud.markers import Marker, make_key

    if os.environ.get("AIRFLOW_TEST_MODE") == "True":
        return None
    ti, dag_run = context["ti"], context["dag_run"]
    key = make_key(
        deployment_id=options.deployment_id(),
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        started_at=dag_run.start_date,
    )
    return Marker(
        key=key,
        max_tries=ti.max_tries,
        clear_number=dag_run.clear_number or 0,
        try_number=ti.try_number,
    )


class Attempt:
    """
    One execution of a task.

    Invariant: whoever learns last of the two, of the run and of a person's wish to end the task, cancels the
    run.

    :param ti: Airflow's task instance.
    :param hook: is asked for its client only once a run may exist. By then it has read the connection, for
        which a kill must not ask Airflow.
    :param log: the task's log.
    :param cancel_on_kill: whether the task's run is cancelled with it.
    """

    def __init__(
        self, ti: RuntimeTaskInstanceProtocol, hook: DbtCloudHook, log: Log, *, cancel_on_kill: bool = True
    ) -> None:
        self.ti = ti
        self._hook = hook
        self._log = log
        self._cancel_on_kill = cancel_on_kill
        self._lock = threading.Lock()
        self._find: Callable[[Client], list[Run]] | None = None
        self.run: Run | None = None
        self._is_own = True
        self._cancelled: set[int] = set()
        self._is_killed = False
        self._ending = ""
        self._is_over = threading.Event()
        self._is_a_persons_wish = False

    def expect_run(self, find: Callable[[Client], list[Run]]) -> None:
        """
        Take note that a run may exist from now on.

        :param find: looks for such runs, once.
        """
        self._find = find

    def take_note(self, run: Run, *, is_own: bool = True) -> None:
        """
        Take note of the run that is followed.

        :param is_own: whether it may be cancelled.
        :raises DbtCloudWaitInterrupted: the task was killed meanwhile; then the run is cancelled if a person
            did it.
        """
        with self._lock:
            self.run, self._is_own = run, is_own
            is_too_late = bool(self._ending)
        if is_too_late:
            if self._is_a_persons_wish and run.id not in self._cancelled:
                self.cancel(self._ending)
            raise self._interruption()

    def pause(self, seconds: float) -> None:
        """
        Sleep; a task that is killed does not go on from here.

        :param seconds: 0 only makes sure that it is not killed.
        :raises DbtCloudWaitInterrupted: the task is killed; says whether the run goes on.
        :raises DbtCloudError: the task is killed, or stood still meanwhile, and there is no run yet.
        """
        began = time.time()
        self._is_over.wait(seconds)
        if self._is_killed:
            self.settle()
            raise self._interruption()
        late = time.time() - began - seconds
        if self.run is None and late > STANDSTILL:
            msg = (
                f"This process stood still for {late:.0f} s, and another try may be at work by now: this one "
                "goes no further."
            )
            raise DbtCloudError(msg)

    def _interruption(self) -> DbtCloudError:
        ending = self._ending or "Airflow ends this process"
        if self.run is None:
            return DbtCloudError(f"This try ends before it has a dbt Cloud run: {ending}.")
        return DbtCloudWaitInterrupted(
            self.run, ending if self._is_a_persons_wish else f"{ending}, so the run goes on"
        )

    def cancel(self, why: str, *, within: float | None = None) -> None:
        """
        Cancel the run if it is the task's own and dbt Cloud can be reached, and log what came of it.

        :param within: seconds; by default as long as it takes.
        """
        if self.run is None and self._find is None:
            # The connection may not have been read yet, and must not be now.
            self._log.info("No dbt Cloud run was started.")
            return
        # A third each to find the run, for the connection, and for the answer.
        client = self._hook.get_conn() if within is None else self._hook.get_conn().hurried(within / 3)
        try:
            for run in self._find_runs(client):
                if not self._is_own:
                    self._log.info("dbt Cloud run %s goes on: this task did not start it.", run.id)
                elif not self._cancel_on_kill:
                    self._log.info("dbt Cloud run %s goes on, as cancel_on_kill says.", run.id)
                else:
                    self._log.info("Cancelling dbt Cloud run %s, because %s.", run.id, why)
                    if within is None:
                        # A next try that came sooner than the end would take the run up.
                        client.end_run(run.id)
                    else:
                        client.cancel_run(run.id)
                    self._cancelled.add(run.id)
                    metrics.count(metrics.RUNS_CANCELLED)
        except DbtCloudError as error:
            name = f"run {self.run.id}" if self.run else "the run that was being started"
            self._log.warning("dbt Cloud %s may go on: it could not be cancelled. %s", name, error)

    def _find_runs(self, client: Client) -> list[Run]:
        if self.run is not None:
            return [self.run]
        found = self._find(client) if self._find else []
        if not found:
            self._log.warning("Nothing to cancel: no dbt Cloud run of this task is to be found.")
        return found

    def confirm(self) -> None:
        """
        Make sure, before the process ends, that no person has ended the task since the last heartbeat.

        Nobody would be left to cancel the run: Airflow would refuse a deferral without a word, too.

        :raises DbtCloudWaitInterrupted: a person has; the run is cancelled.
        """
        state = self._ask_state(STATE_BUDGET)
        if state in ENDED_WHILE_WORKING and self.run is not None:
            self._is_a_persons_wish, self._ending = True, f"a person ended the task (its state is {state})"
            self.cancel(self._ending)
            raise self._interruption()

    def settle(self) -> None:
        """Wait, if the task is killed, until it has been decided what becomes of its run."""
        if self._is_killed:
            # The process would end, and with it what may still be cancelling the run.
            self._is_over.wait(KILL_BUDGET)

    def kill(self) -> None:
        """Decide what becomes of the run now that Airflow ends this process; returns at once."""
        self._is_killed = True
        threading.Thread(target=self._stop, name="dbt-cloud-kill", daemon=True).start()

    def _stop(self) -> None:
        deadline = time.monotonic() + KILL_BUDGET
        state = self._ask_state(STATE_BUDGET)
        is_a_persons_wish = state in ENDED_WHILE_WORKING
        who = "a person" if is_a_persons_wish else "nobody"
        ending = f"{who} ended the task (its state is {state or 'unknown'})"
        with self._lock:
            self._is_a_persons_wish, self._ending = is_a_persons_wish, ending
        self._log.warning("Airflow ends this process: %s.", ending)
        try:
            if is_a_persons_wish:
                self.cancel(ending, within=max(1.0, deadline - time.monotonic()))
        finally:
            self._is_over.set()

    def _ask_state(self, timeout: float) -> str | None:
        states: list[str | None] = []

        def ask() -> None:
            try:
                states.append(self._get_state())
            except Exception as error:  # noqa: BLE001 - whatever it is, the state cannot be learned
                self._log.warning("Airflow does not say which state the task has: %r", error)

        asking = threading.Thread(target=ask, name="dbt-cloud-task-state", daemon=True)
        asking.start()
        asking.join(timeout)
        return states[0] if states else None

    def _get_state(self) -> str | None:
        return read_state(self.ti.get_task_states(**question(self.ti)), self.ti)
