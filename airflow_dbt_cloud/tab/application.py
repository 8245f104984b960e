"""
The routes of the tab, as an application that Airflow's API server mounts.

What tells anything of a task is behind Airflow's own permission to read the XComs of its DAG; the console of
a run is a log, and needs the permission to read those as well. The modules for the browser are public.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Path, Query, Response
from starlette.concurrency import run_in_threadpool

from airflow_dbt_cloud import __version__
from airflow_dbt_cloud.links import RUN_ID
from airflow_dbt_cloud.tab.database import Task, find_task, list_dbt_tasks, list_past
from airflow_dbt_cloud.tab.document import make_document
from airflow_dbt_cloud.tab.files import read_files
from airflow_dbt_cloud.tab.keys import TaskKey
from airflow_dbt_cloud.tab.live import Live, unseen
from airflow_dbt_cloud.tab.sight import Unseen, subject_of

__all__ = ["make_application"]

TASK = "{dag_id}/{run_id}/{task_id}/{map_index}"
MAY_READ_XCOMS = Depends(requires_access_dag("GET", DagAccessEntity.XCOM))
MAY_READ_LOGS = Depends(requires_access_dag("GET", DagAccessEntity.TASK_LOGS))
# The database holds no larger numbers.
LARGEST = 2**31 - 1

TELLING = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
LASTING = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


def read_key(
    dag_id: str, run_id: str, task_id: str, map_index: Annotated[int, Path(ge=-1, le=LARGEST)]
) -> TaskKey:
    """Return which task instance is meant; "~", which means "all" to Airflow, is none."""
    key = TaskKey(dag_id, run_id, task_id, map_index)
    if any(name == "~" or "\0" in name for name in (dag_id, run_id, task_id)):
        raise _not_found(key)
    return key


Key = Annotated[TaskKey, Depends(read_key)]
TryNumber = Annotated[int | None, Query(ge=0, le=LARGEST)]


def make_application() -> FastAPI:
    """Return the application."""
    app = FastAPI(title="dbt Cloud", docs_url=None, redoc_url=None, openapi_url=None)
    files, live = read_files(), Live()

    @app.get(f"/api/{TASK}", dependencies=[MAY_READ_XCOMS])
    def tell(key: Key, try_number: TryNumber = None) -> Response:
        task = _found(key, find_task(key, try_number=try_number))
        past = list_past(key, task.dag_run_started_at) if task.is_ours else []
        others = [] if task.is_ours else list_dbt_tasks(key.dag_id, key.run_id)
        return _answer(make_document(task, past, others))

    @app.get(f"/live/{TASK}", dependencies=[MAY_READ_XCOMS, MAY_READ_LOGS])
    async def look(key: Key) -> Response:
        task = _found(key, await run_in_threadpool(find_task, key, keys=(RUN_ID,)))
        try:
            subject = subject_of(task)
        except Unseen as error:
            return _answer(unseen(str(error)))
        if subject is None:
            raise HTTPException(404, "The task has no dbt Cloud run yet.")
        return _answer(await live.see(subject))

    @app.get("/static/{version}/{name:path}")
    def serve(version: str, name: str) -> Response:
        # Another version's file must not be kept for ever as one of ours.
        if version != __version__ or name not in files:
            raise HTTPException(404)
        return Response(files[name].content, media_type=files[name].kind, headers=LASTING)

    return app


def _found(key: TaskKey, task: Task | None) -> Task:
    if task is None:
        raise _not_found(key)
    return task


def _not_found(key: TaskKey) -> HTTPException:
    return HTTPException(404, f"There is no task instance {key.task_id}[{key.map_index}] in this DAG run.")


def _answer(content: dict[str, Any]) -> Response:
    # XComs may hold halves of letters, hence ASCII, and numbers that are none, which no browser reads.
    written = json.dumps(content)
    if "NaN" in written or "Infinity" in written:
        written = json.dumps(json.loads(written, parse_constant=lambda _: None))
    return Response(written, media_type="application/json", headers=TELLING)
