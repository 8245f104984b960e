"""
Whatever dbt Cloud, or what stands in its place, answers: a value comes of it, or an error of ours.

What comes of it can be told to Airflow, logged and pickled, and nothing takes long.
"""

import itertools
import json
import pickle
import re
from dataclasses import asdict, is_dataclass
from pathlib import Path

import pytest
import responses
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_dbt_cloud.answers import judge
from airflow_dbt_cloud.artifacts import Artifact
from airflow_dbt_cloud.client import Client
from airflow_dbt_cloud.console import Console
from airflow_dbt_cloud.credentials import Credentials
from airflow_dbt_cloud.errors import DbtCloudConfigurationError, DbtCloudError, DbtCloudRunFailed
from airflow_dbt_cloud.filters import JobFilters, RunFilters, encode_filter, read_filters
from airflow_dbt_cloud.graph import Graph
from airflow_dbt_cloud.invocations import Invocation
from airflow_dbt_cloud.last_words import last_words
from airflow_dbt_cloud.manifest import Manifest
from airflow_dbt_cloud.models import Account, Connection, Environment, Job, Project, Run, Step
from airflow_dbt_cloud.nodes import Node, Results
from airflow_dbt_cloud.operators.list_runs import _tell
from airflow_dbt_cloud.parameters import OVERRIDES, RunRequest
from airflow_dbt_cloud.picture import draw_failures, draw_nodes
from airflow_dbt_cloud.report import Report, read_report
from airflow_dbt_cloud.retries import Retries
from airflow_dbt_cloud.triggers import RunEvent
from tests.odd_json import assert_tellable, bodies, fuzzed, mutated, odd_values, texts, write

HOST = "https://ab123.us1.dbt.com"
SAMPLES = Path(__file__).parent / "samples"
TIME = "2024-05-27 10:42:16.179903+00:00"

STEPS = [
    {
        "id": index,
        "index": index,
        "name": name,
        "status": status,
        "logs": "10:42:16  1 of 2 START sql table model a.b ... [RUN]\n10:42:17  Done. PASS=1\n",
        "started_at": TIME,
        "finished_at": "2024-05-27 10:43:00.5+00:00",
    }
    for index, (name, status) in enumerate(
        [
            ("Clone git repository", 10),
            ("Invoke dbt with `dbt deps`", 10),
            ("Invoke dbt with `dbt build`", 20),
        ],
        1,
    )
]
RUN = {
    "id": 7,
    "account_id": 42,
    "environment_id": 21,
    "project_id": 31,
    "job_definition_id": 5,
    "status": 20,
    "status_message": "dbt command failed",
    "dbt_version": "versionless",
    "git_branch": "main",
    "git_sha": "5dd0ab2",
    "created_at": TIME,
    "started_at": TIME,
    "finished_at": "2024-05-27 10:43:00.5+00:00",
    "href": f"{HOST}/deploy/42/projects/31/runs/7/",
    "trigger": {"cause": "nightly", "steps_override": ["dbt build"], "threads_override": 4},
    "run_steps": STEPS,
    "retrying_run_id": 6,
    "can_retry": True,
    "blocked_by": [5, 6],
    "audit": {"cancellation": {"actor": {"name": "Ada Lovelace"}}},
}
THING = {
    "id": 1,
    "name": "one",
    "plan": "team",
    "run_slots": 5,
    "project_id": 3,
    "environment_id": 4,
    "execute_steps": ["dbt build"],
    "generate_docs": False,
    "connection_id": 9,
    "config": {"host": "warehouse", "port": 5432},
    "failed_step": "dbt build",
    "skipped_steps": ["dbt test"],
}
STATUS = {"code": 200, "is_success": True, "user_message": "Success!", "developer_message": ""}
ANSWERS = [
    *({"status": STATUS, "data": data} for data in (RUN, [RUN], THING, [THING], STEPS[2], ["manifest.json"])),
    {"status": {**STATUS, "code": 400, "is_success": False}, "data": {"cause": ["is required"]}},
    {"detail": "Not found."},
]
RESULTS = [json.loads(path.read_text("utf-8")) for path in sorted((SAMPLES / "run_results").glob("*.json"))]
MANIFESTS = [json.loads(path.read_text("utf-8")) for path in (SAMPLES / "lineage").glob("*.manifest.json")]
READERS = [Account, Connection, Environment, Job, Project, Run, Step, Node, Results]

assert RESULTS
assert MANIFESTS


def client():
    """Return a client that asks once."""
    return Client(Credentials(HOST, 42, "dbtc_x"), retries=Retries(limit=1))


def drained(stream):
    """Return all bytes of a stream."""
    with stream as pieces:
        return b"".join(pieces)


