"""The picture of a run that the tab shows: what it says, and that nothing makes it large."""

import json
import zlib
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from airflow_dbt_cloud.graph import Graph
from airflow_dbt_cloud.invocations import Invocation
from airflow_dbt_cloud.models import Run, Step
from airflow_dbt_cloud.nodes import Node, Results
from airflow_dbt_cloud.picture import LONGEST, MOST_NODES, draw_failures, draw_nodes
from airflow_dbt_cloud.report import Report

SAMPLES = Path(__file__).parent / "samples" / "run_results"
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
SUCCESS, ERROR = 10, 20


def report(*steps, status=ERROR, **fields):
    """Return the report of a run with so many steps, each a list of nodes."""
    run = Run(1, status, **{"started_at": START, **fields})
    invocations = [
        Invocation(Step(4 + number, 4 + number, "dbt build", status), Results(nodes=tuple(nodes)))
        for number, nodes in enumerate(steps)
    ]
    return Report(run, tuple(invocations))


def model(name, status="success", message="", **fields):
    """Return a model."""
    return Node(f"model.ferry.{name}", status, message, **fields)


def unpack(text):
    """Read as a browser does."""
    return json.loads(zlib.decompress(b64decode(text, validate=True)))


def test_nodes():
    """The nodes are columns, and their times are seconds since the run's start."""
    made = report(
        [
            model(
                "ports", seconds=0.25, started_at=START + timedelta(seconds=1.5), thread="Thread-1", rows=9
            ),
            model("dues", "skipped"),
        ],
        [Node("test.ferry.unique", "fail", seconds=1 / 3)],
    )
    assert unpack(draw_nodes(made)) == {
        "version": 1,
        "total": 3,
        "origin": "2026-01-01T12:00:00+00:00",
        "nodes": {
            "unique_id": ["model.ferry.ports", "model.ferry.dues", "test.ferry.unique"],
            "status": ["success", "skipped", "fail"],
            "start": [1.5, None, None],
            "seconds": [0.25, 0.0, 0.333],
            "thread": ["Thread-1", "", ""],
            "rows": [9, None, None],
            "step": [4, 4, 5],
        },
    }


@pytest.mark.parametrize(
    ("run", "origin", "start"),
    [
        ({"started_at": None, "created_at": START}, START, 1.0),
        ({"started_at": None}, START + timedelta(seconds=1), 0.0),
    ],
)
def test_origin(run, origin, start):
    """A run that does not say when it started counts from its creation, or else from its first node."""
    nodes = [model("late", started_at=START + timedelta(seconds=9)), model("none")]
    nodes.append(model("first", started_at=START + timedelta(seconds=1)))
    drawn = unpack(draw_nodes(report(nodes, **run)))
    assert drawn["origin"] == origin.isoformat()
    assert drawn["nodes"]["start"][1:] == [None, start]


def test_no_times():
    """Nodes without any time have none in the picture."""
    drawn = unpack(draw_nodes(report([model("ports")], started_at=None)))
    assert (drawn["origin"], drawn["nodes"]["start"]) == (None, [None])


def test_nothing():
    """A run without nodes has no picture."""
    assert (draw_nodes(report()), draw_failures(report())) == ("", "")


def test_parents():
    """With a graph each row says which rows of its step it waited for."""
    graph = Graph(
        {
            "model.ferry.dues": ("model.ferry.ephemeral", "model.ferry.ports"),
            "model.ferry.ephemeral": ("model.ferry.tickets",),
        }
    )
    drawn = unpack(draw_nodes(report([model("ports"), model("tickets"), model("dues")]), graph))
    assert drawn["nodes"]["parents"] == [[], [], [0, 1]]


def test_parents_of_a_later_step():
    """What waited for nothing in its step waited for the end of the step before."""
    graph = Graph({"test.ferry.unique": ("model.ferry.dues",), "model.ferry.dues": ("model.ferry.ports",)})
    first = [
        model("late", finished_at=START + timedelta(seconds=9)),
        model("dues", finished_at=START + timedelta(seconds=3)),
        model("skipped", "skipped"),
    ]
    silent = [model("ports"), model("dues")]
    last = [Node("test.ferry.unique", "pass")]
    drawn = unpack(draw_nodes(report(first, silent, last), graph))
    assert drawn["nodes"]["parents"] == [[], [], [], [0], [3], [0]]


