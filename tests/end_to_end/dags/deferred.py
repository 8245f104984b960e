"""DAGs whose tasks wait in the triggerer."""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from airflow_dbt_cloud.operators import DbtCloudRunJobOperator
from airflow_dbt_cloud.sensors import DbtCloudJobRunSensor

START = datetime(2026, 1, 1, tzinfo=UTC)
JOB = "{{ dag_run.conf['job_id'] }}"
JOBS = [70403100000011, 70403100000012, 70403100000013, 70403100000014]

with DAG("deferred", start_date=START, schedule=None):
    DbtCloudRunJobOperator(task_id="build", job_id=JOB, check_interval=5, deferrable=True)

with DAG("deferred_and_streamed", start_date=START, schedule=None):
    DbtCloudRunJobOperator(task_id="build", job_id=JOB, check_interval=5, deferrable=True, stream_logs=True)

with DAG("deferred_with_a_limit", start_date=START, schedule=None):
    DbtCloudRunJobOperator(
        task_id="build",
        job_id=JOB,
        check_interval=5,
        deferrable=True,
        execution_timeout=timedelta(seconds=15),
    )

with DAG("deferred_with_a_timeout", start_date=START, schedule=None):
    DbtCloudRunJobOperator(task_id="build", job_id=JOB, check_interval=5, timeout=10, deferrable=True)

with DAG("deferred_for_half_an_hour", start_date=START, schedule=None):
    DbtCloudRunJobOperator(task_id="build", job_id=JOB, check_interval=5, timeout=1800, deferrable=True)

with DAG("deferred_many", start_date=START, schedule=None):
    DbtCloudRunJobOperator.partial(
        task_id="build", steps_override=["dbt parse"], check_interval=5, deferrable=True
    ).expand(job_id=JOBS * 5)

with DAG("followed", start_date=START, schedule=None):
    start = DbtCloudRunJobOperator(task_id="start", job_id=JOB, wait_for_termination=False)
    for name, parameters in {
        "poked": {"poke_interval": 2},
        # Airflow fails a task that it reschedules sooner than its executor says that it has stopped.
        "rescheduled": {"poke_interval": 10, "mode": "reschedule"},
        "deferred": {"poke_interval": 5, "deferrable": True},
    }.items():
        start >> DbtCloudJobRunSensor(task_id=name, run_id=start.output, timeout=120, **parameters)
