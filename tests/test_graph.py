"""The graph that is read of a manifest, whatever size it has and wherever its pieces end."""

import json
import time

import pytest
import responses

from airflow_dbt_cloud.client import Client
from airflow_dbt_cloud.errors import DbtCloudNotFound
from airflow_dbt_cloud.graph import LONGEST, Graph, read_graph

PARENTS = {
    "seed.ferry.ports": [],
    "model.ferry.stg_ports": ["seed.ferry.ports"],
    "model.ferry.loads": ["model.ferry.stg_ports", "source.ferry.landing.tickets"],
    "model.ferry.sailings": ["model.ferry.loads"],
    "test.ferry.unique_Øst.24459a3386": ["model.ferry.sailings"],
}
MANIFEST = {
    "metadata": {"adapter_type": "duckdb"},
    "nodes": {"model.ferry.loads": {"raw_code": 'select \'"parent_map": {"a": ["b"]}\'', "config": {}}},
    "macros": {"macro.ferry.percent": {"depends_on": {"macros": []}}},
    "parent_map": PARENTS,
    "child_map": {"seed.ferry.ports": ["model.ferry.stg_ports"]},
}
MANIFEST_URL = "https://ab123.us1.dbt.com/api/v2/accounts/7/runs/1/artifacts/manifest.json"


def pieces(content, size=2**16):
    """Yield a file in pieces."""
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return (content[start : start + size] for start in range(0, len(content), size))


def as_tuples(parents):
    """Return the parents as a graph has them."""
    return {node: tuple(names) for node, names in parents.items()}


@pytest.mark.parametrize("size", [1, 2, 3, 17, 100, 2**16])
@pytest.mark.parametrize("options", [{}, {"ensure_ascii": False}, {"indent": 2}, {"separators": (",", ":")}])
def test_pieces(size, options):
    """Where the pieces end, and how the file is laid out, makes no difference."""
    content = json.dumps(MANIFEST, **options).encode()
    assert Graph.from_pieces(pieces(content, size), PARENTS).parents == as_tuples(PARENTS)


def test_stops_behind_the_map():
    """What comes after the map is not read."""
    read = pieces({**MANIFEST, "docs": {"doc": "x" * 2**20}})
    assert Graph.from_pieces(read, PARENTS).parents
    assert sum(1 for _ in read) > 10


def test_another_map():
    """A project may call something of its own `parent_map`; it knows none of the nodes."""
    nodes = {"model.ferry.loads": {"meta": {"parent_map": {"x": ["y"]}}, "more": {"parent_map": {}}}}
    graph = Graph.from_pieces(pieces({"nodes": nodes, **MANIFEST}), PARENTS)
    assert graph.parents == as_tuples(PARENTS)


def test_a_large_map():
    """A map of 100,000 nodes is read though it comes in thousands of pieces."""
    parents = {f"model.ferry.m{number}": [f"model.ferry.m{number - 1}"] for number in range(100_000)}
    graph = Graph.from_pieces(pieces({"parent_map": parents}, 1000), ["model.ferry.m7"])
    assert len(graph.parents) == 100_000


def test_too_long():
    """Of a file that is too long nothing is known, and no more is read."""
    read = pieces(b'{"nodes": "' + b"x" * LONGEST + b'", ' + json.dumps(MANIFEST).encode()[1:], 2**20)
    assert Graph.from_pieces(read, PARENTS) == Graph()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"\xff\xfe{",
        b'{"parent_map": {',
        b'{"parent_map": {"model.ferry.loads": ["model.ferry.stg_ports"]',
        b'{"parent_map": ["model.ferry.loads"]}',
        b'{"parent_map": ' + b'{"a":' * 100_000,
        b"<html>parent_map</html>",
    ],
)
def test_no_manifest(content):
    """What is no manifest tells nothing, and breaks nobody."""
    assert Graph.from_pieces(pieces(content), PARENTS) == Graph()


@pytest.mark.parametrize("parents", [None, "model.ferry.stg_ports", {}, [None, 7, ["model.ferry.stg_ports"]]])
def test_odd_parents(parents):
    """Parents that are none are left out."""
    graph = Graph.from_pieces(pieces({"parent_map": {"model.ferry.loads": parents}}), PARENTS)
    assert graph.parents == {"model.ferry.loads": ()}


