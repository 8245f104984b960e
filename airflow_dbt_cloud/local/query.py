"""Query parameters, read as strictly as dbt Cloud reads them.

A parameter that the path does not know is refused, an array is one parameter that holds a JSON list,
`limit` is at most 100. `include_related` alone is read leniently: every word in it counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_dbt_cloud.local.envelope import NOT_VALID, InvalidRequest
from airflow_dbt_cloud.local.json_text import read_json, why_unfit
from airflow_dbt_cloud.local.records import ACTIVE, DELETED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LARGEST_PAGE = 100
_STATES = {"active": ACTIVE, "deleted": DELETED, "all": None}


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a list: how its value is read, and which rows it lets through."""

    parse: Callable[[str], Any]
    matches: Callable[[Any, Any], bool]


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a list was asked for."""

    filters: dict[str, Any]
    order_by: str | None
    limit: int
    offset: int
    tests: list[tuple[Filter, Any]]
    related: frozenset[str] = field(default=frozenset())

    def select(self, rows: Iterable[Any], keys: dict[str, Callable[[Any], Any]]) -> tuple[list[Any], int]:
        """Give the rows of the page, and how many rows there are on all pages."""
        found = [row for row in rows if all(each.matches(row, value) for each, value in self.tests)]
        order = self.order_by or "id"
        key = keys[order.removeprefix("-")]
        # Rows without the value (runs that are not finished) come last going up, first going down, as in SQL.
        found.sort(
            key=lambda row: ((value := key(row)) is None, value or 0, row.id), reverse=order.startswith("-")
        )
        return found[self.offset : self.offset + self.limit], len(found)


def read_list_query(
    parameters: list[tuple[str, str]],
    account_id: int,
    filters: dict[str, Filter],
    *,
    order_keys: Iterable[str],
    default_order: str | None = "id",
    default_state: str = "active",
) -> ListQuery:
    """Read the parameters of a list."""
    given, related = _collect(parameters, {*filters, "limit", "offset", "order_by", "state"})
    parsed: dict[str, Any] = {
        "limit": _number("limit", given.pop("limit", str(LARGEST_PAGE)), least=1, most=LARGEST_PAGE),
        "offset": _number("offset", given.pop("offset", "0"), least=0),
        "state": _state(given.pop("state", default_state)),
        "account_id": account_id,
    }
    order_by = given.pop("order_by", default_order)
    if order_by is not None and order_by.removeprefix("-") not in order_keys:
        raise InvalidRequest({"order_by": f"{order_by!r} is not one of {sorted(order_keys)}"})
    tests = [(_STATE_FILTER, parsed["state"])]
    for name, text in given.items():
        try:
            parsed[name] = filters[name].parse(text)
        except ValueError:
            raise InvalidRequest({name: f"{text!r} {NOT_VALID}"}) from None
        tests.append((filters[name], parsed[name]))
    return ListQuery(parsed, order_by, parsed["limit"], parsed["offset"], tests, related)


def read_related(parameters: list[tuple[str, str]]) -> frozenset[str]:
    """Read the parameters of a path that knows `include_related` only."""
    return _collect(parameters, set())[1]


def refuse_all(parameters: list[tuple[str, str]]) -> None:
    """Refuse the parameters of a path that knows none."""
    _refuse_unknown((name for name, _ in parameters), set())


def read_step(parameters: list[tuple[str, str]]) -> int | None:
    """Read the parameters of an artifact."""
    text = _collect(parameters, {"step"})[0].get("step")
    return None if text is None else _number("step", text, least=1)


def integer(text: str) -> int:
    """Read a whole number."""
    if not re.fullmatch(r"-?\d{1,18}", text):
        raise ValueError(text)
    return int(text)


def boolean(text: str) -> bool:
    """Read true or false."""
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def integers(text: str) -> list[int]:
    """Read a JSON list of whole numbers."""
    values = _json_list(text)
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        raise ValueError(text)
    return values


def texts(text: str) -> list[str]:
    """Read a JSON list of texts."""
    values = _json_list(text)
    if not all(isinstance(value, str) for value in values):
        raise ValueError(text)
    return values


def time_range(text: str) -> list[str]:
    """Read a JSON list of two times."""
    values = texts(text)
    if len(values) != 2:
        raise ValueError(text)
    for value in values:
        datetime.fromisoformat(value)
    return values


def is_within(moment: float | None, bounds: list[str]) -> bool:
    """Whether a time lies in a range of times without an offset, which are UTC.

    With an offset, the start counts by its date only: clients report that dbt Cloud loses the time of day.
    """
    start, end = (datetime.fromisoformat(bound) for bound in bounds)
    if start.tzinfo is not None:
        start = start.replace(hour=0, minute=0, second=0, microsecond=0)
    return moment is not None and _epoch(start) <= moment <= _epoch(end)


def equals(attribute: Callable[[Any], Any], parse: Callable[[str], Any] = integer) -> Filter:
    """Let rows through whose attribute is the value."""
    return Filter(parse, lambda row, value: bool(attribute(row) == value))


def one_of(attribute: Callable[[Any], Any], parse: Callable[[str], Any] = integers) -> Filter:
    """Let rows through whose attribute is among the values."""
    return Filter(parse, lambda row, values: attribute(row) in values)


def contains(attribute: Callable[[Any], str]) -> Filter:
    """Let rows through whose attribute has the text in it, whatever the case."""
    return Filter(str, lambda row, value: value.lower() in attribute(row).lower())


def within(attribute: Callable[[Any], float | None]) -> Filter:
    """Let rows through whose time lies in the range."""
    return Filter(time_range, lambda row, bounds: is_within(attribute(row), bounds))


def _collect(parameters: list[tuple[str, str]], known: set[str]) -> tuple[dict[str, str], frozenset[str]]:
    """Of a repeated parameter the last one counts; of `include_related`, all."""
    given: dict[str, str] = {}
    related: set[str] = set()
    for name, text in parameters:
        if name == "include_related":
            related.update(re.findall(r"[a-z_]+", text))
        else:
            given[name] = text
    _refuse_unknown(given, known)
    return given, frozenset(related)


def _refuse_unknown(given: Iterable[str], known: set[str]) -> None:
    if unknown := {repr(name) for name in given if name not in known}:
        verb = "was" if len(unknown) == 1 else "were"
        names = ", ".join(sorted(unknown))
        raise InvalidRequest(f"Additional properties are not allowed ({names} {verb} unexpected)")


def _number(name: str, text: str, *, least: int, most: int | None = None) -> int:
    try:
        value = integer(text)
    except ValueError:
        raise InvalidRequest({name: f"{text!r} {NOT_VALID}"}) from None
    if value < least:
        raise InvalidRequest({name: f"{value} is less than the minimum of {least}"})
    if most is not None and value > most:
        raise InvalidRequest({name: f"{value} is greater than the maximum of {most}"})
    return value


def _state(text: str) -> str | int:
    if text in _STATES:
        return text
    try:
        return integer(text)
    except ValueError:
        raise InvalidRequest({"state": f"{text!r} {NOT_VALID}"}) from None


def _has_state(row: Any, value: str | int) -> bool:
    wanted = value if isinstance(value, int) else _STATES[value]
    return wanted is None or bool(getattr(row, "state", ACTIVE) == wanted)


_STATE_FILTER = Filter(str, _has_state)


def _json_list(text: str) -> list[Any]:
    values = read_json(text)  # its error is a ValueError
    if not isinstance(values, list) or why_unfit(values) is not None:
        raise ValueError(text)
    return values


def _epoch(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
