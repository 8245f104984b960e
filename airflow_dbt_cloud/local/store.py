"""The state folder: runs, steps and jobs, kept over restarts.

    lock                                held while a server uses the folder
    state.sqlite3                       one JSON row for each run, and for each job that the API created
    runs/<run>/steps/<n>/console.log    what dbt printed in that step; dbt.log: its debug log, JSON lines
    runs/<run>/steps/<n>/target/        the artifacts as they were after that step
    warehouse/<environment>.duckdb      what the runs build
    work/<run>/                         the working copy of a run that is going

Invariants: records are frozen and replaced under the lock, so a reader needs none; what a reader can see is
already in the database, but for the end of a run that could not be written; ids grow, also over restarts.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import sqlite3
import threading
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from airflow_dbt_cloud.local.errors import StartError
from airflow_dbt_cloud.local.project import slug
from airflow_dbt_cloud.local.records import Job, Run, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from airflow_dbt_cloud.local.records import Environment, Step

_RUN_IDS = 70_404_000_000_000
_YEAR_2020_MS = 1_577_836_800_000
_OWN_NAMES = {
    ".gitignore",
    "lock",
    "runs",
    "state.sqlite3",
    "state.sqlite3-shm",
    "state.sqlite3-wal",
    "warehouse",
    "work",
}
RESTARTED = "The local server was restarted while this run was going."


class Store:
    """All runs and jobs, and where their files are."""

    def __init__(self, folder: Path, jobs: Iterable[Job], clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.clock = clock
        self.lock = threading.RLock()
        self._file_jobs = {job.id: job for job in jobs}
        self._unwritten: set[int] = set()
        try:
            self._open()
        except (OSError, sqlite3.Error) as error:
            raise StartError(
                f"the state folder {folder} cannot be used: {error}; choose another with --state"
            ) from error
        except (KeyError, TypeError, ValueError) as error:
            raise StartError(
                f"the state folder {folder} was written by another version ({error!r}); "
                "delete it, or give another with --state"
            ) from error

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        _refuse_other_folders(self.folder)
        self._lock_file = _lock(self.folder)
        (self.folder / ".gitignore").write_text("*\n", encoding="utf-8")
        (self.folder / "warehouse").mkdir(exist_ok=True)
        shutil.rmtree(self.folder / "work", ignore_errors=True)
        self._database = sqlite3.connect(
            self.folder / "state.sqlite3", isolation_level=None, check_same_thread=False, timeout=5
        )
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        for table in ("runs", "jobs"):
            self._database.execute(
                f"CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY, value TEXT NOT NULL)"
            )
        self._jobs = {row["id"]: Job.from_json(row) for row in self._rows("jobs")} | self._file_jobs
        self._runs = {row["id"]: Run.from_json(row) for row in self._rows("runs")}
        self._unfinished = {run.id: run for run in self._runs.values() if not run.status.is_terminal}
        self._latest = {run.job.id: run.id for run in self._runs.values()}
        self._last_id = max(
            (max(run.id, run.trigger.id, *_step_ids(run)) for run in self._runs.values()), default=0
        )
        self._end_interrupted_runs()

    def close(self) -> None:
        """Let another server use the folder."""
        with self.lock:
            with contextlib.suppress(sqlite3.Error):
                for run_id in self._unwritten:
                    self._save_run(self._runs[run_id])
            self._database.close()
            self._lock_file.close()

    def next_id(self) -> int:
        """Give an id of 14 digits, larger than all before, also those of a state folder that is gone."""
        with self.lock:
            now = _RUN_IDS + int(self.clock() * 1000) - _YEAR_2020_MS
            self._last_id = max(self._last_id + 1, now)
            return self._last_id

    def jobs(self) -> list[Job]:
        """List all jobs, also the deleted ones."""
        with self.lock:
            return list(self._jobs.values())

    def find_job(self, job_id: int) -> Job | None:
        """Find the job of that id, also a deleted one."""
        return self._jobs.get(job_id)

    def save_job(self, job: Job) -> Job:
        """Keep a job. A job of `dbt_cloud.yml` is as the file says again when the server next starts."""
        with self.lock:
            if job.id not in self._file_jobs:
                self._write("jobs", job.id, asdict(job))
            self._jobs[job.id] = job
            return job

    def runs(self) -> list[Run]:
        """List all runs, the oldest first."""
        with self.lock:
            return list(self._runs.values())

    def unfinished_runs(self) -> list[Run]:
        """List the runs that are queued or going, the oldest first."""
        with self.lock:
            return list(self._unfinished.values())

    def find_run(self, run_id: int) -> Run | None:
        """Find the run of that id."""
        return self._runs.get(run_id)

    def find_step(self, step_id: int) -> tuple[Run, Step] | None:
        """Find the step of that id, and its run."""
        for run in reversed(self.runs()):
            for step in run.steps:
                if step.id == step_id:
                    return run, step
        return None

    def latest_run(self, job_id: int) -> Run | None:
        """Find the newest run of a job."""
        with self.lock:
            run_id = self._latest.get(job_id)
            return None if run_id is None else self._runs[run_id]

    def add_run(self, run: Run) -> Run:
        """Keep a new run."""
        with self.lock:
            self._save_run(run)
            self._latest[run.job.id] = run.id
            return run

    def update_run(self, run_id: int, **changes: Any) -> Run:
        """Replace fields of a run. A finished run stays as it is."""
        with self.lock:
            before = self._runs[run_id]
            if before.status.is_terminal:
                return before
            return self._save_run(replace(before, updated_at=self.clock(), **changes))

    def end_run(self, run_id: int, status: Status, message: str | None) -> Run:
        """End a run and its open steps; if the state cannot be written, in memory, so that nobody waits."""
        with self.lock:
            before = self._runs[run_id]
            if before.status.is_terminal:
                return before
            run = before.ended(status, message, self.clock())
            try:
                return self._save_run(run)
            except sqlite3.Error:
                self._unwritten.add(run_id)
                return self._show_run(run)

    def explain(self, error: Exception) -> str:
        """Say what an error of the disk or the database means, and what to do about a full disk."""
        numbers = (getattr(error, "errno", None), getattr(error, "sqlite_errorcode", None))
        if numbers[0] in (errno.ENOSPC, errno.EDQUOT) or numbers[1] == sqlite3.SQLITE_FULL:
            return f"{error}: make room on the disk of the state folder {self.folder}"
        return str(error)

    def add_step(self, run_id: int, step: Step) -> Step:
        """Append a step to a run."""
        with self.lock:
            self.update_run(run_id, steps=(*self._runs[run_id].steps, step))
            return step

    def update_step(self, run_id: int, index: int, **changes: Any) -> Step:
        """Replace fields of a step."""
        with self.lock:
            steps = list(self._runs[run_id].steps)
            steps[index - 1] = replace(steps[index - 1], **changes)
            self.update_run(run_id, steps=tuple(steps))
            return steps[index - 1]

    def step_folder(self, run_id: int, index: int) -> Path:
        """Name the folder of a step's logs and artifacts."""
        return self.folder / "runs" / str(run_id) / "steps" / str(index)

    def work_folder(self, run_id: int) -> Path:
        """Name the folder that a run works in."""
        return self.folder / "work" / str(run_id)

    def warehouse(self, environment: Environment) -> Path:
        """Name the DuckDB file of an environment."""
        return self.folder / "warehouse" / f"{slug(environment.name)}.duckdb"

    def _rows(self, table: str) -> list[dict[str, Any]]:
        rows = self._database.execute(f"SELECT value FROM {table} ORDER BY id").fetchall()  # noqa: S608 - our own name
        return [json.loads(value) for (value,) in rows]

    def _write(self, table: str, row_id: int, value: dict[str, Any]) -> None:
        statement = f"INSERT OR REPLACE INTO {table} VALUES (?, ?)"  # noqa: S608 - our own name
        self._database.execute(statement, (row_id, json.dumps(value)))

    def _save_run(self, run: Run) -> Run:
        self._write("runs", run.id, run.to_json())
        return self._show_run(run)

    def _show_run(self, run: Run) -> Run:
        self._runs[run.id] = run
        if run.status.is_terminal:
            self._unfinished.pop(run.id, None)
        else:
            self._unfinished[run.id] = run
        return run

    def _end_interrupted_runs(self) -> None:
        """End the runs that were going: they ended with their server. What was queued still is."""
        for run in self.unfinished_runs():
            if run.status is not Status.QUEUED:
                self._save_run(run.ended(Status.CANCELLED, RESTARTED, self.clock()))


def _refuse_other_folders(folder: Path) -> None:
    """Refuse a folder with other things in it: parts of a state folder are deleted now and then."""
    names = {path.name for path in folder.iterdir()}
    if other := sorted(names - _OWN_NAMES):
        raise StartError(
            f"{folder} is no state folder: found {other[0]!r} in it; give a new or empty folder with --state"
        )


def _lock(folder: Path) -> Any:
    """Hold the folder's lock until the file is closed."""
    lock_file = (folder / "lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock_file.seek(0)
        owner = lock_file.read().strip() or "unknown"
        lock_file.close()
        raise StartError(
            f"another local server (process {owner}) uses the state folder {folder}; "
            "stop it, or give this one a folder of its own with --state"
        ) from None
    lock_file.truncate(0)
    lock_file.write(str(os.getpid()))
    lock_file.flush()
    return lock_file


def _step_ids(run: Run) -> list[int]:
    return [step.id for step in run.steps]