VERBS = [
    lambda dbt: dbt.get_account(),
    lambda dbt: list(dbt.list_projects()),
    lambda dbt: list(dbt.list_environments(3)),
    lambda dbt: dbt.get_environment(3, 4),
    lambda dbt: dbt.get_connection(9),
    lambda dbt: list(dbt.list_jobs()),
    lambda dbt: dbt.get_job(5),
    lambda dbt: dbt.find_job("one", "one", "one"),
    lambda dbt: dbt.start_run(5, RunRequest(cause="why")),
    lambda dbt: dbt.retry_run(7),
    lambda dbt: dbt.get_run(7),
    lambda dbt: list(dbt.list_runs()),
    lambda dbt: dbt.cancel_run(7),
    lambda dbt: dbt.end_run(7, sleep=lambda _: None, clock=itertools.count(0, 20).__next__),
    lambda dbt: dbt.get_step(3),
    lambda dbt: dbt.list_artifacts(7),
    lambda dbt: dbt.read_artifact(7, "run_results.json"),
    lambda dbt: drained(dbt.stream_artifact(7, "manifest.json")),
]


def assert_sound(call):
    """Make sure that a call ends in a value that can be told, or in an error of ours that can be."""
    failure = None
    try:
        value = call()
    except DbtCloudError as error:
        failure = error
    if failure is not None:
        again = pickle.loads(pickle.dumps(failure))  # noqa: S301 - ours
        assert (type(again), str(again)) == (type(failure), str(failure))
        assert_tellable(str(failure))
        assert len(str(failure)) < 5000
        return
    for item in value if isinstance(value, list) else [value]:
        if is_dataclass(item):
            assert_tellable(json.loads(json.dumps(asdict(item), default=str, allow_nan=False)))
            assert pickle.loads(pickle.dumps(item)) == item  # noqa: S301 - ours


@pytest.mark.parametrize("verb", VERBS)
@fuzzed
@given(
    body=bodies(*ANSWERS),
    status=st.sampled_from([200] * 9 + [201, 204, 301, 400, 401, 403, 404, 408, 429, 500, 503, 999]),
    headers=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("retry-after", "content-type", "location"), texts)
    ),
)
@example(body=b"[" * 100_000, status=200, headers={})
@example(body=b'{"data":' * 100_000, status=400, headers={})
def test_answers(verb, body, status, headers):
    """Every verb of the client takes every answer."""
    headers = {name: value.encode("latin-1", "replace").decode("latin-1") for name, value in headers.items()}
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for method in ("GET", "POST"):
            mock.add(method, re.compile(".*"), body=body, status=status, headers=headers)
        assert_sound(lambda: verb(client()))


@fuzzed
@given(json=mutated(ANSWERS) | odd_values)
def test_readers(json):
    """Every reader takes every object, and what it read can be told."""
    for value in json if isinstance(json, list) else [json]:
        inner = value.get("data") if isinstance(value, dict) else value
        for item in (value, inner):
            if isinstance(item, dict):
                for reader in READERS:
                    assert_sound(lambda reader=reader, item=item: reader.from_json(item))
                assert_tellable(_tell(Run.from_json(item), ("trigger", "audit")))


@fuzzed
@given(value=texts, status=st.sampled_from([429, 503]))
def test_retry_after(value, status):
    """However long a server wants to be left alone, it is some seconds, a day at most, or not known."""
    with pytest.raises(DbtCloudError) as caught:
        judge("GET", "/", status, {"retry-after": value}, b"")
    assert caught.value.retry_after is None or 0 <= caught.value.retry_after <= 86_400


# --- what a run did ---------------------------------------------------------------------------------------


def assert_report(report):
    """Make sure that all that is made of a report can be told, and how much it is at most."""
    assert_tellable(summary := report.summary())
    assert len(json.dumps(summary)) < 300_000
    assert_tellable([report.explanation, report.table()])
    assert all("\n" not in line for line in report.table())
    assert issubclass(report.failure, DbtCloudRunFailed)
    assert draw_nodes(report).isascii()
    assert draw_failures(report).isascii()


@fuzzed
@given(run=mutated([RUN]), body=bodies(*RESULTS))
@example(run=RUN, body=b'{"results": ' * 100_000)
def test_reports(run, body):
    """A report is made of every run and of whatever stands where its results should."""
    run, clock = Run.from_json(run), itertools.count()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add("GET", re.compile(".*"), body=body)
        assert_report(read_report(client(), run, sleep=lambda _: None, clock=clock.__next__))


@fuzzed
@given(
    results=mutated(RESULTS),
    graph=mutated([{"parent_map": manifest["parent_map"]} for manifest in MANIFESTS]),
)
def test_pictures(results, graph):
    """What the tab draws is made of every result and every graph."""
    step = Step.from_json(STEPS[2])
    report = Report(Run.from_json(RUN), (Invocation(step, Results.from_json(results)),))
    assert_report(report)
    nodes = {node.unique_id for node in report.nodes}
    assert draw_nodes(report, Graph.from_pieces([write(graph)], nodes)).isascii()


