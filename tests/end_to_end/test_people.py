"""
What people do to a task, at every moment of its life: dbt Cloud has the runs that it should, and no other.

Every story has jobs of its own, so that it can count all runs of a job. They run at the same time.
"""

import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

import pytest

from airflow_dbt_cloud.markers import Marker, make_key
from airflow_dbt_cloud.parameters import RunRequest
from demo.processes import Process, StackError

from . import scenes
from .scenes import PATIENCE, eventually, insist, parent, signal_all

# The first test waits for its own story only, but shares two processors with the others.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BOTH = ("working", "deferred")


class Job(scenes.Job):
    """
    A job for one task.

    :param hanging: how many of its runs hang until somebody cancels them.
    """

    def __init__(self, stack, *, hanging=1, **more):
        super().__init__(stack, hanging=hanging, seconds=900, **more)

    @property
    def statuses(self):
        """How all its runs are, oldest first."""
        return [run.status_name for run in self.runs]

    @property
    def tries(self):
        """Which tries its runs were started by, as MAX.CLEAR.TRY; None for runs that no task started."""
        markers = [Marker.read(run.cause) for run in self.runs]
        return [m and f"{m.max_tries}.{m.clear_number}.{m.try_number}" for m in markers]

    def start(self, cause, **overrides):
        """Start a run as somebody else would."""
        return self._stack.client.start_run(self.id, RunRequest(cause=cause, **overrides))

    def cancel(self, number=0):
        """Cancel one of its runs, as a person in dbt Cloud would."""
        self._stack.client.cancel_run(self.runs[number].id)

    def wait_for(self, *statuses):
        """Wait until these are its runs."""
        eventually(lambda: self.statuses == list(statuses), f"Job {self.id} to have the runs {statuses}")


