"""One local dbt Cloud and one real Airflow for all end-to-end tests."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from airflow_dbt_cloud.client import Client
from airflow_dbt_cloud.credentials import Credentials
from demo.airflow import Airflow
from demo.dbt_cloud import TOKEN, DbtCloud
from demo.processes import StackError, free_port, wait_until

pytest.register_assert_rewrite("tests.end_to_end.browser", "tests.end_to_end.scenes")

from .browser import Person, chromium  # noqa: E402 - its assertions are to tell what they saw

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "example_dags"
# How many stories are told at the same time.
TELLERS = 8
# What production does within minutes happens within seconds.
IN_A_HURRY = {
    "AIRFLOW__CORE__PARALLELISM": "12",
    # No DAG file changes but in one story, which says so.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "4",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "1",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
}


@dataclass
class Stack:
    """Airflow, the local dbt Cloud, and what a test asks of both."""

    nightly_job = 70403100000001
    # Its runs hang in their first step for two minutes, for tests that interrupt them.
    slow_job = 70403100000015
    # Its runs hang for half a minute.
    medium_job = 70403100000005
    hourly_job = 70403100000002
    failing_job = 70403100000003
    fleet_job = 70403100000011
    network_job = 70403100000012
    # Where the tests are.
    root = ROOT

    airflow: Airflow
    dbt_cloud: DbtCloud
    client: Client
    home: Path

    def run(self, dag_id, **conf):
        """Start a DAG run and return its ids."""
        return dag_id, self.airflow.trigger(dag_id, conf)

    def wait_for_task(self, dag_run, task_id, *states, within=90):
        """Wait until a task is in one of these states, and return it."""
        wait_until(
            lambda: self.airflow.task(*dag_run, task_id)["state"] in states,
            within=within,
            what=f"Task {task_id} of {dag_run} to become {states}",
            watching=self.airflow.processes.values(),
        )
        return self.airflow.task(*dag_run, task_id)

    def wait_for_xcom(self, dag_run, task_id, key):
        """Wait until a task has an XCom, and return its value."""
        wait_until(
            lambda: key in self.airflow.xcom_keys(*dag_run, task_id),
            within=60,
            what=f"XCom {key} of task {task_id}",
            watching=self.airflow.processes.values(),
        )
        return self.airflow.xcom(*dag_run, task_id, key)

    def wait_for_trigger(self, dag_run, task_id):
        """Wait until a triggerer has taken up a task's trigger, and return which one."""
        job = None

        def is_taken():
            nonlocal job
            task = self.airflow.task(*dag_run, task_id)
            job = (task["triggerer_job"] or {}).get("id")
            return job is not None

        wait_until(is_taken, within=60, what=f"A triggerer to take {dag_run}")
        return job

    def wait_for_run(self, run_id, *statuses, within=30):
        """Wait until a dbt Cloud run has one of these statuses, and return it."""
        wait_until(
            lambda: self.client.get_run(run_id).status in statuses,
            within=within,
            what=f"Run {run_id} to get status {statuses}",
        )
        return self.client.get_run(run_id, include_related=["trigger", "audit"])

    def fault(self, kind, **keys):
        """Make dbt Cloud misbehave; give `times`, because later tests meet it, too. Return the fault's id."""
        return self._ask_dbt_cloud("POST", "faults", {"kind": kind, **keys})["id"]

    def fired(self, fault):
        """Return how often a fault has struck."""
        faults = self._ask_dbt_cloud("GET", "faults")
        return next(known["fired"] for known in faults if known["id"] == fault)

    def request_counts(self):
        """Return how often dbt Cloud was asked for lists of runs and for single runs."""
        counts = self._ask_dbt_cloud("GET", "requests")
        return tuple(
            sum(count for path, count in counts.items() if path.startswith("GET ") and path.endswith(end))
            for end in ("/runs/", "/runs/{run_id}/")
        )

    def _ask_dbt_cloud(self, method, path, json=None):
        url = f"{self.dbt_cloud.url}/local/{path}/"
        headers = {"Authorization": f"Token {TOKEN}"}
        response = requests.request(method, url, headers=headers, json=json, timeout=10)
        response.raise_for_status()
        return response.json()

    def log(self, dag_run, task_id, try_number=1):
        """Return what a task's log says."""
        lines = self.airflow.log(*dag_run, task_id, try_number)
        return "\n".join(f"{line['event']} {line.get('error_detail') or ''}" for line in lines)


