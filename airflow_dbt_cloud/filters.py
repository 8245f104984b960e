"""
What lists can be filtered by: dbt Cloud's names, read and written.

What is sent follows what the service was seen to accept: an array is one parameter that holds a JSON list, a
range of times is in UTC without an offset (with one, the time of day is ignored).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_dbt_cloud.errors import DbtCloudConfigurationError
from airflow_dbt_cloud.fields import encodable
from airflow_dbt_cloud.models import DbtCloudJobRunStatus
from airflow_dbt_cloud.parameters import parse_count, parse_flag, parse_id, read_structure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["JobFilters", "RunFilters", "encode_filter", "parse_status", "read_filters"]


class JobFilters(TypedDict, total=False):
    """Filters of `GET …/jobs/`, by dbt Cloud's names."""

    pk: int
    name__icontains: str
    project_id: int
    project_id__in: Sequence[int]
    environment_id: int
    state: str
    triggers_schedule: bool
    dbt_version__in: Sequence[str]
    order_by: str


class RunFilters(TypedDict, total=False):
    """
    Filters of `GET …/runs/`, by dbt Cloud's names.

    `order_by` is id, created_at or finished_at, with a `-` before it for the newest first; dbt Cloud's
    default is the oldest first. A range holds two datetimes.
    """

    id__gt: int
    pk: int
    pk__in: Sequence[int]
    status: int
    status__in: Sequence[int]
    project_id: int
    project_id__in: Sequence[int]
    environment_id: int
    job_definition_id: int
    deferring_run_id: int
    dbt_version: str
    dbt_version__in: Sequence[str]
    has_docs_generated: bool
    has_sources_generated: bool
    created_at__range: tuple[datetime, datetime]
    finished_at__range: tuple[datetime, datetime]
    state: str
    order_by: str


def read_filters(filters: Mapping[str, Any], kind: str) -> Any:
    """
    Return filters as a task gives them, read: templates make strings of ids, lists, times and flags.

    A filter that is None counts as not given; an empty string is no id, lest it list everything. A status may
    be a name, such as `success`. A time is a datetime or its ISO text; one without a zone is in UTC.

    :param kind: `jobs` or `runs`.
    :raises DbtCloudConfigurationError: a filter does not exist, or has a value that cannot be meant.
    """
    known = _KINDS[kind].__annotations__
    if unknown := filters.keys() - known.keys():
        names = ", ".join(sorted(known))
        msg = f"dbt Cloud does not filter {kind} by {', '.join(sorted(unknown))}, but by {names}."
        raise DbtCloudConfigurationError(msg)
    given = {name: value for name, value in filters.items() if value is not None}
    return {name: _read(name, value, str(known[name])) for name, value in given.items()}


def parse_status(name: str, value: object) -> int:
    """
    Return `value`, a number or a name such as `success`, as the number of a run's status.

    :raises DbtCloudConfigurationError: it is neither.
    """
    if isinstance(value, str) and (known := value.strip().upper()) in DbtCloudJobRunStatus.__members__:
        return int(DbtCloudJobRunStatus[known])
    # Any number, because dbt Cloud may have more of them tomorrow.
    with suppress(DbtCloudConfigurationError):
        return parse_count(name, value)
    names = ", ".join(status.name.lower() for status in DbtCloudJobRunStatus)
    msg = f"{name} must be a number of dbt Cloud's, or one of {names}; got {value!r}."
    raise DbtCloudConfigurationError(msg)


def encode_filter(value: object) -> str:
    """
    Return the value of a query parameter.

    :raises DbtCloudConfigurationError: it holds half of a letter, which no URL can.
    """
    if isinstance(value, str):
        if value != encodable(value):
            msg = f"A filter must be a text that can be encoded; got {value!r}."
            raise DbtCloudConfigurationError(msg)
        return value
    return json.dumps(value, default=_naive_utc)


def _read(name: str, value: Any, annotation: str) -> Any:
    if name.endswith("__range"):
        return _range(name, value)
    parse = _parser(name, annotation)
    if not name.endswith("__in"):
        return parse(name, value)
    items = read_structure(value)
    if isinstance(items, str | Mapping) or not isinstance(items, Iterable):
        msg = f"{name} must be a list; got {value!r}."
        raise DbtCloudConfigurationError(msg)
    return [parse(name, item) for item in items]


def _parser(name: str, annotation: str) -> Callable[[str, Any], Any]:
    if name.partition("__")[0] == "status":
        return parse_status
    if "int" in annotation:
        return parse_id
    if "bool" in annotation:
        return parse_flag
    return lambda _, value: value


def _range(name: str, value: object) -> tuple[datetime, ...]:
    times = read_structure(value)
    if isinstance(times, list | tuple) and len(times) == 2:
        return tuple(_time(name, time) for time in times)
    msg = f"{name} must be two times, the first and the last; got {value!r}."
    raise DbtCloudConfigurationError(msg)


def _time(name: str, value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    with suppress(ValueError):
        return datetime.fromisoformat(str(value).strip())
    msg = f"{name} must hold times, such as '2026-01-31T06:00:00+00:00'; got {value!r}."
    raise DbtCloudConfigurationError(msg)


_KINDS: dict[str, Any] = {"jobs": JobFilters, "runs": RunFilters}


def _naive_utc(time: datetime) -> str:
    # A time without a zone is in UTC here as in dbt Cloud, and not in the zone of this machine.
    utc = time.astimezone(UTC) if time.tzinfo else time
    return utc.replace(tzinfo=None).isoformat(timespec="microseconds")
