"""
What a task tells of a run that has ended: in its log, in XComs, as lineage and as assets.

Operator and sensor share it, whether they waited themselves or in the triggerer. It is best effort, part by
part: what cannot be had is said in the log, costs nothing of the rest, and changes nothing about how the task
ends. Whoever runs out of time, or has to end his process, leaves out what was not told yet.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow.sdk._shared.secrets_masker import redact
from airflow.sdk.exceptions import AirflowTaskTimeout

from airflow_dbt_cloud.assets import emit_assets
from airflow_dbt_cloud.errors import DbtCloudAnswerTooLong, DbtCloudError
from airflow_dbt_cloud.graph import read_graph
from airflow_dbt_cloud.lineage import emit_lineage
from airflow_dbt_cloud.picture import FAILURES, NODES, draw_failures, draw_nodes
from airflow_dbt_cloud.report import SUMMARY, Report, read_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.sdk import Context

    from airflow_dbt_cloud.client import Client
    from airflow_dbt_cloud.console import Console
    from airflow_dbt_cloud.hooks import DbtCloudHook
    from airflow_dbt_cloud.models import Run
    from airflow_dbt_cloud.waiting import Log

__all__ = ["TellingCutShort", "tell"]

# Seconds within which the run must have told its steps, for which nobody waits as for the run itself.
PATIENCE = 30.0


class TellingCutShort(BaseException):
    """The process has to end: what was not told yet is left out. Nobody else may catch it on its way."""


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
    Tell what a run did, and return it. Raises nothing.

    :param run: if it was seen to have ended, that is how it did, whatever is seen now.
    :param console: shows what the log has not shown yet of the console of the run's steps.
    :param with_assets: whether to hand Airflow asset events for what was built, if the run succeeded.
    :param sleep: takes seconds.
    :param clock: seconds that only grow.
    """
    report, telling, client = Report(run), _Telling(run, log), None
    with telling.part("its report"):
        client = hook.get_conn()
        seen = _see(client, run, log, clock)
        if console is not None:
            console.show(seen)
        if run.is_terminal:
            seen = replace(seen, status=run.status)
        # What a run writes that still goes is not there yet.
        report = read_report(client, seen, sleep=sleep, clock=clock) if seen.is_terminal else Report(seen)
    with telling.part("its summary"):
        # Airflow masks what is logged, and not what is stored.
        context["ti"].xcom_push(key=SUMMARY, value=redact(report.summary()))
    if client is not None and report.run.is_terminal and not telling.is_over:
        _push_picture(context, client, report, telling)
        with telling.part("its lineage"):
            emit_lineage(context, client, report, log)
    if client is not None and with_assets and report.run.is_success and not telling.is_over:
        with telling.part("its assets"):
            emit_assets(context, client, report, log, sleep=sleep, clock=clock)
    # Last, because whoever looks why a task failed begins at the end of its log.
    with telling.part("its table"):
        _log_report(report, log)
    return report


class _Telling:
    """What is told of one run: `is_over` says that there is no time for more."""

    def __init__(self, run: Run, log: Log) -> None:
        self.is_over = False
        self._run = run
        self._log = log

    @contextmanager
    def part(self, what: str) -> Iterator[None]:
        """Keep what goes wrong in here from everybody else."""
        try:
            yield
        except (AirflowTaskTimeout, TellingCutShort):
            self.is_over = True
            self._miss(what, "The task has no time left.")
        except Exception as error:  # noqa: BLE001 - nothing of it is worth a task
            self._miss(what, str(error) if isinstance(error, DbtCloudError) else repr(error))

    def _miss(self, what: str, why: str) -> None:
        words = "Not all is told of what dbt Cloud run %s did: %s is missing. %s"
        self._log.warning(words, self._run.id, what, why)


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


def _push_picture(context: Context, client: Client, report: Report, telling: _Telling) -> None:
    graph, nodes = None, {node.unique_id for node in report.nodes}
    if nodes:
        with telling.part("which node waited for which"):
            graph = read_graph(client, report.run.id, nodes)
    with telling.part("its picture in the tab dbt"):
        for key, drawn in ((NODES, draw_nodes(report, graph)), (FAILURES, draw_failures(report, redact))):
            if drawn:
                context["ti"].xcom_push(key=key, value=drawn)


def _log_report(report: Report, log: Log) -> None:
    for note in report.notes:
        log.warning("%s", note)
    for line in report.table():
        log.info("%s", line)