def test_nearest_parents():
    """What lies between two nodes and was not run still puts them in order; what lies behind one does not."""
    graph = Graph(as_tuples(PARENTS))
    run = {"seed.ferry.ports", "model.ferry.stg_ports", "model.ferry.sailings", "model.ferry.unknown"}
    assert graph.find_parents(run) == {
        "seed.ferry.ports": set(),
        "model.ferry.stg_ports": {"seed.ferry.ports"},
        "model.ferry.sailings": {"model.ferry.stg_ports"},
        "model.ferry.unknown": set(),
    }


BUILD = {
    "seed.ferry.ports": (),
    "model.ferry.dues": ("seed.ferry.ports",),
    "model.ferry.margin": ("model.ferry.dues", "model.ferry.sailings"),
    "model.ferry.sailings": (),
    "test.ferry.unique_ports": ("seed.ferry.ports",),
    "test.ferry.unique_dues": ("model.ferry.dues",),
    "test.ferry.dues_of_sailings": ("model.ferry.dues", "model.ferry.sailings"),
    "test.ferry.dues_of_ports": ("model.ferry.dues", "seed.ferry.ports"),
    "unit_test.ferry.dues.no_tariff": ("model.ferry.dues",),
}


def test_tests_first():
    """In a build a node waits for its unit tests, and for the tests of what it reads and of nothing else."""
    found = Graph(BUILD).find_parents(BUILD, tests_first=True)
    assert found["model.ferry.dues"] == {
        "seed.ferry.ports",
        "test.ferry.unique_ports",
        "unit_test.ferry.dues.no_tariff",
    }
    assert found["model.ferry.margin"] == {
        "model.ferry.dues",
        "model.ferry.sailings",
        "test.ferry.unique_dues",
        "test.ferry.dues_of_sailings",
    }
    assert found["unit_test.ferry.dues.no_tariff"] == {"seed.ferry.ports"}
    assert found["test.ferry.unique_dues"] == {"model.ferry.dues"}


def test_tests_at_any_time():
    """Elsewhere nothing waits for a test."""
    found = Graph(BUILD).find_parents(BUILD)
    assert found == {node: {*parents} for node, parents in BUILD.items()}


def test_a_circle():
    """Nodes that wait for each other, which dbt does not allow, keep nobody waiting."""
    graph = Graph({"a": ("b",), "b": ("c",), "c": ("b", "d"), "d": ()})
    assert graph.find_parents({"a", "d"})["a"] <= {"d"}


def test_a_long_chain():
    """A chain of 100,000 nodes that were not run is no deeper than one."""
    graph = Graph({f"m{number}": (f"m{number - 1}",) for number in range(1, 100_000)})
    assert graph.find_parents({"m0", "m99999"}) == {"m0": set(), "m99999": {"m0"}}


def test_read_graph(make_credentials):
    """The graph is that of the manifest that the run has left."""
    with responses.RequestsMock() as dbt_cloud:
        dbt_cloud.get(MANIFEST_URL, json=MANIFEST)
        graph = read_graph(Client(make_credentials()), 1, PARENTS)
    assert graph.parents == as_tuples(PARENTS)


def test_a_slow_manifest(make_credentials):
    """A manifest that takes longer than five seconds is left alone."""
    times = iter([0.0, 5.0])
    with responses.RequestsMock() as dbt_cloud:
        dbt_cloud.get(MANIFEST_URL, json=MANIFEST)
        assert read_graph(Client(make_credentials()), 1, PARENTS, clock=lambda: next(times)) == Graph()


def test_no_artifact(make_credentials):
    """A manifest that is not there is asked for once, and said to be missing."""
    with responses.RequestsMock() as dbt_cloud:
        dbt_cloud.get(MANIFEST_URL, status=404)
        with pytest.raises(DbtCloudNotFound):
            read_graph(Client(make_credentials()), 1, PARENTS)
        assert len(dbt_cloud.calls) == 1


def test_thousands_of_maps():
    """However many maps of its own a project has, each piece is looked through once."""
    began = time.process_time()
    maps = b'"parent_map": {"long": "' + b"x" * 2**22 + b'"}, ' + b'"parent_map": {}, ' * 150_000
    # Long enough that nothing is read again before the last map came.
    graph = Graph.from_pieces(pieces(maps + b" " * 2**22 + json.dumps(MANIFEST).encode()), PARENTS)
    assert graph.parents == as_tuples(PARENTS)
    assert time.process_time() - began < 5