def serve_people(airflow):
    """
    Give people another API server than tasks.

    Airflow writes down from its event loop what a person asks for. Meanwhile a task's request in a thread of
    the same process cannot commit, and with SQLite both wait for each other until one gives up.
    """
    port = free_port()
    server = airflow.start_component(
        "api-server", name="api-server-for-people", environment={"AIRFLOW__API__PORT": str(port)}
    )
    airflow.url = f"http://127.0.0.1:{port}"
    wait_until(lambda: is_up(airflow), within=120, what="The start of a second API server", watching=[server])


def is_up(airflow):
    """Say whether the API server answers."""
    try:
        airflow.call("GET", "version")
    except StackError:
        return False
    return True


@contextmanager
def started(home, *, python=sys.executable, **environment):
    """
    Start both, with a connection in the environment as a deployment would have it.

    :param python: the interpreter that has Airflow.
    """
    state = home / "dbt-cloud"
    landing = home / "landing"
    subprocess.run([sys.executable, EXAMPLES / "ferry_landing.py", landing], check=True)
    shared = {
        "DBT_LANDING": str(landing),
        "FERRY_WAREHOUSE": str(state / "warehouse" / "production.duckdb"),
    }
    faults = [f"slow_start:wait=120,job_id={Stack.slow_job}", f"slow_start:wait=30,job_id={Stack.medium_job}"]
    # Runs that hang need no processor.
    options = ["--run-slots", "100", *(word for fault in faults for word in ("--fault", fault))]
    with DbtCloud(
        EXAMPLES / "project", state, log=home / "dbt-cloud.log", environment=shared, options=options
    ) as dbt_cloud:
        dbt_cloud.wait_until_ready()
        airflow = Airflow(
            home / "airflow",
            [EXAMPLES, Path(__file__).parent / "dags"],
            environment={
                **shared,
                **IN_A_HURRY,
                "AIRFLOW_CONN_DBT_CLOUD_DEFAULT": dbt_cloud.connection_json(),
                **environment,
            },
            python=python,
        )
        try:
            airflow.start()
            yield Stack(airflow, dbt_cloud, Client(Credentials(**dbt_cloud.credentials())), home)
        finally:
            airflow.stop()


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """Start both, and let people have an API server of their own."""
    with started(tmp_path_factory.mktemp("stack")) as stack:
        serve_people(stack.airflow)
        yield stack


# Not for longer: while it is driven, no other event loop can run in this thread.
@pytest.fixture(scope="module")
def browser():
    """Start a browser."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser, stack):
    """
    Return a function that lets somebody look at Airflow's pages, which have nothing to complain of.

    Takes what `Person` takes; by default he looks at the Airflow of the stack.
    """
    people = []

    def visit(url="", **looks):
        people.append(Person(browser, url or stack.airflow.url, **looks))
        return people[-1]

    yield visit
    for person in people:
        person.context.close()
    for person in people:
        person.assert_calm()


@pytest.fixture(scope="module")
def told(request, stack):
    """
    Tell all selected stories of a module at the same time, because each of them mostly waits.

    Gives a future for each: a story is a function that takes the stack, and raises if it sees what should not
    be. A test has one as its parameter `story`.
    """
    stories = [
        item.callspec.params["story"]
        for item in request.session.items
        if item.module is request.module and "story" in getattr(item, "fixturenames", ())
    ]
    with ThreadPoolExecutor(TELLERS, thread_name_prefix="story") as pool:
        yield {story: pool.submit(story, stack) for story in stories}
        pool.shutdown(cancel_futures=True)
