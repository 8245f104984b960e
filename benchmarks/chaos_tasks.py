"""
Tasks that run dbt Cloud jobs, many at once, in one process: which of them end green.

`python benchmarks/chaos_tasks.py ours|official|official+retries TASKS TRIES sync|deferred` prints one JSON
object. The operators are executed as Airflow's task runner does it, but without Airflow's processes: each
try is an operator of its own, with the same ids and the next `try_number`, at once and not after five
minutes. If it defers, its trigger is stored and made again from what was stored, on the one event loop of all
triggers, and a new operator is resumed with the event. `official+retries` has its documented retries
switched on.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import threading
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

INTERVAL = 1
# So many tasks share a job, so that a task's run has to be told from those of others.
TASKS_OF_A_JOB = 10
RETRIES = {"retry_limit": 5, "retry_delay": 1}
DAG_RUN = SimpleNamespace(start_date=datetime.now(UTC), clear_number=0)


class TaskInstance:
    """What both operators need of Airflow's task instance."""

    dag_id, run_id, map_index = "chaos", "manual__1", -1

    def __init__(self, task_id: str, try_number: int, max_tries: int) -> None:
        self.task_id = task_id
        self.try_number = try_number
        self.max_tries = max_tries
        self.start_date = datetime.now(UTC)

    def xcom_push(self, key: str, value: Any) -> None:
        """Take what is of no interest here."""

    def get_task_states(self, **_: Any) -> dict[str, dict[str, str]]:
        """Say that nobody has ended the task."""
        return {self.run_id: {self.task_id: "running"}}


class Tasks:
    """Executes tasks, and notes why a try failed."""

    def __init__(self, kind: str, tries: int, *, is_deferred: bool) -> None:
        module = (
            "airflow_dbt_cloud.operators" if kind == "ours" else "airflow.providers.dbt.cloud.operators.dbt"
        )
        self.operator = import_module(module).DbtCloudRunJobOperator
        self.hook_params = RETRIES if kind == "official+retries" else {}
        self.tries = tries
        self.is_deferred = is_deferred
        self.failures: Counter[str] = Counter()
        self.triggerer = asyncio.new_event_loop()
        threading.Thread(target=self.triggerer.run_forever, daemon=True).start()

    def succeeds(self, number: int) -> bool:
        """Execute a task as often as it may be tried, and return whether it ended green."""
        for try_number in range(1, self.tries + 1):
            ti = TaskInstance(f"task_{number}", try_number, self.tries - 1)
            try:
                self.execute(number, {"ti": ti, "dag_run": DAG_RUN})
            except Exception as error:  # noqa: BLE001 - whatever it is, it fails the try
                said = "".join(traceback.format_exception_only(error)).strip()[:160]
                self.failures[re.sub(r"run \d+", "run N", said)] += 1
                if isinstance(error, AirflowFailException):
                    return False
            else:
                return True
        return False

    def execute(self, number: int, context: dict[str, Any]) -> None:
        """Execute one try."""
        try:
            self.make_operator(number).execute(context)
        except TaskDeferred as deferred:
            path, arguments = deferred.trigger.serialize()
            stored = path, json.dumps(arguments)
            event = asyncio.run_coroutine_threadsafe(fired(*stored), self.triggerer).result()
            resumed = {**(deferred.kwargs or {}), "event": event}
            self.make_operator(number).resume_execution(deferred.method_name, resumed, context)

    def make_operator(self, number: int) -> Any:
        """Return the task's operator, as each process that parses the DAG makes it anew."""
        return self.operator(
            dag=DAG("chaos", schedule=None),
            task_id=f"task_{number}",
            job_id=1 + number // TASKS_OF_A_JOB,
            check_interval=INTERVAL,
            deferrable=self.is_deferred,
            hook_params=self.hook_params,
        )


async def fired(path: str, arguments: str) -> Any:
    """Return what the event of a trigger says."""
    module, _, name = path.rpartition(".")
    trigger = getattr(import_module(module), name)(**json.loads(arguments))
    async for event in trigger.run():
        return event.payload
    msg = "The trigger ended without an event."
    raise RuntimeError(msg)


def main(kind: str, count: int, tries: int, way: str) -> None:
    """Execute the tasks, all at once, and print which of them failed."""
    tasks = Tasks(kind, tries, is_deferred=way == "deferred")
    with ThreadPoolExecutor(count) as threads:
        outcomes = list(threads.map(tasks.succeeds, range(count)))
    red = [f"task_{number}" for number, is_green in enumerate(outcomes) if not is_green]
    print(json.dumps({"red": red, "failures": tasks.failures.most_common(20)}))


if __name__ == "__main__":
    _, kind, count, tries, way = sys.argv
    main(kind, int(count), int(tries), way)
