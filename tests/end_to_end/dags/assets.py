"""DAGs that tell Airflow what dbt built."""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, TaskGroup

from airflow_dbt_cloud.operators import DbtCloudRunJobOperator

START = datetime(2026, 1, 1, tzinfo=UTC)

with DAG("assets_retried", start_date=START, schedule=None), TaskGroup("nightly"):
    DbtCloudRunJobOperator.partial(
        task_id="build",
        emit_assets=True,
        retry_from_failure=True,
        retries=1,
        retry_delay=timedelta(seconds=1),
        check_interval=1,
    ).expand(job_id=["{{ dag_run.conf['job_id'] }}"])
