"""The report: what an ended run is said to have done, and that nothing it may hold breaks or floods it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import responses

from airflow_dbt_cloud.client import Client
from airflow_dbt_cloud.errors import (
    DbtCloudCompilationFailed,
    DbtCloudRunCancelled,
    DbtCloudRunFailed,
    DbtCloudTestsFailed,
)
from airflow_dbt_cloud.invocations import Invocation
from airflow_dbt_cloud.models import Run, Step
from airflow_dbt_cloud.nodes import Node, Results
from airflow_dbt_cloud.report import Report, read_report
from airflow_dbt_cloud.retries import Retries

RUNS = "https://ab123.us1.dbt.com/api/v2/accounts/7/runs/"
HREF = "https://ab123.us1.dbt.com/deploy/7/projects/5/runs/1/"
SAMPLES = Path(__file__).parent / "samples" / "run_results"
SUCCESS, ERROR, CANCELLED = 10, 20, 30

CANNOT_BEGIN = "\x1b[0m00:34:59  Encountered an error:\n{} Error\n  the model 'dues' is not there\n"


def sample(name):
    """Return what real dbt wrote."""
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def step(status=ERROR, command="dbt build", index=4, logs=""):
    """Return a step that ran dbt for two seconds."""
    began = datetime(2026, 1, 1, 12, 0, index, tzinfo=UTC)
    ended = datetime(2026, 1, 1, 12, 0, index + 2, tzinfo=UTC)
    return Step(index, index, f"Invoke dbt with `{command}`", status, logs, began, ended)


def report(*results, status=ERROR, logs="", **fields):
    """Return the report of a run of so many steps, of which the last ended as the run did."""
    steps = [step(SUCCESS, index=4 + number) for number in range(len(results) - 1)]
    steps.append(step(status, index=4 + len(steps), logs=logs))
    run = Run(
        1, status, steps=tuple(steps), **{"href": HREF, "status_message": "dbt command failed", **fields}
    )
    invocations = zip(steps, map(Results.from_json, results), strict=False)
    return Report(run, tuple(Invocation(each, result) for each, result in invocations))


def results(*nodes):
    """Return a run_results.json of nodes, each (unique_id, status, message)."""
    keys = "unique_id", "status", "message"
    return {"metadata": {}, "results": [dict(zip(keys, node, strict=False)) for node in nodes]}


def said_by(report):
    """Return the error that the report makes of its run."""
    with pytest.raises((DbtCloudRunFailed, DbtCloudRunCancelled)) as caught:
        report.run.raise_for_status(report.explanation, report.failure)
    return caught.value


def test_read_report(make_credentials):
    """A run's report holds what each of its steps did, and what is missing."""
    run = Run(
        1, ERROR, steps=(step(SUCCESS, "dbt seed", 4), step(ERROR, "dbt run", 5), step(ERROR, "dbt test", 6))
    )
    slept = []
    with responses.RequestsMock() as dbt_cloud:
        for index, name in ((4, "seed"), (5, "model_error")):
            query = [responses.matchers.query_param_matcher({"step": index})]
            dbt_cloud.get(f"{RUNS}1/artifacts/run_results.json", json=sample(name), match=query)
        dbt_cloud.get(f"{RUNS}1/artifacts/run_results.json", status=404)
        client = Client(make_credentials(), retries=Retries(limit=1))
        read = read_report(client, run, sleep=slept.append, clock=lambda: 2.0 * len(slept), patience=4.0)
    assert read.run is run
    assert [each.step.index for each in read.invocations] == [4, 5]
    assert len(read.nodes) == len(sample("seed")["results"]) + len(sample("model_error")["results"])
    assert [node.name for node in read.failed] == ["port_dues"]
    assert read.notes == ("dbt Cloud has no results of step 6 (`dbt test`).",)
    assert read.summary()["notes"] == [*read.notes]
    assert slept == [2.0]


