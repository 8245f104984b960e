"""What happens in a DAG run, told line by line while it happens."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_dbt_cloud.client import Client
from airflow_dbt_cloud.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from demo.airflow import Airflow
    from demo.dbt_cloud import DbtCloud

# The operator's own lines in a task's log; the others are Airflow's housekeeping.
TOLD = ("airflow.task.operators.airflow_dbt_cloud", "airflow.task.hooks.airflow_dbt_cloud")
# Of dbt's console a model's end says enough, and so does a test's failure; its clock stands beside ours.
UNTOLD = re.compile(r"\d of \d+ (START|PASS)|No packages were found")
CLOCK = re.compile(r"^\d\d:\d\d:\d\d +")
# Below the words of a line, which begins with the time.
NEXT_LINE = "\n" + " " * 14
# How dbt calls the end of a node that did what it should.
OK = frozenset({"success", "pass", "warn", "no-op"})


class Narrator:
    """
    Tells what is new: the tasks' states, and the operator's log of each try, with dbt's console in it.

    :param dbt_task: the task whose log is told, too; None = none.
    :param only: the lines of dbt's console that are told; None = all that say something.
    :param say: takes a line.
    """

    def __init__(
        self,
        dbt_cloud: DbtCloud,
        airflow: Airflow,
        dag_run: tuple[str, str],
        *,
        dbt_task: str | None,
        only: re.Pattern[str] | None = None,
        say: Callable[[str], None],
    ) -> None:
        self.dag_run = dag_run
        # The dbt Cloud run of each try of the dbt task.
        self.runs: dict[int, int] = {}
        self._airflow = airflow
        self._dbt_task = dbt_task
        self._only = only
        self._say = say
        self._client = Client(Credentials(**dbt_cloud.credentials()))
        self._states: dict[str, tuple[str, int]] = {}
        self._log_lines = Counter[int]()

    def tell(self) -> None:
        """Say what has happened since the last call."""
        for task in self._airflow.tasks(*self.dag_run):
            index, state, try_number = task["map_index"], task["state"], task["try_number"]
            name = task["task_id"] if index < 0 else f"{task['task_id']}[{index}]"
            is_dbt = name == self._dbt_task and state not in {None, "scheduled", "queued"}
            is_new = state and (state, try_number) != self._states.get(name)
            if is_dbt and state != "running":
                # What it did comes before what became of it.
                self._tell_dbt(name, try_number)
            if is_new:
                self._states[name] = state, try_number
                self._say(f"Task {name}: {state}" + (f" (try {try_number})" if try_number > 1 else ""))
            if is_dbt and state == "running":
                self._tell_dbt(name, try_number)

    def tell_tries(self) -> Iterator[str]:
        """Yield a line for each try of the dbt task: its run, and what became of dbt's nodes."""
        for try_number, run_id in self.runs.items():
            run = self._client.get_run(run_id)
            with self._client.stream_artifact(run_id, "run_results.json") as pieces:
                results = json.loads(b"".join(pieces))["results"]
            retry = f", a retry of run {run.retrying_run_id}" if run.retrying_run_id else ""
            yield f"  try {try_number}: run {run_id} ({run.status_name}){retry}"
            yield f"         {count_nodes(results)}"
            for verb, models in list_models(results).items():
                # Of a whole build the list would be long.
                if models and (retry or verb != "built"):
                    yield f"         {verb}: {', '.join(models)}"

    def tell_mapped(self) -> Iterator[str]:
        """Yield a line for each mapped task: the job that it ran, and its run."""
        for task in self._airflow.tasks(*self.dag_run):
            if (index := task["map_index"]) >= 0:
                run_id = self._airflow.xcom(*self.dag_run, task["task_id"], "job_run_id", map_index=index)
                run = self._client.get_run(run_id)
                name = self._client.get_job(run.job_id).name
                seconds = run.duration.total_seconds()
                yield f"  {name:<18}  run {run.id} ({run.status_name} after {seconds:.0f} s)"

    def _tell_dbt(self, task_id: str, try_number: int) -> None:
        lines = self._airflow.log(*self.dag_run, task_id, try_number)
        # Airflow's own lines are not counted: how many there are depends on whether the task is at work.
        told = [text for line in lines if (text := _operators(line))]
        for text in told[self._log_lines[try_number] :]:
            is_console = CLOCK.match(text)
            if not UNTOLD.search(text) and not (is_console and self._only and not self._only.search(text)):
                # Of several lines, such as an error's, each stands below the first.
                self._say(f"    {CLOCK.sub('    ', text)}".replace("\n", NEXT_LINE))
        self._log_lines[try_number] = len(told)
        if "job_run_id" in self._airflow.xcom_keys(*self.dag_run, task_id):
            run_id = self._airflow.xcom(*self.dag_run, task_id, "job_run_id")
            # A try that has just begun shows that of the try before.
            if run_id not in self.runs.values():
                self.runs[try_number] = run_id


def count_nodes(results: Sequence[Mapping[str, Any]]) -> str:
    """Say in words what became of dbt's nodes, by the `results` of a `run_results.json`."""
    by_status = Counter("ok" if node["status"] in OK else str(node["status"]) for node in results)
    rest = [f"{count} {status}" for status, count in by_status.items() if status != "ok"]
    return ", ".join([f"{by_status['ok']} of {len(results)} nodes ok", *rest])


def list_models(results: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the names of the models in the `results` of a `run_results.json`, by whether they were built."""
    models: dict[str, list[str]] = {"built": [], "not built": []}
    for node in results:
        kind, _, name, *_ = node["unique_id"].split(".")
        if kind == "model":
            models["built" if node["status"] in OK else "not built"].append(name)
    return models


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


def _operators(line: Mapping[str, Any]) -> str:
    """Return what a line of a task's log says if the operator has said it, or raised it."""
    if str(line.get("logger")).startswith(TOLD):
        return str(line["event"])
    return " ".join(str(error["exc_value"]) for error in line.get("error_detail") or ())
