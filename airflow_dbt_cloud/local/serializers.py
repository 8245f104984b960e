"""Runs and steps as dbt Cloud's JSON.

What was not asked for with `include_related` is null. Logs are read when they are asked for.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_dbt_cloud.local.definitions import DefinitionSerializer
from airflow_dbt_cloud.local.records import Status
from airflow_dbt_cloud.local.times import clock_duration, humanized_duration, run_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_dbt_cloud.local.cloud import Cloud
    from airflow_dbt_cloud.local.records import Job, Run, Step

TRUNCATED_LINES = 1000
_COLORS = {Status.SUCCESS: "#65a30d", Status.ERROR: "#dc2626", Status.CANCELLED: "#6b7280"}
_GOING_COLOR = "#2563eb"
_RECENT_RUNS: dict[str, Callable[[Run], bool]] = {
    "most_recent_run": lambda _: True,
    "most_recent_completed_run": lambda run: run.status.is_terminal,
}


class Serializer(DefinitionSerializer):
    """Writes everything for one request: all durations count to the same moment."""

    def __init__(self, cloud: Cloud, base_url: str) -> None:
        super().__init__(cloud)
        self._base_url = base_url
        self._now = cloud.store.clock()

    def job_with(self, job: Job, related: frozenset[str]) -> dict[str, Any]:
        """Write a job as the job paths have it, with related things."""
        environment = self._cloud.environments.get(job.environment_id)
        written = self.job(job)
        if "environment" in related and environment:
            written["environment"] = self.environment_v2(environment)
        if "custom_environment_variables" in related:
            written["custom_environment_variables"] = []
        for name, is_wanted in _RECENT_RUNS.items():
            if name in related:
                runs = (
                    run for run in reversed(self._cloud.runs()) if run.job.id == job.id and is_wanted(run)
                )
                run = next(runs, None)
                written[name] = self.run(run) if run else None
        return written

    def run(self, run: Run, related: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Write a run."""
        environment = self._cloud.environments.get(run.job.environment_id)
        written = {
            **self._run_fields(run),
            "trigger": self._trigger(run) if "trigger" in related else None,
            "job": self.job_of_run(run.job) if "job" in related else None,
            "environment": self.environment_v2(environment)
            if "environment" in related and environment
            else None,
            "run_steps": [self.step(run, step, related) for step in run.steps]
            if "run_steps" in related
            else [],
            **self._run_status(run),
        }
        if "audit" in related:
            written["audit"] = _audit(run)
        if "run_retries" in related:
            retries = [other for other in self._cloud.runs() if other.retrying_run_id == run.id]
            written["run_retries"] = [self.run(other) for other in retries]
        for name in ("repository", "repo_cache_restore"):
            if name in related:
                written[name] = None
        return written

    def step(self, run: Run, step: Step, related: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Write a step with its logs."""
        folder = self._cloud.store.step_folder(run.id, step.index)
        ended_at = step.finished_at or self._now
        seconds = ended_at - step.started_at if step.started_at else 0.0
        debug_logs = read_log(folder / "dbt.log", whole=step.status.is_terminal)
        written = {
            "id": step.id,
            "run_id": run.id,
            "account_id": self._cloud.folder.account.id,
            "index": step.index,
            "status": int(step.status),
            "name": step.name,
            "logs": self._console_log(run, step, folder),
            "debug_logs": debug_logs if "debug_logs" in related else "",
            "log_path": None,
            "debug_log_path": None,
            "log_location": "db",
            "log_archive_type": "db_flushed",
            "truncated_debug_logs": _last_lines(debug_logs, TRUNCATED_LINES),
            "created_at": run_time(step.created_at),
            "updated_at": run_time(step.finished_at or step.started_at or step.created_at),
            "started_at": run_time(step.started_at),
            "finished_at": run_time(step.finished_at),
            "status_humanized": step.status.humanized,
            "status_color": _COLORS.get(step.status, _GOING_COLOR),
            "duration": clock_duration(seconds),
            "duration_humanized": humanized_duration(seconds),
            "run_step_command": None,
            "run_step_invocation": None,
        }
        if step.command:
            written["run_step_command"] = {"run_step_id": step.id, "dbt_command": step.command}
            written["run_step_invocation"] = {"run_step_id": step.id, "run_id": run.id}
        return written

    def _console_log(self, run: Run, step: Step, folder: Path) -> str:
        text = read_log(folder / "console.log", whole=step.status.is_terminal)
        lines = self._cloud.faults.log_lines(run)
        return text if lines is None else "".join(text.splitlines(keepends=True)[:lines])

    def _run_fields(self, run: Run) -> dict[str, Any]:
        is_saved = run.status.is_terminal and run.artifacts_step is not None
        return {
            "id": run.id,
            "trigger_id": run.trigger.id,
            "account_id": self._cloud.folder.account.id,
            "environment_id": run.job.environment_id,
            "project_id": self._cloud.folder.project.id,
            "job_definition_id": run.job.id,
            "status": int(run.status),
            "dbt_version": run.dbt_version,
            "git_branch": run.git_branch,
            "git_sha": run.git_sha,
            "status_message": run.status_message,
            "owner_thread_id": None,
            "executed_by_thread_id": f"run-{run.id}" if run.dequeued_at else None,
            "deferring_run_id": None,
            "artifacts_saved": is_saved,
            "artifact_s3_path": f"local/runs/{run.id}/artifacts/target" if is_saved else None,
            "has_docs_generated": run.has_docs_generated,
            "has_sources_generated": run.has_sources_generated,
            "notifications_sent": run.status.is_terminal,
            "blocked_by": self._cloud.scheduler.blocked_by(run),
            "created_at": run_time(run.created_at),
            "updated_at": run_time(run.updated_at),
            "dequeued_at": run_time(run.dequeued_at),
            "started_at": run_time(run.started_at),
            "finished_at": run_time(run.finished_at),
            "last_checked_at": run_time(run.finished_at),
            "last_heartbeat_at": run_time(run.updated_at) if run.started_at else None,
            "should_start_at": None,
        }

    def _run_status(self, run: Run) -> dict[str, Any]:
        ended_at = run.finished_at or self._now
        seconds = {
            "duration": ended_at - run.created_at,
            "queued_duration": (run.started_at or ended_at) - run.created_at,
            "run_duration": ended_at - run.started_at if run.started_at else 0.0,
        }
        reason = self._cloud.why_not_retry(run)
        finished_ago = f"{humanized_duration(self._now - run.finished_at)} ago" if run.finished_at else None
        return {
            "status_humanized": run.status.humanized,
            "in_progress": not run.status.is_terminal,
            "is_complete": run.status.is_terminal,
            "is_success": run.status is Status.SUCCESS,
            "is_error": run.status is Status.ERROR,
            "is_cancelled": run.status is Status.CANCELLED,
            **{name: clock_duration(value) for name, value in seconds.items()},
            **{f"{name}_humanized": humanized_duration(value) for name, value in seconds.items()},
            "created_at_humanized": f"{humanized_duration(self._now - run.created_at)} ago",
            "finished_at_humanized": finished_ago or "0 minutes from now",
            "retrying_run_id": run.retrying_run_id,
            "can_retry": reason is None,
            "retry_not_supported_reason": reason,
            "job_id": run.job.id,
            "is_running": None,
            "href": self._base_url + run_path(self._cloud, run),
            "used_repo_cache": None,
        }

    def _trigger(self, run: Run) -> dict[str, Any]:
        written = asdict(run.trigger)
        category = written.pop("cause_category")
        return {
            **written,
            "created_at": run_time(run.trigger.created_at),
            "cause_humanized": run.trigger.cause,
            "job": None,
            "cause_category": category,
        }


def run_path(cloud: Cloud, run: Run) -> str:
    """Make the path of a run's page."""
    return f"/deploy/{cloud.folder.account.id}/projects/{cloud.folder.project.id}/runs/{run.id}/"


def read_log(file: Path, *, whole: bool) -> str:
    """Read a log; of one that still grows, the lines that are complete."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return ""
    if not whole:
        content = content[: content.rfind(b"\n") + 1]
    return content.decode("utf-8", "replace")


def _last_lines(text: str, count: int) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(lines[-count:])


def _audit(run: Run) -> dict[str, Any]:
    is_cancelled = run.status is Status.CANCELLED and run.cancelled_by is not None
    return {
        "trigger": {"actor": _actor(run.triggered_by)},
        "cancellation": {"actor": _actor(run.cancelled_by)} if is_cancelled else None,
    }


def _actor(name: str | None) -> dict[str, Any]:
    return {"id": name, "type": "service_token", "name": name}
