"""Times and durations in the forms in which dbt Cloud writes them.

All times inside the server are seconds since 1970.
"""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = (
    ("year", 365 * 86400),
    ("month", 30 * 86400),
    ("week", 7 * 86400),
    ("day", 86400),
    ("hour", 3600),
    ("minute", 60),
    ("second", 1),
)


def run_time(seconds: float | None) -> str | None:
    """Write a time of a run or step, with a blank: `2024-05-27 10:42:16.179903+00:00`."""
    return None if seconds is None else _utc(seconds).isoformat(sep=" ", timespec="microseconds")


def iso_time(seconds: float) -> str:
    """Write any other time, as ISO 8601."""
    return _utc(seconds).isoformat(timespec="microseconds")


def zulu_time(seconds: float) -> str:
    """Write a time of a job inside a run: it ends in Z."""
    return iso_time(seconds).replace("+00:00", "Z")


def clock_duration(seconds: float) -> str:
    """Write hours, minutes and seconds; hours may exceed 24: `24:00:36`."""
    whole = max(0, int(seconds))
    return f"{whole // 3600:02}:{whole % 3600 // 60:02}:{whole % 60:02}"


def humanized_duration(seconds: float) -> str:
    """Write the largest unit and, unless it is zero, the next: `1 minute, 50 seconds`."""
    whole = max(0, int(seconds))
    for position, (_, size) in enumerate(_UNITS):
        if whole >= size:
            parts = [_plural(whole // size, position)]
            if position + 1 < len(_UNITS) and (rest := whole % size // _UNITS[position + 1][1]):
                parts.append(_plural(rest, position + 1))
            return ", ".join(parts)
    return "0 minutes"


def _plural(count: int, position: int) -> str:
    return f"{count} {_UNITS[position][0]}{'' if count == 1 else 's'}"


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
