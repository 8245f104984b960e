"""
The marker that every run of a task ends its cause with: `[airflow:KEY:MAX.CLEAR.TRY]`.

What a later try needs to know of an earlier one must stand in dbt Cloud itself: Airflow deletes the XComs of
earlier tries, and a process that dies tells nobody anything. So each run says for which task instance it was
started (KEY), and by which of its tries (MAX, CLEAR and TRY).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Self

from airflow_dbt_cloud.parameters import MAX_CAUSE, clean_cause

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Marker", "make_key", "without_marker"]

# At the very end only: whatever stands before it is a person's.
_WRITTEN = re.compile(r'\[airflow:([0-9a-f]{16}):([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})\](?:"\})?\Z')
# How a cause begins that is OpenLineage's parent of the run, and how the marker stands in it.
_PARENT = '{"parent":'
_IN_PARENT = ',"airflow":"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """
    Which try of which task instance a run was started by.

    :param key: the task instance; see `make_key`.
    :param max_tries: Airflow's `max_tries`, which only a clear of the task changes.
    :param clear_number: Airflow's `clear_number` of the DAG run: how often anything of it was cleared.
    :param try_number: the number of the try, from 1.
    """

    key: str
    max_tries: int
    clear_number: int
    try_number: int

    def __str__(self) -> str:
        """Write the marker as it stands in a cause."""
        return f"[airflow:{self.key}:{self.max_tries}.{self.clear_number}.{self.try_number}]"

    @classmethod
    def read(cls, cause: str) -> Self | None:
        """Return the marker that a cause ends with, None if there is none."""
        written = _WRITTEN.search(cause)
        if written is None:
            return None
        key, max_tries, clear_number, try_number = written.groups()
        return cls(
            key=key, max_tries=int(max_tries), clear_number=int(clear_number), try_number=int(try_number)
        )

    def is_later_than(self, other: Marker) -> bool:
        """Whether this is the marker of a later try of the same task instance, or of a newer clear."""
        return self.try_number > other.try_number or self.clear_number > other.clear_number

    def mark(self, reason: str) -> str:
        """
        Return a cause that says the reason, as much of it as has room, and then the marker.

        A reason that is OpenLineage's parent of the run stays one JSON object, and is never cut: the marker
        is its last member, `airflow`.
        """
        marker = str(self)
        if reason.startswith(_PARENT):
            return f'{reason[:-1]}{_IN_PARENT}{marker}"}}'
        return f"{clean_cause(reason, limit=MAX_CAUSE - len(marker) - 1)} {marker}"


def without_marker(cause: str) -> str:
    """Return what a person reads of a cause."""
    reason = _WRITTEN.sub("", cause).rstrip()
    return f"{reason.removesuffix(_IN_PARENT)}}}" if reason.endswith(_IN_PARENT) else reason


def make_key(
    *,
    deployment_id: str,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: int,
    started_at: datetime | None,
) -> str:
    """
    Return what tells a task instance from every other one, the same for all of its tries.

    :param deployment_id: tells staging from production.
    :param map_index: -1 if the task is not mapped.
    :param started_at: when the DAG run began: tells it from a deleted one with the same id.
    """
    milliseconds = "" if started_at is None else str(int(started_at.timestamp() * 1000))
    parts = deployment_id, dag_id, run_id, task_id, str(map_index), milliseconds
    return sha256("\0".join(parts).encode()).hexdigest()[:16]
