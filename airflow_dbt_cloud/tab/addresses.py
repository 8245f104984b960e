"""
Where things are on Airflow's pages, seen from the browser.

Airflow may live below a path of its host, which `[api] base_url` says. Cheap to import: every Airflow process
reads where the tab is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from airflow.sdk import conf

if TYPE_CHECKING:
    from airflow_dbt_cloud.tab.keys import TaskKey

__all__ = ["PREFIX", "base_path", "page_of"]

# Below which all routes of the tab are.
PREFIX = "/dbt-cloud"


def base_path() -> str:
    """Return the path below which Airflow is, without a slash at its end."""
    return urlsplit(conf.get("api", "base_url", fallback=None) or "").path.rstrip("/")


def page_of(key: TaskKey) -> str:
    """Return the path of Airflow's page of a task instance."""
    dag_id, run_id, task_id = (quote(part, safe="") for part in (key.dag_id, key.run_id, key.task_id))
    mapped = f"/mapped/{key.map_index}" if key.map_index >= 0 else ""
    return f"{base_path()}/dags/{dag_id}/runs/{run_id}/tasks/{task_id}{mapped}"
