"""What stories about durable tasks are made of: a job that nobody else uses, and a task that runs it."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import requests

from airflow_dbt_cloud.markers import Marker
from demo.dbt_cloud import TOKEN
from demo.processes import StackError, wait_until

# Generous, because the stories share two processors.
PATIENCE = 240


class Job:
    """
    A job of the local dbt Cloud for one story.

    :param hanging: how many of its runs hang before they do something.
    :param seconds: for how long they hang; meanwhile a lost worker is noticed.
    :param command: what its runs do; the default takes half a second.
    :param fields: of dbt Cloud's job.
    """

    def __init__(self, stack, *, hanging=0, seconds=45, command="dbt clean", **fields):
        self._stack = stack
        api = f"{stack.dbt_cloud.url}/api/v2/accounts/{stack.dbt_cloud.account_id}/jobs/"
        headers = {"Authorization": f"Token {TOKEN}"}
        model = requests.get(f"{api}{stack.hourly_job}/", headers=headers, timeout=30).json()["data"]
        self.name = f"A job for a story, number {os.urandom(8).hex()}"
        made = {**model, "name": self.name, "execute_steps": [command], **fields}
        answer = requests.post(api, json=made, headers=headers, timeout=30)
        assert answer.ok, answer.text
        self.id = answer.json()["data"]["id"]
        if hanging:
            stack.fault("slow_start", wait=seconds, job_id=self.id, times=hanging)

    @property
    def runs(self):
        """All its runs, oldest first."""
        runs = self._stack.client.list_runs(
            job_definition_id=self.id, order_by="id", include_related=["trigger"]
        )
        return list(runs)

    @property
    def story(self):
        """Its runs, oldest first: the try that started each, and its status."""
        return [(Marker.read(run.cause).try_number, run.status_name) for run in self.runs]

    def fault(self, kind, **keys):
        """Make the local dbt Cloud misbehave where this job is concerned."""
        return self._stack.fault(kind, job_id=self.id, **keys)


@dataclass
class Scene:
    """A DAG run on a job of its own, and one of its tasks."""

    stack: object
    job: Job
    dag_run: tuple
    task_id: str = "build"
    map_index: int = -1

    @classmethod
    def begin(cls, stack, dag_id, job, **more):
        """Start a DAG run for a job."""
        conf = {"job_id": job.id, "job_name": job.name}
        return cls(stack, job, insist(stack.run, dag_id, **conf), **more)

    @property
    def task(self):
        """The task instance, as Airflow has it now."""
        return self._ask()

    def wait(self, *states):
        """Wait until the task is in one of these states."""
        eventually(lambda: self.task["state"] in states, f"{self} to become {states}")

    def wait_for_try(self, number):
        """Wait until this try of the task works."""

        def works():
            task = self.task
            return (task["try_number"], task["state"]) == (number, "running")

        eventually(works, f"Try {number} of {self}")

    def wait_for_log(self, words, try_number=1):
        """Wait until the log of a try says something."""
        eventually(lambda: words in self.log(try_number), f"The log of {self} to say {words!r}")

    def wait_for_run(self):
        """Wait until the task waits for its run, and return the run."""
        eventually(lambda: self.xcom("job_run_is_own") is not None, f"{self} to announce its run")
        return self.job.runs[-1]

    def wait_for_fault(self, fault):
        """Wait until a fault has struck."""
        eventually(lambda: self.stack.fired(fault) > 0, f"Trouble for {self}")

    def end(self):
        """Wait until the task has ended, and return its state and the number of its tries."""
        self.wait("success", "failed")
        task = self.task
        return task["state"], task["try_number"]

    def xcom(self, key="return_value"):
        """Return an XCom of the task, None if there is none."""
        try:
            return self._ask(f"xcomEntries/{key}", deserialize=True)["value"]
        except StackError as error:
            if "404" in str(error):
                return None
            raise

    def log(self, try_number=1):
        """Return what the log of a try says."""
        try:
            answer = self._ask(f"logs/{try_number}", full_content=True)
        except StackError as error:
            if "404" in str(error):
                return ""
            raise
        lines = [line for line in answer["content"] if isinstance(line, dict)]
        return "\n".join(f"{line['event']} {line.get('error_detail') or ''}" for line in lines)

    def processes(self):
        """Return the ids of the processes of the present try: the supervisor's and the task's."""
        task = self.task["pid"]
        return parent(task), task

    def kill_worker(self):
        """Let the machine of the present try lose its power."""
        signal_all(self.processes(), signal.SIGKILL)

    def _ask(self, part="", **params):
        dag_id, run_id = self.dag_run
        path = f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{self.task_id}"
        if not part:
            path += f"/{self.map_index}" if self.map_index >= 0 else ""
        elif self.map_index >= 0:
            params["map_index"] = self.map_index
        return self.stack.airflow.call("GET", f"{path}/{part}" if part else path, **params)

    def __str__(self):
        """Name the task."""
        return f"{self.task_id}[{self.map_index}] of {self.dag_run}"


def assert_resumed(scene, run, within=2):
    """Check that a later try has taken up the run of the first, and that nothing was cancelled."""
    state, tries = scene.end()
    assert state == "success"
    assert 2 <= tries <= within
    assert scene.job.story == [(1, "Success")]
    assert scene.job.runs[0].id == run.id
    assert scene.xcom() == scene.xcom("job_run_id") == run.id
    log = scene.log(tries)
    assert f"Resuming dbt Cloud run {run.id} (" in log
    assert "), started by try 1." in log
    assert f"dbt Cloud run {run.id} succeeded" in log
    for number in range(1, tries + 1):
        assert "Cancelling" not in scene.log(number)


def assert_one_run_each(stack, dag_run, job, tasks):
    """Check that all tasks of a DAG run have succeeded, with one run each and no other."""

    def has_ended():
        states = [task["state"] for task in all_tasks(stack, dag_run)]
        return len(states) == tasks and set(states) <= {"success", "failed"}

    wait_until(has_ended, within=PATIENCE, what=f"The end of {dag_run}", every=2)
    assert {task["state"] for task in all_tasks(stack, dag_run)} == {"success"}
    assert {run.status_name for run in job.runs} == {"Success"}
    keys = [Marker.read(run.cause).key for run in job.runs]
    assert len(keys) == len(set(keys)) == tasks


def parent(pid):
    """Return the id of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_alive(pid):
    """Say whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def signal_all(pids, number):
    """Send a signal to some processes."""
    for pid in pids:
        os.kill(pid, number)


def eventually(condition, what):
    """Wait until a condition holds."""
    wait_until(condition, within=PATIENCE, what=what, every=0.7)


def insist(act, *arguments, **more):
    """Do something in Airflow, again and again while its SQLite is too busy to write it down."""
    answers = []

    def is_done():
        try:
            answers.append(act(*arguments, **more))
        except StackError as error:
            if not any(words in str(error) for words in ("Database error", "Database is locked")):
                raise
        return bool(answers)

    eventually(is_done, f"Airflow's answer to {act.__name__}")
    return answers[0]


def all_tasks(stack, dag_run, **filters):
    """Return the task instances of a DAG run, page by page."""
    dag_id, run_id = dag_run
    path = f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances"
    tasks = []
    while True:
        page = stack.airflow.call("GET", path, limit=100, offset=len(tasks), **filters)
        tasks += page["task_instances"]
        if len(tasks) >= page["total_entries"]:
            return tasks


def store_xcom(stack, dag_run, task_id, key, value):
    """Put a value where a task stores one, as people can."""
    dag_id, run_id = dag_run
    path = f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}/xcomEntries"
    if key in stack.airflow.xcom_keys(*dag_run, task_id):
        stack.airflow.call("PATCH", f"{path}/{key}", {"value": value})
    else:
        stack.airflow.call("POST", path, {"key": key, "value": value})
