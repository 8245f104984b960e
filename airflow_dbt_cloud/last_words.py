"""
Why a step ended badly, as the end of its log tells it.

For steps that have no results to ask: dbt could not read the project, install its packages or log in, or git
could not clone. Nothing odd in a log breaks the reader; what it returns has ten lines and 2,000 characters at
most, without colours and times.
"""

from __future__ import annotations

import re
from textwrap import dedent
from typing import TYPE_CHECKING

from airflow_dbt_cloud.fields import plain
from airflow_dbt_cloud.nodes import excerpt

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["did_not_begin", "last_words"]

# A log may have megabytes; the end of it is read.
TAIL = 2**16
# How each message of dbt's begins; lines below that have none belong to it.
TIME = re.compile(r"\d\d:\d\d:\d\d\s*")
# dbt could not begin. The rest of the message says why; what comes after that is a traceback.
STOPPED = "Encountered an error:"
# dbt got to the end: all errors again. "Done." comes last.
SUMMED_UP = re.compile(r"Completed with \d+ (?:error|failure)")
DONE = re.compile(r"Done\. ")
# How others begin: git's "fatal:", click's "Error:", Fusion's "error:".
COMPLAINT = re.compile(r"\W*(?:fatal|error)\b", re.IGNORECASE)
FEW = 3


def last_words(log: str) -> str:
    """Return what a log ends with that says what went wrong; nothing if it is empty."""
    timed = plain(log[-TAIL:]).split("\n")
    lines = [TIME.sub("", line, count=1) for line in timed]
    if (stopped := _last(lines, lambda line: line.rstrip() == STOPPED)) is not None:
        ends = (number for number, line in enumerate(timed) if number > stopped and TIME.match(line))
        return _tidy(lines[stopped + 1 : next(ends, None)])
    lines = [line for line in lines if line.strip() and not DONE.match(line)]
    begin = _last(lines, SUMMED_UP.match)
    begin = _last(lines, COMPLAINT.match) if begin is None else begin
    return _tidy(lines[-FEW:] if begin is None else lines[begin:])


def did_not_begin(log: str) -> bool:
    """Whether dbt said that it could not begin, so that there are no results."""
    return STOPPED in log[-TAIL:]


def _last(lines: list[str], matches: Callable[[str], object]) -> int | None:
    return next((number for number in reversed(range(len(lines))) if matches(lines[number])), None)


def _tidy(lines: list[str]) -> str:
    return "\n".join(excerpt(dedent("\n".join(lines))))
