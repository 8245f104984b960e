# 1 task: the hook in functions.
from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import TYPE_CHECKING

from airflow.exceptions import AirflowException
from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow_dbt_cloud.hooks import DbtCloudHook, DbtCloudJobRunStatus
from airflow_dbt_cloud.errors import DbtCloudJobRunException
from airflow_dbt_cloud.operators import DbtCloudRunJobOperator
from airflow.sdk import dag, task

if TYPE_CHECKING:
    from airflow.providers.dbt.cloud.hooks.dbt import JobRunInfo

log = logging.getLogger(__name__)


def get_hook() -> DbtCloudHook:
    return DbtCloudHook(dbt_cloud_conn_id="dbt_cloud_default", retry_limit=3)


@task
def start(job_id: int) -> int:
    hook = DbtCloudHook()
    response = hook.trigger_job_run(job_id, cause="by hand", steps_override=["dbt build"])
    run_id = response.json()["data"]["id"]
    try:
        hook.wait_for_job_run_status(run_id, expected_statuses=DbtCloudJobRunStatus.SUCCESS.value)
    except DbtCloudJobRunException:
        log.warning("The run failed: %s", hook.get_job_run(run_id).json()["data"]["href"])
        raise
    except AirflowException:
        hook.cancel_job_run(run_id)
    return run_id


@task
def names(account_id: int) -> list[str]:
    jobs = get_hook().list_jobs(account_id=account_id, name_contains="nightly")
    return [job["name"] for page in jobs for job in page.json()["data"]]


@task
def keep(number: int, hook: DbtCloudHook) -> None:
    results = hook.get_job_run_artifact(number, path="run_results.json").json()
    SmtpHook().send_email_smtp(to="team@example.org", subject="dbt", html_content=json.dumps(results))


@task
def mail() -> None:
    hook = SmtpHook()
    hook.get_conn().run(hook.get_job(1))


@dag(start_date=datetime(2024, 1, 1), schedule=None)
def hook_in_task():
    build = DbtCloudRunJobOperator(task_id="build", job_id=3)
    build >> start(5)


hook_in_task()
