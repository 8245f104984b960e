"""Many jobs with one task, started by one and watched by another."""

from datetime import datetime

from airflow.sdk import dag

from airflow_dbt_cloud.operators import DbtCloudListJobsOperator, DbtCloudRunJobOperator
from airflow_dbt_cloud.sensors import DbtCloudJobRunSensor


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False)
def refresh() -> None:
    # begin jobs
    jobs = DbtCloudListJobsOperator(task_id="jobs", name__icontains="weather")
    start = DbtCloudRunJobOperator.partial(
        task_id="start",
        wait_for_termination=False,
    ).expand(job_id=jobs.output)
    # end jobs

    # begin sensor
    DbtCloudJobRunSensor.partial(
        task_id="wait",
        deferrable=True,
        poke_interval=10,  # seconds
        timeout=60 * 60,  # seconds
    ).expand(run_id=start.output)
    # end sensor


refresh()
