"""
What a task tells of a run that has ended: in its log, in XComs, as lineage and as assets.

Operator and sensor share it, whether they waited themselves or in the triggerer. It is best effort and
bounded: what cannot be had is said in the log, and changes nothing about how the task ends.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowTaskTimeout

from airflow_dbt_cloud.assets import emit_assets
from airflow_dbt_cloud.deferral import TROUBLE
from airflow_dbt_cloud.errors import DbtCloudAnswerTooLong, DbtCloudApiError, DbtCloudUnreachable
from airflow_dbt_cloud.graph import read_graph
from airflow_dbt_cloud.lineage import emit_lineage
from airflow_dbt_cloud.picture import FAILURES, NODES, draw_failures, draw_nodes
from airflow_dbt_cloud.report import SUMMARY, Report, read_report

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

    from airflow_dbt_cloud.client import Client
    from airflow_dbt_cloud.console import Console
    from airflow_dbt_cloud.hooks import DbtCloudHook
    from airflow_dbt_cloud.models import Run
    from airflow_dbt_cloud.waiting import Log

__all__ = ["tell"]

# Seconds within which the run must have told its steps, for which nobody waits as for the run itself.
PATIENCE = 30.0


def tell(
    context: Context,
    hook: DbtCloudHook,
    run: Run,
    log: Log,
    *,
    console: Console | None = None,
    with_assets: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """
    Tell what a run did, and return it.

    :param run: if it was seen to have ended, that is how it did, whatever is seen now.
    :param console: shows what the log has not shown yet of the console of the run's steps.
    :param with_assets: whether to hand Airflow asset events for what was built, if the run succeeded.
    :param sleep: takes seconds.
    :param clock: seconds that only grow.
    """
    report = Report(run)
    try:
        client = hook.get_conn()
        seen = _see(client, run, log, clock)
        if console is not None:
            console.show(seen)
        if run.is_terminal:
            seen = replace(seen, status=run.status)
        report = read_report(client, seen, sleep=sleep, clock=clock)
        context["ti"].xcom_push(key=SUMMARY, value=report.summary())
        _push_picture(context, client, report, log)
        emit_lineage(context, client, report, log)
        if with_assets and seen.is_success:
            emit_assets(context, client, report, log, sleep=sleep, clock=clock)
    except AirflowTaskTimeout:
        log.warning("The task's execution_timeout is over; dbt Cloud run %s: %s.", run.id, run.status_name)
    except TROUBLE as error:
        log.warning("Not all is told of what dbt Cloud run %s did. %s", run.id, error)
    # Last, because whoever looks why a task failed begins at the end of its log.
    _log_report(report, log)
    return report


def _see(client: Client, run: Run, log: Log, clock: Callable[[], float]) -> Run:
    """Return the run with its steps."""
    deadline = clock() + PATIENCE
    client = client.within(lambda: max(0.0, deadline - clock()))
    try:
        return client.get_run(run.id, include_related=("run_steps", "trigger", "audit"))
    except DbtCloudAnswerTooLong:
        # It holds every step's log.
        log.warning("The console log of dbt Cloud run %s is too long for this log: %s", run.id, run.href)
        return client.get_run(run.id, include_related=("trigger", "audit"))


def _push_picture(context: Context, client: Client, report: Report, log: Log) -> None:
    run, nodes = report.run, {node.unique_id for node in report.nodes}
    if not nodes:
        return
    graph = None
    try:
        graph = read_graph(client, run.id, nodes)
    except (DbtCloudApiError, DbtCloudUnreachable) as error:
        log.info("It is not known which node of dbt Cloud run %s waited for which. %s", run.id, error)
    try:
        for key, drawn in ((NODES, draw_nodes(report, graph)), (FAILURES, draw_failures(report))):
            if drawn:
                context["ti"].xcom_push(key=key, value=drawn)
    except TROUBLE as error:
        # What follows must not suffer if only this is too large for Airflow.
        log.warning("The tab dbt does not show all that dbt Cloud run %s did. %s", run.id, error)


def _log_report(report: Report, log: Log) -> None:
    for note in report.notes:
        log.warning("%s", note)
    for line in report.table():
        log.info("%s", line)
