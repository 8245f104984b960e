"""
A table of nodes for a task's log: what failed, and why, then what warns, then the rest, the slowest first.

It has fifty rows at most, fifteen of them for nodes that are well, or five if others failed, and under each
of these its message, of eleven lines at most. What dbt skipped has no rows but one line, in which models come
before tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airflow_dbt_cloud.nodes import count_by_status, cut, excerpt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_dbt_cloud.nodes import Node

__all__ = ["Row", "lay_out"]

MOST_ROWS = 50
MOST_WELL, MOST_WELL_BESIDE_FAILURES = 15, 5
MOST_SKIPPED = 10
LONGEST_WORD = 20
LONGEST_NAME = 120
GAP, INDENT = "  ", "      "

COLUMNS: dict[str, Callable[[str, int], str]] = {
    "step": str.rjust,
    "status": str.ljust,
    "seconds": str.rjust,
    "rows": str.rjust,
    "type": str.ljust,
    "node": str.ljust,
}


class Row(NamedTuple):
    """A node, the index of the step that ran it, and whether it is to blame that the step failed."""

    node: Node
    step: int
    is_blamed: bool


def lay_out(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the table; none if there are no rows."""
    if not rows:
        return []
    ranked = sorted((row for row in rows if not row.node.is_skipped), key=_rank)
    odd = sum(row.is_blamed or row.node.is_warning for row in ranked)
    well = MOST_WELL_BESIDE_FAILURES if any(row.is_blamed for row in ranked) else MOST_WELL
    room = min(MOST_ROWS, odd + well)
    shown, rest = ranked[:room], ranked[room:]
    noun = "node" if len(rows) == 1 else "nodes"
    work = sum(row.node.seconds for row in rows)
    return [
        f"{len(rows)} {noun}: {_counts(rows)}; {work:.1f} s of work",
        *_table(shown),
        *([f"… and {len(rest)} more: {_counts(rest)}"] if rest else []),
        *_skipped([row.node for row in rows if row.node.is_skipped]),
    ]


def _rank(row: Row) -> tuple[bool, bool, float]:
    return not row.is_blamed, not row.node.is_warning, -row.node.seconds


def _counts(rows: Iterable[Row]) -> str:
    counts = count_by_status(row.node for row in rows)
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def _skipped(nodes: list[Node]) -> Iterator[str]:
    if nodes:
        ranked = sorted(nodes, key=lambda node: node.is_test)
        names = [cut(node.name, LONGEST_NAME) for node in ranked[:MOST_SKIPPED]]
        more = [f"and {len(nodes) - len(names)} more"] if len(nodes) > len(names) else []
        yield f"skipped: {', '.join(names + more)}"


def _table(rows: list[Row]) -> Iterator[str]:
    if not rows:
        return
    # The step says nothing where there is one.
    first = 0 if len({row.step for row in rows}) > 1 else 1
    titles = tuple(COLUMNS)[first:]
    cells = [_cells(row)[first:] for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]

    def line(texts: tuple[str, ...]) -> str:
        aligned = (
            COLUMNS[title](text, width) for title, text, width in zip(titles, texts, widths, strict=True)
        )
        return GAP + GAP.join(aligned).rstrip()

    yield line(titles)
    for row, texts in zip(rows, cells, strict=True):
        yield line(texts)
        if row.is_blamed:
            yield from (INDENT + said for said in excerpt(row.node.message))


def _cells(row: Row) -> tuple[str, ...]:
    node = row.node
    # Of a test, the rows that are not as they should be.
    rows = node.failures if node.failures and node.rows is None else node.rows
    return (
        str(row.step),
        cut(node.status, LONGEST_WORD) or "unknown",
        f"{node.seconds:.2f}" if node.seconds else "",
        "" if rows is None else str(rows),
        cut(node.resource_type, LONGEST_WORD),
        cut(node.name, LONGEST_NAME),
    )
