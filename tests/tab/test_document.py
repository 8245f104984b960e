"""The answer about a task instance, whatever stands in its XComs."""

import zlib
from base64 import b64encode
from dataclasses import replace

import pytest

from airflow_dbt_cloud.tab.database import Past, Task
from airflow_dbt_cloud.tab.document import make_document

URL = "https://ab123.us1.dbt.com/deploy/42/projects/3/runs/7/"
SUMMARY = {
    "version": 1,
    "run_id": 7,
    "url": URL,
    "status": "Error",
    "started_at": "2026-01-01T12:00:00+00:00",
    "duration": 90.5,
    "nodes": {"error": 1, "success": 9},
    "slowest": [{"unique_id": "model.ferry.dues", "seconds": 9.5}],
    "notes": ["dbt Cloud has no results of step 6 (`dbt test`)."],
}
PACKED = b64encode(zlib.compress(b'{"version":1}')).decode()


@pytest.fixture
def document(key):
    """Return a function that makes the answer for a task with some XComs."""

    def make(xcoms=(), past=(), others=(), **fields):
        task = Task(key, "failed", 2, "DbtCloudRunJobOperator", xcoms=dict(xcoms), **fields)
        return make_document(task, past, others)

    return make


def test_what_the_task_has_stored(document):
    """What the task has stored is handed on, and the notes of its run are the first."""
    xcoms = {"dbt_cloud_run": SUMMARY, "dbt_cloud_nodes": PACKED, "dbt_cloud_failures": PACKED}
    assert document(xcoms) == {
        "version": 1,
        "is_ours": True,
        "task": {
            "state": "failed",
            "try_number": 2,
            "is_last_try": True,
            "operator": "DbtCloudRunJobOperator",
        },
        "run": SUMMARY,
        "nodes": PACKED,
        "failures": PACKED,
        "history": [],
        "others": [],
        "notes": SUMMARY["notes"],
    }


@pytest.mark.parametrize(
    ("xcoms", "run"),
    [
        ({}, None),
        ({"job_run_id": 7, "job_run_url": URL}, {"run_id": 7, "url": URL}),
        ({"job_run_id": 7}, {"run_id": 7, "url": ""}),
        ({"job_run_url": URL}, {"run_id": None, "url": URL}),
        ({"job_run_id": "s3://7", "job_run_url": "javascript:alert(1)"}, None),
    ],
)
def test_before_the_end(document, xcoms, run):
    """While the run goes there is its id and its address."""
    assert document(xcoms)["run"] == run


@pytest.mark.parametrize("odd", [None, 7, "", "s3://bucket/x", [], {}, {"version": "x"}, "<script>"])
@pytest.mark.parametrize("name", ["dbt_cloud_run", "dbt_cloud_nodes", "dbt_cloud_failures"])
def test_odd_xcoms(document, name, odd):
    """What is not what the task stores is left out, and a note says so."""
    made = document({name: odd})
    assert made[name.removeprefix("dbt_cloud_")] is None
    assert made["notes"] == [
        f"The XCom {name} cannot be read here. Is it stored elsewhere, by an XCom backend?"
    ]


@pytest.mark.parametrize("nodes", [None, "x", [], {"success": "x", "error": True}])
@pytest.mark.parametrize("notes", [None, "x", [None, 7, {}]])
def test_odd_summary(document, nodes, notes):
    """An odd summary is handed on; who reads it is used to that."""
    odd = {"version": 2, "url": 7, "nodes": nodes, "notes": notes, "slowest": "x"}
    made = document({"dbt_cloud_run": odd})
    assert made["run"] == {**odd, "url": ""}
    assert made["notes"] == []


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "//evil", "data:text/html,x", "HTTPS:/x", " https://x", None]
)
def test_no_address(document, url):
    """An address that is none of a page on the web is no address."""
    assert document({"dbt_cloud_run": {**SUMMARY, "url": url}})["run"]["url"] == ""


def test_history(document, key):
    """Of an earlier run there is how it ended, how long it took, and where."""
    earlier = replace(key, run_id="yesterday", map_index=2)
    past = [Past(earlier, SUMMARY, PACKED), Past(key, "s3://bucket/x"), Past(key, {"version": 1}, "x")]
    full, little = document(past=past)["history"]
    assert full == {
        "dag_run_id": "yesterday",
        "url": "/dags/ferry/runs/yesterday/tasks/build/mapped/2",
        "status": "Error",
        "started_at": "2026-01-01T12:00:00+00:00",
        "duration": 90.5,
        "slowest": SUMMARY["slowest"],
        "nodes": PACKED,
    }
    assert (little["status"], little["duration"]) == (None, None)
    assert (little["slowest"], little["nodes"]) == ([], None)


def test_many_tasks(document, key):
    """It is told if not all tasks are listed."""
    others = [Task(replace(key, map_index=index), "running", 1, "") for index in range(101)]
    made = document(others=others)
    assert len(made["others"]) == 100
    assert made["notes"] == ["This DAG run has more dbt tasks than the 100 that are listed."]
