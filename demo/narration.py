"""What happens in a DAG run, told line by line while it happens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_dbt_cloud.client import Client
from airflow_dbt_cloud.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from demo.airflow import Airflow
    from demo.dbt_cloud import DbtCloud

# The operator's own lines in a task's log; the others are Airflow's housekeeping.
TOLD = ("airflow.task.operators.airflow_dbt_cloud", "airflow.task.hooks.airflow_dbt_cloud")
# A model's end says enough, and so does a test's failure; dbt's clock stands beside ours.
UNTOLD = re.compile(r"\d of \d+ (START|PASS)|No packages were found|^(\d\d:\d\d:\d\d)?\s*$")
CLOCK = re.compile(r"^\d\d:\d\d:\d\d +")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Narrator:
    """
    Tells what is new: the tasks' states, the operator's log, and dbt's console.

    :param dbt_task: the task whose log and dbt console are told, too; None = none.
    :param say: takes a line.
    """

    def __init__(
        self,
        dbt_cloud: DbtCloud,
        airflow: Airflow,
        dag_id: str,
        run_id: str,
        *,
        dbt_task: str | None,
        say: Callable[[str], None],
    ) -> None:
        self._airflow = airflow
        self._dag_run = (dag_id, run_id)
        self._dbt_task = dbt_task
        self._say = say
        self._client = Client(Credentials(**dbt_cloud.credentials()))
        self._states: dict[str, str] = {}
        self._log_lines = 0
        self._steps: dict[int, int] = {}

    def tell(self) -> None:
        """Say what has happened since the last call."""
        for task in self._airflow.tasks(*self._dag_run):
            index, state = task["map_index"], task["state"]
            name = task["task_id"] if index < 0 else f"{task['task_id']}[{index}]"
            if state and state != self._states.get(name):
                self._states[name] = state
                self._say(f"Task {name}: {state}")
        if self._dbt_task and self._states.get(self._dbt_task) not in {None, "scheduled", "queued"}:
            self._tell_log(self._dbt_task)
            self._tell_console(self._dbt_task)

    def _tell_log(self, task_id: str) -> None:
        lines = self._airflow.log(*self._dag_run, task_id)
        for line in lines[self._log_lines :]:
            if str(line.get("logger")).startswith(TOLD):
                self._say(f"    {line['event']}")
        self._log_lines = len(lines)

    def _tell_console(self, task_id: str) -> None:
        if "job_run_id" not in self._airflow.xcom_keys(*self._dag_run, task_id):
            return
        run_id = self._airflow.xcom(*self._dag_run, task_id, "job_run_id")
        for step in self._client.get_run(run_id, include_related=["run_steps"]).steps:
            if step.id not in self._steps:
                self._say(f"    Step {step.index}: {step.name}")
            told = self._steps.get(step.id, 0)
            # The last line may not be whole yet.
            new = step.logs[told : step.logs.rfind("\n") + 1]
            self._steps[step.id] = told + len(new)
            for line in COLOURS.sub("", new).splitlines():
                if not UNTOLD.search(line):
                    self._say(f"        {CLOCK.sub('', line)}")


def table(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table: words to the left, numbers to the right."""
    rows = list(rows)
    widths = {key: max(len(key), *(len(str(row[key])) for row in rows)) for key in rows[0]}
    yield "  " + "  ".join(key.ljust(width) for key, width in widths.items())
    for row in rows:
        cells = (
            str(row[key]).ljust(width) if isinstance(row[key], str) else str(row[key]).rjust(width)
            for key, width in widths.items()
        )
        yield "  " + "  ".join(cells)