def test_a_run_without_steps(make_credentials):
    """A run whose steps are not known has a report of its last command, and says so."""
    with responses.RequestsMock() as dbt_cloud:
        query = [responses.matchers.query_param_matcher({})]
        dbt_cloud.get(f"{RUNS}1/artifacts/run_results.json", json=sample("model_error"), match=query)
        read = read_report(Client(make_credentials()), Run(1, ERROR), sleep=pytest.fail)
    assert read.notes == (
        "dbt Cloud tells no steps of the run. Only the nodes of its last command are known.",
    )
    assert [node.name for node in read.failed] == ["port_dues"]
    assert "nodes failed in the last command, " in read.explanation
    assert any("port_dues" in line for line in read.table())


def test_a_run_without_steps_and_results(make_credentials):
    """A run of which nothing is known has a report that says so."""
    read = read_report(Client(make_credentials()), Run(1, CANCELLED), sleep=pytest.fail)
    assert read == Report(Run(1, CANCELLED), notes=("dbt Cloud tells no steps of the run.",))
    assert (read.table(), read.explanation, read.failure) == ([], "", DbtCloudRunFailed)


# --- the error --------------------------------------------------------------------------------------------


def test_model_error():
    """The error names the step, what failed in it and why, what that kept from running, and the URL."""
    error = said_by(report(sample("seed"), sample("model_error")))
    assert type(error) is DbtCloudRunFailed
    assert str(error) == (
        "dbt Cloud run 1 failed: 1 of 12 nodes failed in step 5 (`dbt build`), 3 were skipped:\n"
        "- Runtime Error in model port_dues (models/port_dues.sql): Conversion Error: Could not convert "
        f'string "to be agreed" to DECIMAL(9,2) when casting from source column tariff\n{HREF}'
    )


def test_test_failure():
    """Where nothing failed but tests, the error says so, and each test's name stands before its words."""
    error = said_by(report(sample("test_failure")))
    assert type(error) is DbtCloudTestsFailed
    assert str(error) == (
        "dbt Cloud run 1 failed its tests: 1 of 12 nodes failed in step 4 (`dbt build`), 7 were skipped:\n"
        f"- test unique_berths_berth: Got 1 result, configured to fail if != 0\n{HREF}"
    )


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("unit_test_failure", DbtCloudTestsFailed),
        ("compilation_error", DbtCloudCompilationFailed),
        ("partial_success", DbtCloudRunFailed),
        ("retry", DbtCloudRunFailed),
    ],
)
def test_failure_of_samples(name, failure):
    """What kind of failure it is, is read of what real dbt wrote."""
    assert report(sample(name)).failure is failure


TEST, UNIT_TEST, MODEL = "test.a.t", "unit_test.a.m.t", "model.a.m"


@pytest.mark.parametrize(
    ("nodes", "failure"),
    [
        (
            [(TEST, "fail"), (UNIT_TEST, "fail"), (MODEL, "skipped"), ("test.a.w", "warn")],
            DbtCloudTestsFailed,
        ),
        ([(TEST, "fail"), (MODEL, "error")], DbtCloudRunFailed),
        ([(TEST, "error")], DbtCloudRunFailed),
        ([(TEST, "a new one")], DbtCloudRunFailed),
        ([(MODEL, "fail")], DbtCloudRunFailed),
        ([(MODEL, "error", "Compilation Error in model m")], DbtCloudCompilationFailed),
        (
            [(MODEL, "error", "Parsing Error in model m"), (TEST, "error", "Compilation Error")],
            DbtCloudCompilationFailed,
        ),
        ([(MODEL, "error", "Compilation Error"), (TEST, "fail")], DbtCloudRunFailed),
        ([(MODEL, "error", "Database Error\n  Compilation Error")], DbtCloudRunFailed),
        ([(MODEL, "success")], DbtCloudRunFailed),
        ([], DbtCloudRunFailed),
    ],
)
def test_failure(nodes, failure):
    """Only what nothing but tests, or nothing but the project, is to blame for is not worth a retry."""
    assert report(results(*nodes)).failure is failure


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("Compilation", DbtCloudCompilationFailed),
        ("Parsing", DbtCloudCompilationFailed),
        ("Runtime", DbtCloudRunFailed),
        ("Database", DbtCloudRunFailed),
    ],
)
def test_no_node_ran(kind, failure):
    """Where dbt could not begin, the error says what dbt said, whatever an earlier step did."""
    steps = step(SUCCESS, "dbt seed"), step(ERROR, index=5, logs=CANNOT_BEGIN.format(kind))
    seed = Invocation(steps[0], Results.from_json(sample("seed")))
    error = said_by(
        Report(Run(1, ERROR, status_message="dbt command failed", href=HREF, steps=steps), (seed,))
    )
    assert type(error) is failure
    assert str(error) == (
        f"dbt Cloud run 1 {failure.verdict}: step 5 (`dbt build`) ended with:\n"
        f"{kind} Error\n  the model 'dues' is not there\n{HREF}"
    )


