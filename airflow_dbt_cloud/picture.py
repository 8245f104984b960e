"""
What the tab "dbt" draws of a run: its nodes as columns, and what those that failed say.

Both are texts for XComs: base64 of zlib of compact JSON, so that a browser can read them by itself, and small
enough for any database and proxy: 20,000 nodes and 900,000 letters at most, and 50 failures.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from airflow_dbt_cloud.fields import plain
from airflow_dbt_cloud.nodes import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from airflow_dbt_cloud.graph import Graph
    from airflow_dbt_cloud.report import Report
    from airflow_dbt_cloud.table import Row

__all__ = ["FAILURES", "MOST_NODES", "NODES", "draw_failures", "draw_nodes"]

# The XComs.
NODES = "dbt_cloud_nodes"
FAILURES = "dbt_cloud_failures"

# What a reader has to know before he reads the rest.
VERSION = 1
MOST_NODES = 20_000
MOST_FAILURES = 50
# A proxy in front of Airflow often takes a megabyte.
LONGEST = 900_000
LONGEST_NAME = 250
LONGEST_WORD = 40
LONGEST_MESSAGE = 4096
LONGEST_CODE = 16_384


def draw_nodes(report: Report, graph: Graph | None = None) -> str:
    """
    Return the nodes of a run in the order in which they ended; empty if there are none.

    Times are seconds since `origin`, the run's start. `total` says how many nodes there were; of too many,
    those that failed are kept first.

    :param graph: if it is known, each row says which rows it waited for: `parents`.
    """
    rows, most = report.rows, MOST_NODES
    if not rows:
        return ""
    while len(drawn := _draw(_most_wanted(rows, most), len(rows), report, graph)) > LONGEST:
        most //= 2
    return drawn


def draw_failures(report: Report, mask: Callable[[Any], Any] = lambda failures: failures) -> str:
    """
    Return what nodes say that failed, or that warn, and their SQL; empty if there are none.

    :param mask: returns it without what must not be stored.
    """
    wanted = [row.node for row in _most_wanted(report.rows, MOST_FAILURES) if _rank(row) < 2]
    failures = {
        cut(node.unique_id, LONGEST_NAME): {
            "message": cut(node.message, LONGEST_MESSAGE),
            "code": cut(plain(node.compiled_code), LONGEST_CODE),
            "relation": cut(node.relation_name, LONGEST_NAME),
        }
        for node in wanted
    }
    return _pack({"version": VERSION, "failures": mask(failures)}) if failures else ""


def _draw(rows: Sequence[Row], total: int, report: Report, graph: Graph | None) -> str:
    nodes = [row.node for row in rows]
    origin = report.run.started_at or report.run.created_at
    origin = origin or min((node.started_at for node in nodes if node.started_at), default=None)
    columns: dict[str, Sequence[Any]] = {
        "unique_id": [cut(node.unique_id, LONGEST_NAME) for node in nodes],
        "status": [cut(node.status, LONGEST_WORD) for node in nodes],
        "start": [_seconds_since(origin, node.started_at) for node in nodes],
        "seconds": [round(node.seconds, 3) for node in nodes],
        "thread": [cut(node.thread, LONGEST_WORD) for node in nodes],
        "rows": [node.rows for node in nodes],
        "step": [row.step for row in rows],
    }
    if graph is not None and graph.parents:
        columns["parents"] = _parents(rows, report, graph)
    written = origin.isoformat() if origin else None
    return _pack({"version": VERSION, "total": total, "origin": written, "nodes": columns})


def _rank(row: Row) -> int:
    """Return what is wanted first where there is no room for all: failures, and then warnings."""
    return 0 if row.is_blamed else 1 if row.node.is_warning else 2


def _most_wanted(rows: Sequence[Row], most: int) -> list[Row]:
    """Return so many rows, in their order."""
    if len(rows) <= most:
        return [*rows]
    numbers = sorted(range(len(rows)), key=lambda number: _rank(rows[number]))[:most]
    return [rows[number] for number in sorted(numbers)]


def _parents(rows: Sequence[Row], report: Report, graph: Graph) -> list[list[int]]:
    """Return the numbers of the rows that each row waited for."""
    commands = {invocation.step.index: invocation.results.command for invocation in report.invocations}
    parents: list[list[int]] = [[] for _ in rows]
    # A step begins when all of the one before has ended: its last node stands for all of them.
    before: list[int] = []
    for step, command in sorted(commands.items()):
        numbers = {row.node.unique_id: number for number, row in enumerate(rows) if row.step == step}
        for node, waits_for in graph.find_parents(numbers, tests_first=command == "build").items():
            parents[numbers[node]] = sorted(numbers[parent] for parent in waits_for) or before
        ends = {rows[number].node.finished_at: number for number in numbers.values()}
        before = [ends[max(filter(None, ends))]] if any(ends) else before
    return parents


def _seconds_since(origin: datetime | None, time: datetime | None) -> float | None:
    return round((time - origin).total_seconds(), 3) if origin and time else None


def _pack(json_value: object) -> str:
    written = json.dumps(json_value, separators=(",", ":")).encode()
    return b64encode(zlib.compress(written)).decode()
