"""Events of nodes: who is told of, how it ended, what it read and wrote. The samples are made by real dbt."""

import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("openlineage.common", reason="the extra openlineage is not installed")

from openlineage.common.provider.dbt import ParentRunMetadata

from airflow_dbt_cloud.node_events import Artifacts, Warehouse, make_events, name_warehouse

SAMPLES = Path(__file__).parent / "samples" / "lineage"
WAREHOUSE = Warehouse("duckdb:///ferry.duckdb", "DuckDB", 7)
PARENT = ParentRunMetadata(
    run_id="01941f29-7c00-7087-8940-40e512c257bd",
    job_name="ferries.build",
    job_namespace="airflow",
    root_parent_run_id="01941f29-7c00-743e-b109-28b18d0a19c5",
    root_parent_job_name="ferries",
    root_parent_job_namespace="airflow",
)
PORTS = "model.ferry_line.stg_ports"


def read(name):
    """Read a sample."""
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def built():
    """What a good step left behind."""
    return Artifacts(read("built.run_results"), read("built.manifest"), read("catalog"))


@pytest.fixture
def failed():
    """What a step left behind in which a model failed, and its tests were skipped."""
    return Artifacts(read("failed.run_results"), read("failed.manifest"))


def tell(artifacts, warehouse=WAREHOUSE):
    """Make the events, and return how the nodes ended: (word, kind, name), for each the event."""
    events = make_events(artifacts, warehouse, PARENT)
    ends = [event for event in events if event.eventType.value != "START"]
    assert {event.run.runId for event in ends} == {event.run.runId for event in events}
    assert len(events) == 2 * len(ends)
    return {(e.eventType.value, e.job.facets["jobType"].jobType, node_of(e)): e for e in ends}


def node_of(event):
    """Return the id of the node that an event tells of, without the project's name."""
    return event.job.facets["dbt_node"].unique_id.replace("ferry_line.", "")


def names(datasets):
    """Return the names of datasets that are all where they should be."""
    assert {dataset.namespace for dataset in datasets} <= {WAREHOUSE.namespace}
    return [dataset.name for dataset in datasets]


def columns(dataset):
    """Return the columns of a dataset, and their types."""
    return {field.name: field.type for field in dataset.facets["schema"].fields}


def result_of(artifacts, unique_id=PORTS):
    """Return what dbt says of a node, to be changed."""
    return next(r for r in artifacts.run_results["results"] if r["unique_id"] == unique_id)


def test_every_node_is_told_of(built):
    """Seeds, models and snapshots have events, and so have the tests of each of them."""
    assert set(tell(built)) == {
        ("COMPLETE", "SEED", "seed.fares"),
        ("COMPLETE", "SEED", "seed.ports"),
        ("COMPLETE", "MODEL", "model.stg_fares"),
        ("COMPLETE", "MODEL", "model.stg_ports"),
        ("COMPLETE", "MODEL", "model.stg_weather"),
        ("COMPLETE", "SNAPSHOT", "snapshot.fares_history"),
        ("COMPLETE", "TEST", "model.stg_fares"),
        ("COMPLETE", "TEST", "model.stg_ports"),
        ("COMPLETE", "TEST", "model.stg_tickets"),
        ("COMPLETE", "TEST", "model.stg_weather"),
        ("COMPLETE", "TEST", "snapshot.fares_history"),
    }


def test_datasets_connect(built):
    """What a node writes is, by name and namespace, what the next one reads: seeds and sources, too."""
    told = tell(built)
    seed, model = told["COMPLETE", "SEED", "seed.ports"], told["COMPLETE", "MODEL", "model.stg_ports"]
    snapshot = told["COMPLETE", "SNAPSHOT", "snapshot.fares_history"]
    weather = told["COMPLETE", "MODEL", "model.stg_weather"]
    assert (names(seed.inputs), names(seed.outputs)) == ([], ["ferry.analytics.ports"])
    assert (names(model.inputs), names(model.outputs)) == (
        ["ferry.analytics.ports"],
        ["ferry.analytics.stg_ports"],
    )
    assert names(snapshot.inputs) == ["ferry.analytics.fares"]
    assert names(weather.inputs) == ["ferry.landing.weather"]


def test_a_model_that_reads_a_snapshot(built):
    """A snapshot is an input, too."""
    built.manifest["nodes"][PORTS]["depends_on"]["nodes"].append("snapshot.ferry_line.fares_history")
    told = tell(built)["COMPLETE", "MODEL", "model.stg_ports"]
    assert names(told.inputs) == ["ferry.analytics.ports", "ferry.analytics.fares_history"]


def test_columns_of_the_catalog(built):
    """With a catalog all columns are there, with types, those of a seed as well."""
    told = tell(built)["COMPLETE", "MODEL", "model.stg_ports"]
    assert columns(told.outputs[0])["port_code"] == "VARCHAR"
    assert columns(told.outputs[0]).keys() == columns(told.inputs[0]).keys()


