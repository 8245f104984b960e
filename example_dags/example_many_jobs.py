"""Refresh every part of the ferry line at once: one task, mapped over many dbt Cloud jobs.

1. `list_jobs` asks dbt Cloud which jobs are called *Refresh …*.
2. `refresh` runs them all. The tasks are deferred: while dbt works they hold no worker, and all of them
   together ask dbt Cloud as often as one would.

It needs the connection `dbt_cloud_default`, and files in the folder `DBT_LANDING`: see `example_run_job.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag, task

from airflow_dbt_cloud.operators import DbtCloudRunJobOperator


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    doc_md=__doc__,
    tags=["dbt-cloud", "example"],
)
def ferry_refresh() -> None:
    """Find the jobs, run them all."""

    @task
    def list_jobs() -> list[int]:
        """Return the ids of the jobs that refresh a part of the ferry line."""
        from airflow_dbt_cloud.hooks import DbtCloudHook

        return [job.id for job in DbtCloudHook().list_jobs(name__icontains="Refresh ")]

    DbtCloudRunJobOperator.partial(
        task_id="refresh",
        trigger_reason="Everything anew, says {{ run_id }}",
        deferrable=True,
        check_interval=5,
    ).expand(job_id=list_jobs())


ferry_refresh()
