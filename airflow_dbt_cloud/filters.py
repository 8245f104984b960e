"""
What lists can be filtered by: dbt Cloud's names, read and written.

What is sent follows what the service was seen to accept: an array is one parameter that holds a JSON list, a
range of times is in UTC without an offset (with one, the time of day is ignored).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_dbt_cloud.errors import DbtCloudConfigurationError
from airflow_dbt_cloud.parameters import parse_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["JobFilters", "RunFilters", "encode_filter", "read_filters"]


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
    Return filters as a task gives them, with ids that templates made strings of as numbers.

    :param kind: `jobs` or `runs`.
    :raises DbtCloudConfigurationError: a filter does not exist, or an id is none.
    """
    known = _KINDS[kind].__annotations__
    if unknown := filters.keys() - known.keys():
        names = ", ".join(sorted(known))
        msg = f"dbt Cloud does not filter {kind} by {', '.join(sorted(unknown))}, but by {names}."
        raise DbtCloudConfigurationError(msg)
    return {name: _read(name, value, str(known[name])) for name, value in filters.items()}


def encode_filter(value: object) -> str:
    """Return the value of a query parameter."""
    if isinstance(value, str):
        return value
    return json.dumps(value, default=_naive_utc)


def _read(name: str, value: Any, annotation: str) -> Any:
    if name.endswith("__range"):
        return value
    if name.endswith("__in"):
        if isinstance(value, str):
            msg = f"{name} must be a list; got {value!r}."
            raise DbtCloudConfigurationError(msg)
        return [parse_id(name, item) if "int" in annotation else item for item in value]
    return parse_id(name, value) if "int" in annotation else value


_KINDS: dict[str, Any] = {"jobs": JobFilters, "runs": RunFilters}


def _naive_utc(time: datetime) -> str:
    # A time without a zone is in UTC here as in dbt Cloud, and not in the zone of this machine.
    utc = time.astimezone(UTC) if time.tzinfo else time
    return utc.replace(tzinfo=None).isoformat(timespec="microseconds")
