"""What dbt built becomes asset events, once each, and nothing that it did not build does."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import responses
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_dbt_cloud.assets import (
    LONGEST_CHAIN,
    MOST_EVENTS,
    emit_assets,
    make_alias,
    make_uri,
    outlets_with_alias,
)
from airflow_dbt_cloud.client import Client
from airflow_dbt_cloud.invocations import Invocation
from airflow_dbt_cloud.models import Run, Step
from airflow_dbt_cloud.nodes import Node, Results
from airflow_dbt_cloud.report import Report
from airflow_dbt_cloud.retries import Retries

SAMPLES = Path(__file__).parent / "samples" / "run_results"
RUNS = "https://ab123.us1.dbt.com/api/v2/accounts/7/runs"
NOT_FOUND = {"status": {"code": 404, "user_message": "Not found."}, "data": None}
LEFT_OUT = "No asset events for what dbt Cloud run %s built before it was retried, or for some of it."
MAY_MISS = "Asset events may be missing for what dbt Cloud run 7 built."
ALIAS = AssetAlias("dbt_cloud/nightly/build")

RELATIONS = {
    '"production"."analytics"."daily_scorecard"': "dbt://duckdb/production/analytics/daily_scorecard",
    "`my-project`.`analytics`.`sales`": "dbt://duckdb/my-project/analytics/sales",
    "[sales].[dbo].[orders]": "dbt://duckdb/sales/dbo/orders",
    "ANALYTICS.prod.Orders": "dbt://duckdb/ANALYTICS/prod/Orders",
    "analytics.orders": "dbt://duckdb/analytics/orders",
    '"a.b"."c"."d"': "dbt://duckdb/a.b/c/d",
    '"say ""no"""."a/b"."100%"': "dbt://duckdb/say%20%22no%22/a%2Fb/100%25",
    "`tick``s`.`?`.`#@:`": "dbt://duckdb/tick%60s/%3F/%23%40%3A",
    '"Ørnes"."vær"."船"': "dbt://duckdb/%C3%98rnes/v%C3%A6r/%E8%88%B9",
    'MIXED.`quoted.part`."other"': "dbt://duckdb/MIXED/quoted.part/other",
    '".".".."."~"': "dbt://duckdb/./../~",
}


@pytest.mark.parametrize(("relation", "uri"), RELATIONS.items())
def test_uri(relation, uri):
    """A URI is made of a relation's name as dbt writes it, whatever the quotes and the letters are."""
    assert make_uri("duckdb", relation) == uri


@pytest.mark.parametrize("uri", RELATIONS.values())
def test_uri_in_airflow(uri):
    """Airflow takes the URI as it is, for a name as well, and whatever its database is."""
    asset = Asset(uri)
    assert asset.name == asset.uri == uri
    assert uri.isascii()


@pytest.mark.parametrize(
    "relation",
    ["", ".", "a..b", '"a"b"', '"a"."', '"a".', '"".b', "select 1)`", '"\ud800"', f'"{"船" * 166}"'],
)
def test_no_uri(relation):
    """What is no relation's name, or would be too long a URI, is refused."""
    with pytest.raises(ValueError, match=r"relation|surrogates|characters"):
        make_uri("duckdb", relation)


def test_alias():
    """An alias is made of the ids of DAG and task, the task's groups included, in ASCII."""
    assert make_alias("nightly", "group.sub-group.build") == AssetAlias(
        "dbt_cloud/nightly/group.sub-group.build"
    )
    assert make_alias("Årnes-1", "Øst.vær_2").name == "dbt_cloud/%C3%85rnes-1/%C3%98st.v%C3%A6r_2"


def test_outlets():
    """The alias comes to the author's outlets, once, and his list stays as it is."""
    given = [Asset("s3://bucket/sales")]
    outlets = outlets_with_alias(given, "nightly", "build")
    assert outlets == [*given, ALIAS]
    assert outlets_with_alias(outlets, "nightly", "build") == outlets
    assert len(given) == 1


class Log:
    """Keeps what is said, by level."""

    def __init__(self):
        self.infos = []
        self.warnings = []

    def info(self, words, *values):
        self.infos.append(words % values)

    def warning(self, words, *values):
        self.warnings.append(words % values)


