"""What dbt did: what is read of the files that real dbt wrote, and that no file breaks a reader."""

import json
import pickle
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_dbt_cloud.nodes import GOOD, Node, Results, count_by_status, cut, excerpt

SAMPLES = Path(__file__).parent / "samples" / "run_results"
NAMES = sorted(path.stem for path in SAMPLES.iterdir())

# Written by hand from the schema that dbt published: version 4, as dbt 1.5 writes it. Nothing is said of what
# was compiled, and rows may be a text.
OLD = {
    "metadata": {
        "dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v4.json",
        "dbt_version": "1.5.2",
        "generated_at": "2023-06-21T10:00:09.123456Z",
        "invocation_id": "f0d1",
        "env": {"DBT_CLOUD_RUN_ID": "1"},
    },
    "results": [
        {
            "status": "success",
            "timing": [
                {"name": "compile", "started_at": "2023-06-21T10:00:01Z", "completed_at": None},
                {
                    "name": "execute",
                    "started_at": "2023-06-21T10:00:02",
                    "completed_at": "2023-06-21T10:00:08Z",
                },
            ],
            "thread_id": "Thread-1",
            "execution_time": 7.25,
            "adapter_response": {"_message": "SUCCESS 12", "code": "SUCCESS", "rows_affected": "12"},
            "message": "SUCCESS 12",
            "failures": None,
            "unique_id": "model.harbour.port_dues",
        }
    ],
    "elapsed_time": 9.5,
    "args": {"write_json": True, "which": "run"},
}

# Written by hand from Fusion's source: what is unknown is left out, and there are statuses of its own.
FUSION = {
    "metadata": {
        "dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json",
        "dbt_version": "2.0.0-preview.76",
        "generated_at": "2026-02-03T04:05:06.789Z",
        "invocation_id": "0197",
    },
    "args": {"command": "build"},
    "results": [
        {
            "status": "reused",
            "timing": [],
            "thread_id": "tokio-runtime-worker",
            "execution_time": 0,
            "adapter_response": {},
            "message": "No new changes on any upstreams",
            "unique_id": "model.harbour.berths",
            "relation_name": '"harbour"."main"."berths"',
            "static_analysis_off_reason": "configured_off",
        },
        {
            "status": "no-op",
            "timing": [],
            "thread_id": "",
            "execution_time": 0.0,
            "adapter_response": {},
            "unique_id": "saved_query.harbour.tariffs",
        },
        {
            "status": "ERROR",
            "message": "dbt0209: no column tarif\n  --> models/port_dues.sql:3:8",
            "unique_id": "model.harbour.port_dues",
        },
    ],
    "elapsed_time": 1.0,
}


