"""List dbt Cloud jobs as an Airflow task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_dbt_cloud.filters import read_filters
from airflow_dbt_cloud.hooks import DbtCloudHook, make_hook
from airflow_dbt_cloud.parameters import check_if_known, is_rendered_later, parse_count, parse_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

__all__ = ["DbtCloudListJobsOperator"]

FILTERS = (
    "project_id",
    "project_id__in",
    "environment_id",
    "name__icontains",
    "triggers_schedule",
    "dbt_version__in",
    "state",
    "order_by",
)


class DbtCloudListJobsOperator(BaseOperator):
    """
    List the jobs of a dbt Cloud account, or those of them that match; returns their ids.

    dbt Cloud does the matching. A task can be mapped over what is returned: `DbtCloudRunJobOperator.partial(
    task_id="build").expand(job_id=jobs.output)`.

    :param project_id: of this project (templated).
    :param project_id__in: of one of these projects (templated).
    :param environment_id: of this environment (templated).
    :param name__icontains: with this in their name, in whatever case (templated).
    :param triggers_schedule: whether they run on dbt Cloud's own schedule (templated).
    :param dbt_version__in: of one of these dbt versions or release tracks (templated).
    :param state: `active`, `deleted` or `all`; default those that are active (templated).
    :param order_by: a field to order by, with a `-` before it for the reverse: `-id` (templated).
    :param limit: how many at most; by default all (templated).
    :param dbt_cloud_conn_id: the connection (templated).
    :param account_id: beats the account id of the connection (templated).
    :param hook_params: numbers for the hook: `timeout_seconds`, `retry_limit`, `retry_delay`; see
        `DbtCloudHook`.
    :raises DbtCloudConfigurationError: a parameter or the connection is wrong; when the DAG is parsed, if it
        can be told by then.
    """

    template_fields: Sequence[str] = ("dbt_cloud_conn_id", "account_id", *FILTERS, "limit")
    ui_color = "#ffe3dc"

    def __init__(  # noqa: PLR0913 - every filter is a parameter
        self,
        *,
        project_id: int | str | None = None,
        project_id__in: Sequence[int | str] | str | None = None,
        environment_id: int | str | None = None,
        name__icontains: str | None = None,
        triggers_schedule: bool | str | None = None,
        dbt_version__in: Sequence[str] | str | None = None,
        state: str | None = None,
        order_by: str | None = None,
        limit: int | str | None = None,
        dbt_cloud_conn_id: str = DbtCloudHook.default_conn_name,
        account_id: int | str | None = None,
        hook_params: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project_id = project_id
        self.project_id__in = project_id__in
        self.environment_id = environment_id
        self.name__icontains = name__icontains
        self.triggers_schedule = triggers_schedule
        self.dbt_version__in = dbt_version__in
        self.state = state
        self.order_by = order_by
        self.limit = limit
        self.dbt_cloud_conn_id = dbt_cloud_conn_id
        self.account_id = account_id
        self.hook_params = hook_params or {}
        self._check_parameters()

    def execute(self, context: Context) -> list[int]:  # noqa: ARG002 - Airflow's signature
        """List the jobs, and return their ids."""
        jobs = self._make_hook().list_jobs(limit=self.limit, **self._filters())
        self.log.info("Jobs in dbt Cloud that match: %d.", len(jobs))
        return [job.id for job in jobs]

    def _check_parameters(self) -> None:
        """Raise now what can be told before templates are rendered."""
        check_if_known(parse_id, "account_id", self.account_id)
        check_if_known(parse_count, "limit", self.limit)
        known = {name: value for name, value in self._filters().items() if not is_rendered_later(value)}
        read_filters(known, "jobs")
        self._make_hook()

    def _filters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FILTERS}

    def _make_hook(self) -> DbtCloudHook:
        return make_hook(self.dbt_cloud_conn_id, self.account_id, self.hook_params)
