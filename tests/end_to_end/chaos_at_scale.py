"""
Hundreds of tasks on one job, while workers die and replies get lost: one run each. See `make chaos`.

Not part of `make test`, because it takes some minutes.
"""

import os
import random
import signal
import threading
from pathlib import Path

import pytest

from demo.processes import StackError

from .scenes import Job, Scene, all_tasks, assert_one_run_each, parent, signal_all

TASKS = int(os.environ.get("CHAOS_TASKS", "1"))
# For all of them on two processors.
WITHIN = 300 + 6 * TASKS
SECONDS_BETWEEN_DEATHS = 5
# How long a worker that is stopped takes to stop.
A_MOMENT = 0.1

pytestmark = [pytest.mark.slow, pytest.mark.timeout(WITHIN + 300)]


class Reaper(threading.Thread):
    """Kills the worker of a first try every few seconds, until it is told to stop."""

    def __init__(self, scene):
        super().__init__(name="reaper", daemon=True)
        self._scene = scene
        self._is_over = threading.Event()
        self._random = random.Random(1)
        self.victims = 0

    def run(self):
        while not self._is_over.wait(SECONDS_BETWEEN_DEATHS):
            try:
                tasks = all_tasks(self._scene.stack, self._scene.dag_run, state="running")
            except StackError:
                continue
            # Whoever has lost one worker keeps the next.
            if pids := [task["pid"] for task in tasks if task["pid"] and task["try_number"] == 1]:
                self.victims += self._kill(self._random.choice(pids))

    def stop(self):
        self._is_over.set()
        self.join()

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


def is_alive(pid):
    """Say whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_chaos(stack):
    """Each of hundreds of tasks on one job has exactly one run, whoever dies and whatever gets lost."""
    job = Job(stack)
    lost = job.fault("lose_reply", method="POST", path="/run/$", rate=0.1, seed=9)
    job.fault("status", code=500, method="GET", rate=0.03, seed=1)
    scene = Scene.begin(stack, "durable_at_scale", job)
    reaper = Reaper(scene)
    reaper.start()
    try:
        assert_one_run_each(stack, scene.dag_run, job, TASKS, within=WITHIN)
    finally:
        reaper.stop()
    tries = sum(task["try_number"] for task in all_tasks(stack, scene.dag_run))
    summary = (
        f"{TASKS} tasks, {reaper.victims} workers killed, {stack.fired(lost)} replies lost, {tries} tries"
    )
    print(summary)  # noqa: T201 - it is the point of the exercise
    assert reaper.victims > 0
    assert stack.fired(lost) > 0
