"""
The values of XComs, as a task has pushed them.

Airflow's database holds them as JSON. A deployment with an XCom backend of its own may hold a reference there
instead, which only that backend understands.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_dbt_cloud.fields import is_number

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Elsewhere", "find_value", "is_packed", "is_summary", "read_value"]

# What base64 makes of zlib's first byte.
PACKED = re.compile(r"e[A-P][A-Za-z0-9+/]{6,}={0,2}")
# The task stores a tenth of that; what is longer is somebody else's, and not for a browser.
LONGEST = 8 * 2**20
# How many lists and objects of a summary are within each other at most: what is deeper cannot be written.
DEEPEST = 20


class Elsewhere(Exception):
    """The value is neither in the database nor where the XCom backend looks for it."""


@dataclass(frozen=True, slots=True)
class Row:
    """What an XCom backend is given to read."""

    key: str
    value: Any


def is_summary(value: object) -> bool:
    """Whether a value is a summary of a run, of any version."""
    return isinstance(value, dict) and is_number(value.get("version")) and _is_within(value, DEEPEST)


def is_packed(value: object) -> bool:
    """Whether a value is one of the compressed texts."""
    return isinstance(value, str) and len(value) <= LONGEST and PACKED.fullmatch(value) is not None


def find_value(value: Any, is_it: Callable[[object], bool]) -> Any:
    """
    Return what the database holds of an XCom; None if it is nothing of the kind.

    :param is_it: whether a value is what the task has pushed.
    """
    if is_it(value):
        return value
    # Airflow's public API stores JSON as text.
    try:
        written = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return None
    return written if is_it(written) else None


def read_value(key: str, value: Any, is_it: Callable[[object], bool]) -> Any:
    """
    Return the value of an XCom, wherever it is.

    :param value: what the database holds of it.
    :raises Elsewhere: nothing of the kind can be found.
    """
    found = find_value(value, is_it)
    if found is None:
        found = _ask_backend(key, value)
        if not is_it(found):
            raise Elsewhere
    return found


def _ask_backend(key: str, value: Any) -> Any:
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time.xcom import XCom

    if XCom is BaseXCom:
        return None
    try:
        return XCom.deserialize_value(Row(key, value))
    except Exception:  # noqa: BLE001 - whatever a deployment's own code raises, the value cannot be had
        return None


def _is_within(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_within(item, levels - 1) for item in inner)