def read(name):
    """Return what is read of a sample."""
    return Results.from_json(json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8")))


def statuses(results):
    """Return each node's name and status, in order."""
    return [(node.name, node.status) for node in results.nodes]


def node(unique_id="model.harbour.port_dues", status="success", message=""):
    """Return a node."""
    return Node(unique_id, status, message)


@pytest.mark.parametrize("name", NAMES)
def test_samples(name):
    """Of what real dbt writes, everything that we want to know is read."""
    results = read(name)
    assert results.invocation_id
    assert results.generated_at
    assert results.dbt_version.startswith("1.11.")
    assert results.command in {"build", "run", "run-operation", "seed", "snapshot", "test"}
    assert results.nodes
    for each in results.nodes:
        assert each.name
        assert each.resource_type in {
            "exposure", "macro", "model", "operation", "seed", "snapshot", "test", "unit_test"
        }  # fmt: skip
        assert each.is_skipped == (each.started_at is None) == (each.finished_at is None)
        assert each.is_skipped or each.started_at <= each.finished_at
        assert each.seconds > 0 or each.is_skipped
        assert bool(each.relation_name) == (each.resource_type in {"model", "snapshot"})


def test_success():
    """What was built says so, a seed with its rows; hooks and tests are no relations."""
    results = read("success")
    assert results.command == "build"
    assert not [each for each in results.nodes if each.is_failed or each.is_skipped or each.is_warning]
    assert [each.name for each in results.nodes if not each.is_built] == [
        "port_dues.an_unknown_tariff_is_empty",
        "harbour-on-run-end-0",
    ]
    named = {each.name: each for each in results.nodes}
    assert (named["berths_seed"].rows, named["port_dues"].rows) == (3, None)
    assert named["port_dues"].relation_name == '"harbour"."main"."port_dues"'
    assert "long_berths.v2" in named


def test_model_error():
    """A model that failed says why in one line; what comes after it was skipped, not built."""
    results = read("model_error")
    (failed,) = (each for each in results.nodes if each.is_failed)
    assert failed.name == "port_dues"
    assert failed.first_line == (
        "Runtime Error in model port_dues (models/port_dues.sql): Conversion Error: Could not convert string "
        '"to be agreed" to DECIMAL(9,2) when casting from source column tariff'
    )
    skipped = [each for each in results.nodes if each.is_skipped]
    assert [each.name for each in skipped] == ["harbour_office", "no_berth_is_free", "dues_in_total"]
    assert not any(each.is_built or each.first_line for each in skipped)


def test_test_failure():
    """A test that failed says how many rows are wrong; one that warns did not fail."""
    results = read("test_failure")
    (failed,) = (each for each in results.nodes if each.is_failed)
    (warning,) = (each for each in results.nodes if each.is_warning)
    assert (failed.name, failed.status, failed.failures) == ("unique_berths_berth", "fail", 1)
    assert failed.first_line == "Got 1 result, configured to fail if != 0"
    assert (warning.name, warning.failures) == ("accepted_values_berths_tariff__340_50__215_00", 1)
    assert "72a84c7b86" in warning.unique_id


def test_unit_test_failure():
    """What a unit test says is read without its colours."""
    (failed,) = (each for each in read("unit_test_failure").nodes if each.is_failed)
    assert failed.is_test
    assert failed.message == "actual differs from expected:\n\n@@,berth,dues_eur\n→ ,Outer,NULL→0.00"
    assert failed.first_line == "actual differs from expected"


def test_partial_success():
    """A model of which some batches are missing has failed, and is not built: dbt builds nothing on it."""
    results = read("partial_success")
    assert statuses(results)[1] == ("calls_by_day", "partial success")
    assert (results.nodes[1].is_failed, results.nodes[1].is_built) == (True, False)
    assert results.nodes[1].first_line == "PARTIAL SUCCESS (2/3)"


def test_retry():
    """A retry says which command it runs again, and of the nodes only those that it ran."""
    results = read("retry")
    assert results.command == "run"
    assert statuses(results)[:2] == [("port_dues", "error"), ("dues_in_total", "skipped")]


def test_no_op():
    """A node that dbt has nothing to do for neither failed nor was it built."""
    (office,) = (each for each in read("no_op").nodes if each.resource_type == "exposure")
    assert (office.status, office.is_failed, office.is_built) == ("no-op", False, False)


def test_run_operation():
    """A macro that was run is a node, too."""
    assert statuses(read("run_operation")) == [("paint", "success")]


def test_old_schema():
    """The file of dbt 1.5 says all but what was compiled; the times span all phases."""
    results = Results.from_json(OLD)
    assert (results.command, results.dbt_version) == ("run", "1.5.2")
    assert results.nodes == (
        Node(
            unique_id="model.harbour.port_dues",
            status="success",
            message="SUCCESS 12",
            seconds=7.25,
            started_at=datetime(2023, 6, 21, 10, 0, 1, tzinfo=UTC),
            finished_at=datetime(2023, 6, 21, 10, 0, 8, tzinfo=UTC),
            thread="Thread-1",
            rows=12,
        ),
    )


def test_fusion():
    """Fusion's file is read; what it reused or left as it is was not built and did not fail."""
    results = Results.from_json(FUSION)
    assert (results.command, results.invocation_id) == ("", "0197")
    reused, saved, failed = results.nodes
    assert not any(each.is_failed or each.is_built for each in (reused, saved))
    assert reused.relation_name == '"harbour"."main"."berths"'
    assert (failed.status, failed.is_failed) == ("error", True)
    assert failed.first_line == "dbt0209: no column tarif"


@pytest.mark.parametrize(
    ("unique_id", "kind", "name"),
    [
        ("model.harbour.port_dues", "model", "port_dues"),
        ("model.harbour.port_dues.v2", "model", "port_dues.v2"),
        ("test.harbour.unique_berths_berth.6b929b7848", "test", "unique_berths_berth"),
        ("test.harbour.no_berth_is_free", "test", "no_berth_is_free"),
        ("test.harbour.0123456789", "test", "0123456789"),
        ("unit_test.harbour.port_dues.is_empty", "unit_test", "port_dues.is_empty"),
        ("model.harbour.port_dues.0123456789", "model", "port_dues.0123456789"),
        ("source.harbour.landing.tickets", "source", "landing.tickets"),
        ("operation.harbour.harbour-on-run-end-0", "operation", "harbour-on-run-end-0"),
        ("port_dues", "port_dues", "port_dues"),
        ("model.port_dues", "model", "model.port_dues"),
        ("", "", ""),
    ],
)
def test_name(unique_id, kind, name):
    """A node is called as in the project, with its version and without a test's hash."""
    assert (node(unique_id).resource_type, node(unique_id).name) == (kind, name)
    assert node(unique_id).is_test == kind.endswith("test")


@pytest.mark.parametrize("status", ["error", "fail", "runtime error", "partial success", "a new one", ""])
def test_failed(status):
    """Whatever is not known to be good counts as failed, and as not built."""
    assert node(status=status).is_failed
    assert not node(status=status).is_built


@pytest.mark.parametrize("status", sorted(GOOD))
def test_not_failed(status):
    """What is good did not fail; only success is a build, and only of what is a relation."""
    assert not node(status=status).is_failed
    assert node(status=status).is_built == (status == "success")
    assert not node("operation.harbour.hook", status).is_built


SNOWFLAKE = """Database Error in model dues (models/dues.sql)
  001003 (42000): SQL compilation error:
  syntax error line 3 at position 5 unexpected 'FROM'.
  compiled code at target/run/harbour/models/dues.sql"""
SNOWFLAKE_LINE = (
    "Database Error in model dues (models/dues.sql): 001003 (42000): SQL compilation error: "
    "syntax error line 3 at position 5 unexpected 'FROM'."
)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("OK", "OK"),
        ("", ""),
        ("\n \n\t", ""),
        (SNOWFLAKE, SNOWFLAKE_LINE),
        ("Compilation Error\n  'dues' is undefined\n  in model a", "Compilation Error: 'dues' is undefined"),
        ("Runtime Error in model dues (models/dues.sql)", "Runtime Error in model dues (models/dues.sql)"),
        ("Expected:\n  7", "Expected"),
    ],
)
def test_first_line(message, line):
    """The one line has the heading that dbt gives an error, and what the error is."""
    assert node(message=message).first_line == line


