"""
What dbt did, node by node, as its `run_results.json` tells it.

Nothing that such a file holds breaks a reader, whichever dbt wrote it: Core from 1.5 on (schemas v4 to v6) or
Fusion. A field that is missing or of another kind is None, 0 or empty; numbers may be written as text.

No library for dbt's artifacts is used: they refuse a file whose version, status or fields they do not know,
and bring pydantic models of every version, for the dozen fields that are read here.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from airflow_dbt_cloud import fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

__all__ = ["Node", "Results"]

# What dbt says of a node that did not fail. Anything else, also what dbt may invent, is worth a look.
GOOD = frozenset({"success", "pass", "warn", "skipped", "no-op", "reused"})
# Of that, what nobody has to look at.
QUIET = GOOD - {"warn", "skipped"}
# What a node can be that leaves a relation behind when it was run.
BUILT = frozenset({"model", "seed", "snapshot"})

# Generic tests of the same name are told apart by a hash.
HASH = re.compile(r"[0-9a-f]{10}")
# "Database Error in model port_dues (models/port_dues.sql)"; the line below says which.
HEADING = re.compile(r"\w+ Error(?: in .*)?")
# No count and no time is that large.
ABSURD = 10**15
LONGEST_LINE = 400
LONGEST_STATUS = 40
MOST_STATUSES = 20
MOST_LINES = 10
LONGEST_EXCERPT = 2000


@dataclass(frozen=True, slots=True)
class Node:
    """
    One node of a dbt project, and what became of it: a model, test, seed, snapshot, hook or macro.

    `status` is dbt's word in lower case; `seconds` is dbt's `execution_time`; `rows` is None where the
    warehouse does not say, and so is `failures` but for tests. `message` is free of colours. Of a seed,
    `relation_name` is empty. `compiled_code` is kept of what failed or warns: a large project's has many
    megabytes, and nobody reads the rest.
    """

    unique_id: str
    status: str
    message: str = field(default="", repr=False)
    seconds: float = 0.0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    thread: str = ""
    rows: int | None = None
    failures: int | None = None
    relation_name: str = ""
    compiled_code: str = field(default="", repr=False)

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read one of the `results`."""
        timing = fields.objects(json, "timing")
        starts = [time for phase in timing if (time := fields.time(phase, "started_at"))]
        ends = [time for phase in timing if (time := fields.time(phase, "completed_at"))]
        rows = _count(fields.member(json, "adapter_response").get("rows_affected"))
        status = _line(json, "status").lower()
        is_wanted = status not in GOOD or status == "warn"
        return cls(
            unique_id=_line(json, "unique_id"),
            status=status,
            message=fields.plain(fields.text(json, "message")).strip(),
            seconds=_seconds(json.get("execution_time")),
            started_at=min(starts, default=None),
            finished_at=max(ends, default=None),
            thread=_line(json, "thread_id"),
            # Drivers write -1 for "unknown".
            rows=None if rows is None or rows < 0 else rows,
            failures=_count(json.get("failures")),
            relation_name=_line(json, "relation_name"),
            compiled_code=fields.text(json, "compiled_code") if is_wanted else "",
        )

    @property
    def resource_type(self) -> str:
        """What the node is, in dbt's word: `model`, `test`, `unit_test`, `operation`."""
        return self.unique_id.partition(".")[0]

    @property
    def name(self) -> str:
        """What a person calls the node: `port_dues`, `port_dues.v2`, `unique_berths_berth`."""
        parts = self.unique_id.split(".")[2:]
        if len(parts) > 1 and self.resource_type == "test" and HASH.fullmatch(parts[-1]):
            del parts[-1]
        return ".".join(parts) or self.unique_id

    @property
    def is_test(self) -> bool:
        """Whether it looks at the data or at a model's logic, and builds nothing."""
        return self.resource_type in {"test", "unit_test"}

    @property
    def is_failed(self) -> bool:
        """Whether it did not do what it should: an error, a failed test, a status that nobody knows."""
        return self.status not in GOOD

    @property
    def is_skipped(self) -> bool:
        """Whether dbt left it out, because something before it failed."""
        return self.status == "skipped"

    @property
    def is_warning(self) -> bool:
        """Whether it is a test that only warns."""
        return self.status == "warn"

    @property
    def is_built(self) -> bool:
        """
        Whether its relation was made or brought up to date, and wholly.

        A "partial success" (some batches of a microbatch model are missing) is none: dbt itself builds
        nothing on it. That a command builds at all is not known here: `dbt compile` says "success", too.
        """
        return self.status == "success" and self.resource_type in BUILT

    @property
    def first_line(self) -> str:
        """The message in one line: the heading that dbt gives an error, and what it is; cut if very long."""
        said: list[str] = []
        has_heading = False
        for line in filter(None, map(str.strip, self.message.splitlines())):
            said.append(line.removesuffix(":"))
            is_heading = HEADING.fullmatch(line) is not None
            has_heading = has_heading or is_heading
            # "001003 (42000): SQL compilation error:" says as little as a heading.
            if not is_heading and not (has_heading and line.endswith(":")):
                break
        return cut(": ".join(said), LONGEST_LINE)