def test_a_failed_step_without_a_word():
    """A step that says nothing is named, with what dbt Cloud says of the run, if anything."""
    assert report().explanation == "step 4 (`dbt build`) ended with:\ndbt command failed"
    assert report(status_message="").explanation == "step 4 (`dbt build`) failed"


def test_many_failed_nodes():
    """Of many nodes that failed, the error names five, and says how many more there are."""
    nodes = [(f"model.a.m{number}", "error", f"Database Error in model m{number}") for number in range(8)]
    first, *lines = report(results(*nodes)).explanation.split("\n")
    assert first == "8 of 8 nodes failed in step 4 (`dbt build`):"
    assert lines == [*(f"- Database Error in model m{number}" for number in range(5)), "- and 3 more"]


@pytest.mark.parametrize(
    ("node", "line"),
    [
        (("model.a.m", "error"), "- model m: error"),
        (("model.a.m", "error", "no such table"), "- model m: no such table"),
        (("", "error", "no such table"), "-  : no such table"),
        (("model.a.m", "", ""), "- model m: "),
    ],
)
def test_words_of_a_node(node, line):
    """A node that says nothing, or does not say who it is, has a line all the same."""
    assert report(results(node)).explanation.split("\n")[1] == line


def test_success_needs_no_explanation():
    """Of a run that succeeded there is nothing to explain, whatever is odd about it."""
    odd = report(results((MODEL, "from tomorrow")), status=SUCCESS)
    assert (odd.explanation, odd.failed) == ("", ())
    assert odd.run.raise_for_status(odd.explanation, odd.failure) is None


def test_cancelled():
    """A cancelled run says who did it, where it was, and how far it had come."""
    cancelled = report(
        sample("success"), status=CANCELLED, status_message="Cancelled by user.", cancelled_by="Ada"
    )
    error = said_by(cancelled)
    assert type(error) is DbtCloudRunCancelled
    assert str(error) == (
        "dbt Cloud run 1 was cancelled: by Ada. Cancelled by user. "
        f"It was in step 4 (`dbt build`). Nodes that had ended: 10. {HREF}"
    )


def test_cancelled_before_anything():
    """A run that was cancelled before it began says only that."""
    run = Run(
        1, CANCELLED, status_message="Cancelled by user.", steps=(Step(1, 1, "Clone git repository", 1),)
    )
    assert str(said_by(Report(run))) == "dbt Cloud run 1 was cancelled: Cancelled by user."


def test_cancelled_after_an_error():
    """A run that was cancelled when something had failed already says what."""
    error = said_by(report(sample("model_error"), status=CANCELLED, status_message="", cancelled_by="Ada"))
    assert str(error).startswith(
        "dbt Cloud run 1 was cancelled: by Ada. 1 of 12 nodes failed in step 4 (`dbt build`)"
    )


# --- the table and the summary ----------------------------------------------------------------------------


def test_table():
    """The table has the nodes of all steps, and says which step ran each."""
    header, titles, first, *_ = report(sample("seed"), sample("model_error")).table()
    assert header.startswith("14 nodes: 1 error, 3 skipped, 1 warn, 7 success, 2 pass; ")
    assert titles.split() == ["step", "status", "seconds", "rows", "type", "node"]
    assert first.split()[:2] == ["5", "error"]


