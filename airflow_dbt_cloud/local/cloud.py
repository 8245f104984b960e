"""What a dbt Cloud account does: trigger, retry, rerun and cancel runs, create, change and delete jobs."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_dbt_cloud.local.envelope import InvalidRequest, NotFound
from airflow_dbt_cloud.local.execution import Execution, Site
from airflow_dbt_cloud.local.records import ACTIVE, DELETED, Environment, Job, Run, Status, Trigger
from airflow_dbt_cloud.local.repository import Repository
from airflow_dbt_cloud.local.retries import failure_details, why_not
from airflow_dbt_cloud.local.scheduler import SYSTEM, Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_dbt_cloud.local.execution import OnEnd
    from airflow_dbt_cloud.local.faults import Faults
    from airflow_dbt_cloud.local.project import ProjectFolder
    from airflow_dbt_cloud.local.store import Store

RESUMED = "This run resumed execution from last failed step"
RERUN = "Triggered by a rerun request"
_RUN_VALUES = frozenset(Trigger.__dataclass_fields__) - {
    "id",
    "created_at",
    "cause_category",
    "job_definition_id",
}


class Cloud:
    """The account, its project, and everything that happens in it."""

    def __init__(
        self,
        folder: ProjectFolder,
        store: Store,
        faults: Faults,
        *,
        dbt_version: str,
        run_slots: int = 2,
        queue_limit: int = 50,
        execution: Callable[[Site, Run, OnEnd], Execution] = Execution,
    ) -> None:
        self.folder, self.store, self.faults = folder, store, faults
        self.run_slots, self.queue_limit = run_slots, queue_limit
        self.dbt_version = dbt_version
        self.dbt_versions = _version_names(dbt_version)
        self.environments = {environment.id: environment for environment in folder.environments}
        self._repository = Repository(folder.path)
        locks = {environment_id: threading.Lock() for environment_id in self.environments}
        site = Site(store, folder, self._repository, locks, faults.start_delay)
        self.scheduler = Scheduler(store, run_slots, partial(execution, site))

    def start(self) -> None:
        """Take up the queue that an earlier server left."""
        for run in self.store.unfinished_runs():
            if run.job.environment_id not in self.environments:
                self._refuse_queued(run)
        self.scheduler.start()

    def stop(self) -> None:
        """End everything that goes."""
        self.scheduler.stop()

    def find_job(self, job_id: int) -> Job:
        """Find a job that is not deleted."""
        job = self.store.find_job(job_id)
        if job is None or job.state == DELETED:
            raise NotFound
        return job

    def runs(self) -> list[Run]:
        """List the runs that no fault hides, as they are shown, the oldest first."""
        return [self.faults.shown(run) for run in self.store.runs() if not self.faults.hides(run)]

    def find_run(self, run_id: int) -> Run:
        """Find a run as it is shown, unless a fault hides it."""
        run = self.store.find_run(run_id)
        if run is None or self.faults.hides(run):
            raise NotFound
        return self.faults.shown(run)

    def find_environment(self, environment_id: int) -> Environment:
        """Find an environment of the project."""
        if (environment := self.environments.get(environment_id)) is None:
            raise NotFound
        return environment

    def trigger(self, job: Job, fields: dict[str, Any], by: str) -> Run:
        """Start a run of a job with what the request overrides."""
        self._check_git(fields)
        commands = fields.get("steps_override", job.commands)
        return self._submit(job, fields, commands, by)

    def retry(self, run: Run, by: str, category: str = "api") -> Run:
        """Resume a failed run at the command that failed."""
        commands = ("dbt retry", *failure_details(run).skipped_steps)
        fields = {**_overrides(run), "cause": RESUMED}
        with self.store.lock:  # of two retries at once, the second finds a newer run
            if (reason := self.why_not_retry(run)) is not None:
                raise InvalidRequest(reason)
            return self._submit(run.job, fields, commands, by, retrying_run_id=run.id, category=category)

    def rerun(self, job: Job, by: str) -> Run:
        """Retry the job's latest run if it failed; else start a plain new one."""
        latest = self.store.latest_run(job.id)
        if latest is None or latest.status is not Status.ERROR:
            return self._submit(job, {"cause": RERUN}, job.commands, by, category="rerun")
        if self.why_not_retry(latest) is None:
            return self.retry(latest, by, category="rerun")
        fields = {**_overrides(latest), "cause": RERUN}
        commands = job.commands if fields["steps_override"] is None else fields["steps_override"]
        return self._submit(job, fields, commands, by, category="rerun")

    def cancel(self, run: Run, by: str) -> Run:
        """Cancel a run; a finished one stays as it is."""
        return self.faults.shown(self.scheduler.cancel(run, by))

    def why_not_retry(self, run: Run) -> str | None:
        """Give the reason why a run cannot be retried, if there is one."""
        return why_not(run, self.store.latest_run(run.job.id))

    def create_job(self, fields: dict[str, Any]) -> Job:
        """Add a job."""
        now = self.store.clock()
        return self.store.save_job(Job(id=self.store.next_id(), created_at=now, updated_at=now, **fields))

    def update_job(self, job: Job, fields: dict[str, Any]) -> Job:
        """Replace a job's definition."""
        return self.store.save_job(replace(job, **{"state": ACTIVE, **fields}, updated_at=self.store.clock()))

    def delete_job(self, job: Job) -> Job:
        """Mark a job as deleted. Its runs stay."""
        return self.store.save_job(replace(job, state=DELETED, updated_at=self.store.clock()))

    def _submit(
        self,
        job: Job,
        fields: dict[str, Any],
        commands: tuple[str, ...],
        by: str,
        *,
        retrying_run_id: int | None = None,
        category: str = "api",
    ) -> Run:
        if self.find_job(job.id).deactivated:
            raise InvalidRequest(f"Job {job.id} is deactivated.")
        if job.environment_id not in self.environments:
            raise InvalidRequest(f"The environment of job {job.id} is not in dbt_cloud.yml any more.")
        with self.store.lock:
            queued = sum(1 for run in self.store.unfinished_runs() if run.status is Status.QUEUED)
            if queued >= self.queue_limit:
                raise InvalidRequest(
                    f"The run queue is full: {queued} runs are queued, the limit is {self.queue_limit}."
                )
            run_id, now = self.store.next_id(), self.store.clock()
            trigger = Trigger(
                id=self.store.next_id(),
                job_definition_id=job.id,
                created_at=now,
                cause_category=category,
                **fields,
            )
            return self.scheduler.submit(
                Run(
                    id=run_id,
                    job=job,
                    trigger=trigger,
                    created_at=now,
                    updated_at=now,
                    commands=commands,
                    core_version=self.dbt_version,
                    triggered_by=by,
                    retrying_run_id=retrying_run_id,
                )
            )

    def _check_git(self, fields: dict[str, Any]) -> None:
        """Refuse what cannot be checked out."""
        for name, find in (
            ("git_sha", self._repository.find_commit),
            ("git_branch", self._repository.find_branch),
        ):
            if (wanted := fields.get(name)) is not None and find(wanted) is None:
                if self._repository.head() is None:
                    raise InvalidRequest(
                        {name: f"{wanted!r} cannot be checked out: the project is in no git repository."}
                    )
                raise InvalidRequest({name: f"{wanted!r} does not exist in the project's repository."})

    def _refuse_queued(self, run: Run) -> None:
        self.store.update_run(
            run.id,
            status=Status.CANCELLED,
            status_message="Cancelled because the environment of its job is not in dbt_cloud.yml any more.",
            cancelled_by=SYSTEM,
            finished_at=self.store.clock(),
        )


def _overrides(run: Run) -> dict[str, Any]:
    return {name: getattr(run.trigger, name) for name in _RUN_VALUES}


def _version_names(version: str) -> frozenset[str]:
    """List what the installed dbt goes by in dbt Cloud."""
    minor = ".".join(version.split(".")[:2])
    return frozenset(
        {version, minor, f"{minor}.latest", f"{minor}-latest", f"{minor}.0-latest", "latest", "versionless"}
    )