def test_parents_in_a_build():
    """A build's nodes wait for tests as well."""
    graph = Graph({"test.ferry.unique": ("model.ferry.ports",), "model.ferry.dues": ("model.ferry.ports",)})
    nodes = model("ports"), Node("test.ferry.unique", "pass"), model("dues")
    for command, parents in (("build", [0, 1]), ("run", [0])):
        results = Results(command=command, nodes=nodes)
        made = Report(Run(1, SUCCESS), (Invocation(Step(4, 4, "", SUCCESS), results),))
        assert unpack(draw_nodes(made, graph))["nodes"]["parents"] == [[], [0], parents]


def test_no_graph():
    """Where the graph is not known nothing is said of parents."""
    assert "parents" not in unpack(draw_nodes(report([model("ports")]), Graph()))["nodes"]


def test_failures():
    """What failed, and what warns, comes with its message, its SQL and its relation."""
    made = report(
        [
            Node("test.ferry.few", "warn", "Got 2 results", compiled_code="select 1"),
            model("ports"),
            model(
                "dues", "error", "no tariff", compiled_code="select \x1b[31m2\r\n", relation_name='"a"."dues"'
            ),
            model("scorecard", "skipped"),
        ]
    )
    failures = unpack(draw_failures(made))
    assert failures == {
        "version": 1,
        "failures": {
            "test.ferry.few": {"message": "Got 2 results", "code": "select 1", "relation": ""},
            "model.ferry.dues": {"message": "no tariff", "code": "select 2\n", "relation": '"a"."dues"'},
        },
    }


def test_success_has_no_failures():
    """Nothing failed in a step that succeeded, whatever the word for it."""
    assert draw_failures(report([model("ports", "from tomorrow")], status=SUCCESS)) == ""


def test_many_failures():
    """Of many failures fifty are kept, and none gives way to a warning."""
    nodes = [Node(f"test.ferry.t{number}", "warn") for number in range(60)]
    nodes += [model(f"m{number}", "error") for number in range(60)]
    assert list(unpack(draw_failures(report(nodes)))["failures"]) == [f"model.ferry.m{n}" for n in range(50)]


def test_many_nodes():
    """Of too many nodes those that failed are kept, in the old order, and it is told how many there were."""
    nodes = [model(f"m{number}") for number in range(MOST_NODES + 10)]
    nodes.append(model("last", "error"))
    drawn = unpack(draw_nodes(report(nodes)))
    assert drawn["total"] == MOST_NODES + 11
    assert {len(column) for column in drawn["nodes"].values()} == {MOST_NODES}
    assert drawn["nodes"]["unique_id"][0] == "model.ferry.m0"
    assert drawn["nodes"]["unique_id"][-1] == "model.ferry.last"


def test_names_that_cannot_be_packed():
    """Nodes whose names cannot be made short are fewer, and those that failed are kept all the same."""
    chance = Random(7)
    nodes = [model(f"{chance.getrandbits(1600):x}"[:240]) for _ in range(9_000)]
    nodes.append(model("last", "error"))
    packed = draw_nodes(report(nodes))
    assert len(packed) <= LONGEST
    drawn = unpack(packed)
    assert drawn["total"] == 9_001
    assert 1_000 < len(drawn["nodes"]["unique_id"]) < 9_000
    assert drawn["nodes"]["unique_id"][-1] == "model.ferry.last"


@pytest.mark.parametrize("letter", ["x", '"', "\ud800", "Ø", "<script>"])
def test_it_is_bounded(letter):
    """Texts without end are cut, and whatever they hold can be read again."""
    long = letter * (2**17 // len(letter))
    node = Node(f"model.{long}", "error" + long, long, thread=long, relation_name=long, compiled_code=long)
    made = report([node])
    assert {len(column[0]) for column in _texts(unpack(draw_nodes(made))["nodes"])} <= {40, 250}
    (failure,) = unpack(draw_failures(made))["failures"].values()
    assert len(failure["message"]) <= 4096
    assert len(failure["code"]) <= 16_384
    assert len(failure["relation"]) <= 250


def _texts(columns):
    return [column for column in columns.values() if isinstance(column[0], str)]


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_samples(path):
    """What real dbt wrote can be drawn."""
    results = Results.from_json(json.loads(path.read_text(encoding="utf-8")))
    drawn = unpack(draw_nodes(report(results.nodes))) if results.nodes else {"total": 0}
    assert drawn["total"] == len(results.nodes)
    assert all(start is None or isinstance(start, float) for start in drawn.get("nodes", {}).get("start", []))
