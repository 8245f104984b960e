"""OpenLineage events of a real Airflow: the task, and below it what dbt did, node by node."""

import json
from dataclasses import dataclass

import pytest

from .conftest import started

pytestmark = pytest.mark.slow

NAMESPACE = "the-ferries"


@dataclass
class Telling:
    """What one task run told of itself and of its nodes."""

    dag_id: str
    log: str
    events: list

    def own(self, name):
        """Return the id that Airflow's own events have for the run of a job."""
        (run_id,) = {e["run"]["runId"] for e in self.events if e["job"]["name"] == name}
        return run_id

    @property
    def nodes(self):
        """Return the last event of each node that was built, by its name: `port_dues`."""
        return {
            event["job"]["facets"]["dbt_node"]["unique_id"].rpartition(".")[2]: event
            for event in self.events
            if event["job"]["facets"].get("jobType", {}).get("jobType") in {"MODEL", "SEED", "SNAPSHOT"}
        }


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Start an Airflow of its own, because every process of it loads OpenLineage."""
    home = tmp_path_factory.mktemp("lineage")
    transport = {"type": "file", "log_file_path": str(home / "events.json"), "append": True}
    with started(
        home,
        AIRFLOW__OPENLINEAGE__TRANSPORT=json.dumps(transport),
        AIRFLOW__OPENLINEAGE__NAMESPACE=NAMESPACE,
        AIRFLOW__LOGGING__NAMESPACE_LEVELS="airflow.providers.openlineage=WARNING",
    ) as stack:
        yield stack


@pytest.fixture(scope="module")
def tell(stack):
    """Run a DAG to the end of its one task, and return what was told meanwhile."""
    file = stack.home / "events.json"

    def tell(dag_id, job_id, state):
        before = len(file.read_text().splitlines()) if file.exists() else 0
        dag_run = stack.run(dag_id, job_id=job_id)
        assert stack.wait_for_task(dag_run, "build", "success", "failed", within=180)["state"] == state
        events = [json.loads(line) for line in file.read_text().splitlines()[before:]]
        return Telling(dag_id, stack.log(dag_run, "build"), events)

    return tell


@pytest.fixture(scope="module", params=["one_job", "deferred"])
def nightly(request, tell, stack):
    """Run the job with docs, and wait for it in the worker and in the triggerer."""
    return tell(request.param, stack.nightly_job, "success")


def datasets(events, side):
    """Return the datasets that events read or wrote."""
    return {(dataset["namespace"], dataset["name"]) for event in events for dataset in event[side]}


def test_every_model_has_columns(nightly):
    """Each node of the project is there, with all columns of its relation and their types."""
    assert nightly.nodes.keys() >= {"port_dues", "stg_ports", "ports", "fares_history"}
    for event in nightly.nodes.values():
        assert event["eventType"] == "COMPLETE"
        (output,) = event["outputs"]
        fields = output["facets"]["schema"]["fields"]
        assert all(field["type"] for field in fields), output["name"]
    types = {
        field["name"]: field["type"]
        for field in nightly.nodes["port_dues"]["outputs"][0]["facets"]["schema"]["fields"]
    }
    assert types["port_code"] == "VARCHAR"


def test_datasets_connect(nightly, stack):
    """What a node reads is what another one wrote, or a source; all of it is in the warehouse."""
    read, written = (datasets(nightly.nodes.values(), side) for side in ("inputs", "outputs"))
    warehouse = stack.home / "dbt-cloud" / "warehouse" / "production.duckdb"
    assert {namespace for namespace, _ in read | written} == {f"duckdb://{warehouse}"}
    assert {name for _, name in read - written} == {
        f"production.landing.{name}" for name in ("sailings", "tickets", "weather")
    }
    assert len(read & written) > 15


def test_the_task_is_the_parent(nightly):
    """The parent of each node is the task as Airflow's own events know it, and its root the DAG run."""
    task, dag_run = nightly.own(f"{nightly.dag_id}.build"), nightly.own(nightly.dag_id)
    for event in nightly.nodes.values():
        parent = event["run"]["facets"]["parent"]
        assert (parent["run"]["runId"], parent["root"]["run"]["runId"]) == (task, dag_run)
        assert parent["job"] == {"namespace": NAMESPACE, "name": f"{nightly.dag_id}.build"}
        assert event["job"]["namespace"] == NAMESPACE


def test_log(nightly):
    """The task's log has one line of ours and no warning; each event has one only if Airflow may say so."""
    assert nightly.log.count("Told OpenLineage what dbt Cloud run ") == 1
    assert "OpenLineage is not told all" not in nightly.log
    assert "Successfully emitted" not in nightly.log


def test_failure(tell, stack):
    """A failed run tells which node failed, and why; those that were built before are there, too."""
    told = tell("deferred", stack.failing_job, "failed")
    failed = told.nodes["port_dues"]
    assert failed["eventType"] == "FAIL"
    assert 'Could not convert string "tbc"' in failed["run"]["facets"]["errorMessage"]["message"]
    assert told.nodes["stg_ports"]["eventType"] == "COMPLETE"
    assert "route_margin" not in told.nodes
