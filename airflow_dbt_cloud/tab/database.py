"""
What Airflow's database knows of tasks, as values.

Each function opens a session and has closed it when it returns, so that none is held while dbt Cloud is
asked. Only columns are read, never Airflow's objects, which would bring half of the database along.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancehistory import TaskInstanceHistory
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import and_, or_, select

from airflow_dbt_cloud.links import RUN_ID, RUN_URL
from airflow_dbt_cloud.picture import FAILURES, NODES
from airflow_dbt_cloud.report import SUMMARY
from airflow_dbt_cloud.tab.keys import TaskKey

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

__all__ = ["MOST_OTHERS", "Past", "Task", "find_task", "list_dbt_tasks", "list_past"]

OPERATORS = frozenset({"DbtCloudRunJobOperator", "DbtCloudJobRunSensor"})
KEYS = (SUMMARY, NODES, FAILURES, RUN_ID, RUN_URL)
# By these XComs a subclass of our operator is known, whatever its name.
TELLTALES = (SUMMARY, RUN_ID)
MOST_PAST = 30
# Of so many of them, all nodes are known and not only the slowest.
MOST_PAST_NODES = 3
MOST_OTHERS = 100


@dataclass(frozen=True, slots=True)
class Task:
    """
    A try of a task instance.

    `rendered` are its template fields as they were rendered, `xcoms` the values of its XComs as they stand in
    the database; of a try that is not the last one Airflow keeps neither.
    """

    key: TaskKey
    state: str | None
    try_number: int
    operator: str
    is_last_try: bool = True
    dag_run_started_at: datetime | None = None
    rendered: dict[str, Any] = field(default_factory=dict)
    xcoms: dict[str, Any] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether it runs or follows a dbt Cloud run."""
        return self.operator in OPERATORS or any(name in self.xcoms for name in TELLTALES)


@dataclass(frozen=True, slots=True)
class Past:
    """A task instance that has told what its run did: in an XCom, and of the latest few in one of nodes."""

    key: TaskKey
    summary: Any
    nodes: Any = None


def find_task(key: TaskKey, *, try_number: int | None = None, keys: Collection[str] = KEYS) -> Task | None:
    """
    Return a try of a task instance, None if there is none.

    :param try_number: by default the last one.
    :param keys: the XComs to read.
    """
    with create_session(scoped=False) as session:
        task = _last_try(session, key, keys)
        if task is None or try_number in {None, task.try_number}:
            return task
        return _earlier_try(session, key, try_number)


def list_past(key: TaskKey, before: datetime | None) -> list[Past]:
    """
    Return the same task and map index of thirty earlier DAG runs, the latest first.

    :param before: when the DAG run of the task itself was started; None means that it was not.
    """
    same = (
        XComModel.dag_id == key.dag_id,
        XComModel.task_id == key.task_id,
        XComModel.map_index == key.map_index,
        XComModel.run_id != key.run_id,
    )
    query = (
        select(XComModel.run_id, XComModel.value)
        .join(DagRun, and_(DagRun.dag_id == XComModel.dag_id, DagRun.run_id == XComModel.run_id))
        .where(*same, XComModel.key == SUMMARY)
        .order_by(DagRun.start_date.desc())
        .limit(MOST_PAST)
    )
    if before is not None:
        query = query.where(DagRun.start_date < before)
    with create_session(scoped=False) as session:
        rows = session.execute(query).all()
        latest = [row.run_id for row in rows[:MOST_PAST_NODES]]
        stored = select(XComModel.run_id, XComModel.value).where(
            *same, XComModel.key == NODES, XComModel.run_id.in_(latest)
        )
        nodes = {row.run_id: row.value for row in session.execute(stored)}
    return [Past(replace(key, run_id=row.run_id), row.value, nodes.get(row.run_id)) for row in rows]


def list_dbt_tasks(dag_id: str, run_id: str) -> list[Task]:
    """Return the tasks of a DAG run that have to do with dbt Cloud runs; one more than a hundred at most."""
    marked = select(XComModel.key).where(_same_task(XComModel), XComModel.key.in_(TELLTALES))
    columns = TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state
    query = (
        select(*columns, TaskInstance.try_number, TaskInstance.operator)
        .where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
        .where(or_(TaskInstance.operator.in_(OPERATORS), marked.exists()))
        .order_by(TaskInstance.task_id, TaskInstance.map_index)
        .limit(MOST_OTHERS + 1)
    )
    with create_session(scoped=False) as session:
        return [
            Task(TaskKey(dag_id, run_id, task_id, map_index), state, try_number, operator or "")
            for task_id, map_index, state, try_number, operator in session.execute(query)
        ]


def _last_try(session: Session, key: TaskKey, keys: Collection[str]) -> Task | None:
    columns = TaskInstance.state, TaskInstance.try_number, TaskInstance.operator, DagRun.start_date
    same_run = and_(DagRun.dag_id == TaskInstance.dag_id, DagRun.run_id == TaskInstance.run_id)
    found = session.execute(select(*columns).join(DagRun, same_run).where(*_is(TaskInstance, key))).first()
    if found is None:
        return None
    state, try_number, operator, started_at = found
    fields = RenderedTaskInstanceFields
    rendered = session.execute(select(fields.rendered_fields).where(*_is(fields, key))).scalar()
    xcoms = select(XComModel.key, XComModel.value).where(*_is(XComModel, key), XComModel.key.in_(keys))
    return Task(
        key,
        state,
        try_number,
        operator or "",
        dag_run_started_at=started_at,
        rendered=rendered if isinstance(rendered, dict) else {},
        xcoms={row.key: row.value for row in session.execute(xcoms)},
    )


def _earlier_try(session: Session, key: TaskKey, try_number: int | None) -> Task | None:
    history = TaskInstanceHistory
    query = select(history.state, history.operator).where(
        *_is(history, key), history.try_number == try_number
    )
    found = session.execute(query).first()
    if found is None or try_number is None:
        return None
    state, operator = found
    return Task(key, state, try_number, operator or "", is_last_try=False)


def _is(model: Any, key: TaskKey) -> tuple[ColumnElement[bool], ...]:
    return (
        model.dag_id == key.dag_id,
        model.run_id == key.run_id,
        model.task_id == key.task_id,
        model.map_index == key.map_index,
    )


def _same_task(model: Any) -> ColumnElement[bool]:
    return and_(
        model.dag_id == TaskInstance.dag_id,
        model.run_id == TaskInstance.run_id,
        model.task_id == TaskInstance.task_id,
        model.map_index == TaskInstance.map_index,
    )
