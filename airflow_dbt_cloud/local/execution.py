"""One run while it goes: its steps, one after another, in a thread of its own.

The steps are those of dbt Cloud: clone, profile, `dbt deps`, source freshness if the job asks for it, the
commands, docs if the job asks for them. A command that fails ends the run; freshness and docs of the
checkboxes may fail without harm.
"""

from __future__ import annotations

import contextlib
import shlex
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_dbt_cloud.local.artifacts import Snapshot, take_snapshot
from airflow_dbt_cloud.local.dbt_process import DbtProcess, Invocation
from airflow_dbt_cloud.local.records import Run, Status, Step
from airflow_dbt_cloud.local.repository import GitError, Repository
from airflow_dbt_cloud.local.times import humanized_duration
from airflow_dbt_cloud.local.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    OnEnd = Callable[[int], None]

    from airflow_dbt_cloud.local.project import ProjectFolder
    from airflow_dbt_cloud.local.records import Environment
    from airflow_dbt_cloud.local.store import Store

CANCELLED_BY_USER = "Cancelled by user."
RUN_DURATION_LIMIT = 86400
_DEPS, _FRESHNESS, _DOCS = "dbt deps", "dbt source freshness", "dbt docs generate"
_LOOK_INTERVAL = 0.1
_GRACE, _GRACE_AT_SHUTDOWN = 10.0, 2.0


@dataclass(frozen=True, slots=True)
class Site:
    """What all runs share."""

    store: Store
    folder: ProjectFolder
    repository: Repository
    warehouse_locks: dict[int, threading.Lock]
    start_delay: Callable[[Run], float]


class _StepFailed(Exception):
    """The step's log says why."""


class _Stopped(Exception):
    """The run is to end now."""

    def __init__(self, message: str | None) -> None:
        super().__init__(message)
        self.message = message


