"""DAGs whose tasks people interfere with; each task runs the job that the DAG run's conf names for it."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import DAG, TaskGroup

from airflow_dbt_cloud.operators import DbtCloudRunJobOperator

START = datetime(2026, 1, 1, tzinfo=UTC)
JOB = "{{ dag_run.conf[task.task_id] }}"
SOON, LATE = timedelta(seconds=1), timedelta(hours=1)
# A person edits this while a task runs.
RETRIES = Path(os.environ.get("AIRFLOW_HOME", ".")) / "retries-of-people.txt"


def run_job(task_id, **parameters):
    """Make a task with one retry, which comes soon."""
    defaults = {"job_id": JOB, "check_interval": 5, "retries": 1, "retry_delay": SOON}
    return DbtCloudRunJobOperator(task_id=task_id, **{**defaults, **parameters})


def run_both(**parameters):
    """Make a task that works until its run has ended, and one that waits in the triggerer."""
    run_job("working", check_interval=1, **parameters)
    run_job("deferred", deferrable=True, **parameters)


with DAG("people", start_date=START, schedule=None):
    run_both()

with DAG("people_alone", start_date=START, schedule=None):
    run_job("working", check_interval=1, trigger_reason="{{ dag_run.conf.get('reason') }}")

with DAG("people_deferred", start_date=START, schedule=None):
    run_job("deferred", deferrable=True)

# Nobody else's, because it is paused.
with DAG("people_paused", start_date=START, schedule=None):
    run_job("deferred", deferrable=True)

with DAG("people_elsewhere", start_date=START, schedule=None):
    run_job("working", account_id="{{ dag_run.conf['account_id'] }}")

with DAG("people_pool", start_date=START, schedule=None):
    for name in ("failed", "success", "cleared"):
        run_job(name, check_interval=1, pool="people")

with DAG("people_late_retry", start_date=START, schedule=None):
    for name in ("failed", "success", "cleared"):
        run_job(name, deferrable=True, retry_delay=LATE)

with DAG("people_lost", start_date=START, schedule=None):
    run_job("working", check_interval=1, retry_delay=LATE)

with DAG("people_without_retry_on_cancel", start_date=START, schedule=None):
    run_both(retry_on_cancel=False)

with DAG("people_without_cancel_on_kill", start_date=START, schedule=None):
    run_both(cancel_on_kill=False)

with DAG("people_and_other_runs", start_date=START, schedule=None):
    for choice in ("queue", "skip", "fail"):
        run_job(choice, check_interval=1, retries=0, if_job_running=choice)

with DAG("people_and_reused_runs", start_date=START, schedule=None):
    run_both(if_job_running="reuse", steps_override=["dbt clean"])

with DAG("people_edit", start_date=START, schedule=None):
    retries = int(RETRIES.read_text()) if RETRIES.exists() else 1
    run_job("working", check_interval=1, retries=retries)

with DAG("people_open", start_date=START, schedule=None):
    run_both()
    run_job("failing", check_interval=1, retries=0)
    # It keeps the DAG run from ending.
    run_job("open", deferrable=True)

# All that Airflow allows in ids.
with DAG("people_Ærø-1.nord", start_date=START, schedule=None), TaskGroup("Årnes-1"):
    DbtCloudRunJobOperator.partial(task_id="Øst.vær_2", check_interval=5, deferrable=True).expand(
        job_id=["{{ dag_run.conf['first'] }}", "{{ dag_run.conf['second'] }}"]
    )

# Its only runs are those of a backfill.
with (
    DAG("people_backfill", start_date=START, end_date=START, schedule="@daily", catchup=False),
    TaskGroup("Årnes-1"),
):
    DbtCloudRunJobOperator.partial(task_id="Øst.vær_2", check_interval=1, retries=1, retry_delay=SOON).expand(
        job_id=["{{ dag_run.conf['job'] }}"] * 2
    )
