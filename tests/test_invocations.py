"""The invocations: which steps are asked for their results, how often, and what is said if there are none."""

import json
from datetime import UTC, datetime

import pytest
import responses

from airflow_dbt_cloud.client import Client
from airflow_dbt_cloud.invocations import Invocation, find_last_step, place_of, read_invocations
from airflow_dbt_cloud.models import Run, Step
from airflow_dbt_cloud.nodes import Results
from airflow_dbt_cloud.retries import Retries

URL = "https://ab123.us1.dbt.com/api/v2/accounts/7/runs/1/artifacts/run_results.json"
THEN = datetime(2026, 1, 1, tzinfo=UTC)
CANNOT_BEGIN = "00:00:01  Encountered an error:\nCompilation Error\n"


def step(index=4, command="dbt build", status=10, *, name=None, logs="", started_at=THEN):
    """Return a step that ran dbt."""
    name = f"Invoke dbt with `{command}`" if name is None else name
    return Step(index, index, name, status, logs, started_at)


def results(invocation_id="abc", **fields):
    """Return what dbt writes, shortest."""
    node = {"unique_id": "model.harbour.berths", "status": "success", **fields}
    return {"metadata": {"invocation_id": invocation_id}, "results": [node]}


class Bench:
    """A dbt Cloud that has the results of some steps, and a clock that only sleep and slow answers move."""

    def __init__(self, mocked, credentials):
        self.now = 0.0
        self.delay = 0.0
        self.files = {}
        self.asked = []
        self.slept = []
        self.client = Client(credentials, retries=Retries(sleep=self.sleep))
        mocked.add_callback(responses.GET, URL, callback=self._answer)

    def has(self, index, body, *, status=200, after=0.0):
        self.files[index] = after, status, body if isinstance(body, bytes) else json.dumps(body)

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def read(self, *steps, patience=20.0, status=10):
        run = Run(1, status, steps=steps)
        found, notes = read_invocations(
            self.client, run, sleep=self.sleep, clock=lambda: self.now, patience=patience
        )
        return [(each.step.index, each.results.invocation_id) for each in found], notes

    def _answer(self, request):
        index = int(request.params.get("step", 0))
        self.asked.append(index)
        self.now += self.delay
        after, status, body = self.files.get(index, (0.0, 404, "{}"))
        return (status, {}, body) if self.now >= after else (404, {}, "{}")