@dataclass
class Scene:
    """A DAG run, and the job of each of its tasks."""

    stack: object
    dag_run: tuple
    jobs: dict

    @classmethod
    def begin(cls, stack, dag_id, *tasks, others=None, reason=None, **fields):
        """
        Start a DAG run with a new job for each task; see `Job`.

        :param others: start a run of each job before, with these overrides.
        """
        jobs = {task: Job(stack, **fields) for task in tasks or BOTH}
        for job in jobs.values() if others is not None else ():
            job.start("Somebody else's", **others)
            job.wait_for("Running")
        conf = {task: job.id for task, job in jobs.items()}
        return cls(stack, insist(stack.run, dag_id, reason=reason, **conf), jobs)

    def task(self, task):
        """Return the task instance, as Airflow has it now."""
        return self.stack.airflow.task(*self.dag_run, task)

    def wait(self, task, *states):
        """Wait until a task is in one of these states."""
        self.stack.wait_for_task(self.dag_run, task, *states, within=PATIENCE)

    def wait_for_end(self, state):
        """Wait until the DAG run has ended."""
        what = f"{self.dag_run} to become {state}"
        eventually(lambda: self.stack.airflow.run(*self.dag_run)["state"] == state, what)

    def wait_until_it_waits(self, *tasks):
        """Wait until each task waits for its run: working, or in the triggerer."""
        for task in tasks or self.jobs:
            if task == "deferred":
                self.wait(task, "deferred")
                # Until it has, nobody would notice that the task is ended.
                self.wait_for_log(task, " starting", self.task(task)["try_number"])
            else:
                self.wait(task, "running")
                what = f"Task {task} of {self.dag_run} to announce its run"
                eventually(
                    lambda task=task: "job_run_is_own" in self.stack.airflow.xcom_keys(*self.dag_run, task),
                    what,
                )

    def log(self, task, try_number=1):
        """Return what the log of a try says; nothing, if there is no such try yet."""
        try:
            lines = self.stack.airflow.log(*self.dag_run, task, try_number)
        except StackError as error:
            if "404" in str(error):
                return ""
            raise
        keys = ("event", "reason", "error_detail")
        return "\n".join(" ".join(str(line[key]) for key in keys if line.get(key)) for line in lines)

    def wait_for_log(self, task, words, try_number=1):
        """Wait until the log of a try says something."""
        what = f"The log of {task} of {self.dag_run} to say {words!r}"
        eventually(lambda: words in self.log(task, try_number), what)

    def mark(self, task, state):
        """Mark a task as a person does."""
        insist(self.stack.airflow.set_task_state, *self.dag_run, task, state)

    def clear(self, task):
        """Clear a task as a person does, who does it again if Airflow forgets it."""
        insist(self.stack.airflow.clear, *self.dag_run, task)

        def is_known():
            if self.task(task)["state"]:
                return True
            # A scheduler that ends the DAG run in the same moment does not see that a task was cleared.
            if self.stack.airflow.run(*self.dag_run)["state"] in ("failed", "success"):
                insist(self.stack.airflow.clear, *self.dag_run, task)
            return False

        eventually(is_known, f"Airflow to see that {task} of {self.dag_run} was cleared")

    def delete(self, state="failed"):
        """Delete the DAG run as a person does, who has to give it another state than `running` before."""
        dag_id, run_id = self.dag_run
        path = f"dags/{dag_id}/dagRuns/{quote(run_id)}"
        insist(self.stack.airflow.call, "PATCH", path, {"state": state})
        # A scheduler that is at work at a DAG run that is deleted dies.
        self.wait_for_the_scheduler()
        insist(self.stack.airflow.call, "DELETE", path)

    def wait_for_the_scheduler(self):
        """Wait until the scheduler has seen all that has happened."""
        for _ in range(2):
            last = self._heartbeat
            eventually(lambda last=last: self._heartbeat != last, "The scheduler's next round")

    @property
    def _heartbeat(self):
        return self.stack.airflow.call("GET", "monitor/health")["scheduler"]["latest_scheduler_heartbeat"]

    @contextmanager
    def frozen(self, task):
        """Let a task notice nothing meanwhile."""
        pid = self.task(task)["pid"]
        pids = [parent(pid), pid]
        signal_all(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            signal_all(pids, signal.SIGCONT)

    def make_again(self):
        """Start the DAG run once more, under the same id."""
        dag_id, run_id = self.dag_run
        conf = {task: job.id for task, job in self.jobs.items()}
        again = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        insist(self.stack.airflow.call, "POST", f"dags/{dag_id}/dagRuns", again)

    def key(self, task, deployment_id=None):
        """Return the key of a task's markers."""
        dag_id, run_id = self.dag_run
        return make_key(
            deployment_id=deployment_id or self.stack.airflow.environment["AIRFLOW__API__BASE_URL"],
            dag_id=dag_id,
            run_id=run_id,
            task_id=task,
            map_index=-1,
            started_at=datetime.fromisoformat(self.stack.airflow.run(*self.dag_run)["start_date"]),
        )

    def kill_process(self, task):
        """Kill the process of a task; its supervisor tells Airflow at once."""
        os.kill(self.task(task)["pid"], signal.SIGKILL)

    def kill_worker(self, task):
        """Let the machine of a task lose its power."""
        pid = self.task(task)["pid"]
        signal_all([parent(pid), pid], signal.SIGKILL)


def wait_for_dag(stack, dag_id):
    """Wait until Airflow has read a DAG."""
    eventually(lambda: stack.airflow.has_dag(dag_id), dag_id)


def marked_failed_while_it_works(stack):
    """A working task that is marked failed has its run cancelled."""
    mark_while_it_waits(stack, "people_alone", "working", "failed")


def marked_success_while_it_works(stack):
    """A working task that is marked success has its run cancelled."""
    mark_while_it_waits(stack, "people_alone", "working", "success")


def marked_failed_while_deferred(stack):
    """A deferred task that is marked failed has its run cancelled."""
    mark_while_it_waits(stack, "people_deferred", "deferred", "failed")


def marked_success_while_deferred(stack):
    """A deferred task that is marked success has its run cancelled."""
    mark_while_it_waits(stack, "people_deferred", "deferred", "success")


def mark_while_it_waits(stack, dag_id, task, state):
    """Mark a task, and see that its run is cancelled, and that the log says why."""
    scene = Scene.begin(stack, dag_id, task)
    job = scene.jobs[task]
    scene.wait_until_it_waits()
    scene.mark(task, state)
    told = "Cancelling dbt Cloud run", "may go on"
    eventually(
        lambda: any(words in scene.log(task) for words in told), f"A decision about the run of {scene}"
    )
    assert "may go on" not in scene.log(task)
    job.wait_for("Cancelled")
    assert f"a person ended the task (its state is {state})" in scene.log(task)
    assert scene.task(task)["state"] == state
    assert job.tries == ["1.0.1"]


def cleared_while_it_waits(stack):
    """A task that is cleared while it waits, working or deferred, has its run cancelled and starts anew."""
    scene = Scene.begin(stack, "people")
    scene.wait_until_it_waits()
    for task in BOTH:
        scene.clear(task)
    for task, job in scene.jobs.items():
        job.wait_for("Cancelled", "Success")
        scene.wait(task, "success")
        assert [tries.rpartition(".")[2] for tries in job.tries] == ["1", "2"]
        assert "Starting a run: " in scene.log(task, 2)
        assert f"Started dbt Cloud run {job.runs[1].id}" in scene.log(task, 2)
        # Whoever is quicker, the killed try or the next one.
        first = f"Cancelling dbt Cloud run {job.runs[0].id}"
        eventually(lambda task=task, first=first: first in scene.log(task, 1) + scene.log(task, 2), first)


def marked_or_cleared_before_it_starts(stack):
    """A task that waits for a slot has no run: marked, it starts none, and cleared, it starts one."""
    pool = {"name": "people", "slots": 0, "description": None, "include_deferred": False}
    insist(stack.airflow.call, "POST", "pools", pool)
    scene = Scene.begin(stack, "people_pool", "failed", "success", "cleared", hanging=0)
    for task in scene.jobs:
        scene.wait(task, "scheduled")
    scene.mark("failed", "failed")
    scene.mark("success", "success")
    scene.clear("cleared")
    insist(stack.airflow.call, "PATCH", "pools/people", {**pool, "slots": 2})
    scene.wait("cleared", "success")
    assert scene.jobs["cleared"].statuses == ["Success"]
    for state in ("failed", "success"):
        assert scene.task(state)["state"] == state
        assert scene.jobs[state].statuses == []


def marked_or_cleared_while_up_for_retry(stack):
    """A task whose run was cancelled waits to be retried: marked, it starts none, and cleared, one more."""
    scene = Scene.begin(stack, "people_late_retry", "failed", "success", "cleared", hanging=2)
    others = {}
    for task, job in scene.jobs.items():
        scene.wait(task, "deferred")
        others[task] = job.start("Somebody else's")
        job.cancel(0)
    for task in scene.jobs:
        scene.wait(task, "up_for_retry")
    scene.mark("failed", "failed")
    scene.mark("success", "success")
    scene.clear("cleared")
    scene.jobs["cleared"].wait_for("Cancelled", "Running", "Queued")
    for state in ("failed", "success"):
        assert scene.task(state)["state"] == state
        assert scene.jobs[state].statuses == ["Cancelled", "Running"]
    for task, job in scene.jobs.items():
        assert job.runs[1].id == others[task].id
        job.cancel(1)
    scene.wait("cleared", "success")
    assert scene.jobs["cleared"].statuses == ["Cancelled", "Cancelled", "Success"]


def cleared_while_up_for_retry_with_a_run_that_goes(stack):
    """A cleared task whose process died, so that its run goes on, cancels that run and starts another."""
    scene = Scene.begin(stack, "people_lost", "working")
    job = scene.jobs["working"]
    scene.wait_until_it_waits()
    scene.kill_process("working")
    scene.wait("working", "up_for_retry")
    assert job.statuses == ["Running"]
    scene.clear("working")
    scene.wait("working", "success")
    assert job.statuses == ["Cancelled", "Success"]
    assert f"Cancelling dbt Cloud run {job.runs[0].id} of this task" in scene.log("working", 2)
    assert "Starting a run: the task was cleared" in scene.log("working", 2)


def marked_failed_while_up_for_retry_with_a_run_that_goes(stack):
    """A task whose process died has nobody left to cancel its run: marked, it leaves it to go on."""
    mark_while_up_for_retry_with_a_run_that_goes(stack, "failed")


def marked_success_while_up_for_retry_with_a_run_that_goes(stack):
    """So it is if it is marked success."""
    mark_while_up_for_retry_with_a_run_that_goes(stack, "success")


def mark_while_up_for_retry_with_a_run_that_goes(stack, state):
    """Mark a task between two tries, and see that its run goes on, also when the task is cleared then."""
    scene = Scene.begin(stack, "people_lost", "working")
    job = scene.jobs["working"]
    scene.wait_until_it_waits()
    scene.kill_process("working")
    scene.wait("working", "up_for_retry")
    scene.mark("working", state)
    scene.wait_for_end(state)
    # The DAG run has ended: whatever is cleared now begins a new story.
    scene.clear("working")
    job.wait_for("Running", "Queued")
    assert "Starting a run: no earlier try has left a run" in scene.log("working", 2)
    job.cancel(0)
    scene.wait("working", "success")
    assert job.statuses == ["Cancelled", "Success"]


def cleared_after_its_worker_was_lost(stack):
    """A task that is cleared while nobody works at it any more resumes its run, as a retry does."""
    scene = Scene.begin(stack, "people_alone", "working")
    job = scene.jobs["working"]
    scene.wait_until_it_waits()
    scene.kill_worker("working")
    scene.clear("working")
    scene.wait_for_log("working", f"Resuming dbt Cloud run {job.runs[0].id} (Running), started by try 1", 2)
    assert job.statuses == ["Running"]
    scene.wait_until_it_waits()
    scene.mark("working", "failed")
    job.wait_for("Cancelled")


def cleared_after_its_success(stack):
    """A task that has succeeded loses nothing when it is marked; cleared, it starts one more run."""
    scene = Scene.begin(stack, "people", hanging=0)
    for task in BOTH:
        scene.wait(task, "success")
        scene.mark(task, "failed")
        assert scene.jobs[task].statuses == ["Success"]
        scene.clear(task)
    for task, job in scene.jobs.items():
        job.wait_for("Success", "Success")
        scene.wait(task, "success")
        assert job.statuses == ["Success", "Success"]
        assert "Starting a run: " in scene.log(task, 2)


def marked_and_cleared_after_its_end(stack):
    """A task that has ended in a DAG run that goes starts nothing if it is marked; cleared, one more run."""
    jobs = {task: Job(stack, hanging=0) for task in BOTH}
    jobs["failing"] = Job(stack, hanging=0, command="dbt clean --no-such-flag")
    jobs["open"] = Job(stack)
    conf = {task: job.id for task, job in jobs.items()}
    scene = Scene(stack, insist(stack.run, "people_open", **conf), jobs)
    ended = {"working": "success", "deferred": "success", "failing": "failed"}
    for task, state in ended.items():
        scene.wait(task, state)
        for other in ("failed", "success", state):
            if other != scene.task(task)["state"]:
                scene.mark(task, other)
        assert scene.task(task)["state"] == state
        assert len(jobs[task].runs) == 1
    scene.wait("open", "deferred")
    for task in ended:
        scene.clear(task)
    for task, state in ended.items():
        verb, status = ("succeeded", "Success") if state == "success" else ("failed", "Error")
        jobs[task].wait_for(status, status)
        scene.wait(task, state)
        first = jobs[task].runs[0]
        assert f"Starting a run: run {first.id} {verb}, and the task was cleared." in scene.log(task, 2)
    scene.mark("open", "failed")
    jobs["open"].wait_for("Cancelled")


def odd_ids_while_deferred(stack):
    """Whatever letters Airflow allows in ids: of two mapped tasks the one that is marked loses its run."""
    first, second = jobs = Job(stack), Job(stack)
    dag_run = dag_id, run_id = "people_Ærø-1.nord", "odd~run:1+2.3-x_y"
    wait_for_dag(stack, dag_id)
    asked = {
        "dag_run_id": run_id,
        "logical_date": None,
        "conf": {"first": first.id, "second": second.id},
    }
    insist(stack.airflow.call, "POST", f"dags/{quote(dag_id)}/dagRuns", asked)
    tasks = [
        scenes.Scene(stack, job, dag_run, task_id="Årnes-1.Øst.vær_2", map_index=index)
        for index, job in enumerate(jobs)
    ]
    for task in tasks:
        task.wait("deferred")
        task.wait_for_log(" starting")
    for task, state, other in zip(tasks[::-1], ("failed", "success"), ("Running", "Cancelled"), strict=True):
        path = f"dags/{quote(dag_id)}/dagRuns/{quote(run_id)}/taskInstances/{quote(task.task_id)}"
        insist(stack.airflow.call, "PATCH", f"{path}/{task.map_index}", {"new_state": state})
        task.job.wait_for("Cancelled")
        assert jobs[1 - task.map_index].statuses == [other]
        task.wait_for_log(f"a person ended the task (its state is {state})")


def dag_run_deleted_and_made_again(stack):
    """A DAG run that is made again at once under the id of a deleted one takes up none of that one's runs."""
    scene = Scene.begin(stack, "people_alone", "working", hanging=2)
    job = scene.jobs["working"]
    scene.wait_until_it_waits()
    first = scene.key("working")
    with scene.frozen("working"):
        scene.delete()
        scene.make_again()
        eventually(lambda: len(job.runs) == 2, f"Another run of job {job.id}")
    assert [Marker.read(run.cause).key for run in job.runs] == [first, scene.key("working")]
    scene.wait_until_it_waits()
    scene.wait_for_log("working", "Airflow ends this process: nobody ended the task")
    # Airflow may take the end of the first process for one of the second, which has the same ids, and begin
    # its next try.
    scene.wait_for_the_scheduler()
    scene.wait("working", "running")
    scene.wait_for_log("working", " of job ", scene.task("working")["try_number"])
    assert job.statuses == ["Running", "Queued"]
    scene.mark("working", "failed")
    job.wait_for("Running", "Cancelled")


def dag_run_deleted_while_it_runs(stack):
    """A task whose DAG run a person deletes has its run cancelled."""
    scene = Scene.begin(stack, "people_alone", "working")
    scene.wait_until_it_waits()
    with scene.frozen("working"):
        scene.delete()
    scene.jobs["working"].wait_for("Cancelled")


def dag_run_deleted_while_deferred(stack):
    """A deferred task whose DAG run a person deletes without any mark has its run cancelled."""
    scene = Scene.begin(stack, "people_paused", "deferred")
    scene.wait_until_it_waits()
    # A DAG run that is queued can be deleted, and its tasks are not marked; it stays so in a paused DAG.
    insist(stack.airflow.call, "PATCH", "dags/people_paused", {"is_paused": True})
    scene.delete(state="queued")
    scene.jobs["deferred"].wait_for("Cancelled")
    # Airflow shows no logs of a DAG run that is gone.
    logs = (stack.home / "airflow" / "logs" / "dag_id=people_paused").rglob("*.log*")
    assert any("a person ended the task (its state is removed)" in log.read_text() for log in logs)


def same_ids_in_another_deployment(stack):
    """The runs of a task with the same ids in another Airflow are neither taken up nor cancelled."""
    scene = Scene.begin(stack, "people", hanging=3)
    scene.wait_until_it_waits()
    for task, job in scene.jobs.items():
        key = scene.key(task, deployment_id="https://staging.example.com")
        assert Marker.read(job.runs[0].cause).key == scene.key(task)
        # As the same task would start it there, and as a person would who copies a cause.
        job.start(str(Marker(key=key, max_tries=1, clear_number=0, try_number=1)))
        job.start(f"Once more: {job.runs[0].cause}.")
    scene.kill_process("working")
    scene.wait_for_log("working", "Resuming dbt Cloud run", 2)
    scene.wait_until_it_waits()
    for task in BOTH:
        scene.clear(task)
    for task, job in scene.jobs.items():
        job.wait_for("Cancelled", "Running", "Queued", "Queued")
        job.cancel(1)
        job.wait_for("Cancelled", "Cancelled", "Running", "Queued")
        job.cancel(2)
        scene.wait(task, "success")
        assert job.statuses == ["Cancelled", "Cancelled", "Cancelled", "Success"]


def retries_edited_between_tries(stack):
    """A task whose `retries` are edited while it runs resumes its run all the same."""
    edited = stack.home / "airflow" / "retries-of-people.txt"
    edited.write_text("1")
    scene = Scene.begin(stack, "people_edit", "working")
    job = scene.jobs["working"]
    scene.wait_until_it_waits()
    edited.write_text("5")
    token = stack.airflow.call("GET", "dags/people_edit")["file_token"]
    insist(stack.airflow.call, "PUT", f"parseDagFile/{token}")
    eventually(
        lambda: stack.airflow.call("GET", "dags/people_edit/tasks/working")["retries"] == 5,
        "Airflow to read the edited DAG",
    )
    scene.kill_process("working")
    resumed = f"Resuming dbt Cloud run {job.runs[0].id} (Running), started by try 1"
    scene.wait_for_log("working", resumed, 2)
    scene.wait_until_it_waits()
    scene.mark("working", "failed")
    job.wait_for("Cancelled")


def tried_out_with_tasks_test(stack):
    """`airflow tasks test` on a DAG run whose task waits to be retried leaves the run of that alone."""
    scene = Scene.begin(stack, "people_lost", "working")
    job = scene.jobs["working"]
    scene.wait_until_it_waits()
    scene.kill_process("working")
    scene.wait("working", "up_for_retry")
    dag_id, run_id = scene.dag_run
    command = [sys.executable, "-m", "airflow", "tasks", "test", dag_id, "working", run_id]
    log = stack.home / "airflow" / "tasks-test.log"
    with Process("airflow tasks test", command, env=stack.airflow.environment, log=log) as tried:
        job.wait_for("Running", "Queued")
        assert job.tries == ["1.0.1", None]
        job.cancel(0)
        assert tried.wait(PATIENCE) == 0
    assert job.statuses == ["Cancelled", "Success"]


def cancelled_in_dbt_cloud(stack):
    """A task whose run a person cancels in dbt Cloud is retried with another run."""
    scene = Scene.begin(stack, "people")
    scene.wait_until_it_waits()
    for job in scene.jobs.values():
        job.cancel()
    for task, job in scene.jobs.items():
        scene.wait(task, "success")
        first, second = job.runs
        assert job.statuses == ["Cancelled", "Success"]
        assert f"dbt Cloud run {first.id} was cancelled: by " in scene.log(task, 1)
        assert f"Starting a run: run {first.id} was cancelled" in scene.log(task, 2)
        assert f"Started dbt Cloud run {second.id}" in scene.log(task, 2)


def cancelled_in_dbt_cloud_and_not_retried(stack):
    """With `retry_on_cancel=False` a run cancelled in dbt Cloud fails the task; cleared, it starts anew."""
    scene = Scene.begin(stack, "people_without_retry_on_cancel")
    scene.wait_until_it_waits()
    for job in scene.jobs.values():
        job.cancel()
    for task, job in scene.jobs.items():
        scene.wait(task, "failed")
        assert scene.task(task)["try_number"] == 1
        assert job.statuses == ["Cancelled"]
        assert f"dbt Cloud run {job.runs[0].id} was cancelled: by " in scene.log(task)
        scene.clear(task)
    for task, job in scene.jobs.items():
        job.wait_for("Cancelled", "Success")
        scene.wait(task, "success")


def marked_and_cleared_without_cancel_on_kill(stack):
    """With `cancel_on_kill=False` a marked task's run goes on, and a cleared task starts one beside it."""
    scene = Scene.begin(stack, "people_without_cancel_on_kill")
    scene.wait_until_it_waits()
    for task in BOTH:
        scene.mark(task, "failed")
    scene.wait_for_log("working", f"run {scene.jobs['working'].runs[0].id} goes on, as cancel_on_kill says")
    scene.wait_for_log("deferred", "trigger completed")
    scene.wait_for_end("failed")
    for task, job in scene.jobs.items():
        assert job.statuses == ["Running"]
        scene.clear(task)
    for task, job in scene.jobs.items():
        job.wait_for("Running", "Queued")
        job.cancel(0)
        scene.wait(task, "success")
        assert job.statuses == ["Cancelled", "Success"]


def while_another_run_goes(stack):
    """While a person's run of the job goes, a task queues another, is skipped or fails, as it was told."""
    scene = Scene.begin(stack, "people_and_other_runs", "queue", "skip", "fail", others={})
    scene.wait("skip", "skipped")
    scene.wait("fail", "failed")
    for task in ("skip", "fail"):
        other = scene.jobs[task].runs[0]
        assert scene.jobs[task].statuses == ["Running"]
        assert f"run {other.id}" in scene.log(task)
        scene.jobs[task].cancel()
    scene.wait_until_it_waits("queue")
    scene.jobs["queue"].wait_for("Running", "Queued")
    scene.jobs["queue"].cancel(0)
    scene.wait("queue", "success")
    assert scene.jobs["queue"].statuses == ["Cancelled", "Success"]


def reused_run_outlives_its_task(stack):
    """A person's run that a task has reused is not cancelled when the task is marked or cleared."""
    scene = Scene.begin(stack, "people_and_reused_runs", others={"steps_override": ["dbt clean"]})
    scene.wait_until_it_waits()
    for task, job in scene.jobs.items():
        other = job.runs[0]
        assert f"Taking up dbt Cloud run {other.id}, which goes already: Somebody else's" in scene.log(task)
        scene.clear(task)
    for task in BOTH:
        eventually(lambda task=task: scene.task(task)["try_number"] == 2, f"The second try of {task}")
    for task in BOTH:
        scene.wait_for_log(task, "Reused dbt Cloud run", 2)
    scene.wait_until_it_waits()
    for task in BOTH:
        scene.mark(task, "failed")
    scene.wait_for_log("working", "goes on: this task did not start it", 2)
    scene.wait_for_log("deferred", "trigger completed", 2)
    for task, job in scene.jobs.items():
        assert scene.task(task)["state"] == "failed"
        assert job.statuses == ["Running"]
        job.cancel()


def workers_killed_in_a_backfill(stack):
    """In a backfill, too, each mapped task of a group resumes its own run after its process was killed."""
    job = Job(stack, hanging=2)
    dag_run = "people_backfill", "backfill__2026-01-01T00:00:00+00:00"
    wait_for_dag(stack, "people_backfill")
    day = {"from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-01T00:00:00Z"}
    asked = {"dag_id": "people_backfill", "dag_run_conf": {"job": job.id}, **day}
    insist(stack.airflow.call, "POST", "backfills", asked)
    first, second = (
        scenes.Scene(stack, job, dag_run, task_id="Årnes-1.Øst.vær_2", map_index=number) for number in (0, 1)
    )
    runs = {}
    for scene in (first, second):
        eventually(lambda scene=scene: scene.xcom("job_run_id"), f"The run of {scene}")
        runs[scene.map_index] = scene.xcom("job_run_id")
    assert sorted(runs.values()) == [run.id for run in job.runs]
    for scene in (first, second):
        signal_all([scene.task["pid"]], signal.SIGKILL)
    for scene in (first, second):
        resumed = f"Resuming dbt Cloud run {runs[scene.map_index]} ("
        scene.wait_for_log(resumed, 2)
    assert job.statuses == ["Running", "Queued"]
    for scene in (first, second):
        path = f"dags/people_backfill/dagRuns/{quote(dag_run[1])}/taskInstances/{scene.task_id}"
        insist(stack.airflow.call, "PATCH", f"{path}/{scene.map_index}", {"new_state": "failed"})
    job.wait_for("Cancelled", "Cancelled")


def job_that_cannot_run(stack):
    """A job that does not exist, or is deactivated, fails the task with dbt Cloud's words."""
    unknown, inactive = 70403199999999, Job(stack, hanging=0, deactivated=True)
    dag_run = insist(stack.run, "people", working=unknown, deferred=inactive.id)
    scene = Scene(stack, dag_run, {})
    for task, words in {
        "working": "The requested resource was not found",
        "deferred": f"Job {inactive.id} is deactivated",
    }.items():
        scene.wait(task, "failed")
        assert words in scene.log(task, scene.task(task)["try_number"])
    assert inactive.statuses == []


def account_without_permission(stack):
    """A task for an account that is not the token's fails with dbt Cloud's words, and starts no run."""
    job = Job(stack, hanging=0)
    posts = job.fault("delay", method="POST", wait=0)
    conf = {"working": job.id, "account_id": stack.dbt_cloud.account_id + 1}
    scene = Scene(stack, insist(stack.run, "people_elsewhere", **conf), {})
    scene.wait("working", "failed")
    log = scene.log("working", scene.task("working")["try_number"])
    assert "Access denied: Token is not scoped to account." in log
    assert "Is the connection's login the account of the token" in log
    # The second try asks for the runs of the first, and is refused that.
    assert stack.fired(posts) <= 1
    assert job.statuses == []


def odd_reason(stack):
    """A reason of 10,000 characters with quotes, line breaks and a forged marker does not hide the run."""
    forged = Marker(key="0123456789abcdef", max_tries=9, clear_number=9, try_number=9)
    reason = f'it\'s "urgent"\r\n\U0001f6a2 {forged}' * 200
    scene = Scene.begin(stack, "people_alone", "working", reason=reason[:10_000])
    job = scene.jobs["working"]
    scene.wait_until_it_waits()
    (run,) = job.runs
    assert run.cause.startswith("it s urgent ")
    assert run.cause.isascii()
    assert run.cause.isprintable()
    assert len(run.cause) <= 255
    assert Marker.read(run.cause).key == scene.key("working")
    scene.kill_process("working")
    scene.wait_for_log("working", f"Resuming dbt Cloud run {run.id} (Running), started by try 1", 2)
    scene.wait_until_it_waits()
    scene.mark("working", "failed")
    job.wait_for("Cancelled")


STORIES = [
    cleared_after_its_worker_was_lost,
    same_ids_in_another_deployment,
    retries_edited_between_tries,
    workers_killed_in_a_backfill,
    tried_out_with_tasks_test,
    marked_failed_while_it_works,
    marked_success_while_it_works,
    marked_failed_while_deferred,
    marked_success_while_deferred,
    cleared_while_it_waits,
    marked_or_cleared_before_it_starts,
    marked_or_cleared_while_up_for_retry,
    cleared_while_up_for_retry_with_a_run_that_goes,
    marked_failed_while_up_for_retry_with_a_run_that_goes,
    marked_success_while_up_for_retry_with_a_run_that_goes,
    cleared_after_its_success,
    marked_and_cleared_after_its_end,
    odd_ids_while_deferred,
    dag_run_deleted_and_made_again,
    dag_run_deleted_while_it_runs,
    dag_run_deleted_while_deferred,
    cancelled_in_dbt_cloud,
    cancelled_in_dbt_cloud_and_not_retried,
    marked_and_cleared_without_cancel_on_kill,
    while_another_run_goes,
    reused_run_outlives_its_task,
    job_that_cannot_run,
    account_without_permission,
    odd_reason,
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_story(story, told):
    """Every story comes true."""
    told[story].result()