@fuzzed
@given(body=bodies(*MANIFESTS), size=st.sampled_from([7, 1000, 2**16]), wanted=st.sets(texts, max_size=3))
@example(body=b'{"parent_map": ' * 50_000, size=2**16, wanted={"x"})
@example(body=b'{"metadata": ' * 50_000, size=2**16, wanted={"x"})
def test_manifests(body, size, wanted):
    """A manifest is looked through, whatever it is."""
    wanted |= {"model.harbour.port_dues", "model.a.b"}
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    graph = Graph.from_pieces(pieces, wanted)
    assert graph.find_parents(wanted, tests_first=True).keys() == wanted
    manifest = Manifest.from_pieces(pieces, wanted)
    assert_tellable([manifest.adapter, manifest.relations])


@fuzzed
@given(logs=st.lists(texts, max_size=30).map("\n".join), run=mutated([RUN]))
def test_consoles(logs, run):
    """Whatever a step writes, lines for a task's log are made of it, and what was shown can be told."""
    said = []

    class Log:
        def info(self, message, *args):
            said.append(message % args)

        warning = info

    first = Run.from_json({**RUN, "status": 3, "run_steps": [{**STEPS[2], "status": 3, "logs": logs}]})
    console = Console(first, Log())
    console.show(first)
    console.show(Run.from_json(run))
    assert_tellable([said, console.shown, last_words(logs)])
    assert not [line for line in said if "cannot be shown" in line or "\n" in line]
    Console(first, Log(), shown=console.shown).show(first)


@fuzzed
@given(payload=mutated([RunEvent(outcome="ended", run_id=7, status=10).to_payload()]) | odd_values)
def test_events(payload):
    """An event that was tampered with is refused, or one that is judged; never a success by chance."""
    try:
        event = RunEvent.from_payload(payload)
    except ValueError:
        return
    Console(event.to_run(), None, shown=event.shown)
    try:
        event.raise_for_outcome()
    except (DbtCloudError, ValueError):
        return
    assert (event.outcome, event.status) == ("ended", 10)


# --- what a DAG author writes -----------------------------------------------------------------------------


@fuzzed
@given(path=odd_values, run_id=odd_values, step=odd_values)
def test_artifacts(path, run_id, step):
    """A path, an id or a step that makes no sense is refused; the name of a file has no folder in it."""
    try:
        artifact = Artifact.from_parameters(path, run_id=run_id, step=step)
    except DbtCloudConfigurationError:
        return
    assert Path(artifact.file_name).name == artifact.file_name
    assert b"\0" not in artifact.file_name.encode()


@fuzzed
@given(
    name=st.sampled_from(sorted({*JobFilters.__annotations__, *RunFilters.__annotations__})), value=odd_values
)
def test_filters(name, value):
    """A filter is refused, or can be sent."""
    for kind in ("jobs", "runs"):
        try:
            read = read_filters({name: value}, kind)
            assert all(encode_filter(each).encode() for each in read.values() if each)
        except DbtCloudConfigurationError:
            continue


@fuzzed
@given(name=st.sampled_from(sorted(OVERRIDES)), value=odd_values, cause=texts)
def test_requests(name, value, cause):
    """The request for a run is refused, or can be sent."""
    try:
        request = RunRequest.from_parameters(cause, {name: value})
    except DbtCloudConfigurationError:
        return
    assert json.dumps(request.to_json(), allow_nan=False).encode()
    assert re.fullmatch("[ -~]{1,255}", request.cause)


class Stored:
    """An Airflow connection of any content."""

    conn_id = "odd"

    def __init__(self, host, login, password, port, extra):
        self.host, self.login, self.password, self.port, self.extra_dejson = (
            host,
            login,
            password,
            port,
            extra,
        )


@fuzzed
@given(
    host=st.none() | texts | texts.map(lambda text: f"https://{text}.dbt.com"),
    login=st.none() | texts,
    password=texts,
    port=st.none() | st.integers(),
    extra=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("proxies", "ca_bundle", "timeout_seconds", "allow_http"), odd_values)
    ),
)
def test_connections(host, login, password, port, extra):
    """A connection is refused, or leads to one host and has a token that fits into one header."""
    try:
        credentials = Credentials.from_connection(Stored(host, login or "42", password, port, extra))
    except DbtCloudConfigurationError:
        return
    assert re.fullmatch("[!-~]+", credentials.token)
    assert re.fullmatch(r"https?://[a-z0-9._:\[\]-]+", credentials.base_url)
