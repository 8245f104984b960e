"""Tasks that wait in a real triggerer, and what people and machines do to them meanwhile."""

import signal
import time

import pytest

from demo.processes import wait_until

pytestmark = pytest.mark.slow


def test_success(stack):
    """A deferred task succeeds when its run has, and its log has both ends of the story."""
    dag_run = stack.run("deferred", job_id=stack.hourly_job)
    task = stack.wait_for_task(dag_run, "build", "success", "failed")
    assert task["state"] == "success"
    run_id = stack.airflow.xcom(*dag_run, "build")
    log = stack.log(dag_run, "build")
    assert f"Started dbt Cloud run {run_id}" in log
    assert f"dbt Cloud run {run_id} succeeded after" in log
    # What the steps wrote is shown when the run has ended.
    assert log.count("Step 1: Clone git repository") == 1
    assert " nodes: " in log
    assert stack.client.get_run(run_id).is_success


def test_failure(stack):
    """A deferred task fails when its run has, with the model that failed and the link."""
    dag_run = stack.run("deferred", job_id=stack.failing_job)
    assert stack.wait_for_task(dag_run, "build", "success", "failed")["state"] == "failed"
    run = stack.client.get_run(stack.airflow.xcom(*dag_run, "build", "job_run_id"))
    log = stack.log(dag_run, "build")
    assert f"dbt Cloud run {run.id} failed: 1 of 83 nodes failed in step 4 (`dbt build --vars" in log
    assert (
        "- Runtime Error in model port_dues (models/marts/port_dues.sql): Conversion Error: Could not" in log
    )
    assert stack.airflow.xcom(*dag_run, "build", "dbt_cloud_run")["failed_count"] == 1
    assert stack.airflow.task(*dag_run, "build", "links")["extra_links"] == {"dbt Cloud run": run.href}


def test_streamed(stack):
    """With `stream_logs` the log of a deferred task shows what the steps write while they do, and once."""
    dag_run = stack.run("deferred_and_streamed", job_id=stack.medium_job)
    stack.wait_for_task(dag_run, "build", "deferred")
    first = "Step 1: Clone git repository"
    wait_until(lambda: first in stack.log(dag_run, "build"), within=60, what="The console of the first step")
    assert stack.airflow.task(*dag_run, "build")["state"] == "deferred"
    assert stack.wait_for_task(dag_run, "build", "success", "failed", within=150)["state"] == "success"
    log = stack.log(dag_run, "build")
    assert log.count(first) == 1
    assert log.count("Step 7: Invoke dbt with `dbt test`") == 1
    assert log.count("Finished running ") == 4


def deferred(stack, dag_id="deferred"):
    """Defer a task on a run that lasts, and return the DAG run and the dbt Cloud run's id."""
    dag_run = stack.run(dag_id, job_id=stack.slow_job)
    stack.wait_for_task(dag_run, "build", "deferred")
    return dag_run, stack.airflow.xcom(*dag_run, "build", "job_run_id")


def test_link_while_deferred(stack):
    """The link is there while the task is deferred."""
    dag_run, run_id = deferred(stack)
    url = stack.client.get_run(run_id).href
    assert stack.airflow.task(*dag_run, "build", "links")["extra_links"] == {"dbt Cloud run": url}
    stack.client.cancel_run(run_id)
    stack.wait_for_task(dag_run, "build", "failed")
    assert f"dbt Cloud run {run_id} was cancelled: by " in stack.log(dag_run, "build")


@pytest.mark.parametrize("state", ["failed", "success"])
def test_marked_while_deferred(stack, state):
    """A person who marks a deferred task cancels its run within seconds."""
    dag_run, run_id = deferred(stack)
    stack.wait_for_trigger(dag_run, "build")
    stack.airflow.set_task_state(*dag_run, "build", state)
    stack.wait_for_run(run_id, 30, within=60)
    assert stack.airflow.task(*dag_run, "build")["state"] == state
    wait_until(
        lambda: f"a person ended the task (its state is {state})" in stack.log(dag_run, "build"),
        within=60,
        what="The task's log to tell why the run was cancelled",
    )


def test_cleared_while_deferred(stack):
    """A person who clears a deferred task cancels its run within seconds; the next try starts another."""
    dag_run, first = deferred(stack)
    stack.wait_for_trigger(dag_run, "build")
    stack.airflow.clear(*dag_run, "build")
    stack.wait_for_run(first, 30, within=60)
    wait_until(
        lambda: stack.wait_for_xcom(dag_run, "build", "job_run_id") != first,
        within=60,
        what="The second try's run",
    )
    second = stack.airflow.xcom(*dag_run, "build", "job_run_id")
    assert not stack.client.get_run(second).is_terminal
    stack.client.cancel_run(second)
    stack.wait_for_task(dag_run, "build", "failed")


