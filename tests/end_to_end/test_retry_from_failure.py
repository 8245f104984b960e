"""A second try that makes dbt do again only what failed, by the example that shows it."""

import json

import pytest

pytestmark = pytest.mark.slow

SHAKY_JOB = 70403100000004


@pytest.fixture(scope="module")
def dag_run(stack):
    """Run the example DAG to its end, and return its ids."""
    dag_run = stack.run("ferry_retry")
    stack.wait_for_task(dag_run, "build", "success", "failed", "upstream_failed", within=300)
    return dag_run


@pytest.fixture(scope="module")
def runs(stack, dag_run):
    """Return the runs of the job that the DAG run has started, and their retries, oldest first."""
    runs = {}
    for run in stack.client.list_runs(
        job_definition_id=SHAKY_JOB, order_by="id", include_related=["trigger"]
    ):
        if dag_run[1] in run.cause or run.retrying_run_id in runs:
            runs[run.id] = run
    return list(runs.values())


def results(stack, run):
    """Return the status of each node that dbt came to in a run, by its unique id."""
    with stack.client.stream_artifact(run.id, "run_results.json") as pieces:
        document = json.loads(b"".join(pieces))
    return {node["unique_id"]: node["status"] for node in document["results"]}


def test_the_second_try_is_green(stack, dag_run):
    """The task fails once and succeeds at its second try."""
    task = stack.airflow.task(*dag_run, "build")
    assert (task["state"], task["try_number"]) == ("success", 2)


def test_the_second_run_retries_the_first(stack, dag_run, runs):
    """Two tries make two runs: one that failed, and a retry of it, which is the one that the task returns."""
    first, second = runs
    assert (first.status_name, first.retrying_run_id) == ("Error", None)
    assert (second.status_name, second.retrying_run_id) == ("Success", first.id)
    assert stack.airflow.xcom(*dag_run, "build") == second.id


def test_only_what_failed_runs_again(stack, runs):
    """The retry runs what had failed or was skipped, and no other node."""
    first, second = (results(stack, run) for run in runs)
    left_over = {node for node, status in first.items() if status in {"error", "skipped"}}
    assert second.keys() == left_over
    assert 0 < len(second) < len(first)
    assert first["model.ferry_line.port_dues"] == "error"
    assert not {"error", "fail", "skipped"} & set(second.values())


def test_the_log_tells_the_retry(stack, dag_run, runs):
    """The log of the first try names the run that failed, that of the second also the one that retries it."""
    first, second = runs
    assert f"dbt Cloud run {first.id} failed: " in stack.log(dag_run, "build")
    log = stack.log(dag_run, "build", 2)
    assert f"Retrying dbt Cloud run {first.id} from its failure" in log
    assert f"Started dbt Cloud run {second.id} of job {SHAKY_JOB}, a retry of run {first.id}: http" in log
