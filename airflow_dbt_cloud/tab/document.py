"""
The answer about one task instance: what it has stored, earlier runs of the same task, and notes.

Whatever somebody has written into the XComs, the answer has the same shape: what is not what the task writes
is left out, and a note says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_dbt_cloud import fields
from airflow_dbt_cloud.links import RUN_ID, RUN_URL
from airflow_dbt_cloud.picture import FAILURES, NODES
from airflow_dbt_cloud.report import SUMMARY
from airflow_dbt_cloud.tab.addresses import page_of
from airflow_dbt_cloud.tab.database import MOST_OTHERS
from airflow_dbt_cloud.tab.xcoms import Elsewhere, find_value, is_packed, is_summary, read_value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_dbt_cloud.tab.database import Past, Task

__all__ = ["VERSION", "make_document"]

# What a page that was loaded by another version of this package has to know before it reads the rest.
VERSION = 1
OF_LAST_TRY = "Airflow keeps what a task has stored for its last try only."
ELSEWHERE = "The XCom {} cannot be read here. Is it stored elsewhere, by an XCom backend?"
MANY_TASKS = "This DAG run has more dbt tasks than the {} that are listed."


def make_document(task: Task, past: Sequence[Past], others: Sequence[Task]) -> dict[str, Any]:
    """
    Return the answer.

    :param past: instances of the same task that have told what their runs did, the latest first.
    :param others: the dbt tasks of the same DAG run, if this is none.
    """
    notes: list[str] = []
    document = {
        "version": VERSION,
        "is_ours": task.is_ours,
        "task": {
            "state": task.state,
            "try_number": task.try_number,
            "is_last_try": task.is_last_try,
            "operator": task.operator,
        },
        "run": _run(task, notes),
        "nodes": _stored(task, NODES, is_packed, notes),
        "failures": _stored(task, FAILURES, is_packed, notes),
        "history": [
            _history(each, summary) for each in past if (summary := find_value(each.summary, is_summary))
        ],
        "others": [_other(other) for other in others[:MOST_OTHERS]],
        "notes": notes,
    }
    if not task.is_last_try:
        notes.append(OF_LAST_TRY)
    if len(others) > MOST_OTHERS:
        notes.append(MANY_TASKS.format(MOST_OTHERS))
    return document


def _run(task: Task, notes: list[str]) -> dict[str, Any] | None:
    """Return the summary; before there is one, what is known since the run was started."""
    summary = _stored(task, SUMMARY, is_summary, notes)
    if summary is None:
        run_id, url = task.xcoms.get(RUN_ID), _address(task.xcoms.get(RUN_URL))
        return {"run_id": run_id, "url": url} if fields.is_number(run_id) or url else None
    notes += [note for note in fields.items(summary, "notes") if isinstance(note, str)]
    return {**summary, "url": _address(summary.get("url"))}


def _stored(task: Task, key: str, is_it: Callable[[object], bool], notes: list[str]) -> Any:
    if key not in task.xcoms:
        return None
    try:
        return read_value(key, task.xcoms[key], is_it)
    except Elsewhere:
        notes.append(ELSEWHERE.format(key))
        return None


def _history(past: Past, summary: dict[str, Any]) -> dict[str, Any]:
    return {
        "dag_run_id": past.key.run_id,
        "url": page_of(past.key),
        **{name: summary.get(name) for name in ("status", "started_at", "duration")},
        "slowest": fields.objects(summary, "slowest"),
        "nodes": find_value(past.nodes, is_packed),
    }


def _other(task: Task) -> dict[str, Any]:
    key = task.key
    return {
        "task_id": key.task_id,
        "map_index": key.map_index,
        "state": task.state,
        "url": page_of(key),
    }


def _address(value: object) -> str:
    """Return the address of a web page, and nothing else that a browser might follow."""
    return value if isinstance(value, str) and value.startswith(("https://", "http://")) else ""
