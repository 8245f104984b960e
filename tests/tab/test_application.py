"""The routes, in front of a real database and behind Airflow's own permissions."""

from dataclasses import replace
from urllib.parse import quote

import pytest

from airflow_dbt_cloud import __version__
from airflow_dbt_cloud.tab.keys import TaskKey

SUMMARY = {"version": 1, "run_id": 7, "status": "Error", "url": "https://ab123.us1.dbt.com/runs/7/"}
CONNECTED = {"dbt_cloud_conn_id": "nowhere", "job_id": 9}
SECRET = TaskKey("secret", "manual__1", "build")
QUIET = TaskKey("quiet", "manual__1", "build")


def path(key, route="api", **more):
    """Return the path of a route for a task instance."""
    parts = (key.dag_id, key.run_id, key.task_id, str(key.map_index))
    query = "&".join(f"{name}={value}" for name, value in more.items())
    return f"{route}/{'/'.join(quote(part, safe='') for part in parts)}" + (f"?{query}" if query else "")


def test_tell(airflow, browse, key):
    """Whoever may read the XComs of the DAG is told what the task has stored."""
    airflow.add(key, {"dbt_cloud_run": SUMMARY}, state="failed", try_number=2)
    answer = browse(path(key))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    document = answer.json()
    assert (document["version"], document["is_ours"]) == (1, True)
    task = {"state": "failed", "try_number": 2, "is_last_try": True, "operator": "DbtCloudRunJobOperator"}
    assert document["task"] == task
    assert document["run"] == SUMMARY
    assert document["history"] == []


def test_earlier_runs(airflow, browse, key):
    """Earlier runs of the same task are told of, and none of another index or that came later."""
    for number in range(3):
        for index in range(2):
            other = replace(key, run_id=f"run {number}", map_index=index)
            airflow.add(other, {"dbt_cloud_run": SUMMARY}, started=number)
    document = browse(path(replace(key, run_id="run 1", map_index=1))).json()
    assert [past["dag_run_id"] for past in document["history"]] == ["run 0"]
    assert document["history"][0]["url"].endswith("/runs/run%200/tasks/build/mapped/1")


def test_what_no_browser_reads(airflow, browse, key):
    """Numbers that are none, and halves of letters, which Python's JSON knows, do not break the answer."""
    airflow.add(key, {"dbt_cloud_run": {**SUMMARY, "duration": float("nan"), "status": "\ud800 \u2028"}})
    answer = browse(path(key))
    assert answer.status_code == 200
    assert answer.content.isascii()
    assert answer.json()["run"] == {**SUMMARY, "duration": None, "status": "\ud800 \u2028"}


def test_a_mapped_task(airflow, browse, key):
    """Each index of a mapped task has what it has stored itself."""
    for index in range(2):
        summary = {**SUMMARY, "run_id": index}
        airflow.add(replace(key, map_index=index), {"dbt_cloud_run": summary})
    document = browse(path(replace(key, map_index=1))).json()
    assert document["run"]["run_id"] == 1
    assert browse(path(key)).status_code == 404


def test_an_earlier_try(airflow, browse, key):
    """Of an earlier try there is its state, and the note that Airflow keeps nothing else."""
    airflow.add(key, {"dbt_cloud_run": SUMMARY}, try_number=2)
    airflow.add_earlier_try(key, 1)
    document = browse(path(key, try_number=1)).json()
    assert (document["task"]["state"], document["task"]["is_last_try"]) == ("failed", False)
    assert (document["is_ours"], document["run"]) == (True, None)
    assert document["notes"] == ["Airflow keeps what a task has stored for its last try only."]
    assert browse(path(key, try_number=2)).json()["run"] == SUMMARY
    assert browse(path(key, try_number=3)).status_code == 404


def test_a_task_of_somebody_else(airflow, browse, key):
    """On a task that has nothing to do with dbt Cloud the dbt tasks of the DAG run are listed."""
    airflow.add(replace(key, task_id="brief"), operator="PythonOperator")
    airflow.add(key, {"dbt_cloud_run": SUMMARY})
    document = browse(path(replace(key, task_id="brief"))).json()
    assert (document["is_ours"], document["run"], document["history"]) == (False, None, [])
    url = f"/dags/ferry/runs/{quote(key.run_id, safe='')}/tasks/build"
    assert document["others"] == [{"task_id": "build", "map_index": -1, "state": "success", "url": url}]


