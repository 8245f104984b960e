"""JSON from outside: what Python's reader lets through and nothing behind it could keep or write back.

Python reads NaN, numbers of any size, half of a surrogate pair and NUL in texts, and lists so deep that
walking them fails. SQLite, HTTP, command lines and environment variables take none of these.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

LARGEST_NUMBER = 2**63 - 1
DEEPEST = 20
_NO_TEXT = "holds NUL or half of a surrogate pair"
_TOO_LARGE = "a number does not fit into 64 bits"


def read_json(text: str | bytes) -> Any:
    """Read a JSON text that is nested no deeper than `DEEPEST`; a `ValueError` says why it cannot be."""
    too_deep = f"it is nested deeper than {DEEPEST} levels"
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError(too_deep) from None
    if _is_deeper(value, DEEPEST):
        raise ValueError(too_deep)
    return value


def why_unfit(value: object) -> str | None:
    """Say what in a value that was read cannot be kept, if there is anything."""
    if isinstance(value, str):
        return None if is_text(value) else f"{value!r} {_NO_TEXT}"
    if isinstance(value, int | float):
        return None if abs(value) <= LARGEST_NUMBER else _TOO_LARGE
    entries: list[object] = []
    if isinstance(value, dict):
        entries = [*value, *value.values()]
    elif isinstance(value, list):
        entries = value
    return next((reason for entry in entries if (reason := why_unfit(entry)) is not None), None)


def is_text(value: str) -> bool:
    """Whether a string can be written as UTF-8 and handed to a program."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    entries = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(entry, levels - 1) for entry in entries)
