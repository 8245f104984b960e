"""Airflow's four components as processes, and its REST API."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests

from demo.processes import Process, StackError, free_port, stop, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
# The API server reads the logs from the disk; the servers for logs would listen on all interfaces.
COMPONENTS: dict[str, tuple[str, ...]] = {
    "api-server": (),
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
}


class Airflow:
    """
    An Airflow with a database, logs and configuration of its own.

    :param home: its folder; must be empty.
    :param dags: the folders of the DAG files.
    :param port: where its pages and its API are; 0 = any free one.
    :param environment: further environment variables for all components.
    :param python: the interpreter that has Airflow; default this one.
    """

    def __init__(
        self,
        home: Path,
        dags: Sequence[Path],
        *,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
        python: Path | str = sys.executable,
    ) -> None:
        self.url = f"http://127.0.0.1:{port or free_port()}"
        self.processes: dict[str, Process] = {}
        self._home = home
        self._python = str(python)
        self._session = requests.Session()
        self._turn = threading.Lock()
        self.environment = {**_clean_environment(), **self._settings(dags), **(environment or {})}

    def start(self) -> None:
        """Make the database, start the components, and wait until all say that they are healthy."""
        self._home.mkdir(parents=True, exist_ok=True)
        self._run("db", "migrate")
        for component in COMPONENTS:
            self.start_component(component)
        wait_until(
            self._is_healthy, within=120, what="Airflow's start", watching=list(self.processes.values())
        )
        token = requests.get(f"{self.url}/auth/token", timeout=30).json()["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def start_component(
        self, component: str, *, name: str = "", environment: Mapping[str, str] | None = None
    ) -> Process:
        """
        Start one component, with its log in the home.

        :param name: what to call it, if it is the second of its kind.
        :param environment: further environment variables for this one.
        """
        command = [self._python, "-m", "airflow", component, *COMPONENTS[component]]
        log = self._home / f"{name or component}.log"
        env = {**self.environment, **(environment or {})}
        process = Process(f"Airflow's {name or component}", command, env=env, log=log)
        self.processes[name or component] = process
        return process

    def stop_component(self, name: str) -> None:
        """Stop one component for good."""
        stop([self.processes.pop(name)])

    def stop(self) -> None:
        """Stop all components."""
        stop(self.processes.values())

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """
        Call the REST API, and return the answer's JSON.

        :param path: below `/api/v2/`.
        :raises StackError: there is no answer, or it is an error; shows it.
        """
        url = f"{self.url}/api/v2/{path}"
        # Requests that change something block each other in Airflow, if they come at once and it uses SQLite.
        turn = nullcontext() if method == "GET" else self._turn
        try:
            with turn:
                response = self._session.request(method, url, json=body, params=params, timeout=30)
        except requests.RequestException as error:
            msg = f"Airflow did not answer {method} {path}: {error}"
            raise StackError(msg) from error
        if not response.ok:
            msg = f"Airflow answered {response.status_code} to {method} {path}: {response.text}"
            raise StackError(msg)
        return response.json() if response.content else None

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Wait until a DAG is there, start a run of it, and return the run's id."""
        wait_until(
            lambda: self.has_dag(dag_id),
            within=90,
            what=f"Reading the DAG {dag_id}",
            watching=list(self.processes.values()),
        )
        run = self.call("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf or {}})
        return str(run["dag_run_id"])

    def has_dag(self, dag_id: str) -> bool:
        """Say whether a DAG is there."""
        found = self.call("GET", "dags", dag_id_pattern=dag_id, limit=100)["dags"]
        return dag_id in {dag["dag_id"] for dag in found}

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return a DAG run."""
        return dict(self.call("GET", f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"))

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a DAG run."""
        path = f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances"
        return list(self.call("GET", path)["task_instances"])

    def task(self, dag_id: str, run_id: str, task_id: str, part: str = "", **params: Any) -> Any:
        """
        Return a task instance, or a part of it.

        :param part: `links`, `xcomEntries`, `xcomEntries/KEY`, `logs/TRY`.
        """
        path = f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}"
        return self.call("GET", f"{path}/{part}" if part else path, **params)

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task instance as a person does on its page: `failed` or `success`."""
        path = f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}"
        self.call("PATCH", path, {"new_state": state})

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clear a task instance as a person does on its page."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "only_failed": False}
        self.call("POST", f"dags/{dag_id}/clearTaskInstances", body)

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1
    ) -> Any:
        """Return the value of a task's XCom."""
        part = f"xcomEntries/{key}"
        return self.task(dag_id, run_id, task_id, part, deserialize=True, map_index=map_index)["value"]

    def xcom_keys(self, dag_id: str, run_id: str, task_id: str) -> set[str]:
        """Return the keys of a task's XComs."""
        return {entry["key"] for entry in self.task(dag_id, run_id, task_id, "xcomEntries")["xcom_entries"]}

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> list[dict[str, Any]]:
        """Return the lines of a task's log; each has an `event`, a `level` and a `logger`."""
        answer = self.task(dag_id, run_id, task_id, f"logs/{try_number}", full_content=True)
        return [line for line in answer["content"] if isinstance(line, dict)]

    def _is_healthy(self) -> bool:
        try:
            # What serves tasks is made when it is first asked, and a task does not wait so long.
            requests.get(f"{self.url}/execution/health", timeout=5).raise_for_status()
            health = requests.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def _run(self, *arguments: str) -> None:
        command = [self._python, "-m", "airflow", *arguments]
        done = subprocess.run(  # noqa: S603 - the command is ours
            command, env=self.environment, capture_output=True, text=True, check=False, start_new_session=True
        )
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
            msg = f"`airflow {' '.join(arguments)}` ended with code {done.returncode}:\n{tail}"
            raise StackError(msg)

    def _settings(self, dags: Sequence[Path]) -> dict[str, str]:
        port = self.url.rpartition(":")[2]
        # The name of a folder will not do: "example_dags" is one of Airflow's own.
        bundles = [
            {"name": f"dags-{number}", "classpath": BUNDLE, "kwargs": {"path": str(path)}}
            for number, path in enumerate(dags)
        ]
        return {
            "AIRFLOW_HOME": str(self._home),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": port,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
            "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "3",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
        }


def _clean_environment() -> dict[str, str]:
    """Return our environment without the settings of another Airflow."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
