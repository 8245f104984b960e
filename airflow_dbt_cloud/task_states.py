"""
What the state of a task says about who has ended it: a person, or nobody.

Airflow ends a process, or a trigger, for much that no person asked for. Only the task's state tells the
difference, and what cannot be told counts as "nobody".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ENDED_WHILE_DEFERRED", "ENDED_WHILE_WORKING", "question", "read_state"]

# The states of a working task that only a person's action leads to.
ENDED_WHILE_WORKING = frozenset({"failed", "success", "skipped", "removed", "restarting"})
# Those of a deferred one; None is "cleared". A cleared task may be at its next try already, "running": that
# one cancels the run itself, because it finds it.
ENDED_WHILE_DEFERRED = ENDED_WHILE_WORKING | {"upstream_failed", "scheduled", "queued", None}


class TaskInstance(Protocol):
    """What both a worker and a triggerer know of their task."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None


def question(ti: TaskInstance) -> dict[str, Any]:
    """Return the arguments of Airflow's question for a task's state."""
    index = ti.map_index if _is_mapped(ti) else None
    return {"dag_id": ti.dag_id, "task_ids": [ti.task_id], "run_ids": [ti.run_id], "map_index": index}


def read_state(states: Mapping[str, Any], ti: TaskInstance) -> str | None:
    """
    Return a task's state from Airflow's answer, by the ids of DAG runs and tasks.

    :raises KeyError: the answer does not tell.
    """
    if ti.run_id not in states:
        # A person has deleted the DAG run.
        return "removed"
    state: str | None = states[ti.run_id][f"{ti.task_id}_{ti.map_index}" if _is_mapped(ti) else ti.task_id]
    return state


def _is_mapped(ti: TaskInstance) -> bool:
    return ti.map_index is not None and ti.map_index >= 0