def test_columns_of_the_project(built):
    """Without a catalog the columns are those that the project declares."""
    told = tell(Artifacts(built.run_results, built.manifest))["COMPLETE", "MODEL", "model.stg_ports"]
    assert columns(told.outputs[0])["port_code"] is None


def test_a_catalog_with_holes(built):
    """A relation of the catalog whose columns lack types counts as one that is not in it."""
    built.catalog["nodes"][PORTS]["columns"]["port_code"]["type"] = None
    told = tell(built)["COMPLETE", "MODEL", "model.stg_ports"]
    assert columns(told.outputs[0])["port_code"] is None
    assert columns(told.inputs[0])["port_code"] == "VARCHAR"


def test_columns_come_from_somewhere(built):
    """The compiled SQL tells which column is made of which."""
    told = tell(built)["COMPLETE", "MODEL", "model.stg_ports"]
    (origin,) = told.outputs[0].facets["columnLineage"].fields["port_code"].inputFields
    assert (origin.name, origin.field) == (names(told.inputs)[0], "port_code")


def test_the_task_is_the_parent(built):
    """Every node is a child of the task, whose root is the DAG run, and names project and account."""
    for event in tell(built).values():
        parent = event.run.facets["parent"]
        assert (parent.run.runId, parent.job.name) == (PARENT.run_id, "ferries.build")
        assert (parent.root.run.runId, parent.root.job.name) == (PARENT.root_parent_run_id, "ferries")
        assert event.job.namespace == "airflow"
        dbt = event.run.facets["dbt_run"]
        assert (dbt.project_name, dbt.account_id, dbt.profile_name) == ("ferry_line", "7", "DuckDB")


def test_times(built):
    """Events have the times that dbt wrote down, and those of its clock now only where it wrote none."""
    timing = result_of(built)["timing"]
    assert tell(built)["COMPLETE", "MODEL", "model.stg_ports"].eventTime.startswith(
        timing[-1]["completed_at"].removesuffix("Z")
    )
    result_of(built)["timing"] = [{"name": "execute", "started_at": None, "completed_at": None}]
    assert ("COMPLETE", "MODEL", "model.stg_ports") in tell(built)


def test_failure(failed):
    """A model that failed says why and has no output; what dbt skipped because of it has no event."""
    told = tell(failed)
    assert set(told) == {
        ("COMPLETE", "MODEL", "model.stg_routes"),
        ("COMPLETE", "TEST", "model.stg_routes"),
        ("COMPLETE", "TEST", "model.stg_sailings"),
        ("FAIL", "MODEL", "model.port_dues"),
    }
    event = told["FAIL", "MODEL", "model.port_dues"]
    assert 'Could not convert string "tbc"' in event.run.facets["errorMessage"].message
    assert event.outputs == []
    assert "ferry.analytics.sailings" in names(event.inputs)


def test_a_start_does_not_know_the_end(failed):
    """Only the FAIL has the error."""
    starts = [e for e in make_events(failed, WAREHOUSE, PARENT) if e.eventType.value == "START"]
    assert starts
    assert not any("errorMessage" in event.run.facets for event in starts)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("success", "COMPLETE"),
        ("warn", "COMPLETE"),
        ("error", "FAIL"),
        ("partial success", "FAIL"),
        ("Partial Success", "FAIL"),
        ("skipped", None),
        ("no-op", None),
        ("reused", None),
        ("invented tomorrow", None),
        (None, None),
    ],
)
def test_statuses(built, status, told):
    """A node ends as dbt says; one that did not run has no event, and costs no other node its own."""
    result_of(built)["status"] = status
    ends = tell(built)
    assert {end for end, *node in ends if node == ["MODEL", "model.stg_ports"]} == {told} - {None}
    assert ("COMPLETE", "MODEL", "model.stg_fares") in ends


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("pass", "COMPLETE"),
        ("warn", "COMPLETE"),
        ("fail", "FAIL"),
        ("error", "FAIL"),
        ("skipped", "COMPLETE"),
    ],
)
def test_statuses_of_tests(built, status, told):
    """A test that warned is no failure though its severity is error; one that was skipped says nothing."""
    key = next(key for key in built.manifest["nodes"] if key.startswith("test.ferry_line.unique_stg_ports"))
    assert built.manifest["nodes"][key]["config"]["severity"].lower() == "error"
    result_of(built, key)["status"] = status
    assert (told, "TEST", "model.stg_ports") in tell(built)


def spoil_result(artifacts):
    """Take away what a result has."""
    result_of(artifacts).update(timing=None, adapter_response=None, failures=None, message=None)


def spoil_response(artifacts):
    """Let the warehouse not know how much it did."""
    result_of(artifacts)["adapter_response"] = {"rows_affected": None, "bytes_processed": None}


