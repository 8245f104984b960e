"""
What happens to tasks when a part of Airflow itself dies or stands still.

Runs go on, tasks find them again, and what people do meanwhile counts.

These stories are told one after another, because nobody else can work meanwhile.
"""

import os
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from .scenes import Job, Scene, assert_resumed, eventually, insist, is_alive

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def begin(stack, working, seconds):
    """Let a task wait for a run that takes some seconds, and another one wait in the triggerer."""
    scenes = [
        Scene.begin(stack, dag_id, Job(stack, hanging=1, seconds=seconds))
        for dag_id in (working, "durable_deferred")
    ]
    run = scenes[0].wait_for_run()
    scenes[1].wait("deferred")
    return *scenes, run


def assert_waited_on(scene):
    """Check that a task that had no process to lose has waited on, in its first try."""
    assert scene.end() == ("success", 1)
    assert scene.job.story == [(1, "Success")]
    assert scene.xcom() == scene.job.runs[0].id


def is_there(stack):
    """Say whether the API server answers tasks."""
    try:
        url = stack.airflow.environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
        return requests.get(f"{url}health", timeout=10).ok
    except requests.RequestException:
        return False


def is_refused(scene):
    """Say whether the scheduler has heard that the worker of a first try could not begin."""
    (dag_id, run_id), task_id = scene.dag_run, scene.task_id
    key = f"TaskInstanceKey(dag_id='{dag_id}', task_id='{task_id}', run_id='{run_id}', try_number=1"
    log = scene.stack.airflow.processes["scheduler"].log.read_text()
    return f"event with state failed for task instance {key}" in log


def test_api_server_killed(stack):
    """An API server that is away for so long that the task is killed costs no second run, and no run."""
    working, deferred, run = begin(stack, "durable_and_patient", 50)
    _, process = working.processes()
    stack.airflow.processes["api-server"].signal(signal.SIGKILL)
    try:
        eventually(lambda: not Path(f"/proc/{process}").exists(), "The end of a task without heartbeats")
    finally:
        stack.airflow.start_component("api-server")
        eventually(lambda: is_there(stack), "The API server's return")
    # A try that begins before the API server is ready is lost as well.
    assert_resumed(working, run, within=3)
    assert "Airflow ends this process: nobody ended the task" in working.log(1)
    assert_waited_on(deferred)


def test_scheduler_killed(stack):
    """A scheduler that dies and comes again begins a second try while the first lives: they share a run."""
    working, deferred, run = begin(stack, "durable", 80)
    scheduler = stack.airflow.processes["scheduler"]
    supervisor, process = working.processes()
    # Else Airflow might tell it to end the first try before the second is at work.
    os.kill(supervisor, signal.SIGSTOP)
    # Its workers live on.
    os.kill(scheduler.pid, signal.SIGKILL)
    try:
        stack.airflow.start_component("scheduler")
        working.wait_for_log("Resuming dbt Cloud run", try_number=2)
        assert is_alive(process)
        os.kill(supervisor, signal.SIGCONT)
        working.wait_for_log("Airflow ends this process: nobody ended the task")
        assert_resumed(working, run)
        assert_waited_on(deferred)
    finally:
        with suppress(ProcessLookupError):
            os.kill(supervisor, signal.SIGCONT)
        scheduler.signal(signal.SIGKILL)


def test_queued(stack):
    """Tasks that are handed to workers, but cannot begin: marked, they start no run, and cleared, one."""
    job = Job(stack)
    server = stack.airflow.processes["api-server"]
    server.signal(signal.SIGSTOP)
    try:
        failed = Scene.begin(stack, "durable_and_queued", job, task_id="failed")
        success, cleared = (replace(failed, task_id=name) for name in ("success", "cleared"))
        for scene in (failed, success, cleared):
            scene.wait("queued")
        for scene in (failed, success):
            insist(stack.airflow.set_task_state, *scene.dag_run, scene.task_id, scene.task_id)
        insist(stack.airflow.clear, *cleared.dag_run, cleared.task_id)
    finally:
        server.signal(signal.SIGCONT)
    assert cleared.end()[0] == "success"
    (run,) = job.runs
    assert (cleared.xcom(), run.status_name) == (run.id, "Success")
    for scene in (failed, success):
        eventually(lambda scene=scene: is_refused(scene), f"The end of the worker of {scene}")
        assert scene.task["state"] == scene.task_id
    assert len(job.runs) == 1
