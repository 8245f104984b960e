"""The paths that start runs and answer with runs, steps and artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import FileResponse

from airflow_dbt_cloud.local import query
from airflow_dbt_cloud.local.artifacts import find_artifact, list_artifacts
from airflow_dbt_cloud.local.bodies import read_run_request
from airflow_dbt_cloud.local.envelope import NotFound, page, success
from airflow_dbt_cloud.local.retries import failure_details
from airflow_dbt_cloud.local.serializers import Serializer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.responses import Response

    from airflow_dbt_cloud.local.cloud import Cloud
    from airflow_dbt_cloud.local.records import Run, Step
    from airflow_dbt_cloud.local.routes import Call

_NEW_RUN = frozenset({"trigger", "job"})
_LIST_RELATED = frozenset({"trigger", "job", "audit", "debug_logs"})
_ORDERS: dict[str, Callable[[Any], Any]] = {
    "id": lambda run: run.id,
    "created_at": lambda run: run.created_at,
    "finished_at": lambda run: run.finished_at,
}


def run_job(cloud: Cloud, call: Call) -> Response:
    """Trigger a run."""
    query.read_related(call.parameters)
    job = cloud.find_job(call.ids["job_id"])
    run = cloud.trigger(job, read_run_request(call.body, cloud.dbt_versions), call.actor)
    return success(Serializer(cloud, call.base_url).run(run, _NEW_RUN))


def rerun_job(cloud: Cloud, call: Call) -> Response:
    """Retry the job's latest run if it failed, else trigger a run."""
    query.refuse_all(call.parameters)
    run = cloud.rerun(cloud.find_job(call.ids["job_id"]), call.actor)
    return success(Serializer(cloud, call.base_url).run(run, _NEW_RUN))


def list_runs(cloud: Cloud, call: Call) -> Response:
    """Answer with runs."""
    account_id = cloud.folder.account.id
    filters = _run_filters(cloud)
    asked = query.read_list_query(
        call.parameters, account_id, filters, order_keys=_ORDERS, default_state="all"
    )
    rows, total = asked.select(cloud.runs(), _ORDERS)
    serializer = Serializer(cloud, call.base_url)
    related = asked.related & _LIST_RELATED
    return page([serializer.run(row, related) for row in rows], asked.filters, asked.order_by, total)


def get_run(cloud: Cloud, call: Call) -> Response:
    """Answer with a run."""
    related = query.read_related(call.parameters)
    return success(Serializer(cloud, call.base_url).run(_find_run(cloud, call), related))


def cancel_run(cloud: Cloud, call: Call) -> Response:
    """Cancel a run."""
    query.refuse_all(call.parameters)
    run = cloud.cancel(_find_run(cloud, call), call.actor)
    return success(Serializer(cloud, call.base_url).run(run))


def get_run_failure(cloud: Cloud, call: Call) -> Response:
    """Say what a retry would do."""
    query.read_related(call.parameters)
    details = failure_details(_find_run(cloud, call))
    return success({"failed_step": details.failed_step, "skipped_steps": list(details.skipped_steps)})


def retry_run(cloud: Cloud, call: Call) -> Response:
    """Retry a failed run."""
    query.refuse_all(call.parameters)
    run = cloud.retry(_find_run(cloud, call), call.actor)
    return success(Serializer(cloud, call.base_url).run(run, _NEW_RUN))


def get_step(cloud: Cloud, call: Call) -> Response:
    """Answer with a step."""
    related = query.read_related(call.parameters)
    found = cloud.store.find_step(call.ids["step_id"])
    if found is None or cloud.faults.hides(found[0]):
        raise NotFound
    return success(Serializer(cloud, call.base_url).step(*found, related))


def list_run_artifacts(cloud: Cloud, call: Call) -> Response:
    """Answer with the paths of a run's artifacts; null if it has none."""
    query.read_related(call.parameters)
    run = _find_run(cloud, call)
    folder = _artifacts_folder(cloud, run, run.artifacts_step)
    return success(None if folder is None else list_artifacts(folder))


def get_run_artifact(cloud: Cloud, call: Call) -> Response:
    """Answer with an artifact of a run, as it was after a step."""
    index = query.read_step(call.parameters)
    run = _find_run(cloud, call)
    step = (
        run.artifacts_step
        if index is None
        else next((each for each in run.steps if each.index == index), None)
    )
    return _artifact(_artifacts_folder(cloud, run, step), call.remainder)


def get_job_artifact(cloud: Cloud, call: Call) -> Response:
    """Answer with an artifact of the job's latest run that has artifacts."""
    query.read_related(call.parameters)
    job = cloud.find_job(call.ids["job_id"])
    for run in reversed(cloud.runs()):
        if run.job.id == job.id and (folder := _artifacts_folder(cloud, run, run.artifacts_step)) is not None:
            return _artifact(folder, call.remainder)
    raise NotFound


def _run_filters(cloud: Cloud) -> dict[str, query.Filter]:
    project_id = cloud.folder.project.id
    return {
        "created_at__range": query.within(lambda run: run.created_at),
        "dbt_version": query.equals(lambda run: run.dbt_version, str),
        "dbt_version__in": query.one_of(lambda run: run.dbt_version, query.texts),
        "deferring_run_id": query.equals(lambda _: None),
        "environment_id": query.equals(lambda run: run.job.environment_id),
        "finished_at__range": query.within(lambda run: run.finished_at),
        "has_docs_generated": query.equals(lambda run: run.has_docs_generated, query.boolean),
        "has_sources_generated": query.equals(lambda run: run.has_sources_generated, query.boolean),
        "id__gt": query.Filter(query.integer, lambda run, value: run.id > value),
        "job_definition_id": query.equals(lambda run: run.job.id),
        "pk": query.equals(lambda run: run.id),
        "pk__in": query.one_of(lambda run: run.id),
        "project_id": query.equals(lambda _: project_id),
        "project_id__in": query.one_of(lambda _: project_id),
        "status": query.equals(lambda run: run.status),
        "status__in": query.one_of(lambda run: run.status),
    }


def _find_run(cloud: Cloud, call: Call) -> Run:
    return cloud.find_run(call.ids["run_id"])


def _artifacts_folder(cloud: Cloud, run: Run, step: Step | None) -> Path | None:
    """Where the artifacts of a step are, once they can be had: after the run's end."""
    if (
        step is None
        or not step.has_artifacts
        or not run.status.is_terminal
        or cloud.faults.withholds_artifacts(run)
    ):
        return None
    return cloud.store.step_folder(run.id, step.index) / "target"


def _artifact(folder: Path | None, path: str) -> Response:
    file = None if folder is None else find_artifact(folder, path)
    if file is None:
        raise NotFound
    return FileResponse(file, media_type="application/json" if file.suffix == ".json" else "text/plain")
