"""A DAG runs because dbt Cloud has built what it reads, by the example that shows it."""

import json
from datetime import datetime
from urllib.parse import quote

import pytest

from demo.processes import StackError, wait_until

pytestmark = pytest.mark.slow

SHAKY_JOB = 70403100000004
TICKET_SALES = "dbt://duckdb/production/analytics/ticket_sales"


@pytest.fixture(scope="module")
def hourly(stack):
    """Run the example's DAG that builds to its end, and return its ids."""
    dag_run = stack.run("ferry_hourly")
    assert stack.wait_for_task(dag_run, "build", "success", "failed", within=180)["state"] == "success"
    return dag_run


@pytest.fixture(scope="module")
def retried(stack):
    """Run a build that fails once to its end, and return its ids."""
    dag_run = stack.run("assets_retried", job_id=SHAKY_JOB)
    path = f"dags/assets_retried/dagRuns/{quote(dag_run[1], safe='')}"
    wait_until(
        lambda: stack.airflow.call("GET", path)["state"] in {"success", "failed"},
        within=180,
        what=f"The end of {dag_run}",
    )
    assert stack.airflow.call("GET", path)["state"] == "success"
    return dag_run


def events_of(stack, dag_run):
    """Return the asset events of a DAG run by the URIs of their assets, each of which has one."""
    dag_id, run_id = dag_run
    filters = {"source_dag_id": dag_id, "source_run_id": run_id, "limit": 100}
    events = []

    def are_told():
        try:
            events[:] = stack.airflow.call("GET", "assets/events", **filters)["asset_events"]
        except StackError as error:
            # Airflow has no answer while a DAG run that an event has led to is queued.
            if "answered 500" not in str(error):
                raise
        return bool(events)

    wait_until(are_told, within=60, what=f"The asset events of {dag_run}")
    by_uri = {event["uri"]: event for event in events}
    assert len(by_uri) == len(events)
    return by_uri


def built_in(stack, run_id):
    """Return the unique ids of the models, seeds and snapshots that a run has built, as dbt wrote it down."""
    with stack.client.stream_artifact(run_id, "run_results.json") as pieces:
        results = json.loads(b"".join(pieces))["results"]
    return {
        node["unique_id"]
        for node in results
        if node["status"] == "success" and node["unique_id"].startswith(("model.", "seed.", "snapshot."))
    }


def test_reader_runs(stack, hourly):
    """The DAG that is scheduled on a mart's asset runs once the mart is built, and reads it."""
    runs = []

    def has_run():
        answer = stack.airflow.call("GET", "dags/ferry_ticket_office/dagRuns")
        runs[:] = [run for run in answer["dag_runs"] if run["state"] in {"success", "failed"}]
        return bool(runs)

    wait_until(has_run, within=120, what="A run of the DAG ferry_ticket_office")
    (run,) = runs
    assert (run["state"], run["run_type"]) == ("success", "asset_triggered")
    reader = "ferry_ticket_office", run["dag_run_id"]
    rows = stack.airflow.xcom(*reader, "read_sales")
    assert {row["channel"] for row in rows} == {"app", "web", "kiosk", "desk"}
    url = stack.airflow.xcom(*hourly, "build", "job_run_url")
    assert f"Built by {url}" in stack.log(reader, "read_sales")
    (created,) = events_of(stack, hourly)[TICKET_SALES]["created_dagruns"]
    assert created["run_id"] == run["dag_run_id"]


def test_events(stack, hourly):
    """Each model, seed and snapshot that dbt built has one event, which says how that went."""
    run = stack.client.get_run(stack.airflow.xcom(*hourly, "build"))
    events = events_of(stack, hourly)
    built = built_in(stack, run.id)
    assert {event["extra"]["unique_id"] for event in events.values()} == built
    assert {node.partition(".")[0] for node in built} >= {"model", "seed"}
    event = events[TICKET_SALES]
    assert (event["source_task_id"], event["source_map_index"]) == ("build", -1)
    extra = event["extra"]
    assert (extra["job_run_id"], extra["job_run_url"]) == (run.id, run.href)
    assert (extra["unique_id"], extra["status"]) == ("model.ferry_line.ticket_sales", "success")
    times = [datetime.fromisoformat(extra[key]) for key in ("started_at", "finished_at")]
    assert [run.started_at, *times, run.finished_at] == sorted([run.started_at, *times, run.finished_at])
    assert 0 < extra["seconds"] < run.duration.total_seconds()
    assert "rows_affected" in extra


def test_log(stack, hourly):
    """The task's log lists the assets, to copy their URIs from, and names the alias."""
    log = stack.log(hourly, "build")
    assert "Asset events for what dbt built, through the alias dbt_cloud/ferry_hourly/build: dbt://" in log
    assert TICKET_SALES in log
    assert "No asset events" not in log


def test_retry(stack, retried):
    """A build that fails once, and is retried from there, has the events of both its runs, once each."""
    task = "nightly.build"
    returned = stack.airflow.task(*retried, task, "xcomEntries/return_value", map_index=0, deserialize=True)
    second = stack.client.get_run(returned["value"])
    first = second.retrying_run_id
    builds = {run_id: built_in(stack, run_id) for run_id in (first, second.id)}
    assert "model.ferry_line.port_dues" in builds[second.id]
    assert not builds[first] & builds[second.id]
    events = events_of(stack, retried).values()
    assert {event["source_task_id"] for event in events} == {task}
    told = {
        run_id: {event["extra"]["unique_id"] for event in events if event["extra"]["job_run_id"] == run_id}
        for run_id in (first, second.id)
    }
    assert told == builds
    assert len(events) == len(builds[first]) + len(builds[second.id])
