"""The little that is read of a manifest, whatever size it has and wherever its pieces end."""

import json
import time

import pytest

from airflow_dbt_cloud.manifest import HEAD, LONGEST_NODE, Manifest

METADATA = {"dbt_version": "1.11.16", "env": {"DBT_CLOUD_RUN_ID": "7"}, "adapter_type": "duckdb"}
PORTS = {"unique_id": "seed.ferry.ports", "relation_name": '"production"."analytics"."ports"'}
FARES = {"unique_id": "snapshot.ferry.fares", "relation_name": "`Øst`.`fares`", "raw_code": '{"a": {}} \\'}
MANIFEST = {
    "metadata": METADATA,
    "nodes": {
        "model.ferry.sailings": {"config": {"meta": {"metadata": {"adapter_type": "none"}}}},
        "seed.ferry.ports": PORTS,
        "snapshot.ferry.fares": FARES,
    },
    "macros": {"macro.ferry.percent": {"depends_on": {"macros": []}}},
    "child_map": {"seed.ferry.ports": ["model.ferry.sailings"]},
}


class File:
    """A file that comes in pieces, and knows how many were asked for."""

    def __init__(self, content, size=2**16):
        self.content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.size = size
        self.pieces = 0

    def __iter__(self):
        for start in range(0, len(self.content), self.size):
            self.pieces += 1
            yield self.content[start : start + self.size]


@pytest.mark.parametrize("size", [1, 2, 3, 17, 100, 2**16])
@pytest.mark.parametrize("options", [{}, {"ensure_ascii": False}, {"indent": 2}, {"separators": (",", ":")}])
def test_pieces(size, options):
    """Where the pieces end, and how the file is laid out, makes no difference."""
    content = json.dumps(MANIFEST, **options).encode()
    manifest = Manifest.from_pieces(File(content, size), ["seed.ferry.ports", "snapshot.ferry.fares"])
    assert manifest.adapter == "duckdb"
    assert manifest.relations == {
        "seed.ferry.ports": '"production"."analytics"."ports"',
        "snapshot.ferry.fares": "`Øst`.`fares`",
    }


def test_adapter_only():
    """Who wants the adapter only reads the first piece."""
    file = File({**MANIFEST, "docs": {"doc": "x" * 10 * HEAD}})
    assert Manifest.from_pieces(file) == Manifest("duckdb")
    assert file.pieces == 1


def test_stops_when_all_is_found():
    """What comes after the last wanted node is not read."""
    file = File({**MANIFEST, "docs": {"doc": "x" * 10 * HEAD}})
    assert Manifest.from_pieces(file, ["seed.ferry.ports"]).relations == {
        "seed.ferry.ports": '"production"."analytics"."ports"'
    }
    assert file.pieces == 1


def test_metadata_elsewhere():
    """A file that does not begin with the metadata is given up soon."""
    file = File({"docs": {"doc": "x" * 10 * HEAD}, "metadata": METADATA})
    assert Manifest.from_pieces(file) == Manifest("")
    assert file.pieces * file.size == HEAD


def test_node_without_relation():
    """A node without a relation, such as an ephemeral model, counts as found; one that is absent does not."""
    nodes = {"model.ferry.loads": {"relation_name": None}, "model.ferry.dues": {"relation_name": "a.b"}}
    manifest = Manifest.from_pieces(File({"metadata": METADATA, "nodes": nodes}), [*nodes, "seed.ferry.none"])
    assert manifest == Manifest("duckdb", {"model.ferry.loads": "", "model.ferry.dues": "a.b"})


def test_key_in_a_text():
    """What somebody has written into a model is not taken for a node."""
    fake = json.dumps({"seed.ferry.ports": {"relation_name": "fake"}, "metadata": {"adapter_type": "fake"}})
    nodes = {"model.ferry.odd": {"raw_code": fake}, "seed.ferry.ports": PORTS}
    manifest = Manifest.from_pieces(File({"metadata": METADATA, "nodes": nodes}), ["seed.ferry.ports"])
    assert manifest.relations == {"seed.ferry.ports": '"production"."analytics"."ports"'}


def test_long_node():
    """A node that is longer than any is stepped over, and those after it are found."""
    nodes = {
        "model.ferry.long": {"compiled_code": "x" * 2 * LONGEST_NODE, "relation_name": "a.long"},
        "seed.ferry.ports": PORTS,
    }
    manifest = Manifest.from_pieces(File({"metadata": METADATA, "nodes": nodes}), nodes)
    assert manifest.relations == {"seed.ferry.ports": '"production"."analytics"."ports"'}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"\xff\xfe{",
        b'{"metadata": {',
        b'{"metadata": {"adapter_type": 7}}',
        b'{"metadata": [{"adapter_type": "duckdb"}]}',
        b'{"metadata": ' + b'{"a":' * 100_000,
        b"<html>metadata</html>",
    ],
)
def test_no_manifest(content):
    """What is no manifest tells nothing, and breaks nobody."""
    assert Manifest.from_pieces(File(content), ["seed.ferry.ports"]) == Manifest("", {})


def test_many_long_nodes():
    """A file that is made to be read in vain again and again is given up."""
    began = time.process_time()
    content = (
        b'"metadata": {' * 900
        + b'"a": ['
        + b"1," * (LONGEST_NODE // 2)
        + b'], "metadata": {"adapter_type": "x"}'
    )
    assert Manifest.from_pieces(File(content), ["model.ferry.sailings"]) == Manifest()
    assert time.process_time() - began < 20
