"""DAGs that run whatever job the DAG run's conf names."""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from airflow_dbt_cloud.operators import DbtCloudRunJobOperator

START = datetime(2026, 1, 1, tzinfo=UTC)
JOB = "{{ dag_run.conf['job_id'] }}"

with DAG("one_job", start_date=START, schedule=None):
    DbtCloudRunJobOperator(
        task_id="build", job_id=JOB, trigger_reason="{{ dag_run.conf.get('reason') }}", check_interval=1
    )

with DAG("one_job_with_a_limit", start_date=START, schedule=None):
    DbtCloudRunJobOperator(
        task_id="build", job_id=JOB, check_interval=1, execution_timeout=timedelta(seconds=5)
    )