def test_first_line_is_bounded():
    """A message of a megabyte without an end of a line is cut."""
    assert len(node(message="x" * 2**20).first_line) == 400
    assert len(node(message="Database Error\n" * 2**16).first_line) == 400


def test_cut():
    """A text that is too long ends in an ellipsis, and one that fits is whole."""
    assert (cut("abc def", 7), cut("abc def", 6), cut("abc def", 5)) == ("abc def", "abc d…", "abc…")


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        ("", []),
        ("one\n\n  two  \n", ["one", "  two"]),
        ("\n".join("abcdefghij"), list("abcdefghij")),
        ("\n".join("abcdefghijk"), [*"abcdefghij", "…"]),
        ("x" * 2000, ["x" * 2000]),
        ("x" * 2001, ["x" * 1999 + "…"]),
        ("x" * 1999 + "\nyy\nzz", ["x" * 1999, "…", "…"]),
    ],
)
def test_excerpt(message, lines):
    """Of a message, ten lines and 2,000 characters are shown, and one can see if there is more."""
    assert excerpt(message) == lines


def test_count_by_status():
    """The statuses that failed are counted first, those that need no mention last, and none is nameless."""
    statuses = ["success"] * 3 + ["pass"] * 5 + ["skipped", "warn", "warn", "error", "fail", "fail", ""]
    counts = count_by_status(node(status=status) for status in statuses)
    assert list(counts.items()) == [
        ("fail", 2),
        ("error", 1),
        ("unknown", 1),
        ("warn", 2),
        ("skipped", 1),
        ("pass", 5),
        ("success", 3),
    ]
    assert count_by_status([]) == {}


