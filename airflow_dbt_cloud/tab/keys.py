"""Which task instance is meant."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TaskKey"]


@dataclass(frozen=True, slots=True)
class TaskKey:
    """A task instance, by Airflow's names; `map_index` is -1 if it is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