def test_execution_timeout(stack):
    """Airflow's execution_timeout holds for a deferred task, too, and cancels the run."""
    dag_run, run_id = deferred(stack, "deferred_with_a_limit")
    stack.wait_for_task(dag_run, "build", "failed")
    stack.wait_for_run(run_id, 30)
    assert "because the task's execution_timeout is over" in stack.log(dag_run, "build")


def test_timeout(stack):
    """`timeout` ends the wait of a deferred task, and its run goes on."""
    dag_run, run_id = deferred(stack, "deferred_with_a_timeout")
    stack.wait_for_task(dag_run, "build", "failed")
    assert "The run goes on" in stack.log(dag_run, "build")
    assert not stack.client.get_run(run_id).is_terminal
    stack.client.cancel_run(run_id)


def test_sensors(stack):
    """A sensor follows a run that another task started, poking, rescheduled or deferred."""
    dag_run = stack.run("followed", job_id=stack.hourly_job)
    for task_id in ("poked", "rescheduled", "deferred"):
        assert stack.wait_for_task(dag_run, task_id, "success", "failed")["state"] == "success"
        assert stack.airflow.task(*dag_run, task_id, "links")["extra_links"]["dbt Cloud run"].startswith(
            "http"
        )


def test_one_poller_for_many(stack):
    """Twenty deferred tasks ask as often as one would."""
    before, began = stack.request_counts(), time.monotonic()
    dag_run = stack.run("deferred_many")
    wait_until(
        lambda: len([t for t in stack.airflow.tasks(*dag_run) if t["state"] in {"success", "failed"}]) == 20,
        within=240,
        what="Twenty mapped tasks",
    )
    tasks = stack.airflow.tasks(*dag_run)
    assert {task["state"] for task in tasks} == {"success"}
    assert sorted(task["map_index"] for task in tasks) == list(range(20))
    lists, gets = (after - count for after, count in zip(stack.request_counts(), before, strict=True))
    # Each task asks once before it is deferred, and once what its run did; in between one poller asks for all
    # of them every five seconds.
    assert gets == 40
    # A poll is due after 85 to 100 % of its interval.
    assert lists <= 3 + (time.monotonic() - began) / (0.85 * 5)


def runs_of_the_medium_job(stack):
    """Return the ids of all runs of the job that takes half a minute."""
    return [run.id for run in stack.client.list_runs(job_definition_id=stack.medium_job)]


def test_triggerer_is_killed(stack):
    """A triggerer that dies takes nothing with it: the next one follows the run to its end."""
    earlier = runs_of_the_medium_job(stack)
    dag_run = stack.run("deferred", job_id=stack.medium_job)
    stack.wait_for_task(dag_run, "build", "deferred")
    run_id = stack.airflow.xcom(*dag_run, "build", "job_run_id")
    stack.wait_for_trigger(dag_run, "build")
    triggerer = stack.airflow.processes["triggerer"]
    triggerer.signal(signal.SIGKILL)
    stack.airflow.start_component("triggerer")
    assert stack.wait_for_task(dag_run, "build", "success", "failed", within=150)["state"] == "success"
    assert stack.client.get_run(run_id).is_success
    assert stack.airflow.xcom(*dag_run, "build") == run_id
    assert stack.airflow.task(*dag_run, "build")["try_number"] == 1
    log = stack.log(dag_run, "build")
    assert f"dbt Cloud run {run_id} succeeded after" in log
    assert "Cancelling" not in log
    assert [run.id for run in stack.client.list_runs(job_definition_id=stack.medium_job)] == [
        *earlier,
        run_id,
    ]


def test_triggerer_is_reassigned(stack):
    """A trigger that moves to another triggerer does not cancel its run."""
    dag_run = stack.run("deferred", job_id=stack.slow_job)
    stack.wait_for_task(dag_run, "build", "deferred")
    run_id = stack.airflow.xcom(*dag_run, "build", "job_run_id")
    first = stack.wait_for_trigger(dag_run, "build")
    asleep = stack.airflow.processes["triggerer"]
    asleep.signal(signal.SIGSTOP)
    try:
        second = stack.airflow.start_component("triggerer", name="second-triggerer")
        wait_until(
            lambda: stack.wait_for_trigger(dag_run, "build") != first,
            within=120,
            what="The trigger's move to the second triggerer",
            watching=[second],
        )
    finally:
        asleep.signal(signal.SIGCONT)
    wait_until(
        lambda: "Nobody ended the task: dbt Cloud run" in stack.log(dag_run, "build"),
        within=60,
        what="The first triggerer to leave the run alone",
    )
    assert not stack.client.get_run(run_id).is_terminal
    assert stack.airflow.task(*dag_run, "build")["state"] == "deferred"
    stack.client.cancel_run(run_id)
    stack.wait_for_task(dag_run, "build", "failed")
    stack.airflow.stop_component("second-triggerer")
