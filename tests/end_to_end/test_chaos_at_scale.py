"""
300 mapped tasks on one job, while workers die and replies get lost: one run each.

`make chaos TASKS=…` tells the same of more tasks.
"""

import json
import os
import random
import signal
import threading
from collections import Counter
from urllib.parse import quote

import pytest

from airflow_dbt_cloud.markers import Marker, without_marker
from demo.processes import StackError, wait_until

from .scenes import Job, Scene, all_tasks, is_alive, parent, signal_all

TASKS = int(os.environ.get("CHAOS_TASKS", "300"))
# For all of them, on two processors that others use as well.
WITHIN = 300 + 6 * TASKS
TASKS_BETWEEN_DEATHS = 10
# How long a worker that is stopped takes to stop.
A_MOMENT = 0.1
ENDED = ["success", "failed"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(WITHIN + 600)]


class Reaper(threading.Thread):
    """Kills the worker of a first try each time that some more tasks have ended, until it is told to stop."""

    def __init__(self, scene):
        super().__init__(name="reaper", daemon=True)
        self._scene = scene
        self._is_over = threading.Event()
        self._random = random.Random(1)
        self.victims = []

    def run(self):
        while not self._is_over.wait(2):
            try:
                self._look()
            except StackError:
                continue

    def stop(self):
        self._is_over.set()
        self.join()

    def _look(self):
        if len(self.victims) * TASKS_BETWEEN_DEATHS > count(self._scene, ENDED):
            return
        tasks = all_tasks(self._scene.stack, self._scene.dag_run, state="running")
        # Whoever has lost one worker keeps the next.
        if able := [task for task in tasks if task["pid"] and task["try_number"] == 1]:
            task = self._random.choice(able)
            if self._kill(task["pid"]):
                self.victims.append(task["map_index"])

    def _kill(self, task):
        """Kill a worker while it works: one that waits for work would take the queue's lock along."""
        try:
            worker = parent(task)
        except FileNotFoundError:
            return False
        signal_all([worker], signal.SIGSTOP)
        self._is_over.wait(A_MOMENT)
        works = is_alive(task) and parent(task) == worker
        signal_all([worker, task] if works else [worker], signal.SIGKILL if works else signal.SIGCONT)
        return works


def count(scene, states):
    """Return how many tasks of a scene's DAG run are in one of some states."""
    dag_id, run_id = scene.dag_run
    path = f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances"
    return scene.stack.airflow.call("GET", path, state=states, limit=1)["total_entries"]


def wait_for_all(scene, reaper):
    """Wait until all tasks have ended; if that takes too long, say how far they came."""

    def have_ended():
        try:
            return count(scene, ENDED) == TASKS
        except StackError:  # an answer that was too late
            return False

    airflow = scene.stack.airflow
    try:
        wait_until(
            have_ended,
            within=WITHIN,
            what=f"The end of {TASKS} tasks",
            watching=airflow.processes.values(),
            every=5,
        )
    except StackError as error:
        tasks = Counter(task["state"] for task in all_tasks(scene.stack, scene.dag_run))
        runs = Counter(run.status_name for run in scene.job.runs)
        so_far = f"Tasks: {dict(tasks)}; runs: {dict(runs)}; workers killed: {len(reaper.victims)}."
        pytest.fail(f"{error} {so_far}")


def read_logs(stack):
    """Return what each try of each task has logged, by the task's index, the last try's at the end."""
    logs = {}
    folder = stack.home / "airflow" / "logs" / "dag_id=durable_at_scale"
    for path in folder.rglob("map_index=*/attempt=*.log"):
        index, number = (int(part.rpartition("=")[2]) for part in (path.parent.name, path.stem))
        events = [json.loads(line)["event"] for line in path.read_text().splitlines()]
        logs.setdefault(index, {})[number] = "\n".join(events)
    return {index: [tries[number] for number in sorted(tries)] for index, tries in logs.items()}


def assert_told(run, tries, logs):
    """Check that the logs of a task say in words which run it had, and how the last try came to it."""
    assert "Cancelling" not in "".join(logs)
    assert sum(log.count("Started dbt Cloud run") for log in logs) <= 1
    last = logs[-1]
    assert f"dbt Cloud run {run.id} succeeded after" in last
    starter = Marker.read(run.cause).try_number
    if starter == tries:
        assert f"Started dbt Cloud run {run.id} of job {run.job_id}" in last
        assert tries == 1 or "Starting a run: no earlier try has left a run." in last
    else:
        assert f"Resuming dbt Cloud run {run.id} (" in last
        assert f"), started by try {starter}." in last
    if "Looking whether there is a run all the same." in last:
        assert f"There is: dbt Cloud run {run.id}." in last


def test_mapped_tasks_on_one_job(stack):
    """Each of 300 mapped tasks on one job has exactly one run, whoever dies and whatever gets lost."""
    job = Job(stack, command="dbt --version")
    lost = job.fault("lose_reply", method="POST", path="/run/$", rate=0.1, seed=9)
    job.fault("status", code=500, method="GET", rate=0.03, seed=1)
    scene = Scene.begin(stack, "durable_at_scale", job)
    reaper = Reaper(scene)
    reaper.start()
    try:
        wait_for_all(scene, reaper)
    finally:
        reaper.stop()
    tasks = all_tasks(stack, scene.dag_run)
    assert Counter(task["state"] for task in tasks) == {"success": TASKS}
    tries = {task["map_index"]: task["try_number"] for task in tasks}
    assert Counter(run.status_name for run in job.runs) == {"Success": TASKS}
    runs = {without_marker(run.cause): run for run in job.runs}
    assert set(runs) == {f"number {index}" for index in range(TASKS)}
    logs = read_logs(stack)
    assert set(logs) == set(tries) == set(range(TASKS))
    for index in range(TASKS):
        assert_told(runs[f"number {index}"], tries[index], logs[index])
    print(  # noqa: T201 - it is the point of the exercise
        f"{TASKS} tasks, {len(reaper.victims)} workers killed, {stack.fired(lost)} replies lost, "
        f"{sum(tries.values())} tries"
    )
    assert any(tries[index] > 1 for index in reaper.victims)
    assert stack.fired(lost) > 0
    assert any("There is: dbt Cloud run " in log for told in logs.values() for log in told)
