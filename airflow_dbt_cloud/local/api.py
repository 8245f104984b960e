"""The paths of the Administrative API; here those of what is declared: account, project, jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_dbt_cloud.local import query, run_api
from airflow_dbt_cloud.local.bodies import read_job
from airflow_dbt_cloud.local.envelope import NotFound, page, success
from airflow_dbt_cloud.local.routes import Call, Routes
from airflow_dbt_cloud.local.serializers import Serializer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.responses import Response

    from airflow_dbt_cloud.local.cloud import Cloud
    from airflow_dbt_cloud.local.records import Environment

_CREATED = 201
_BY_ID: dict[str, Callable[[Any], Any]] = {"id": lambda row: row.id}
_JOB_ORDERS: dict[str, Callable[[Any], Any]] = {
    **_BY_ID,
    "name": lambda row: row.name,
    "created_at": lambda row: row.created_at,
    "updated_at": lambda row: row.updated_at,
}


def list_accounts(cloud: Cloud, call: Call) -> Response:
    """Answer with the account of the token."""
    query.read_related(call.parameters)
    account = Serializer(cloud, call.base_url).account()
    return page([account], {"pk__in": [account["id"]]}, None, 1)


def get_account(cloud: Cloud, call: Call) -> Response:
    """Answer with the account."""
    query.read_related(call.parameters)
    return success(Serializer(cloud, call.base_url).account())


def list_projects(cloud: Cloud, call: Call) -> Response:
    """Answer with the one project, if the filters let it through."""
    filters = {
        "name__icontains": query.contains(lambda row: row.name),
        "pk": query.equals(lambda row: row.id),
        "pk__gt": query.Filter(query.integer, lambda row, value: row.id > value),
        "pk__in": query.one_of(lambda row: row.id),
    }
    asked = query.read_list_query(call.parameters, cloud.folder.account.id, filters, order_keys=_BY_ID)
    rows, total = asked.select([cloud.folder.project], _BY_ID)
    serializer = Serializer(cloud, call.base_url)
    return page([serializer.project() for _ in rows], asked.filters, asked.order_by, total)


def get_project(cloud: Cloud, call: Call) -> Response:
    """Answer with the project."""
    query.read_related(call.parameters)
    _check_project(cloud, call)
    return success(Serializer(cloud, call.base_url).project())


def list_environments_v2(cloud: Cloud, call: Call) -> Response:
    """Answer with environments in the form of API v2."""
    filters = {
        "dbt_version": query.equals(lambda _: cloud.dbt_version, str),
        "dbt_version__in": query.one_of(lambda _: cloud.dbt_version, query.texts),
        "pk": query.equals(lambda row: row.id),
        "project_id": query.equals(lambda _: cloud.folder.project.id),
        "project_id__in": query.one_of(lambda _: cloud.folder.project.id),
    }
    return _list_environments(cloud, call, filters, Serializer(cloud, call.base_url).environment_v2)


def list_environments_v3(cloud: Cloud, call: Call) -> Response:
    """Answer with environments in the form of API v3, of a project or (undocumented) of the account."""
    _check_project(cloud, call)
    filters = {
        "credentials_id": query.equals(lambda _: None),
        "dbt_version": query.equals(lambda _: cloud.dbt_version, str),
        "dbt_version__in": query.one_of(lambda _: cloud.dbt_version, query.texts),
        "deployment_type": query.equals(lambda row: row.deployment_type, str),
        "deployment_type__in": query.one_of(lambda row: row.deployment_type, query.texts),
        "id__gt": query.Filter(query.integer, lambda row, value: row.id > value),
        "name": query.equals(lambda row: row.name, str),
        "name__icontains": query.contains(lambda row: row.name),
        "pk": query.equals(lambda row: row.id),
        "pk__in": query.one_of(lambda row: row.id),
        "project_id__in": query.one_of(lambda _: cloud.folder.project.id),
        "type": query.equals(lambda _: "deployment", str),
    }
    if "project_id" not in call.ids:
        filters["project_id"] = query.equals(lambda _: cloud.folder.project.id)
    return _list_environments(cloud, call, filters, Serializer(cloud, call.base_url).environment_v3)


def get_environment_v2(cloud: Cloud, call: Call) -> Response:
    """Answer with an environment in the form of API v2."""
    query.read_related(call.parameters)
    environment = cloud.find_environment(call.ids["environment_id"])
    return success(Serializer(cloud, call.base_url).environment_v2(environment))


def get_environment_v3(cloud: Cloud, call: Call) -> Response:
    """Answer with an environment in the form of API v3."""
    query.read_related(call.parameters)
    _check_project(cloud, call)
    environment = cloud.find_environment(call.ids["environment_id"])
    return success(Serializer(cloud, call.base_url).environment_v3(environment))


def get_connection(cloud: Cloud, call: Call) -> Response:
    """Answer with the connection of an environment, which has its number."""
    query.read_related(call.parameters)
    environment = cloud.find_environment(call.ids["connection_id"])
    return success(Serializer(cloud, call.base_url).connection(environment))


def list_jobs(cloud: Cloud, call: Call) -> Response:
    """Answer with jobs."""
    filters = {
        "dbt_version__in": query.one_of(lambda row: row.dbt_version, query.texts),
        "environment_id": query.equals(lambda row: row.environment_id),
        "is_fusion_ready": query.equals(lambda _: False, query.boolean),
        "is_system": query.equals(lambda _: False, query.boolean),
        "name__icontains": query.contains(lambda row: row.name),
        "pk": query.equals(lambda row: row.id),
        "project_id": query.equals(lambda _: cloud.folder.project.id),
        "project_id__in": query.one_of(lambda _: cloud.folder.project.id),
        "triggers_schedule": query.equals(lambda _: False, query.boolean),
    }
    account_id = cloud.folder.account.id
    asked = query.read_list_query(call.parameters, account_id, filters, order_keys=_JOB_ORDERS)
    rows, total = asked.select(cloud.store.jobs(), _JOB_ORDERS)
    serializer = Serializer(cloud, call.base_url)
    return page(
        [serializer.job_with(row, asked.related) for row in rows], asked.filters, asked.order_by, total
    )


def get_job(cloud: Cloud, call: Call) -> Response:
    """Answer with a job."""
    related = query.read_related(call.parameters)
    return success(Serializer(cloud, call.base_url).job_with(cloud.find_job(call.ids["job_id"]), related))


def create_job(cloud: Cloud, call: Call) -> Response:
    """Create a job."""
    query.refuse_all(call.parameters)
    return success(Serializer(cloud, call.base_url).job(cloud.create_job(_read_job(cloud, call))), _CREATED)


def update_job(cloud: Cloud, call: Call) -> Response:
    """Replace a job."""
    query.refuse_all(call.parameters)
    job = cloud.find_job(call.ids["job_id"])
    return success(Serializer(cloud, call.base_url).job(cloud.update_job(job, _read_job(cloud, call))))


def delete_job(cloud: Cloud, call: Call) -> Response:
    """Delete a job; answers 200 with the job, as recorded, and not 204, as specified."""
    query.refuse_all(call.parameters)
    job = cloud.find_job(call.ids["job_id"])
    return success(Serializer(cloud, call.base_url).job(cloud.delete_job(job)))


def _list_environments(
    cloud: Cloud, call: Call, filters: dict[str, query.Filter], write: Callable[[Environment], dict[str, Any]]
) -> Response:
    asked = query.read_list_query(call.parameters, cloud.folder.account.id, filters, order_keys=_BY_ID)
    rows, total = asked.select(cloud.folder.environments, _BY_ID)
    return page([write(row) for row in rows], asked.filters, asked.order_by, total)


def _check_project(cloud: Cloud, call: Call) -> None:
    if call.ids.get("project_id", cloud.folder.project.id) != cloud.folder.project.id:
        raise NotFound


def _read_job(cloud: Cloud, call: Call) -> dict[str, Any]:
    return read_job(call.body, cloud.folder.project.id, set(cloud.environments), cloud.dbt_versions)


def _table() -> Iterable[tuple[str, str, Callable[[Cloud, Call], Response]]]:
    v2, v3 = "/api/v2/accounts/", "/api/v3/accounts/{account_id}/"
    yield "GET", v2, list_accounts
    v2 += "{account_id}/"
    yield "GET", v2, get_account
    for version in (v2, v3):
        yield "GET", f"{version}projects/", list_projects
        yield "GET", f"{version}projects/{{project_id}}/", get_project
    yield "GET", f"{v2}environments/", list_environments_v2
    yield "GET", f"{v2}environments/{{environment_id}}/", get_environment_v2
    yield "GET", f"{v3}environments/", list_environments_v3
    yield "GET", f"{v3}projects/{{project_id}}/environments/", list_environments_v3
    yield "GET", f"{v3}projects/{{project_id}}/environments/{{environment_id}}/", get_environment_v3
    yield "GET", f"{v3}connections/{{connection_id}}/", get_connection
    yield "GET", f"{v2}jobs/", list_jobs
    yield "POST", f"{v2}jobs/", create_job
    yield "GET", f"{v2}jobs/{{job_id}}/", get_job
    yield "POST", f"{v2}jobs/{{job_id}}/", update_job
    yield "DELETE", f"{v2}jobs/{{job_id}}/", delete_job
    yield "POST", f"{v2}jobs/{{job_id}}/run/", run_api.run_job
    yield "POST", f"{v2}jobs/{{job_id}}/rerun/", run_api.rerun_job
    yield "GET", f"{v2}jobs/{{job_id}}/artifacts/{{remainder}}", run_api.get_job_artifact
    yield "GET", f"{v2}runs/", run_api.list_runs
    yield "GET", f"{v2}runs/{{run_id}}/", run_api.get_run
    yield "POST", f"{v2}runs/{{run_id}}/cancel/", run_api.cancel_run
    yield "GET", f"{v2}runs/{{run_id}}/retry/", run_api.get_run_failure
    yield "POST", f"{v2}runs/{{run_id}}/retry/", run_api.retry_run
    yield "GET", f"{v2}runs/{{run_id}}/artifacts/", run_api.list_run_artifacts
    yield "GET", f"{v2}runs/{{run_id}}/artifacts/{{remainder}}", run_api.get_run_artifact
    yield "GET", f"{v2}steps/{{step_id}}/", run_api.get_step


def api_routes() -> Routes:
    """Make the table of all paths."""
    routes = Routes()
    for method, template, handler in _table():
        routes.add(method, template, handler)
    return routes