@dataclass(frozen=True, slots=True)
class Results:
    """
    One invocation of dbt, and its nodes in the order in which they ended.

    `command` is what was run in the end (`build`), also by a `dbt retry`; empty if the file does not say.
    """

    invocation_id: str = ""
    command: str = ""
    dbt_version: str = ""
    generated_at: datetime | None = None
    nodes: tuple[Node, ...] = field(default=(), repr=False)

    @classmethod
    def from_json(cls, json: object) -> Self:
        """Read a `run_results.json`; anything else has no nodes."""
        if not isinstance(json, dict):
            return cls()
        metadata = fields.member(json, "metadata")
        return cls(
            invocation_id=_line(metadata, "invocation_id"),
            command=_line(fields.member(json, "args"), "which"),
            dbt_version=_line(metadata, "dbt_version"),
            generated_at=fields.time(metadata, "generated_at"),
            nodes=tuple(Node.from_json(result) for result in fields.objects(json, "results")),
        )


def count_by_status(nodes: Iterable[Node]) -> dict[str, int]:
    """Return how many nodes there are of each status, what failed first; of twenty statuses at most."""
    counts = Counter(cut(node.status, LONGEST_STATUS) or "unknown" for node in nodes)
    order = sorted(counts, key=lambda status: (status in GOOD, status in QUIET, -counts[status], status))
    listed = {status: counts[status] for status in order[:MOST_STATUSES]}
    others = counts.total() - sum(listed.values())
    return {**listed, "others": others} if others else listed


def excerpt(message: str) -> list[str]:
    """Return a message's lines without empty ones: ten and 2,000 characters of them at most."""
    lines = [line.rstrip() for line in message.splitlines() if line.strip()]
    room, shown = LONGEST_EXCERPT, []
    for line in lines[:MOST_LINES]:
        if room <= 0:
            break
        shown.append(cut(line, room))
        room -= len(line)
    return [*shown, "…"] if len(shown) < len(lines) else shown


def cut(text: str, length: int) -> str:
    """Return a text of at most this length; where it was cut it ends in an ellipsis."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _line(json: Mapping[str, Any], key: str) -> str:
    return " ".join(fields.plain(fields.text(json, key)).split())


def _count(value: object) -> int | None:
    number = _number(value)
    return None if number is None or abs(number) >= ABSURD else int(number)


def _seconds(value: object) -> float:
    seconds = _number(value) or 0.0
    return float(seconds) if 0 < seconds < ABSURD else 0.0


def _number(value: object) -> float | None:
    if fields.is_number(value):
        return value
    # Python reads "NaN" and "Infinity" in JSON, and in text.
    try:
        number = float(value) if isinstance(value, (str, float)) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None
