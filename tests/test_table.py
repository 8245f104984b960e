"""The table: what stands where, and that it stays readable whatever stands in it."""

import json
from pathlib import Path

import pytest

from airflow_dbt_cloud.nodes import Node, Results
from airflow_dbt_cloud.table import Row, lay_out

SAMPLES = Path(__file__).parent / "samples" / "run_results"
UNIQUE = "test.harbour.unique_berths_berth.6b929b7848"


def row(unique_id, status="success", seconds=1.0, step=4, **fields):
    """Return a row of a node that is to blame if it failed."""
    node = Node(unique_id, status, seconds=seconds, **fields)
    return Row(node, step, is_blamed=node.is_failed)


NIGHT = [
    row("seed.harbour.berths", rows=3),
    row("model.harbour.berths", seconds=12.345),
    row("model.harbour.port_dues", "error", 0.5, message="Database Error in model port_dues\n\n  no tariff"),
    row("test.harbour.no_berth_is_free", "skipped", 0.0),
    row("model.harbour.dues_in_total", "skipped", 0.0),
    row("test.harbour.few_berths_are_long", "warn", 0.25, failures=7),
    row(UNIQUE, "fail", 0.75, failures=2, message="Got 2 results, configured to fail if != 0"),
    row("test.harbour.not_null_berths_berth.b8ae270054", "pass", 0.125, failures=0),
]
NIGHT_TABLE = """\
8 nodes: 1 error, 1 fail, 2 skipped, 1 warn, 2 success, 1 pass; 15.0 s of work
  status   seconds  rows  type   node
  fail        0.75     2  test   unique_berths_berth
      Got 2 results, configured to fail if != 0
  error       0.50        model  port_dues
      Database Error in model port_dues
        no tariff
  warn        0.25     7  test   few_berths_are_long
  success    12.35        model  berths
  success     1.00     3  seed   berths
  pass        0.12        test   not_null_berths_berth
skipped: dues_in_total, no_berth_is_free"""


def test_table():
    """What failed is first, with its message, then what warns, then the slowest, then what was skipped."""
    assert "\n".join(lay_out(NIGHT)) == NIGHT_TABLE


def test_no_nodes():
    """Without nodes there is no table."""
    assert lay_out([]) == []


def test_one_node():
    """One node is not called many."""
    assert lay_out([row("model.harbour.berths")])[0] == "1 node: 1 success; 1.0 s of work"


def test_nothing_but_skipped_nodes():
    """Where dbt skipped everything, there are no rows but the line that says so."""
    skipped = "skipped: berths"
    assert lay_out([row("model.harbour.berths", "skipped", 0.0)])[1:] == [skipped]


def test_several_steps():
    """Where several steps ran nodes, each row says which; a node that two of them ran has two rows."""
    assert lay_out([row("seed.harbour.berths", step=4), row("seed.harbour.berths", seconds=2.0, step=11)])[
        1:
    ] == [
        "  step  status   seconds  rows  type  node",
        "    11  success     2.00        seed  berths",
        "     4  success     1.00        seed  berths",
    ]


def test_what_a_step_survived_is_not_first():
    """A status that nobody knows, in a step that succeeded, is a row as any other, without its message."""
    node = Node("model.harbour.berths", "cached", "from yesterday", seconds=0.5)
    lines = lay_out([row("seed.harbour.berths"), Row(node, 4, is_blamed=False)])
    assert [line.split()[0] for line in lines[2:]] == ["success", "cached"]


def test_many_nodes():
    """Of many nodes what failed comes first, then the five slowest, and a line that counts the others."""
    rows = [row(f"model.harbour.m{number}", seconds=number) for number in range(60)]
    rows += [
        row("model.harbour.bad", "error", 0.0),
        *(row(f"test.harbour.t{n}", "skipped", 0.0) for n in range(15)),
    ]
    lines = lay_out(rows)
    assert lines[2].split() == ["error", "model", "bad"]
    assert lines[3].split() == ["success", "59.00", "model", "m59"]
    assert len(lines) == 1 + 1 + 1 + 5 + 1 + 1
    assert lines[-2] == "… and 55 more: 55 success"
    assert lines[-1] == f"skipped: {', '.join(f't{number}' for number in range(10))}, and 5 more"


def test_many_that_are_well():
    """Of many nodes that are all well there are the fifteen slowest."""
    lines = lay_out([row(f"model.harbour.m{number}", seconds=number) for number in range(60)])
    assert len(lines) == 1 + 1 + 15 + 1


def test_many_that_failed():
    """Of many nodes that failed there are fifty."""
    lines = lay_out([row(f"model.harbour.m{number}", "error", message="") for number in range(60)])
    assert len(lines) == 1 + 1 + 50 + 1
    assert lines[-1] == "… and 10 more: 10 error"


def test_it_is_bounded():
    """Ten thousand nodes that failed with a megabyte each make no more than 120,000 characters."""
    message = "the same line again\n" * 2**15 + "x" * 2**19
    rows = [row("model.harbour." + "m" * 2**16, "error " * 2**10, message=message)] * 10_000
    lines = lay_out(rows)
    assert len("\n".join(lines)) < 120_000
    assert len(lines) < 620
    assert max(map(len, lines)) < 2020


@pytest.mark.parametrize(
    "fields", [{}, {"status": ""}, {"seconds": 1e14, "rows": 10**14}, {"unique_id": "x"}]
)
def test_odd_nodes(fields):
    """A node of which little is known, or something absurd, is a row all the same."""
    node = Node(**{"unique_id": "", "status": "success", **fields})
    header, titles, line = lay_out([Row(node, 0, is_blamed=False)])
    assert "inf" not in header
    assert line.split()[0] == (node.status or "unknown")
    assert titles.index("rows") > 0


@pytest.mark.parametrize("path", sorted(SAMPLES.iterdir()), ids=lambda path: path.stem)
def test_samples(path):
    """Of what real dbt writes, each node that matters is in the table, and nothing is coloured."""
    nodes = Results.from_json(json.loads(path.read_text(encoding="utf-8"))).nodes
    header, titles, *lines = lay_out([Row(node, 4, node.is_failed) for node in nodes])
    assert header.startswith(f"{len(nodes)} node")
    column, all_are_well = titles.index("node"), not any(node.is_failed for node in nodes)
    for node in nodes:
        if node.is_skipped:
            assert node.name in lines[-1]
        elif all_are_well or node.is_failed or node.is_warning:
            assert any(
                line[column:] == node.name and line.split()[0] == node.status.split()[0] for line in lines
            )
    assert "\x1b" not in "".join(lines)
