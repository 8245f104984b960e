"""
One field of foreign JSON at a time, read as what it should be.

Nothing breaks a reader: what is missing, null or of another kind is 0, None or empty, as the reader's name
says. `plain` makes foreign text fit for a log.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Mapping

# What Airflow's messages between processes hold.
LARGEST = 2**63 - 1
# A terminal's commands: colours and cursor (CSI), titles and links (OSC), and what is left of either.
COMMANDS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?")
# All other control characters but the tab and the end of a line, and those that turn the direction of text.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def is_number(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number of 64 bits, which a boolean is not."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST


def number(json: Mapping[str, Any], key: str) -> int:
    """Return a whole number, or 0."""
    value = json.get(key)
    return value if is_number(value) else 0


def text(json: Mapping[str, Any], key: str) -> str:
    """Return a text, or an empty one."""
    value = json.get(key)
    return encodable(value) if isinstance(value, str) else ""


def time(json: Mapping[str, Any], key: str) -> datetime | None:
    """Return an aware time in UTC, or None."""
    # Runs write "2024-05-27 10:42:16.179903+00:00", jobs "2024-05-27T10:42:10.111442Z".
    try:
        written = datetime.fromisoformat(text(json, key))
        return written.astimezone(UTC) if written.tzinfo else written.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def items(json: Mapping[str, Any], key: str) -> list[Any]:
    """Return a list, or an empty one."""
    value = json.get(key)
    return value if isinstance(value, list) else []


def objects(json: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the objects of a list, or an empty one."""
    return [value for value in items(json, key) if isinstance(value, dict)]


def member(json: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return an object, or an empty one."""
    value = json.get(key)
    return value if isinstance(value, dict) else {}


def plain(text: str) -> str:
    r"""Return a text without colours and control characters, its lines ended by `\n`, safe to encode."""
    bare = CONTROLS.sub("", COMMANDS.sub("", text.replace("\r\n", "\n")))
    return encodable(bare)


def encodable(text: str) -> str:
    """Return a text without halves of letters, which JSON may hold, but no file and no message."""
    return text if text.isascii() else text.encode(errors="replace").decode()