def test_summary():
    """The summary says in JSON's types what a task downstream may want to know."""
    made = report(
        sample("seed"),
        sample("model_error"),
        account_id=7,
        project_id=5,
        environment_id=6,
        job_id=9,
        dbt_version="latest",
        git_branch="main",
        git_sha="5dd0ab2",
        cause="By Ada [airflow:0123456789abcdef:1.0.1]",
        created_at=datetime(2026, 1, 1, 12, tzinfo=UTC),
        started_at=datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC),
        finished_at=datetime(2026, 1, 1, 12, 1, 30, 500000, tzinfo=UTC),
    )
    summary = made.summary()
    assert json.loads(json.dumps(summary)) == summary
    (failed,), (slowest, *_) = summary.pop("failed"), summary.pop("slowest")
    assert summary == {
        "version": 1,
        "run_id": 1,
        "job_id": 9,
        "account_id": 7,
        "project_id": 5,
        "environment_id": 6,
        "url": HREF,
        "status": "Error",
        "status_message": "dbt command failed",
        "cause": "By Ada",
        "created_at": "2026-01-01T12:00:00+00:00",
        "started_at": "2026-01-01T12:00:01+00:00",
        "finished_at": "2026-01-01T12:01:30.500000+00:00",
        "duration": 90.5,
        "git_branch": "main",
        "git_sha": "5dd0ab2",
        "dbt_version": sample("seed")["metadata"]["dbt_version"],
        "steps": [
            {
                "index": index,
                "name": "Invoke dbt with `dbt build`",
                "status": status,
                "started_at": f"2026-01-01T12:00:{index:02}+00:00",
                "finished_at": f"2026-01-01T12:00:{index + 2:02}+00:00",
                "seconds": 2.0,
            }
            for index, status in ((4, "Success"), (5, "Error"))
        ],
        "nodes": {"error": 1, "warn": 1, "skipped": 3, "success": 7, "pass": 2},
        "failed_count": 1,
        "notes": [],
    }
    assert list(summary["nodes"])[:3] == ["error", "skipped", "warn"]
    assert failed == {
        "unique_id": "model.harbour.port_dues",
        "status": "error",
        "message": made.failed[0].message,
        "relation": '"harbour"."main"."port_dues"',
    }
    node = max(made.nodes, key=lambda node: node.seconds)
    assert slowest == {"unique_id": node.unique_id, "seconds": round(node.seconds, 3)}


def test_slowest():
    """The slowest nodes are those that ran, twenty at most, each with its time."""
    nodes = [Node(f"model.a.m{number}", "success", seconds=float(number)) for number in range(30)]
    nodes += [Node("model.a.skipped", "skipped", seconds=99.0), Node("model.a.no_op", "no-op")]
    made = Report(Run(1, SUCCESS), (Invocation(step(SUCCESS), Results(nodes=tuple(nodes))),))
    slowest = made.summary()["slowest"]
    assert len(slowest) == 20
    assert slowest[:2] == [
        {"unique_id": "model.a.m29", "seconds": 29.0},
        {"unique_id": "model.a.m28", "seconds": 28.0},
    ]


def test_summary_of_little():
    """Of a run of which nothing is known but how it ended, the summary has the same keys."""
    little = Report(
        Run(1, CANCELLED, dbt_version="1.11.0", steps=(Step(1, 1, "Clone git repository", 1),))
    ).summary()
    assert set(little) == set(report(sample("seed")).summary())
    assert (little["status"], little["started_at"], little["duration"]) == ("Cancelled", None, 0.0)
    assert little["dbt_version"] == "1.11.0"
    assert little["steps"] == [
        {
            "index": 1,
            "name": "Clone git repository",
            "status": "Queued",
            "started_at": None,
            "finished_at": None,
            "seconds": None,
        }
    ]
    assert (little["nodes"], little["failed_count"], little["failed"]) == ({}, 0, [])
    assert (little["cause"], little["slowest"]) == ("", [])