def forget_node(artifacts):
    """Let the manifest lack a node that ran."""
    result_of(artifacts, "model.ferry_line.stg_weather")["unique_id"] = "model.ferry_line.gone"


def forget_parent(artifacts):
    """Let the manifest lack a node that is read from."""
    del artifacts.manifest["nodes"]["seed.ferry_line.ports"]


def forget_parents(artifacts):
    """Let a node say nothing of what it depends on."""
    artifacts.manifest["nodes"][PORTS]["depends_on"] = None


def add_strangers(artifacts):
    """Let the results tell of what is no node, and of kinds that do not exist yet."""
    artifacts.run_results["results"] += [None, {}, {"unique_id": "agent.ferry_line.x", "status": "success"}]


def write_python(artifacts):
    """Let a model be no SQL."""
    artifacts.manifest["nodes"][PORTS]["compiled_code"] = "def model(dbt, session): return ("


def come_from_tomorrow(artifacts):
    """Let a dbt have written the files that the library does not know yet."""
    for file in (artifacts.manifest, artifacts.run_results):
        file["metadata"]["dbt_schema_version"] = "https://schemas.getdbt.com/dbt/anything/v99.json"


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_result,
        spoil_response,
        forget_node,
        forget_parent,
        forget_parents,
        add_strangers,
        write_python,
        come_from_tomorrow,
    ],
)
def test_what_is_missing_costs_nothing_else(built, spoil, caplog):
    """A node of which something is missing is told of as far as it goes, and so are the others."""
    spoil(built)
    with caplog.at_level(logging.INFO):
        told = tell(built)
    assert ("COMPLETE", "MODEL", "model.stg_ports") in told
    assert ("COMPLETE", "MODEL", "model.stg_fares") in told
    assert not caplog.records


@pytest.mark.parametrize("arguments", [{}, None, {"which": None}])
def test_results_without_a_command(built, arguments):
    """Results that do not say which command wrote them are those of a build."""
    everything = set(tell(built))
    built.run_results["args"] = arguments
    assert set(tell(built)) == everything


@pytest.mark.parametrize("adapter", ["synapse", "invented", ""])
def test_adapters_that_openlineage_does_not_know(built, adapter):
    """A warehouse that OpenLineage does not know has events all the same."""
    built.manifest["metadata"]["adapter_type"] = adapter
    assert ("COMPLETE", "MODEL", "model.stg_ports") in tell(built)


def test_nobody_is_asked_whose_credentials_these_are(built, monkeypatch):
    """Of Athena's account is not asked with the worker's credentials, which are another account's."""
    asked = []
    boto3 = SimpleNamespace(session=SimpleNamespace(Session=lambda **_: asked.append("boto3")))
    monkeypatch.setitem(sys.modules, "boto3", boto3)
    built.manifest["metadata"]["adapter_type"] = "athena"
    assert ("COMPLETE", "MODEL", "model.stg_ports") in tell(built)
    assert asked == []


@pytest.mark.parametrize(
    ("adapter", "address", "namespace"),
    [
        ("snowflake", {"account": "xy12345.eu-west-1"}, "snowflake://xy12345.eu-west-1.aws"),
        ("bigquery", {}, "bigquery"),
        ("redshift", {"hostname": "db.example.com", "port": 5439}, "redshift://db.example.com:5439"),
        ("postgres", {"hostname": "db.example.com", "port": 5432}, "postgres://db.example.com:5432"),
        ("databricks", {"host": "dbc.cloud.databricks.com"}, "databricks://dbc.cloud.databricks.com"),
        ("trino", {"host": "trino.example.com", "port": 443}, "trino://trino.example.com:443"),
        ("fabric", {"server": "x.fabric.com", "port": 1433}, "fabric-warehouse://x.fabric.com:1433"),
        ("athena", {"region_name": "eu-west-1"}, "awsathena://athena.eu-west-1.amazonaws.com"),
        (
            "spark",
            {"host": "spark.example.com", "method": "odbc", "port": 443},
            "spark://spark.example.com:443",
        ),
        ("duckdb", {"host": "localhost", "path": "/ferry.duckdb"}, "duckdb:///ferry.duckdb"),
    ],
)
def test_namespaces(adapter, address, namespace):
    """Each kind of warehouse is named by what dbt Cloud's connections say of where it is."""
    assert name_warehouse(adapter, address) == namespace


def test_namespaces_that_cannot_be_made():
    """What is missing is named, and a warehouse that OpenLineage has no name for is refused."""
    with pytest.raises(KeyError, match="host"):
        name_warehouse("postgres", {"port": 5432})
    with pytest.raises(NotImplementedError):
        name_warehouse("synapse", {"host": "x.sql.azuresynapse.net", "port": 1433})
