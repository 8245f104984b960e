"""List dbt Cloud runs as an Airflow task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_dbt_cloud.errors import DbtCloudConfigurationError
from airflow_dbt_cloud.filters import parse_status, read_filters
from airflow_dbt_cloud.hooks import DbtCloudHook, make_hook
from airflow_dbt_cloud.parameters import (
    check_if_known,
    is_rendered_later,
    parse_count,
    parse_flag,
    parse_id,
    read_structure,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.sdk import Context

    from airflow_dbt_cloud.models import Run

__all__ = ["DbtCloudListJobRunsOperator"]

# Filters that are parameters by dbt Cloud's own names.
FILTERS = ("project_id", "environment_id", "created_at__range", "finished_at__range", "order_by")
RELATED = ("trigger", "audit")
NEWEST_FIRST = "-id"


class DbtCloudListJobRunsOperator(BaseOperator):
    """
    List the runs of a dbt Cloud account, or those of them that match; or find the newest one.

    dbt Cloud does the matching, and the newest run is one small request, however many there are.

    Returns a list of dicts, whose keys are dbt Cloud's: `id`, `account_id`, `project_id`, `environment_id`,
    `job_definition_id`, `status` (a number), `status_humanized` (a word), `status_message`, `href` (the URL),
    `dbt_version`, `git_branch`, `git_sha`, and `created_at`, `started_at` and `finished_at`, each text in ISO
    form or None. With `latest_only` it returns one such dict, or None if no run matches. A task can be mapped
    over the list, `DbtCloudJobRunSensor.partial(task_id="wait").expand(run_id=runs.output.map(lambda run:
    run["id"]))`, or take what it needs of the one, `run_id="{{ ti.xcom_pull('latest')['id'] }}"`.

    :param job_id: of this job (templated).
    :param project_id: of this project (templated).
    :param environment_id: of this environment (templated).
    :param status_filter: with this status, or one of a list: dbt Cloud's numbers, or `queued`, `starting`,
        `running`, `success`, `error`, `cancelled` (templated).
    :param created_at__range: created from the first to the second of two times, datetimes or their ISO text;
        those without a zone are in UTC (templated).
    :param finished_at__range: likewise finished (templated).
    :param order_by: id, created_at or finished_at, with a `-` before it for the newest first; default the
        oldest first (templated).
    :param limit: how many at most; by default all, a hundred to a request (templated).
    :param latest_only: return the first run alone, and with no `order_by` the newest; leaves no room for
        `limit`.
    :param include_related: what else to tell of a run: with `trigger` there is a key `trigger`, a dict of the
        `cause` and what the start overrode; with `audit` a key `cancelled_by`, a name (templated).
    :param dbt_cloud_conn_id: the connection (templated).
    :param account_id: beats the account id of the connection (templated).
    :param hook_params: numbers for the hook: `timeout_seconds`, `retry_limit`, `retry_delay`; see
        `DbtCloudHook`.
    :raises DbtCloudConfigurationError: a parameter or the connection is wrong; when the DAG is parsed, if it
        can be told by then.
    """

    template_fields: Sequence[str] = (
        "dbt_cloud_conn_id",
        "account_id",
        "job_id",
        *FILTERS,
        "status_filter",
        "limit",
        "include_related",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"include_related": "json"}
    ui_color = "#ffe3dc"

    def __init__(  # noqa: PLR0913 - every filter is a parameter
        self,
        *,
        job_id: int | str | None = None,
        project_id: int | str | None = None,
        environment_id: int | str | None = None,
        status_filter: int | str | Sequence[int | str] | None = None,
        created_at__range: Sequence[datetime | str] | str | None = None,
        finished_at__range: Sequence[datetime | str] | str | None = None,
        order_by: str | None = None,
        limit: int | str | None = None,
        latest_only: bool = False,
        include_related: Sequence[str] | str | None = None,
        dbt_cloud_conn_id: str = DbtCloudHook.default_conn_name,
        account_id: int | str | None = None,
        hook_params: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.project_id = project_id
        self.environment_id = environment_id
        self.status_filter = status_filter
        self.created_at__range = created_at__range
        self.finished_at__range = finished_at__range
        self.order_by = order_by
        self.limit = limit
        self.latest_only = parse_flag("latest_only", latest_only)
        self.include_related = include_related
        self.dbt_cloud_conn_id = dbt_cloud_conn_id
        self.account_id = account_id
        self.hook_params = hook_params or {}
        self._check_parameters()

    def execute(self, context: Context) -> list[dict[str, Any]] | dict[str, Any] | None:  # noqa: ARG002
        """List the runs, and return what there is to tell of each."""
        related = _parse_related("include_related", self.include_related or ())
        filters = self._filters()
        if self.job_id is not None:
            filters["job_definition_id"] = parse_id("job_id", self.job_id)
        if self.status_filter is not None:
            filters["status__in"] = _parse_statuses("status_filter", self.status_filter)
        if self.latest_only and not self.order_by:
            filters["order_by"] = NEWEST_FIRST
        limit = 1 if self.latest_only else self.limit
        runs = self._make_hook().list_job_runs(limit=limit, include_related=related, **filters)
        if not self.latest_only:
            # Once each: runs that start between two requests push others to the next page.
            rows = {run.id: _tell(run, related) for run in runs}
            self.log.info("Runs in dbt Cloud that match: %d.", len(rows))
            return list(rows.values())
        if not runs:
            self.log.info("No run in dbt Cloud matches.")
            return None
        self.log.info("dbt Cloud run %s, %s: %s", runs[0].id, runs[0].status_name, runs[0].href)
        return _tell(runs[0], related)

    def _check_parameters(self) -> None:
        """Raise now what can be told before templates are rendered."""
        if self.latest_only and self.limit is not None:
            msg = f"latest_only=True is one run, which contradicts limit={self.limit!r}: give one of them."
            raise DbtCloudConfigurationError(msg)
        for name in ("job_id", "account_id"):
            check_if_known(parse_id, name, getattr(self, name))
        check_if_known(parse_count, "limit", self.limit)
        check_if_known(_parse_statuses, "status_filter", self.status_filter)
        check_if_known(_parse_related, "include_related", self.include_related)
        known = {name: value for name, value in self._filters().items() if not is_rendered_later(value)}
        read_filters(known, "runs")
        self._make_hook()

    def _filters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FILTERS}

    def _make_hook(self) -> DbtCloudHook:
        return make_hook(self.dbt_cloud_conn_id, self.account_id, self.hook_params)


def _parse_statuses(name: str, value: object) -> list[int]:
    given = read_structure(value)
    statuses = list(given) if isinstance(given, list | tuple | set | frozenset) else [given]
    if not statuses:
        msg = f"{name} must be a status or a list of them, and the list is empty."
        raise DbtCloudConfigurationError(msg)
    return [parse_status(name, status) for status in statuses]


def _parse_related(name: str, value: object) -> tuple[str, ...]:
    given = read_structure(value)
    related = [part.strip() for part in given.split(",")] if isinstance(given, str) else given
    if isinstance(related, list | tuple) and set(related) <= set(RELATED):
        return tuple(related)
    msg = f"{name} must be a list of {' and '.join(RELATED)}, which is what is told of a run; got {value!r}."
    raise DbtCloudConfigurationError(msg)


def _tell(run: Run, related: Sequence[str]) -> dict[str, Any]:
    """Return a run in dbt Cloud's words, as XCom can hold it."""
    times = {"created_at": run.created_at, "started_at": run.started_at, "finished_at": run.finished_at}
    return {
        "id": run.id,
        "account_id": run.account_id,
        "project_id": run.project_id,
        "environment_id": run.environment_id,
        "job_definition_id": run.job_id,
        "status": run.status,
        "status_humanized": run.status_name,
        "status_message": run.status_message,
        "href": run.href,
        "dbt_version": run.dbt_version,
        "git_branch": run.git_branch,
        "git_sha": run.git_sha,
        **{name: time and str(time) for name, time in times.items()},
        **({"trigger": {"cause": run.cause, **run.overrides}} if "trigger" in related else {}),
        **({"cancelled_by": run.cancelled_by} if "audit" in related else {}),
    }