@pytest.mark.parametrize("letter", ["x", '"', "\n.", "\u00d8"])
def test_it_is_bounded(letter):
    """Ten thousand nodes that failed with a megabyte each, in steps without end, flood nobody."""
    long = letter * (2**20 // len(letter))
    nodes = (
        tuple(
            Node(f"model.harbour.{n}{long}", f"{n}{long}", long, 1.0, relation_name=long) for n in range(100)
        )
        * 100
    )
    steps = tuple(Step(n, n, long, ERROR, long, datetime(2026, 1, 1, tzinfo=UTC)) for n in range(1, 1001))
    texts = dict.fromkeys(("href", "status_message", "cause", "git_branch", "git_sha", "dbt_version"), long)
    run = Run(1, ERROR, steps=steps, **texts)
    made = Report(run, (Invocation(steps[-1], Results("a", "build", long, None, nodes)),), (long,) * 100)
    summary = made.summary()
    assert summary["failed_count"] == 10_000
    assert len(summary["failed"]) == 50
    assert {len(failed["message"]) for failed in summary["failed"]} <= {999, 1000}
    assert len(json.dumps(summary, ensure_ascii=False)) < 300_000
    assert len(made.explanation) < 10_000
    assert len(Report(run).explanation) < 10_000
    assert len("\n".join(made.table())) < 120_000


ABSURD = [
    None,
    True,
    0,
    -1,
    10**400,
    1.5,
    float("nan"),
    "",
    "x",
    "9" * 5000,
    "\ud800",
    [],
    [[]],
    {},
    [None, {}],
]
KEYS = [
    "unique_id",
    "status",
    "message",
    "execution_time",
    "timing",
    "failures",
    "adapter_response",
    "relation_name",
]
RUN = {
    "id": 1,
    "status": ERROR,
    "status_message": "dbt command failed",
    "created_at": "2026-01-01 12:00:00+00:00",
    "run_steps": [
        {
            "id": 4,
            "index": 4,
            "name": "Invoke dbt with `dbt build`",
            "status": ERROR,
            "started_at": "2026-01-01 12:00:00+00:00",
            "finished_at": "2026-01-01 12:00:00+00:00",
            "logs": "",
        }
    ],
}


@pytest.mark.parametrize("absurd", ABSURD, ids=repr)
@pytest.mark.parametrize("key", [*KEYS, "metadata", "results", "args"])
@pytest.mark.parametrize("status", [SUCCESS, ERROR, CANCELLED])
def test_absurd_results(absurd, key, status):
    """Whatever stands in the results, there is a report, and it can be logged, kept and raised."""
    node = {**sample("model_error")["results"][0], "status": "error", "message": "x", key: absurd}
    for json_ in (
        absurd,
        {**sample("model_error"), "results": [node, absurd], **({} if key in KEYS else {key: absurd})},
    ):
        check(report(json_, status=status))


@pytest.mark.parametrize("absurd", ABSURD, ids=repr)
@pytest.mark.parametrize("key", [*RUN, *RUN["run_steps"][0], "audit", "finished_at", "started_at"])
def test_absurd_runs(absurd, key):
    """Whatever stands in the run and its steps, likewise."""
    steps = [{**each, key: absurd} for each in RUN["run_steps"]]
    for json_ in ({**RUN, key: absurd}, {**RUN, "run_steps": [*steps, absurd]}):
        run = Run.from_json(json_)
        check(Report(run, tuple(Invocation(each, Results.from_json(sample("skip"))) for each in run.steps)))
        check(Report(run))


def check(report):
    """Use all of a report as a task would."""
    text = "\n".join([*report.table(), *report.notes, report.explanation])
    assert text.encode() is not None
    assert json.loads(json.dumps(report.summary(), allow_nan=False)) == report.summary()
    assert issubclass(report.failure, DbtCloudRunFailed)
    run = report.run
    if run.is_success:
        assert run.raise_for_status(report.explanation, report.failure) is None
    elif run.is_terminal:
        assert str(said_by(report)).encode()