class Scene:
    """A task that has waited for its run, and what it hands over to Airflow."""

    def __init__(self, credentials, cloud):
        self.client = Client(credentials, retries=Retries(limit=1))
        self.cloud = cloud
        self.task = SimpleNamespace(outlets=[])
        self.events = OutletEventAccessors()
        self.log = Log()
        self.now = 0.0

    def manifest(self, run_id=7, *, adapter="duckdb", nodes=None, **options):
        """Let a run have a manifest, which says where the relations of some nodes are."""
        nodes = {key: {"relation_name": name} for key, name in (nodes or {}).items()}
        manifest = {"metadata": {"adapter_type": adapter}, "nodes": nodes}
        options = options or {"json": manifest}
        return self.cloud.get(f"{RUNS}/{run_id}/artifacts/manifest.json", **options)

    def run(self, run_id, *nodes, retrying=None):
        """Let a run have one dbt command that built these nodes."""
        step = {"id": 1, "index": 4, "name": "Invoke dbt with `dbt build`", "status": 20}
        status = {"code": 200, "is_success": True, "user_message": "Success!", "developer_message": ""}
        row = {"id": run_id, "status": 20, "retrying_run_id": retrying, "run_steps": [step]}
        results = {"args": {"which": "build"}, "results": nodes}
        self.cloud.get(f"{RUNS}/{run_id}/", json={"status": status, "data": row})
        self.cloud.get(f"{RUNS}/{run_id}/artifacts/run_results.json", json=results)

    def sleep(self, seconds):
        self.now += seconds

    def emit(self, *invocations, retrying=None, notes=()):
        """Emit what run 7 has built, and return the events' extras by URI."""
        run = Run(id=7, status=10, href="https://ab123.us1.dbt.com/runs/7/", retrying_run_id=retrying)
        context = {
            "task": self.task,
            "ti": SimpleNamespace(dag_id="nightly", task_id="build"),
            "outlet_events": self.events,
        }
        report = replace(make_report(run, *invocations), notes=notes)
        emit_assets(context, self.client, report, self.log, sleep=self.sleep, clock=lambda: self.now)
        events = self.events[ALIAS].asset_alias_events
        assert {event.dest_asset_key.name for event in events} == {
            event.dest_asset_key.uri for event in events
        }
        extras = {event.dest_asset_key.uri: event.extra for event in events}
        assert len(extras) == len(events)
        return extras


def make_report(run, *invocations):
    """Return the report of a run."""
    step = Step(id=1, index=4, name="Invoke dbt with `dbt build`", status=10)
    return Report(run, tuple(Invocation(step, results) for results in invocations))


