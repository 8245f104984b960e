"""
What happens to tasks when a part of Airflow itself dies: their runs go on, and they find them again.

These stories are told one after another, because nobody else can work meanwhile.
"""

import os
import signal
from pathlib import Path

import pytest
import requests

from .scenes import Job, Scene, assert_resumed, eventually

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
    # Its workers live on.
    os.kill(scheduler.pid, signal.SIGKILL)
    try:
        stack.airflow.start_component("scheduler")
        working.wait_for_log("Resuming dbt Cloud run", try_number=2)
        working.wait_for_log("Airflow ends this process: nobody ended the task")
        assert_resumed(working, run)
        assert_waited_on(deferred)
    finally:
        scheduler.signal(signal.SIGKILL)
