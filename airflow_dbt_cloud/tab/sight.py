"""
A look at a run that goes: what is known of it, and the end of what its running step writes.

Nobody can make this look at a run that the task has nothing to do with. The connection is the one that the
task's own template field named when it ran, and not what somebody has written into an XCom since. The run of
an operator is known from an XCom, which people can edit, and so it must bear the task's marker, or be a
retry of a run that does; the run of a sensor is the one that its template field names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_dbt_cloud import options
from airflow_dbt_cloud.errors import DbtCloudAnswerTooLong, DbtCloudConfigurationError
from airflow_dbt_cloud.fields import plain
from airflow_dbt_cloud.hooks import DbtCloudHook
from airflow_dbt_cloud.links import RUN_ID
from airflow_dbt_cloud.markers import Marker, make_key
from airflow_dbt_cloud.parameters import parse_id
from airflow_dbt_cloud.report import Report

if TYPE_CHECKING:
    from airflow_dbt_cloud.client import Client
    from airflow_dbt_cloud.models import Run, Step
    from airflow_dbt_cloud.tab.database import Task

__all__ = ["Sight", "Subject", "Unseen", "look", "subject_of"]

# Seconds for the connection, and again for the answer.
PATIENCE = 5.0
LONGEST_CHAIN = 10
MOST_BLOCKERS = 10
# Of the console, in characters.
LONGEST_CONSOLE = 2**18
TOO_LONG = "The console of this run is too long to be shown here."
NOT_MARKED = (
    "dbt Cloud run {} is not shown while it goes, because it does not bear this task's marker. So it is with "
    "the runs of tasks that are not durable, reuse a run, or have another provider's operator. If it is so "
    "with every task, [dbt_cloud] deployment_id is not the same here as where tasks run."
)


class Unseen(Exception):
    """A run cannot be looked at; the message says why, for the person who looks."""


@dataclass(frozen=True, slots=True)
class Subject:
    """
    A run to look at, for a task.

    `marker_key` is the key in the markers of the task's runs; empty if its own template field names the run.
    """

    run_id: int
    conn_id: str
    account_id: int | None = None
    marker_key: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """
    What was seen of a run; `note` says what could not be.

    `run` is what a task stores of a run that has ended, as far as it is known, and `blocked_by`: the runs
    that it waits for.
    """

    run: dict[str, Any]
    console: str
    seen_at: datetime
    note: str = ""


def subject_of(task: Task) -> Subject | None:
    """
    Return the run that a task follows, None if it has none yet.

    :raises Unseen: what Airflow stores of the task cannot be understood.
    """
    conn_id, account_id = task.rendered.get("dbt_cloud_conn_id"), task.rendered.get("account_id")
    is_operator = "job_id" in task.rendered
    run_id = task.xcoms.get(RUN_ID) if is_operator else task.rendered.get("run_id")
    if not isinstance(conn_id, str) or run_id is None:
        return None
    try:
        return Subject(
            run_id=parse_id("the run's id", run_id),
            conn_id=conn_id,
            account_id=None if account_id is None else parse_id("account_id", account_id),
            marker_key=_marker_key(task) if is_operator else "",
        )
    except DbtCloudConfigurationError as error:
        raise Unseen(str(error)) from error


def look(subject: Subject, *, is_known: bool = False) -> Sight:
    """
    Ask dbt Cloud once for a run; blocks for some seconds at worst.

    :param is_known: whether the run is known to be the task's, from an earlier look.
    :raises Unseen: it is not.
    :raises DbtCloudError: dbt Cloud, or its connection, is of no use now.
    :raises AirflowException: the connection cannot be read.
    """
    hook = DbtCloudHook(subject.conn_id, account_id=subject.account_id)
    client, note = hook.get_conn().hurried(PATIENCE), ""
    try:
        run = client.get_run(subject.run_id, include_related=("trigger", "run_steps"))
    except DbtCloudAnswerTooLong:
        # It holds every step's log.
        run, note = client.get_run(subject.run_id, include_related=("trigger",)), TOO_LONG
    if subject.marker_key and not is_known and not _is_marked(run, subject.marker_key, client):
        raise Unseen(NOT_MARKED.format(run.id))
    run = replace(run, steps=tuple(sorted(run.steps, key=lambda step: step.index)))
    return Sight(
        run={**Report(run).summary(), "blocked_by": list(run.blocked_by[:MOST_BLOCKERS])},
        console=_console(run.steps),
        seen_at=datetime.now(UTC),
        note=note,
    )


def _marker_key(task: Task) -> str:
    key = task.key
    return make_key(
        deployment_id=options.deployment_id(),
        dag_id=key.dag_id,
        run_id=key.run_id,
        task_id=key.task_id,
        map_index=key.map_index,
        started_at=task.dag_run_started_at,
    )


def _is_marked(run: Run, marker_key: str, client: Client) -> bool:
    """Whether a run bears the marker, or does again what one failed to do that does."""
    for _ in range(LONGEST_CHAIN):
        marker = Marker.read(run.cause)
        if marker is not None and marker.key == marker_key:
            return True
        if run.retrying_run_id is None:
            return False
        run = client.get_run(run.retrying_run_id, include_related=("trigger",))
    return False


def _console(steps: tuple[Step, ...]) -> str:
    """Return the end of the last log that there is, in whole lines."""
    log = next((step.logs for step in reversed(steps) if step.logs), "")
    tail = log[-LONGEST_CONSOLE:]
    if len(tail) < len(log):
        tail = tail.partition("\n")[2]
    return plain(tail)