@pytest.fixture
def cloud():
    """Stand in for dbt Cloud."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def scene(make_credentials, cloud):
    """Return a task that has waited for its run."""
    return Scene(make_credentials(), cloud)


def node(name, status="success", relation="", kind="model"):
    """Return a node of the project, at a relation of its own name if it is a model."""
    relation = relation or ("" if kind == "seed" else f'"production"."analytics"."{name}"')
    return Node(unique_id=f"{kind}.ferry.{name}", status=status, relation_name=relation)


def row(name, status="success"):
    """Return a model as run_results.json has it."""
    return {
        "unique_id": f"model.ferry.{name}",
        "status": status,
        "relation_name": f'"production"."analytics"."{name}"',
    }


def build(*nodes, command="build"):
    """Return what one command of dbt did."""
    return Results(command=command, nodes=nodes)


def uri(name):
    """Return the URI of a node."""
    return f"dbt://duckdb/production/analytics/{name}"


def test_event(scene):
    """An event says which run built the relation, as which node, when, how fast, and how many rows."""
    scene.manifest()
    done = Node(
        unique_id="model.ferry.sales",
        status="success",
        seconds=1.5,
        started_at=datetime(2026, 5, 27, 10, 42, 16, tzinfo=UTC),
        finished_at=datetime(2026, 5, 27, 10, 42, 17, 500000, tzinfo=UTC),
        rows=12,
        relation_name='"production"."analytics"."sales"',
    )
    assert scene.emit(build(done)) == {
        uri("sales"): {
            "job_run_id": 7,
            "job_run_url": "https://ab123.us1.dbt.com/runs/7/",
            "unique_id": "model.ferry.sales",
            "status": "success",
            "rows_affected": 12,
            "started_at": "2026-05-27T10:42:16+00:00",
            "finished_at": "2026-05-27T10:42:17.500000+00:00",
            "seconds": 1.5,
        }
    }
    assert scene.task.outlets == [ALIAS]
    assert scene.log.infos == [
        f"Asset events for what dbt built, through the alias {ALIAS.name}: {uri('sales')}"
    ]
    assert scene.log.warnings == []


def test_extra_is_json(scene):
    """What dbt does not say is null in the extra, which is JSON."""
    scene.manifest()
    extra = scene.emit(build(node("sales")))[uri("sales")]
    assert json.loads(json.dumps(extra)) == extra
    assert extra["rows_affected"] is extra["started_at"] is None


def test_real_results(scene):
    """Of what dbt really wrote, each model, seed and snapshot has an event, and no test or hook has."""
    results = Results.from_json(json.loads((SAMPLES / "success.json").read_text()))
    scene.manifest(nodes={"seed.harbour.berths_seed": '"harbour"."main"."berths_seed"'})
    assert {extra["unique_id"] for extra in scene.emit(results).values()} == {
        node.unique_id for node in results.nodes if node.resource_type in {"model", "seed", "snapshot"}
    }
    assert scene.log.warnings == []


@pytest.mark.parametrize(
    "status", ["error", "skipped", "no-op", "reused", "partial success", "runtime error", "whatever", ""]
)
def test_not_built(scene, status):
    """A node that was not built, or not wholly, has no event."""
    scene.manifest()
    assert scene.emit(build(node("sales"), node("dues", status))).keys() == {uri("sales")}


@pytest.mark.parametrize("command", ["compile", "generate", "show", "test", "clone", "list", ""])
def test_commands_that_do_not_build(scene, command):
    """A command that only compiles writes "success" for each model, and builds none."""
    asked = scene.manifest()
    assert scene.emit(build(node("sales"), command=command)) == {}
    assert scene.log.infos == ["dbt Cloud run 7 is not known to have built anything: no asset events."]
    assert asked.call_count == 0
    assert scene.task.outlets == []


def test_built_twice(scene):
    """A node that two commands of a run built has one event, which tells of the later one."""
    scene.manifest(nodes={"seed.ferry.ports": "production.analytics.ports"})
    first, second = Node(**SEED, seconds=1.0), Node(**SEED, seconds=2.0)
    extras = scene.emit(build(first, command="seed"), build(second, node("sales")))
    assert extras.keys() == {uri("ports"), uri("sales")}
    assert extras[uri("ports")]["seconds"] == 2.0


SEED = {"unique_id": "seed.ferry.ports", "status": "success"}


def test_seeds(scene):
    """Of a seed only the manifest knows the relation; a node that is not there either is named."""
    scene.manifest(nodes={"seed.ferry.ports": "production.analytics.ports", "seed.ferry.fares": None})
    seeds = [node(name, kind="seed") for name in ("ports", "fares", "routes")]
    assert scene.emit(build(*seeds, node("sales"))).keys() == {uri("ports"), uri("sales")}
    assert scene.log.warnings == [
        "No asset events for nodes whose relations are not known: seed.ferry.fares, seed.ferry.routes."
    ]


def test_odd_relation(scene):
    """A relation whose name cannot be read costs its own event only."""
    scene.manifest()
    assert scene.emit(build(node("odd", relation='"a"b"'), node("sales"))).keys() == {uri("sales")}
    assert scene.log.warnings == ["No asset events for nodes whose relations are not known: model.ferry.odd."]


def test_retried(scene):
    """What the retried runs built has its events too, each with the run that built it."""
    scene.manifest()
    scene.run(5, row("ports"), row("sales", "error"), row("dues", "skipped"))
    scene.run(6, row("sales"), row("dues", "error"), retrying=5)
    extras = scene.emit(build(node("dues"), node("margin")), retrying=6)
    runs = {uri: extra["job_run_id"] for uri, extra in extras.items()}
    assert runs == {uri("ports"): 5, uri("sales"): 6, uri("dues"): 7, uri("margin"): 7}
    assert extras[uri("ports")]["job_run_url"].endswith("/runs/5/")


def test_retried_builds_count_once(scene):
    """What both a run and its retry built has one event, that of the retry."""
    scene.manifest()
    scene.run(6, row("sales"), row("dues", "error"))
    extras = scene.emit(build(node("sales"), node("dues")), retrying=6)
    assert {uri: extra["job_run_id"] for uri, extra in extras.items()} == {uri("sales"): 7, uri("dues"): 7}


def test_retried_run_is_gone(scene):
    """A retried run that cannot be read costs its own events only, and a WARNING."""
    scene.manifest()
    scene.cloud.get(f"{RUNS}/6/", status=404, json=NOT_FOUND)
    assert scene.emit(build(node("dues")), retrying=6).keys() == {uri("dues")}
    (warning,) = scene.log.warnings
    assert warning.startswith(f"{LEFT_OUT % 6} dbt Cloud answered 404")


def test_retried_results_are_gone(scene):
    """Results of a retried run that do not come cost their own events only, and a WARNING."""
    scene.manifest()
    scene.run(6, row("sales"))
    scene.cloud.replace(responses.GET, f"{RUNS}/6/artifacts/run_results.json", status=404, json=NOT_FOUND)
    assert scene.emit(build(node("dues")), retrying=6).keys() == {uri("dues")}
    assert scene.now == 18
    assert scene.log.warnings == [f"{LEFT_OUT % 6} dbt Cloud has no results of step 4 (`dbt build`)."]


@pytest.mark.parametrize("length", [LONGEST_CHAIN, LONGEST_CHAIN + 1])
def test_long_chain(scene, length):
    """Of many retries no more than the last ones are asked for, and a WARNING says so."""
    scene.manifest()
    for number in range(length):
        scene.run(100 + number, row(f"model_{number}"), retrying=100 + number - 1 if number else None)
    extras = scene.emit(build(node("sales")), retrying=100 + length - 1)
    assert len(extras) == LONGEST_CHAIN + 1
    said = [f"{LEFT_OUT % 100} It was retried more than 10 times."]
    assert scene.log.warnings == said * (length - LONGEST_CHAIN)


def test_no_manifest(scene):
    """Without a manifest there are no events, and a WARNING, and the task goes on."""
    scene.manifest(status=404, json=NOT_FOUND)
    assert scene.emit(build(node("sales"))) == {}
    (warning,) = scene.log.warnings
    assert warning.startswith(
        "No asset events: the manifest of dbt Cloud run 7 does not tell what it should. dbt Cloud answered"
    )
    assert scene.task.outlets == []


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b'{"metadata": {}}', b'{"metadata": {"adapter_type": null}}']
)
def test_odd_manifest(scene, content):
    """A manifest that does not say which adapter it was is as good as none."""
    scene.manifest(body=content)
    assert scene.emit(build(node("sales"))) == {}
    (warning,) = scene.log.warnings
    assert warning.endswith(
        "run 7 does not tell what it should. It does not begin with the type of dbt's adapter."
    )


def test_time_is_over(scene):
    """Two minutes are enough to read; what is not read then is not told."""
    scene.run(6, row("sales"))

    def answer(_):
        scene.now += 200
        return 200, {}, json.dumps({"metadata": {"adapter_type": "duckdb"}})

    scene.cloud.add_callback(responses.GET, f"{RUNS}/7/artifacts/manifest.json", callback=answer)
    assert scene.emit(build(node("dues")), retrying=6) == {}
    assert len(scene.log.warnings) == 1


def test_time_is_over_in_the_chain(scene):
    """A retried run that takes all the time is the last that is asked for, and the WARNINGs say so."""
    scene.manifest()
    scene.run(5, row("ports"))
    scene.run(6, row("sales"), retrying=5)
    results = json.dumps({"args": {"which": "build"}, "results": [row("sales")]})

    def answer(_):
        scene.now += 200
        return 200, {}, results

    scene.cloud.remove(responses.GET, f"{RUNS}/6/artifacts/run_results.json")
    scene.cloud.add_callback(responses.GET, f"{RUNS}/6/artifacts/run_results.json", callback=answer)
    assert scene.emit(build(node("dues")), retrying=6) == {}
    assert [call.request.url for call in scene.cloud.calls if "/5/" in call.request.url] == []
    left_out, no_manifest = scene.log.warnings
    assert left_out == f"{LEFT_OUT % 5} There was no time left to ask."
    assert no_manifest.endswith("run 7 does not tell what it should. There was no time left to ask.")


@pytest.mark.parametrize("built", [[], [build(node("dues"))]])
def test_results_are_missing(scene, built):
    """Where not all results could be read, a WARNING says that events may be missing, and why."""
    scene.manifest()
    why = ("dbt Cloud has no results of step 5 (`dbt build`).", "Nor of another.")
    assert scene.emit(*built, notes=why).keys() == ({uri("dues")} if built else set())
    assert scene.log.warnings == [f"{MAY_MISS} {' '.join(why)}"]


def test_no_results(scene):
    """A run none of whose results are known is a WARNING."""
    assert scene.emit() == {}
    assert scene.log.warnings == [f"{MAY_MISS} No results of dbt are known."]
    assert scene.log.infos == []


def test_most_events(scene):
    """Airflow is not given more events at once than it can take, and a WARNING says so."""
    scene.manifest()
    nodes = [node(f"model_{number}") for number in range(MOST_EVENTS + 1)]
    assert len(scene.emit(build(*nodes))) == MOST_EVENTS
    assert scene.log.warnings == ["dbt built 5001 relations; only the first 5000 get an asset event."]
    (listed,) = scene.log.infos
    assert listed.endswith(f"{uri('model_49')} and 4950 more")
