"""
What a task does about its trigger: hand the run over, and make sense of what comes back.

Operator and sensor share it, so that both judge a run alike.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError

from airflow_dbt_cloud import metrics
from airflow_dbt_cloud.errors import DbtCloudError
from airflow_dbt_cloud.models import Run
from airflow_dbt_cloud.parameters import parse_id
from airflow_dbt_cloud.triggers import DbtCloudRunJobTrigger, RunEvent

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

    from airflow_dbt_cloud.hooks import DbtCloudHook
    from airflow_dbt_cloud.waiting import Log

__all__ = [
    "defer_arguments",
    "end_overdue",
    "find_execution_deadline",
    "look_once",
    "stand_in_event",
]

# Airflow ends a deferral by itself this many seconds after our deadline, in case no triggerer is up to do it.
BACKSTOP = 600.0
# Airflow adds it to today's date, and dates end with the year 9999.
LONGEST = timedelta(days=3650).total_seconds()
# What keeps a task from talking to dbt Cloud, be it on the way there or on the way to the connection.
TROUBLE = (DbtCloudError, AirflowException, AirflowRuntimeError)


def find_execution_deadline(task: BaseOperator, ti: RuntimeTaskInstanceProtocol) -> float | None:
    """Return when `execution_timeout` is over, which counts from the try's start: seconds since the epoch."""
    if task.execution_timeout is None or ti.start_date is None:
        return None
    return (ti.start_date + task.execution_timeout).timestamp()


def look_once(hook: DbtCloudHook, run: Run, log: Log) -> Run:
    """Return the run as it is now, or as it was if it cannot be seen."""
    try:
        return hook.get_conn().hurried(10.0).get_run(run.id, include_related=("audit",))
    except TROUBLE as error:
        log.warning("Cannot see dbt Cloud run %s now. %s", run.id, error)
        return run


def defer_arguments(
    hook: DbtCloudHook,
    run: Run,
    *,
    interval: float,
    end_time: float,
    execution_deadline: float | None,
    cancel_on_kill: bool = True,
    stream_logs: bool = False,
) -> dict[str, Any]:
    """Return the arguments of `defer` that hand a run over to a trigger; times in seconds since the epoch."""
    client = hook.get_conn()
    trigger = DbtCloudRunJobTrigger(
        conn_id=hook.dbt_cloud_conn_id,
        run_id=run.id,
        account_id=None if hook.account_id is None else client.account_id,
        poll_interval=interval,
        end_time=end_time,
        execution_deadline=execution_deadline,
        hook_params={} if hook.timeout_seconds is None else {"timeout_seconds": hook.timeout_seconds},
        host=client.base_url,
        run_account_id=client.account_id,
        run_url=run.href,
        cancel_on_kill=cancel_on_kill,
        stream_logs=stream_logs,
    )
    first = min(end_time, execution_deadline or end_time)
    patience = min(LONGEST, max(0.0, first - time.time()) + BACKSTOP)
    timeout = timedelta(seconds=patience)
    return {"trigger": trigger, "method_name": "execute_complete", "timeout": timeout}


def stand_in_event(hook: DbtCloudHook, run_id: object, execution_deadline: float | None) -> RunEvent:
    """
    Return what the trigger would have told, had there been a triggerer at the deadline.

    :param execution_deadline: when the task's `execution_timeout` is over, in seconds since the epoch.
    :raises DbtCloudConfigurationError: the run id is none.
    """
    run_id = parse_id("the run's id", run_id)
    is_execution_timeout = execution_deadline is not None and time.time() >= execution_deadline
    over = "execution_timeout" if is_execution_timeout else "timeout"
    message = f"the task's {over} is over, and no triggerer was up to see it"
    run = Run(run_id)
    try:
        run = hook.get_job_run(run_id)
    except TROUBLE as error:
        message = f"{message}; nor can dbt Cloud be asked: {error}"
    if run.is_terminal:
        over, message = "ended", run.status_message
    return RunEvent(outcome=over, run_id=run_id, status=run.status, message=message, href=run.href)


def end_overdue(hook: DbtCloudHook, run: Run, log: Log) -> None:
    """Cancel a run that has outlived the task's execution_timeout, and wait until it has stopped."""
    log.info("Cancelling dbt Cloud run %s, because the task's execution_timeout is over.", run.id)
    try:
        # A next try that came sooner than the end would take the run up.
        hook.get_conn().end_run(run.id)
        metrics.count(metrics.RUNS_CANCELLED)
    except TROUBLE as error:
        log.warning("dbt Cloud run %s could not be cancelled and may go on: %s", run.id, error)
