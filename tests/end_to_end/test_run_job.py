"""A real Airflow runs real dbt jobs through the operator."""

import sqlite3
from contextlib import closing

import pytest

from demo.dbt_cloud import TOKEN
from demo.processes import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nightly(stack):
    """Run the example DAG to its end, and return its ids."""
    dag_run = stack.run("ferry_nightly")
    stack.wait_for_task(dag_run, "brief", "success", "failed", "upstream_failed", within=180)
    return dag_run


def test_example(stack, nightly):
    """The example lands files, builds with dbt, and reads rows from the mart that dbt built."""
    states = {task["task_id"]: task["state"] for task in stack.airflow.tasks(*nightly)}
    assert states == {"extract": "success", "build": "success", "brief": "success"}
    rows = stack.airflow.xcom(*nightly, "brief")
    assert len(rows) == 8
    assert sum(row["passengers"] for row in rows) > 1000


def test_xcoms(stack, nightly):
    """The run's id and URL are in the XComs, and the id is what the task returns."""
    run_id = stack.airflow.xcom(*nightly, "build", "job_run_id")
    assert stack.airflow.xcom(*nightly, "build") == run_id
    run = stack.client.get_run(run_id, include_related=["trigger"])
    assert stack.airflow.xcom(*nightly, "build", "job_run_url") == run.href
    assert run.status_name == "Success"
    assert run.cause.startswith(f"New files landed, says {nightly[1]} [airflow:")


def test_link(stack, nightly):
    """The button on the task's page leads to the run."""
    links = stack.airflow.task(*nightly, "build", "links")["extra_links"]
    assert links == {"dbt Cloud run": stack.airflow.xcom(*nightly, "build", "job_run_url")}


def test_log(stack, nightly):
    """The task's log says in words what happened: the start with the URL, and the end."""
    log = stack.log(nightly, "build")
    run_id = stack.airflow.xcom(*nightly, "build", "job_run_id")
    url = stack.airflow.xcom(*nightly, "build", "job_run_url")
    assert f"Started dbt Cloud run {run_id} of job 70403100000001: {url}" in log
    assert f"dbt Cloud run {run_id} succeeded after" in log


def test_what_dbt_did(stack, nightly):
    """The log has the console of the run's steps and a table of the nodes, and XCom a summary."""
    log = stack.log(nightly, "build")
    assert log.count("Step 5: Invoke dbt with `dbt build`") == 1
    assert log.count(" of 83 OK created sql table model analytics.ticket_sales ") == 1
    assert "83 nodes: 1 warn, 58 pass, 23 success, 1 no-op; " in log
    assert "\x1b" not in log
    summary = stack.airflow.xcom(*nightly, "build", "dbt_cloud_run")
    assert summary["run_id"] == stack.airflow.xcom(*nightly, "build")
    assert summary["nodes"] == {"warn": 1, "pass": 58, "success": 23, "no-op": 1}


def test_failure(stack):
    """A failed run fails the task, and the log names the run, the model, the database's words and the URL."""
    dag_run = stack.run("one_job", job_id=stack.failing_job)
    assert stack.wait_for_task(dag_run, "build", "failed", "success")["state"] == "failed"
    run = stack.client.get_run(stack.airflow.xcom(*dag_run, "build", "job_run_id"))
    assert run.status_name == "Error"
    log = stack.log(dag_run, "build")
    assert f"dbt Cloud run {run.id} failed: 1 of 83 nodes failed in step 4 (`dbt build --vars" in log
    assert (
        "- Runtime Error in model port_dues (models/marts/port_dues.sql): Conversion Error: Could not" in log
    )
    assert run.href in log
    (failed,) = stack.airflow.xcom(*dag_run, "build", "dbt_cloud_run")["failed"]
    assert failed["unique_id"] == "model.ferry_line.port_dues"
    assert stack.airflow.task(*dag_run, "build", "links")["extra_links"] == {"dbt Cloud run": run.href}


def test_link_while_running(stack):
    """The link is there while the task runs; a person who marks the task failed cancels the run."""
    dag_run = stack.run("one_job", job_id=stack.slow_job)
    url = stack.wait_for_xcom(dag_run, "build", "_link_DbtCloudJobRunLink")
    assert stack.airflow.task(*dag_run, "build")["state"] == "running"
    assert stack.airflow.task(*dag_run, "build", "links")["extra_links"] == {"dbt Cloud run": url}

    run_id = stack.airflow.xcom(*dag_run, "build", "job_run_id")
    stack.airflow.set_task_state(*dag_run, "build", "failed")
    stack.wait_for_run(run_id, 30, within=60)
    wait_until(
        lambda: "a person ended the task (its state is failed)" in stack.log(dag_run, "build"),
        within=60,
        what="The task's log to tell why the run was cancelled",
    )