def test_count_by_status_is_bounded():
    """Of thousands of long statuses that nobody knows there are twenty, and a number for all others."""
    counts = count_by_status(node(status=f"{number}{'x' * 1000}") for number in range(5000))
    assert len(counts) == 21
    assert sum(counts.values()) == 5000
    assert max(map(len, counts)) == 40


ABSURD = [
    None, True, False, 0, -1, 7, 10**400, 3.5, float("nan"), float("inf"), -float("inf"), "", "x", "-1", "12",
    "nan", "9" * 5000, "\ud800", "\x1b[31m", [], [[]], [None], [{}], {}, {"a": 1}, {"rows_affected": []},
]  # fmt: skip
RESULT_KEYS = sorted({*OLD["results"][0], "compiled_code", "relation_name"})


@pytest.mark.parametrize("absurd", ABSURD, ids=repr)
@pytest.mark.parametrize("key", ["metadata", "args", "results", *OLD["metadata"], "which", *RESULT_KEYS])
def test_nothing_breaks_a_reader(absurd, key):
    """Whatever stands where, there is a value, it can be looked at, and it crosses processes."""
    result = {**OLD["results"][0], key: absurd}
    metadata = {**OLD["metadata"], key: absurd}
    whole = {"metadata": metadata, "args": {"which": "run", key: absurd}, "results": [result, absurd]}
    for json_ in (absurd, {**whole, key: absurd}, {key: absurd}):
        results = Results.from_json(json_)
        for each in results.nodes:
            assert (each.name, each.first_line, each.resource_type) is not None
            assert (each.is_failed, each.is_built) != (True, True)
            assert each.seconds >= 0
            assert each.rows is None or each.rows >= 0
            assert repr(each).encode()
        assert pickle.loads(pickle.dumps(results)) == results  # noqa: S301


def test_rows():
    """Rows and failures are numbers, also if they are written as text; -1 rows are unknown."""
    json_ = {"unique_id": "model.a.b", "adapter_response": {"rows_affected": "12"}, "failures": "3"}
    assert (Node.from_json(json_).rows, Node.from_json(json_).failures) == (12, 3)
    for unknown in (-1, "-1", None, "many", True, [3], float("nan"), "9" * 5000, 10**400, 1e300):
        assert Node.from_json({"adapter_response": {"rows_affected": unknown}}).rows is None
    assert Node.from_json({"adapter_response": {"rows_affected": 0}}).rows == 0


def test_seconds():
    """A time is a number of seconds, also if it is written as text, and never absurd."""
    assert Node.from_json({"execution_time": "1.5"}).seconds == 1.5
    for unknown in (float("nan"), float("inf"), -3, "soon", None, [], 10**400, 1e300, True):
        assert Node.from_json({"execution_time": unknown}).seconds == 0


def test_repr_is_short():
    """What may be long is in no repr."""
    long = Node.from_json({"unique_id": "model.a.b", "message": "a long story", "compiled_code": "select 1"})
    assert "story" not in repr(long)
    assert "select" not in repr(long)
    assert "model.a.b" not in repr(Results(nodes=(long,)))


def test_samples_tell_nothing_of_the_machine():
    """No sample holds a path, a name or a variable of the machine that it was made on."""
    for path in SAMPLES.iterdir():
        text = path.read_text(encoding="utf-8")
        assert '"env": {}' in text
        assert not {word for word in ("/tmp", "/home", "/root", "/work", "Users") if word in text}  # noqa: S108


@pytest.mark.parametrize(
    "status", sorted({*GOOD, "error", "fail", "runtime error", "partial success", "odd"})
)
def test_compiled_code(status):
    """The SQL of a node is kept if somebody may want to look at it: it failed, or it warns."""
    node = Node.from_json({"status": status.title(), "compiled_code": "select 1"})
    assert node.compiled_code == ("select 1" if node.is_failed or node.is_warning else "")