@pytest.fixture
def bench(make_credentials):
    """Return a dbt Cloud without any results."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        yield Bench(mocked, make_credentials())


@pytest.mark.parametrize(
    ("command", "is_asked"),
    [
        ("dbt build", True),
        ("dbt build --select tag:nightly", True),
        ("dbt --log-level debug --no-write-json run", True),
        ("dbt clone", True),
        ("dbt retry", True),
        ("dbt run-operation build", True),
        ("dbt seed", True),
        ("dbt snapshot", True),
        ("dbt test\n--select berths", True),
        ("dbt compile --select build", False),
        ("dbt docs generate", False),
        ("dbt source freshness", False),
        ("dbt deps", False),
        ("dbt list --select run", False),
        ("dbt parse", False),
        ("dbt show", False),
        ("dbt debug", False),
        ("dbt something new", False),
        ("dbt", False),
        ("", False),
    ],
)
def test_commands(bench, command, is_asked):
    """Only what a command does that does something is asked for; what others call results is none."""
    bench.has(4, results())
    assert bench.read(step(command=command)) == ([(4, "abc")] if is_asked else [], [])
    assert bench.asked == ([4] if is_asked else [])


@pytest.mark.parametrize("name", ["Clone git repository", "Create profile for run", "dbt run", ""])
def test_other_steps(bench, name):
    """A step that runs no dbt is not asked for results."""
    assert bench.read(step(name=name)) == ([], [])
    assert bench.asked == []


@pytest.mark.parametrize(
    ("status", "started_at", "is_asked"),
    [
        (10, THEN, True),
        (10, None, True),
        (20, None, True),
        (30, THEN, True),
        (3, THEN, True),
        (7, THEN, True),
        (30, None, False),
        (1, None, False),
        (7, None, False),
    ],
)
def test_steps_that_never_began(bench, status, started_at, is_asked):
    """A step that was never begun is not asked for, nor waited for."""
    bench.has(4, results())
    bench.read(step(status=status, started_at=started_at))
    assert bench.asked == ([4] if is_asked else [])


def test_each_step_is_asked_for(bench):
    """Each step tells its own results, in the order of the steps."""
    bench.has(5, results("run"))
    bench.has(4, results("seed"))
    assert bench.read(step(5, "dbt run"), step(4, "dbt seed")) == ([(4, "seed"), (5, "run")], [])
    assert bench.slept == []


def test_results_of_an_earlier_step(bench):
    """A step that wrote no results shows those of the step before, which count once and for that one."""
    bench.has(4, results("seed"))
    bench.has(5, results("seed"))
    assert bench.read(step(4, "dbt seed"), step(5, status=20)) == ([(4, "seed")], [])


def test_results_without_an_id(bench):
    """Invocations that have no id are not taken for the same one."""
    bench.has(4, results(""))
    bench.has(5, results(""))
    assert bench.read(step(4), step(5)) == ([(4, ""), (5, "")], [])


@pytest.mark.parametrize(
    ("command", "is_kept"),
    [("build", True), ("run-operation", True), ("", True), ("compile", False), ("generate", False)],
)
def test_results_of_another_command(bench, command, is_kept):
    """What a step shows of a command that does nothing is not what the step did."""
    bench.has(5, {**results("five"), "args": {"which": command}})
    assert bench.read(step(4, "dbt compile"), step(5, status=20)) == ([(5, "five")] if is_kept else [], [])


def test_no_steps(bench):
    """Of a run whose steps are not known the last results are asked for, also if they come late."""
    bench.has(0, results("last"), after=3.0)
    assert bench.read() == ([(0, "last")], [])
    assert bench.asked == [0, 0, 0]


def test_no_steps_and_no_results(bench):
    """Nothing is known of a run without steps and results; one that never began is not asked about."""
    assert bench.read(patience=1.0) == ([], ["dbt Cloud has no results of the last command."])
    assert bench.read(status=30) == ([], [])
    assert bench.asked == [0]


def test_results_that_come_late(bench):
    """What is not there yet is asked for again, and only that."""
    bench.has(4, results("four"))
    bench.has(5, results("five"), after=5.0)
    assert bench.read(step(4), step(5)) == ([(4, "four"), (5, "five")], [])
    assert bench.asked == [5, 4, 5, 5, 5]
    assert bench.slept == [2.0, 2.0, 2.0]


def test_results_that_never_come(bench):
    """What does not come is given up within twenty seconds, however many steps it is, and named."""
    bench.has(5, results("five"))
    found, notes = bench.read(step(4), step(5), step(6, "dbt test"), step(7, "dbt test"))
    assert found == [(5, "five")]
    assert notes == [
        "dbt Cloud has no results of step 4 (`dbt build`).",
        "dbt Cloud has no results of step 6 (`dbt test`).",
        "dbt Cloud has no results of step 7 (`dbt test`).",
    ]
    assert bench.now == 18.0


def test_a_step_that_could_not_begin(bench):
    """Where dbt itself said that it could not begin, no results are waited for, and none are missed."""
    assert bench.read(step(status=20, logs=CANNOT_BEGIN)) == ([], [])
    assert (bench.asked, bench.slept) == ([4], [])


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, b"{}", "answered 403 Forbidden"),
        (500, b"<html>", "answered 500 Internal Server Error"),
        (200, b"<html>", "the artifact is not JSON"),
        (200, b"[" * (2**27 + 1), "the artifact is longer than 134217728 bytes"),
        (302, b"", "answered 302 Found"),
    ],
)
def test_trouble(bench, status, body, words):
    """Whatever else happens is a note, and the other steps are read."""
    bench.client = bench.client.once()
    bench.has(4, body, status=status)
    bench.has(5, results("five"))
    found, (note, *more) = bench.read(step(4), step(5))
    assert note.startswith("The results of step 4 (`dbt build`) cannot be read. dbt Cloud ")
    assert words in note
    assert found == [(5, "five")]
    assert more == []


def test_results_of_a_large_project(bench):
    """Results of more than 32 MiB are read."""
    bench.has(4, results(compiled_code="x" * 2**25))
    assert bench.read(step(4)) == ([(4, "abc")], [])


def test_an_outage(bench):
    """Once the time is over, nothing more is asked for: who is away is not asked on and on."""
    bench.client, bench.delay = bench.client.once(), 8.0
    for index in range(4, 40):
        bench.has(index, b"", status=503)
    bench.has(39, results("last"))
    found, notes = bench.read(*(step(index) for index in range(4, 40)))
    assert found == [(39, "last")]
    assert bench.asked == [39, 38, 37]
    assert len(notes) == 3
    assert notes[-1].startswith("There was no time to ask for the results of step 4 (`dbt build`), step 5")


def test_the_last_step_is_asked_first(bench):
    """An early step that takes all the time does not hide what failed; the order is that of the steps."""
    bench.delay = 15.0
    for index in range(4, 8):
        bench.has(index, results(f"of {index}"))
    found, notes = bench.read(*(step(index) for index in range(4, 8)))
    assert found == [(6, "of 6"), (7, "of 7")]
    assert bench.asked == [7, 6]
    assert notes == [
        "There was no time to ask for the results of step 4 (`dbt build`), step 5 (`dbt build`)."
    ]


def test_late_results_without_time(bench):
    """What was not there is not asked for again when the time is over, and named."""
    bench.delay = 12.0
    bench.has(4, results("four"))
    found, notes = bench.read(step(4), step(5))
    assert (found, bench.asked) == ([(4, "four")], [5, 4])
    assert notes == ["dbt Cloud has no results of step 5 (`dbt build`)."]


@pytest.mark.parametrize("body", [None, [], {}, 7, "x", {"results": []}, {"results": {}}, {"metadata": []}])
def test_other_json(bench, body):
    """JSON that is no run_results.json is a note."""
    bench.has(4, body)
    assert bench.read(step()) == ([], ["The results of step 4 (`dbt build`) are not what dbt writes."])


@pytest.mark.parametrize(("status", "is_blamed"), [(10, False), (20, True), (30, True), (3, True)])
def test_blame(status, is_blamed):
    """A node failed if it says so, unless its step succeeded."""
    invocation = Invocation(step(status=status), Results.from_json(results(status="from tomorrow")))
    assert invocation.failed == (invocation.results.nodes if is_blamed else ())
    assert Invocation(step(status=status), Results.from_json(results(status="pass"))).failed == ()


@pytest.mark.parametrize(
    ("steps", "index"),
    [
        ([], None),
        ([step(4)], None),
        ([step(4, status=20)], 4),
        ([step(3, "dbt source freshness", 20), step(4, status=20), step(5, "dbt docs generate", 20)], 4),
        ([step(4), step(5, "dbt docs generate", 20)], 5),
        ([step(1, name="Clone git repository", status=20), step(2, status=30, started_at=None)], 1),
        ([step(4), step(5, status=3)], 5),
        ([step(4), step(5, status=30), step(6, status=1, started_at=None)], 5),
    ],
)
def test_last_step(steps, index):
    """A run ended in the last step that began and did not end well; the docs are the last to blame."""
    last = find_last_step(Run(1, 20, steps=tuple(steps)))
    assert (last and last.index) == index


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("Invoke dbt with `dbt build`", "step 4 (`dbt build`)"),
        (
            "Invoke dbt with `dbt run-operation x --args '{a: `b`}'`",
            "step 4 (`dbt run-operation x --args '{a: `b`}'`)",
        ),
        ("Clone git repository", "step 4 (Clone git repository)"),
        ("Invoke dbt with `dbt build\n  --select\x1b[31m x`", "step 4 (`dbt build --select x`)"),
        (f"Invoke dbt with `{'x' * 1000}`", f"step 4 (`{'x' * 99}…`)"),
    ],
)
def test_place(name, place):
    """A step is called by its number and its command, in one line."""
    assert place_of(step(name=name)) == place
