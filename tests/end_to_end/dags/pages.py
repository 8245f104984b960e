"""DAGs whose tasks are looked at in a browser; a DAG run's conf names their jobs."""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, task

from airflow_dbt_cloud.operators import DbtCloudRunJobOperator
from airflow_dbt_cloud.sensors import DbtCloudJobRunSensor

START = datetime(2026, 1, 1, tzinfo=UTC)
JOB = "{{ dag_run.conf['job_id'] }}"

with DAG("pages", start_date=START, schedule=None):
    DbtCloudRunJobOperator(task_id="build", job_id=JOB, check_interval=1)

# Two tries of one task, of which the first fails.
with DAG("pages_retried", start_date=START, schedule=None):
    DbtCloudRunJobOperator(
        task_id="build",
        job_id=JOB,
        check_interval=1,
        retries=1,
        retry_delay=timedelta(seconds=1),
        retry_from_failure=True,
    )

with DAG("pages_mixed", start_date=START, schedule=None):

    @task
    def land():
        """Do something that has to do with no dbt Cloud."""

    mapped = DbtCloudRunJobOperator.partial(task_id="mapped", check_interval=5, deferrable=True).expand(
        job_id=[JOB, "{{ dag_run.conf['other_job_id'] }}"]
    )
    land() >> mapped

with DAG("pages_followed", start_date=START, schedule=None):
    DbtCloudJobRunSensor(task_id="follow", run_id="{{ dag_run.conf['run_id'] }}", poke_interval=2)

with DAG("pages_without_dbt", start_date=START, schedule=None):

    @task(task_id="land")
    def land_alone():
        """Do something that has to do with no dbt Cloud."""

    land_alone()
