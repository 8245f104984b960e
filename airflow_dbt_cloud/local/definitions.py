"""Account, project, environments, connections and jobs as dbt Cloud's JSON.

The key order is that of recorded answers; what the specification adds comes after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_dbt_cloud.local.execution import RUN_DURATION_LIMIT
from airflow_dbt_cloud.local.records import ACTIVE
from airflow_dbt_cloud.local.times import iso_time, zulu_time

if TYPE_CHECKING:
    from airflow_dbt_cloud.local.cloud import Cloud
    from airflow_dbt_cloud.local.records import Environment, Job

_NO_SCHEDULE = {
    "cron": "0 * * * *",
    "date": {"type": "every_day"},
    "time": {"type": "every_hour", "interval": 1},
}


class DefinitionSerializer:
    """Writes what was declared."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

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

    def connection(self, environment: Environment) -> dict[str, Any]:
        """Write the connection of an environment."""
        created_at = iso_time(environment.created_at)
        return {
            "id": environment.id,
            "created_at": created_at,
            "updated_at": created_at,
            "account_id": self._cloud.folder.account.id,
            "name": "DuckDB",
            # dbt Cloud has no word for DuckDB; what it has words for is at some host.
            "adapter_version": None,
            "private_link_endpoint_id": None,
            "is_ssh_tunnel_enabled": False,
            "oauth_redirect_uri": None,
            "oauth_configuration_id": None,
            "is_configured_for_native_oauth": False,
            "platform_metadata_credentials_id": None,
            "analytics_credentials_id": None,
            "config": {"host": "localhost", "path": str(self._cloud.store.warehouse(environment))},
        }

    def job(self, job: Job) -> dict[str, Any]:
        """Write a job as the job paths have it."""
        return {
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
            "environment": None,
            "fusion_readiness": None,
        }

    def job_of_run(self, job: Job) -> dict[str, Any]:
        """Write a job as it is inside a run: with its schedule in short."""
        schedule = job.schedule or _NO_SCHEDULE
        short = {name: schedule.get(name) for name in ("cron", "date", "time")}
        for name in ("date", "time"):
            if isinstance(value := short[name], dict):
                short[name] = value.get("type")
        return {**self._job(job), "schedule": short}

    def _environment(self, environment: Environment) -> dict[str, Any]:
        created_at = iso_time(environment.created_at)
        return {
            "id": environment.id,
            "account_id": self._cloud.folder.account.id,
            "project_id": self._cloud.folder.project.id,
            "name": environment.name,
            # Every environment has a connection of its own, and they share a number.
            "connection_id": environment.id,
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