@pytest.mark.parametrize("route", ["api", "live"])
def test_permissions(airflow, browse, key, route):
    """Nobody is told anything without logging in, and nobody of a DAG that he may not see."""
    for each in (key, SECRET):
        airflow.add(each, {"job_run_id": 7}, CONNECTED)
    assert browse(path(key, route), "").status_code == 401
    assert browse(path(SECRET, route), "").status_code == 401
    assert browse(path(SECRET, route), "Bob").status_code == 403
    assert browse(path(SECRET, route), "Ada").status_code == 200
    assert browse(path(key, route), "Bob").status_code == 200


def test_permission_to_read_logs(airflow, browse):
    """Whoever may not read the logs of a DAG does not see the console either."""
    airflow.add(QUIET, {"job_run_id": 7}, CONNECTED)
    assert browse(path(QUIET)).status_code == 200
    assert browse(path(QUIET, "live")).status_code == 403
    assert browse(path(QUIET, "live"), "Ada").status_code == 200


@pytest.mark.parametrize("route", ["api", "live"])
@pytest.mark.parametrize(
    "tricky",
    [
        "ferry%2F..%2Fsecret/manual__1/build/-1",
        "ferry/..%2F..%2Fsecret%2Fmanual__1/build/-1",
        "ferry/manual__1%2F..%2F..%2Fsecret%2Fmanual__1/build/-1",
        "ferry%252F..%252Fsecret/manual__1/build/-1",
        "../{route}/secret/manual__1/build/-1",
        "%2E%2E/{route}/secret/manual__1/build/-1",
        "secret%00/manual__1/build/-1",
        "SECRET/manual__1/build/-1",
        "secret%20/manual__1/build/-1",
        "~/manual__1/build/-1",
        "~%2Fsecret/manual__1/build/-1",
        "ferry/~/build/-1",
        "ferry/manual__1/~/-1",
        "ferry/manual__1/build/-1?dag_id=secret",
    ],
)
def test_tricks(airflow, browse, route, tricky):
    """No path leads to a DAG that it does not name, nor to all of them."""
    airflow.add(SECRET, {"dbt_cloud_run": SUMMARY})
    answer = browse(f"{route}/{tricky.format(route=route)}")
    assert answer.status_code in {403, 404}
    assert "ab123" not in answer.text


@pytest.mark.parametrize("index", ["x", "-2", "1.5", "", str(2**31), "9" * 5000])
def test_no_index(airflow, browse, key, index):
    """What is no map index is refused, and not before it is known who asks."""
    airflow.add(key)
    asked = path(key).removesuffix("-1") + index
    assert browse(asked).status_code in {404, 422}
    if index:
        assert browse(asked, "").status_code == 401


def test_no_try(airflow, browse, key):
    """What is no number of a try is refused."""
    airflow.add(key)
    assert browse(path(key, try_number="x")).status_code == 422
    assert browse(path(key, try_number=2**40)).status_code == 422


def test_no_run_yet(airflow, browse, key):
    """A task without a run has nothing to look at."""
    airflow.add(key, state="running")
    answer = browse(path(key, "live"))
    assert (answer.status_code, answer.json()["detail"]) == (404, "The task has no dbt Cloud run yet.")


def test_live(airflow, browse, key):
    """What cannot be seen of a run that goes is said in a sentence, and the answer keeps its shape."""
    airflow.add(key, {"job_run_id": 7}, CONNECTED, state="running")
    answer = browse(path(key, "live"))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    seen = answer.json()
    assert "nowhere" in seen.pop("message")
    assert seen == {
        "version": 1,
        "run": None,
        "seen_at": None,
        "is_stale": False,
        "console": "",
    }


def test_no_task(airflow, browse, key):
    """A task instance that is not there is not found."""
    airflow.add(key)
    for missing in (replace(key, task_id="x"), replace(key, run_id="x"), replace(key, dag_id="x")):
        assert browse(path(missing)).status_code == 404
        assert browse(path(missing, "live")).status_code == 404


@pytest.mark.usefixtures("_server")
def test_files(browse):
    """The modules are public, and may be kept for ever, because their address changes with the version."""
    answer = browse(f"static/{__version__}/dbt.svg", "")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert browse("static/0.0.0/dbt.svg", "").status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "none.js",
        "vendor",
        "../application.py",
        "..%2Fapplication.py",
        "%2E%2E%2Fapplication.py",
        "vendor/../../application.py",
        "%2Fetc%2Fpasswd",
        "dbt.svg%00",
    ],
)
def test_no_other_files(browse, name):
    """Nothing is served but the tab's own files."""
    assert browse(f"static/{__version__}/{name}", "").status_code == 404


@pytest.mark.parametrize("page", ["docs", "redoc", "openapi.json", ""])
def test_no_other_pages(browse, page):
    """There are no pages about the routes."""
    assert browse(page, "").status_code == 404