def test_clear_while_running(stack):
    """A person who clears a running task cancels its run, and the next try starts another."""
    dag_run = stack.run("one_job", job_id=stack.slow_job)
    first = stack.wait_for_xcom(dag_run, "build", "job_run_id")
    stack.airflow.clear(*dag_run, "build")
    stack.wait_for_run(first, 30, within=60)
    wait_until(
        lambda: (
            stack.airflow.task(*dag_run, "build")["try_number"] == 2
            and stack.wait_for_xcom(dag_run, "build", "job_run_id") != first
        ),
        within=60,
        what="The second try",
    )
    second = stack.airflow.xcom(*dag_run, "build", "job_run_id")
    assert stack.client.get_run(second).status_name in {"Queued", "Starting", "Running"}
    stack.airflow.set_task_state(*dag_run, "build", "failed")
    stack.wait_for_run(second, 30, within=60)


def test_execution_timeout(stack):
    """Airflow's execution_timeout cancels the run."""
    dag_run = stack.run("one_job_with_a_limit", job_id=stack.slow_job)
    stack.wait_for_task(dag_run, "build", "failed")
    run_id = stack.airflow.xcom(*dag_run, "build", "job_run_id")
    stack.wait_for_run(run_id, 30, within=60)
    assert "because the task's execution_timeout is over" in stack.log(dag_run, "build")


def test_cancelled_in_dbt_cloud(stack):
    """A run that somebody cancels in dbt Cloud fails the task, and the log says who it was."""
    dag_run = stack.run("one_job", job_id=stack.slow_job)
    run_id = stack.wait_for_xcom(dag_run, "build", "job_run_id")
    stack.client.cancel_run(run_id)
    stack.wait_for_task(dag_run, "build", "failed")
    assert f"dbt Cloud run {run_id} was cancelled: by " in stack.log(dag_run, "build")


def test_unknown_job(stack):
    """A job that does not exist fails the task with dbt Cloud's words, and no run is started."""
    before = len(list(stack.client.list_runs()))
    dag_run = stack.run("one_job", job_id=70403199999999)
    stack.wait_for_task(dag_run, "build", "failed")
    assert "The requested resource was not found" in stack.log(dag_run, "build")
    assert len(list(stack.client.list_runs())) == before


def test_odd_reason(stack):
    """A reason with quotes, line breaks and emoji starts one run, whose cause is harmless."""
    reason = 'it\'s "urgent"\n\U0001f6a2 ' + "x" * 10_000
    dag_run = stack.run("one_job", job_id=stack.hourly_job, reason=reason)
    stack.wait_for_task(dag_run, "build", "success", "failed")
    run_id = stack.airflow.xcom(*dag_run, "build", "job_run_id")
    cause = stack.client.get_run(run_id, include_related=["trigger"]).cause
    assert cause.startswith("it s urgent xxx")
    assert len(cause) == 255


def test_connection_test(stack):
    """Airflow's own connection test names the account, or says what is wrong."""
    connection = {"connection_id": "tested", **stack.dbt_cloud.connection(), "port": None, "extra": "{}"}
    answer = stack.airflow.call("POST", "connections/test", connection)
    assert answer["status"]
    assert answer["message"].startswith("Connected to account 'Ferry Line' (70403103922125")
    answer = stack.airflow.call("POST", "connections/test", {**connection, "password": "wrong"})
    assert not answer["status"]
    assert "refuses the token: Invalid token." in answer["message"]


def test_provider_is_listed(stack):
    """Airflow lists this package among its providers, and its form for connections."""
    providers = stack.airflow.call("GET", "providers", limit=100)["providers"]
    assert "airflow-dbt-cloud" in {provider["package_name"] for provider in providers}


def test_token_nowhere(stack):
    """After all of the above, and while a task is deferred, the token is in no log and no database."""
    dag_run = stack.run("deferred", job_id=stack.slow_job)
    stack.wait_for_task(dag_run, "build", "deferred")
    run_id = stack.airflow.xcom(*dag_run, "build", "job_run_id")
    with closing(sqlite3.connect(stack.home / "airflow" / "airflow.db")) as database:
        arguments = [text for (text,) in database.execute("select kwargs from trigger")]
    # They stand there in clear text, so that the token would be found among them.
    assert any(str(run_id) in text and stack.dbt_cloud.url in text for text in arguments)
    assert not any(TOKEN in text for text in arguments)
    files = [path for path in (stack.home / "airflow").rglob("*") if path.is_file()]
    assert any(path.name == "airflow.db" for path in files)
    assert any(path.suffix == ".log" for path in files)
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []
    stack.client.cancel_run(run_id)
