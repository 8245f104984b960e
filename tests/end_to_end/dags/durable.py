"""DAGs whose tasks survive the death of the machines that they run on."""

import logging
import os
import time
from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, TaskGroup

from airflow_dbt_cloud.operators import DbtCloudRunJobOperator

log = logging.getLogger(__name__)

START = datetime(2026, 1, 1, tzinfo=UTC)
JOB = "{{ dag_run.conf['job_id'] }}"
# `make chaos` may set it.
AT_SCALE = int(os.environ.get("CHAOS_TASKS", "300"))

durable = {"retries": 2, "retry_delay": timedelta(seconds=1), "check_interval": 1}
durable_deferred = {**durable, "check_interval": 5, "deferrable": True}


def hang_in_the_first_try(context, result):  # noqa: ARG001 - as Airflow calls it
    """Keep the process once its run has ended, long enough to be killed."""
    if context["ti"].try_number == 1:
        time.sleep(600)


def linger_in_the_first_try(context):
    """Keep the process before it does anything, long enough to be frozen."""
    if context["ti"].try_number == 1:
        log.info("Lingering")
        time.sleep(10)


with DAG("durable", start_date=START, schedule=None):
    DbtCloudRunJobOperator(task_id="build", job_id=JOB, **durable)

with DAG("durable_deferred", start_date=START, schedule=None):
    DbtCloudRunJobOperator(task_id="build", job_id=JOB, **durable_deferred)

with DAG("durable_and_patient", start_date=START, schedule=None):
    DbtCloudRunJobOperator(task_id="build", job_id=JOB, **{**durable, "retry_delay": timedelta(seconds=20)})

with DAG("durable_by_name", start_date=START, schedule=None):
    DbtCloudRunJobOperator(
        task_id="build",
        project_name="Ferry Line",
        environment_name="Production",
        job_name="{{ dag_run.conf['job_name'] }}",
        **durable,
    )

with DAG("durable_in_a_hurry", start_date=START, schedule=None):
    DbtCloudRunJobOperator(task_id="build", job_id=JOB, start_timeout=5, **durable)

with DAG("durable_and_slow", start_date=START, schedule=None):
    DbtCloudRunJobOperator(task_id="build", job_id=JOB, pre_execute=linger_in_the_first_try, **durable)

with DAG("durable_until_the_end", start_date=START, schedule=None):
    DbtCloudRunJobOperator(task_id="build", job_id=JOB, post_execute=hang_in_the_first_try, **durable)

with DAG("durable_once_more", start_date=START, schedule=None):
    DbtCloudRunJobOperator(task_id="build", job_id=JOB, **{**durable, "retries": 1})

with DAG("durable_no_more", start_date=START, schedule=None):
    DbtCloudRunJobOperator(task_id="build", job_id=JOB, **{**durable, "retries": 0})

# A time that is over while the first run hangs, and not while the second try waits for its end.
for name, parameters in {"": durable, "_deferred": durable_deferred}.items():
    with DAG(f"durable{name}_with_a_timeout", start_date=START, schedule=None):
        DbtCloudRunJobOperator(task_id="build", job_id=JOB, timeout=25, **parameters)
    with DAG(f"durable{name}_with_a_limit", start_date=START, schedule=None):
        DbtCloudRunJobOperator(
            task_id="build", job_id=JOB, execution_timeout=timedelta(seconds=40), **parameters
        )

with DAG("durable_mapped", start_date=START, schedule=None), TaskGroup("nightly"):
    DbtCloudRunJobOperator.partial(task_id="build", job_id=JOB, **durable).expand(
        trigger_reason=["the first", "the second", "the third"]
    )

with DAG("durable_and_queued", start_date=START, schedule=None):
    for name in ("failed", "success", "cleared"):
        DbtCloudRunJobOperator(task_id=name, job_id=JOB, **durable)

with DAG("durable_many", start_date=START, schedule=None):
    DbtCloudRunJobOperator.partial(task_id="build", job_id=JOB, **durable).expand(
        trigger_reason=[f"number {number}" for number in range(12)]
    )

with DAG("durable_deferred_many", start_date=START, schedule=None):
    DbtCloudRunJobOperator.partial(task_id="build", job_id=JOB, **durable_deferred).expand(
        trigger_reason=[f"number {number}" for number in range(6)]
    )

with DAG("durable_at_scale", start_date=START, schedule=None):
    # More tries than a task loses its worker: SQLite and two processors lose some of their own.
    DbtCloudRunJobOperator.partial(task_id="build", job_id=JOB, **{**durable, "retries": 6}).expand(
        trigger_reason=[f"number {number}" for number in range(AT_SCALE)]
    )
