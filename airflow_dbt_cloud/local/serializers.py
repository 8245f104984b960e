"""Records as dbt Cloud's JSON: the key order of recorded answers first, then what the specification adds.

What was not asked for with `include_related` is null. Logs are read from the state folder when they are
asked for.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_dbt_cloud.local.execution import RUN_DURATION_LIMIT
from airflow_dbt_cloud.local.records import ACTIVE, Status
from airflow_dbt_cloud.local.times import clock_duration, humanized_duration, iso_time, run_time, zulu_time

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_dbt_cloud.local.cloud import Cloud
    from airflow_dbt_cloud.local.records import Environment, Job, Run, Step

TRUNCATED_LINES = 1000
_NO_SCHEDULE = {
    "cron": "0 * * * *",
    "date": {"type": "every_day"},
    "time": {"type": "every_hour", "interval": 1},
}
_COLORS = {Status.SUCCESS: "#65a30d", Status.ERROR: "#dc2626", Status.CANCELLED: "#6b7280"}
_GOING_COLOR = "#2563eb"


class Serializer:
    """Writes records for one request: all durations count to the same moment."""

    def __init__(self, cloud: Cloud, base_url: str) -> None:
        self._cloud, self._base_url = cloud, base_url
        self._now = cloud.store.clock()

    def account(self) -> dict[str, Any]:
        """Write the account."""
        account = self._cloud.folder.account
        created_at = iso_time(account.created_at)
        return {
            "docs_job_id": None,
            "freshness_job_id": None,
            "lock_reason": None,
            "read_only_seats": 0,
            "id": account.id,
            "name": account.name,
            "state": ACTIVE,
            "plan": "enterprise",
            "pending_cancel": False,
            "run_slots": self._cloud.run_slots,
            "developer_seats": 1,
            "it_seats": 0,
            "explorer_seats": 0,
            "analyst_seats": 0,
            "queue_limit": self._cloud.queue_limit,
            "pod_memory_request_mebibytes": 600,
            "develop_pod_memory_request_mebibytes": 0,
            "run_duration_limit_seconds": RUN_DURATION_LIMIT,
            "enterprise_login_slug": None,
            "billing_email_address": None,
            "locked": False,
            "lock_cause": None,
            "unlocked_at": None,
            "business_critical": False,
            "created_at": created_at,
            "updated_at": created_at,
            "starter_repo_url": None,
            "git_auth_level": "personal",
            "identifier": f"act_local_{account.id}",
            "trial_end_date": None,
            "static_subdomain": None,
            "vanity_subdomain": None,
            "run_locked_until": None,
            "copilot_locked_until": None,
            "agent_credit_locked": False,
            "account_migration_events": [],
            "groups": [],
            "docs_job": None,
            "freshness_job": None,
        }

    def project(self) -> dict[str, Any]:
        """Write the project."""
        project = self._cloud.folder.project
        created_at = iso_time(project.created_at)
        return {
            "id": project.id,
            "account_id": self._cloud.folder.account.id,
            "name": project.name,
            "description": None,
            "connection_id": None,
            "repository_id": None,
            "semantic_layer_config_id": None,
            "state": ACTIVE,
            "dbt_project_subdirectory": None,
            "docs_job_id": None,
            "freshness_job_id": None,
            "type": 0,
            "created_at": created_at,
            "updated_at": created_at,
            "connection": None,
            "environments": None,
            "repository": None,
            "group_permissions": None,
            "docs_job": None,
            "freshness_job": None,
            "fusion_readiness": None,
            "default_version": None,
        }

    def environment_v2(self, environment: Environment) -> dict[str, Any]:
        """Write an environment as API v2 has it."""
        return {
            **self._environment(environment),
            "repository_id": None,
            "dbt_project_subdirectory": None,
            "created_by_id": None,
            "repository": None,
            "connection": None,
            "jobs": None,
            "custom_environment_variables": None,
        }

    def environment_v3(self, environment: Environment) -> dict[str, Any]:
        """Write an environment as API v3 has it."""
        return {
            **self._environment(environment),
            "is_deferrable": False,
            "enable_model_query_history": False,
            "enable_dbt_state": False,
            "project": None,
            "primary_profile_id": None,
            "credentials": None,
            "fusion_readiness": None,
        }

    def job(self, job: Job, related: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Write a job as the job paths have it."""
        environment = self._cloud.environments.get(job.environment_id)
        runs = (
            [run for run in self._cloud.store.runs() if run.job.id == job.id]
            if _asks_for_runs(related)
            else []
        )
        completed = [run for run in runs if run.status.is_terminal]
        written = {
            **self._job(job),
            "created_at": iso_time(job.created_at),
            "updated_at": iso_time(job.updated_at),
            "schedule": job.schedule or _NO_SCHEDULE,
            "generate_sources": job.run_generate_sources,
            "cron_humanized": "Every hour",
            "next_run": None,
            "next_run_humanized": None,
            "account": None,
            "project": None,
            "environment": self.environment_v2(environment)
            if "environment" in related and environment
            else None,
            "fusion_readiness": None,
        }
        if "most_recent_run" in related:
            written["most_recent_run"] = self.run(runs[-1]) if runs else None
        if "most_recent_completed_run" in related:
            written["most_recent_completed_run"] = self.run(completed[-1]) if completed else None
        if "custom_environment_variables" in related:
            written["custom_environment_variables"] = []
        return written

    def run(self, run: Run, related: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Write a run."""
        environment = self._cloud.environments.get(run.job.environment_id)
        written = {
            **self._run_fields(run),
            "trigger": self._trigger(run) if "trigger" in related else None,
            "job": self._job_of_run(run.job) if "job" in related else None,
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
            retries = [other for other in self._cloud.store.runs() if other.retrying_run_id == run.id]
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

    def _environment(self, environment: Environment) -> dict[str, Any]:
        created_at = iso_time(environment.created_at)
        return {
            "id": environment.id,
            "account_id": self._cloud.folder.account.id,
            "project_id": self._cloud.folder.project.id,
            "name": environment.name,
            "connection_id": None,
            "credentials_id": None,
            "extended_attributes_id": None,
            "custom_branch": None,
            "use_custom_branch": False,
            "dbt_version": self._cloud.dbt_version,
            "raw_dbt_version": self._cloud.dbt_version,
            "supports_docs": False,
            "deployment_type": environment.deployment_type,
            "type": "deployment",
            "state": ACTIVE,
            "created_at": created_at,
            "updated_at": created_at,
        }

    def _job(self, job: Job) -> dict[str, Any]:
        return {
            "execution": {"timeout_seconds": job.timeout_seconds},
            "generate_docs": job.generate_docs,
            "run_generate_sources": job.run_generate_sources,
            "run_compare_changes": False,
            "compare_changes_flags": "--select state:modified",
            "id": job.id,
            "account_id": self._cloud.folder.account.id,
            "project_id": self._cloud.folder.project.id,
            "environment_id": job.environment_id,
            "name": job.name,
            "description": job.description,
            "dbt_version": job.dbt_version,
            "raw_dbt_version": job.dbt_version,
            "created_at": zulu_time(job.created_at),
            "updated_at": zulu_time(job.updated_at),
            "execute_steps": list(job.commands),
            "state": job.state,
            "deactivated": job.deactivated,
            "run_failure_count": 0,
            "deferring_job_definition_id": None,
            "deferring_environment_id": None,
            "lifecycle_webhooks": False,
            "lifecycle_webhooks_url": None,
            "triggers": {
                "github_webhook": False,
                "git_provider_webhook": False,
                "schedule": False,
                "on_merge": False,
            },
            "settings": {"threads": job.threads, "target_name": job.target_name},
            "schedule": None,
            "is_deferrable": False,
            "job_type": job.job_type,
            "triggers_on_draft_pr": False,
            "job_completion_trigger_condition": None,
            "run_lint": False,
            "errors_on_lint_failure": True,
            "cost_optimization_features": [],
        }

    def _job_of_run(self, job: Job) -> dict[str, Any]:
        """Inside a run, the schedule is in short."""
        schedule = job.schedule or _NO_SCHEDULE
        short = {name: schedule.get(name) for name in ("cron", "date", "time")}
        for name in ("date", "time"):
            if isinstance(value := short[name], dict):
                short[name] = value.get("type")
        return {**self._job(job), "schedule": short}

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


def _asks_for_runs(related: frozenset[str]) -> bool:
    return bool(related & {"most_recent_run", "most_recent_completed_run"})


def _audit(run: Run) -> dict[str, Any]:
    is_cancelled = run.status is Status.CANCELLED and run.cancelled_by is not None
    return {
        "trigger": {"actor": _actor(run.triggered_by)},
        "cancellation": {"actor": _actor(run.cancelled_by)} if is_cancelled else None,
    }


def _actor(name: str | None) -> dict[str, Any]:
    return {"id": name, "type": "service_token", "name": name}