class Execution:
    """A run that has left the queue. Exactly one thread works on it, and ends it."""

    def __init__(self, site: Site, run: Run, on_end: OnEnd) -> None:
        self._site, self._run_id, self._on_end = site, run.id, on_end
        self._environment = _environment(site.folder, run)
        self._workspace = Workspace(site.store.work_folder(run.id))
        self._snapshot = Snapshot(None, {})
        self._stop_asked = threading.Event()
        self._stop_message: str | None = None
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._work, name=f"run-{run.id}", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, message: str | None) -> None:
        """Ask the run to end as cancelled; without a message, to break off and leave its state as it is."""
        self._stop_message = message
        self._stop_asked.set()

    def join(self, seconds: float) -> None:
        """Wait for its end."""
        self._thread.join(seconds)

    @property
    def _run(self) -> Run:
        run = self._site.store.find_run(self._run_id)
        if run is None:
            raise LookupError(self._run_id)
        return run

    def _work(self) -> None:
        status: Status | None = Status.ERROR
        message: str | None = "Internal error"
        try:
            status, message = self._go_through_steps()
        finally:
            # The slot is given back even if the state cannot be written.
            try:
                self._workspace.remove()
                if status is not None:
                    self._site.store.end_run(self._run_id, status, message)
            finally:
                self._on_end(self._run_id)

    def _go_through_steps(self) -> tuple[Status | None, str | None]:
        try:
            self._begin()
            self._clone()
            self._create_profile()
            self._invoke(_DEPS)
            if self._run.job.run_generate_sources:
                self._site.store.update_run(
                    self._run_id, has_sources_generated=self._invoke_harmless(_FRESHNESS)
                )
            for command in self._run.commands:
                self._invoke(command)
            if self._run.generate_docs:
                self._site.store.update_run(self._run_id, has_docs_generated=self._invoke_harmless(_DOCS))
        except _StepFailed:
            return Status.ERROR, "dbt command failed"
        except _Stopped as stopped:
            return (None, None) if stopped.message is None else (Status.CANCELLED, stopped.message)
        except (OSError, sqlite3.Error) as error:
            return Status.ERROR, f"Internal error: {self._site.store.explain(error)}"
        return Status.SUCCESS, None

    def _begin(self) -> None:
        self._check_stop()
        store = self._site.store
        self._deadline = time.monotonic() + (self._run.timeout_seconds or RUN_DURATION_LIMIT)
        store.update_run(self._run_id, status=Status.RUNNING, started_at=store.clock())

    def _clone(self) -> None:
        site, run = self._site, self._run
        with self._step("Clone git repository") as step:
            self._print(step, f"Cloning into '{self._workspace.project}'...\n")
            self._pause(site.start_delay(run))
            asked = run.trigger.git_sha or run.trigger.git_branch
            commit = site.repository.find(run.trigger.git_sha, run.trigger.git_branch)
            if commit is not None:
                self._workspace.check_out(site.repository, commit)
            elif asked:
                raise GitError(f"There is no {asked} in the repository any more.")
            else:
                self._workspace.copy_project(site.folder, site.store.folder)
            self._print(step, "Successfully cloned repository.\n")
            self._print(step, f"Checking out to {asked}...\n" if asked else "Checking out default branch\n")
            if (shown := commit or site.repository.head()) is not None:
                site.store.update_run(run.id, git_branch=shown.branch, git_sha=shown.sha)

    def _create_profile(self) -> None:
        schema = self._run.schema_override
        suffix = f" (override schema to '{schema}')" if schema else ""
        with self._step(f"Create profile from connection DuckDB{suffix}") as step:
            warehouse = self._site.store.warehouse(self._environment)
            self._workspace.write_profile(self._run, self._environment, warehouse)
            self._print(
                step,
                f"Target '{self._run.target_name}' with {self._run.threads} threads in {warehouse.name}\n",
            )

    def _invoke_harmless(self, command: str) -> bool:
        try:
            self._invoke(command)
        except _StepFailed:
            return False
        return True

    def _invoke(self, command: str) -> None:
        with self._step(f"Invoke dbt with `{command}`", command) as step, self._warehouse(command):
            self._start_clock(step)
            try:
                exit_code = self._run_dbt(step, command)
            finally:
                self._save_artifacts(step)
            if exit_code != 0:
                raise _StepFailed

    def _run_dbt(self, step: Step, command: str) -> int:
        folder = self._folder(step)
        try:
            arguments = shlex.split(command)[1:]
        except ValueError as error:
            self._print(step, f"This command cannot be read: {error}\n")
            raise _StepFailed from error
        if self._run.retrying_run_id is not None and arguments == ["retry"]:
            arguments += ["--state", str(self._retry_state())]
        process = DbtProcess(
            Invocation(
                arguments=tuple(arguments),
                folder=self._workspace.project,
                environment=self._dbt_environment(),
                console_log=folder / "console.log",
                log_folder=folder,
            )
        )
        while (exit_code := process.wait(_LOOK_INTERVAL)) is None:
            try:
                self._check_stop()
            except _Stopped as stopped:
                process.stop(_GRACE_AT_SHUTDOWN if stopped.message is None else _GRACE)
                raise
        if exit_code < 0:
            self._print(step, f"dbt was ended by signal {-exit_code}.\n")
        return exit_code

    def _dbt_environment(self) -> dict[str, str]:
        folder = self._site.folder
        return self._workspace.dbt_environment(
            self._run, folder.project.id, folder.account.id, self._environment
        )

    def _retry_state(self) -> Path:
        """Find where the run that is retried left its results."""
        store = self._site.store
        parent = store.find_run(self._run.retrying_run_id or 0)
        if parent is None or parent.failed_step is None:
            raise LookupError(f"run {self._run_id} retries nothing")
        return store.step_folder(parent.id, parent.failed_step.index) / "target"

    def _save_artifacts(self, step: Step) -> None:
        target = self._folder(step) / "target"
        self._snapshot, changed = take_snapshot(self._workspace.target, target, self._snapshot)
        self._site.store.update_step(
            self._run_id,
            step.index,
            has_artifacts=bool(changed),
            has_run_results="run_results.json" in changed,
        )

    @contextlib.contextmanager
    def _step(self, name: str, command: str | None = None) -> Iterator[Step]:
        """Add a step, and end it with what becomes of it."""
        store = self._site.store
        self._check_stop()
        step = Step(store.next_id(), len(self._run.steps) + 1, name, store.clock(), command=command)
        self._folder(step).mkdir(parents=True, exist_ok=True)
        store.add_step(self._run_id, step)
        status = Status.ERROR
        try:
            if command is None:
                self._start_clock(step)
            yield step
            status = Status.SUCCESS
        except _Stopped:
            status = Status.CANCELLED
            raise
        except GitError as error:
            self._print(step, f"{error}\n")
            raise _StepFailed from error
        except OSError as error:
            with contextlib.suppress(OSError):
                self._print(step, f"Internal error: {store.explain(error)}\n")
            raise
        finally:
            store.update_step(self._run_id, step.index, status=status, finished_at=store.clock())

    @contextlib.contextmanager
    def _warehouse(self, command: str) -> Iterator[None]:
        """Have the environment's DuckDB file alone: a second process could not open it."""
        if command == _DEPS:
            yield
            return
        lock = self._site.warehouse_locks[self._environment.id]
        while not lock.acquire(timeout=_LOOK_INTERVAL):
            self._check_stop()
        try:
            yield
        finally:
            lock.release()

    def _start_clock(self, step: Step) -> None:
        store = self._site.store
        store.update_step(self._run_id, step.index, status=Status.RUNNING, started_at=store.clock())

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._check_stop()
            self._stop_asked.wait(min(left, _LOOK_INTERVAL))

    def _check_stop(self) -> None:
        if self._stop_asked.is_set():
            raise _Stopped(self._stop_message)
        if time.monotonic() > self._deadline:
            limit = self._run.timeout_seconds or RUN_DURATION_LIMIT
            raise _Stopped(
                f"This run timed out after running for {humanized_duration(limit)}, "
                f"which exceeded the configured timeout of {limit} seconds."
            )

    def _folder(self, step: Step) -> Path:
        return self._site.store.step_folder(self._run_id, step.index)

    def _print(self, step: Step, text: str) -> None:
        with (self._folder(step) / "console.log").open("a", encoding="utf-8") as log:
            log.write(text)


def _environment(folder: ProjectFolder, run: Run) -> Environment:
    return next(each for each in folder.environments if each.id == run.job.environment_id)
