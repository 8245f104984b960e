"""Where a browser finds Airflow's pages and the tab's files."""

import pytest

from airflow_dbt_cloud import __version__
from airflow_dbt_cloud.tab.addresses import base_path, page_of
from airflow_dbt_cloud.tab.files import address_of
from airflow_dbt_cloud.tab.keys import TaskKey


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        ("http://localhost:8080", ""),
        ("https://airflow.example.com/", ""),
        ("https://example.com/data/airflow", "/data/airflow"),
        ("https://example.com/data/airflow/", "/data/airflow"),
        ("", ""),
    ],
)
def test_base_path(monkeypatch, base_url, path):
    """Airflow may live below a path of its host."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    assert base_path() == path
    assert page_of(TaskKey("d", "r", "t")) == f"{path}/dags/d/runs/r/tasks/t"
    assert address_of("tab.js") == f"{path}/dbt-cloud/static/{__version__}/tab.js"


def test_page_of(monkeypatch):
    """Ids are told from what separates them, and a mapped task has its index."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")
    key = TaskKey("Årnes", "manual__2026-01-01T12:00:00+00:00", "nightly/?#.build", 3)
    assert page_of(key) == (
        "/dags/%C3%85rnes/runs/manual__2026-01-01T12%3A00%3A00%2B00%3A00/tasks/nightly%2F%3F%23.build/mapped/3"
    )
