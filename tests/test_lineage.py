"""Lineage of a run: which steps are told of, whose children they are, and that no task suffers from it."""

import json
import re
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import responses
from airflow.sdk import DAG

pytest.importorskip("airflow.providers.openlineage", reason="the extra openlineage is not installed")

from airflow.providers.openlineage.plugins.listener import get_openlineage_listener
from airflow.providers.openlineage.utils.selective_enable import enable_lineage
from airflow.sdk.exceptions import AirflowTaskTimeout

from airflow_dbt_cloud.client import Client
from airflow_dbt_cloud.lineage import MOST_BYTES, emit_lineage
from airflow_dbt_cloud.models import Run, Step
from airflow_dbt_cloud.operators import DbtCloudRunJobOperator
from airflow_dbt_cloud.report import read_report
from airflow_dbt_cloud.retries import Retries

SAMPLES = Path(__file__).parent / "samples" / "lineage"
V2, V3 = (f"https://ab123.us1.dbt.com/api/{version}/accounts/7/" for version in ("v2", "v3"))


SCRIPT = """
import sys
from types import SimpleNamespace
from airflow_dbt_cloud.lineage import emit_lineage
report = SimpleNamespace(run=None, invocations=[None])
emit_lineage({"ti": None}, SimpleNamespace(within=lambda _: None), report, None)
print("openlineage.client" in sys.modules)
"""


def read(name):
    """Read a sample."""
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


class Log:
    """Remembers what it was told."""

    def __init__(self):
        self.lines = []

    def debug(self, message, *values):
        pass

    def info(self, message, *values):
        self.lines.append(("info", message % values))

    def warning(self, message, *values):
        self.lines.append(("warning", message % values))


class DbtCloud:
    """A dbt Cloud with one run, whose steps leave artifacts."""

    def __init__(self, mocked, reply):
        self.mocked, self.reply = mocked, reply
        self.steps = []
        self.artifacts = {}
        self.answer("GET", f"{V3}projects/5/environments/2/", {"id": 2, "connection_id": 8})
        address = {"host": "localhost", "path": "/ferry.duckdb"}
        self.answer("GET", f"{V3}connections/8/", {"id": 8, "name": "DuckDB", "config": address})
        mocked.add_callback(responses.GET, re.compile(f"{V2}runs/1/artifacts/.*"), callback=self._artifact)

    def answer(self, method, url, data, status=200):
        """Answer a request from now on."""
        self.mocked.upsert(method, url, status=status, body=self.reply(status, data)[2])

    def _artifact(self, request):
        path, step = request.path_url.split("?")[0].rpartition("/")[2], int(request.params["step"])
        artifact = self.artifacts.get((step, path))
        if callable(artifact):
            artifact = artifact()
        if artifact is None:
            return self.reply(404, None, "Not found.")
        return 200, {}, artifact if isinstance(artifact, bytes) else json.dumps(artifact)

    def ran(self, command, sample=None, **artifacts):
        """Let a step have run, and return its number."""
        index = len(self.steps) + 4
        self.steps.append(Step(index * 10, index, f"Invoke dbt with `{command}`", 10))
        if sample:
            results = read(f"{sample}.run_results")
            results["metadata"]["invocation_id"] = f"invocation {index}"
            self.artifacts[index, "run_results.json"] = results
            self.artifacts[index, "manifest.json"] = read(f"{sample}.manifest")
        for name, artifact in artifacts.items():
            self.artifacts[index, f"{name}.json"] = artifact
        return index

    @property
    def run(self):
        """The run, ended."""
        clone = Step(1, 1, "Clone git repository", 10)
        return Run(1, 20, account_id=7, project_id=5, environment_id=2, steps=(clone, *self.steps))

    def asked(self):
        """Return what was asked for, without the beginning."""
        urls = [call.request.url.replace(V2, "").replace(V3, "") for call in self.mocked.calls]
        return [url.removeprefix("runs/1/artifacts/").replace(".json?step=", " ") for url in urls]


@pytest.fixture
def dbt_cloud(reply):
    """Stand in for dbt Cloud."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        yield DbtCloud(mocked, reply)


@pytest.fixture
def client(make_credentials):
    """Return a client that repeats nothing."""
    return Client(make_credentials(), retries=Retries(limit=1))


@pytest.fixture
def sent(tmp_path, monkeypatch):
    """Switch on OpenLineage, with a file for its events; return what reads them."""
    file = tmp_path / "events.json"
    transport = {"type": "file", "log_file_path": str(file), "append": True}
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", json.dumps(transport))
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__NAMESPACE", "the-airflow")
    get_openlineage_listener.cache_clear()
    yield lambda: [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    get_openlineage_listener.cache_clear()


@pytest.fixture
def log():
    """Return a log that remembers."""
    return Log()


@pytest.fixture
def ti():
    """Return a task instance of a real operator."""
    with DAG("ferries", schedule=None):
        task = DbtCloudRunJobOperator(task_id="build", job_id=9)
    moment = datetime(2026, 11, 24, tzinfo=UTC)
    dag_run = SimpleNamespace(logical_date=moment, run_after=moment, clear_number=0, conf={})
    return SimpleNamespace(
        task=task,
        dag_id="ferries",
        task_id="build",
        run_id="manual",
        try_number=2,
        map_index=-1,
        dag_run=dag_run,
        get_template_context=lambda: {"dag_run": dag_run},
    )


@pytest.fixture
def emit(client, dbt_cloud, ti, log):
    """Return the function under test, with all that it needs; `before` happens after the report is read."""

    def emit(before=lambda: None, **options):
        report = read_report(client, dbt_cloud.run, patience=1.0)
        dbt_cloud.mocked.calls.reset()
        before()
        emit_lineage({"ti": ti}, client, report, log, **options)

    return emit


def ends(events):
    """Return how nodes ended, by kind."""
    return sorted(
        (event["eventType"], event["job"]["facets"]["jobType"]["jobType"])
        for event in events
        if event["eventType"] != "START"
    )


GOOD = [
    *[("COMPLETE", "MODEL")] * 3,
    *[("COMPLETE", "SEED")] * 2,
    ("COMPLETE", "SNAPSHOT"),
    *[("COMPLETE", "TEST")] * 5,
]
BAD = [("COMPLETE", "MODEL"), ("COMPLETE", "TEST"), ("COMPLETE", "TEST"), ("FAIL", "MODEL")]


@pytest.mark.parametrize(
    "command",
    [
        "dbt build",
        "dbt build --select path:models/staging/stg_ports.sql",
        "dbt --warn-error build",
        "dbt --target prod --quiet run --vars '{day: 2026-11-24}'",
        "dbt retry",
        "dbt snapshot",
    ],
)
def test_every_step_that_builds(dbt_cloud, emit, sent, log, command):
    """Whatever the command looks like, and whoever gave it, its nodes are told of."""
    dbt_cloud.ran("dbt deps")
    dbt_cloud.ran(command, "built")
    emit()
    assert ends(sent()) == GOOD
    assert log.lines == [("info", "Told OpenLineage what dbt Cloud run 1 did, in 22 events.")]


def test_steps_that_leave_no_results(dbt_cloud, emit, sent, log):
    """Steps that build nothing do no harm, and nothing of theirs is read but the docs' catalog."""
    for command in ("dbt deps", "dbt source freshness", "dbt ls --quiet", "dbt build --select nothing"):
        dbt_cloud.ran(command)
    macro = {"results": [{"unique_id": "macro.ferry_line.paint", "status": "success"}]}
    dbt_cloud.ran("dbt run-operation paint", run_results=macro)
    dbt_cloud.ran("dbt build", "built")
    dbt_cloud.ran("dbt docs generate")
    emit()
    assert ends(sent()) == GOOD
    assert [line[0] for line in log.lines] == ["info"]
    assert dbt_cloud.asked() == [
        "run_results 9",
        "manifest 9",
        "catalog 10",
        "projects/5/environments/2/",
        "connections/8/",
    ]


def test_a_run_that_failed(dbt_cloud, emit, sent):
    """The steps before the failure, and the failed one, are told of."""
    dbt_cloud.ran("dbt seed", "built")
    dbt_cloud.ran("dbt build", "failed")
    emit()
    assert ends(sent()) == sorted(GOOD + BAD)


def test_the_same_results_twice(dbt_cloud, emit, sent):
    """A step that built nothing may show the results of the step before once more: they count once."""
    first = dbt_cloud.ran("dbt run", "built")
    dbt_cloud.ran("dbt test", run_results=dbt_cloud.artifacts[first, "run_results.json"])
    emit()
    assert ends(sent()) == GOOD


def test_columns(dbt_cloud, emit, sent):
    """The catalog of the step with the docs has the columns of all steps."""
    dbt_cloud.ran("dbt build", "built")
    dbt_cloud.ran("dbt docs generate", catalog=read("catalog"))
    emit()
    (model,) = (
        e for e in sent() if e["eventType"] == "COMPLETE" and "stg_ports.build.run" in e["job"]["name"]
    )
    fields = {field["name"]: field["type"] for field in model["outputs"][0]["facets"]["schema"]["fields"]}
    assert fields["port_code"] == "VARCHAR"


def test_parents(dbt_cloud, emit, sent, ti):
    """Namespaces, names and run ids are those that Airflow's own events of the task and its DAG run have."""
    dbt_cloud.ran("dbt build", "built")
    emit()
    adapter = get_openlineage_listener().adapter
    date = ti.dag_run.logical_date
    task = adapter.build_task_instance_run_id("ferries", "build", 2, date, -1)
    dag_run = adapter.build_dag_run_id("ferries", date, 0)
    for event in sent():
        parent = event["run"]["facets"]["parent"]
        assert parent["run"]["runId"] == task
        assert parent["job"] == {"namespace": "the-airflow", "name": "ferries.build"}
        assert parent["root"]["run"]["runId"] == dag_run
        assert parent["root"]["job"] == {"namespace": "the-airflow", "name": "ferries"}
        assert event["job"]["namespace"] == "the-airflow"


def test_a_run_that_never_began(dbt_cloud, emit, sent, log):
    """Of a run without steps there is nothing to tell, not even that."""
    emit()
    assert (sent(), log.lines, dbt_cloud.asked()) == ([], [], [])


def lose_results(dbt_cloud, index):
    """Let the results not be there any more."""
    del dbt_cloud.artifacts[index, "run_results.json"]
    return "dbt Cloud answered 404"


def break_results(dbt_cloud, index):
    """Let the results be no JSON."""
    dbt_cloud.artifacts[index, "run_results.json"] = b"<html>"
    return "the artifact is not JSON"


def lose_manifest(dbt_cloud, index):
    """Let there be no manifest, as after a step that only checked how fresh sources are."""
    del dbt_cloud.artifacts[index, "manifest.json"]
    return "manifest.json: Not found."


def send_a_list(dbt_cloud, index):
    """Let the manifest be something else."""
    dbt_cloud.artifacts[index, "manifest.json"] = []
    return "TypeError: the manifest.json is no JSON object"


def send_nothing_known(dbt_cloud, index):
    """Let the manifest lack everything."""
    dbt_cloud.artifacts[index, "manifest.json"] = {"metadata": {"adapter_type": "duckdb"}}
    return "Error: "


def send_too_much(dbt_cloud, index):
    """Let the manifest be longer than what is read of one."""
    dbt_cloud.artifacts[index, "manifest.json"] = b" " * (MOST_BYTES["manifest.json"] + 1)
    return "the artifact is longer than 67108864 bytes"


def answer_nothing(dbt_cloud, index):
    """Let the connection break."""

    def fail():
        raise ConnectionResetError

    dbt_cloud.artifacts[index, "manifest.json"] = fail
    return "dbt Cloud did not answer GET"


SPOILERS = [
    lose_results,
    break_results,
    lose_manifest,
    send_a_list,
    send_nothing_known,
    send_too_much,
    answer_nothing,
]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_one_step_does_not_lose_the_others(dbt_cloud, emit, sent, log, spoil):
    """A step that cannot be told of is named in the one warning, and the next one is told of."""
    first = dbt_cloud.ran("dbt seed", "built")
    dbt_cloud.ran("dbt build", "built")
    words = []
    emit(before=lambda: words.append(spoil(dbt_cloud, first)))
    assert ends(sent()) == GOOD
    ((level, line),) = log.lines
    assert level == "warning"
    said = "OpenLineage is not told all that dbt Cloud run 1 did (in 22 events): step 4 (`dbt seed`): "
    assert line.startswith(said)
    assert words[0] in line.removeprefix(said)


def test_two_things_go_wrong(dbt_cloud, emit, sent, log):
    """All that is missing is one warning."""
    for index in (dbt_cloud.ran("dbt seed", "built"), dbt_cloud.ran("dbt build", "built")):
        lose_manifest(dbt_cloud, index)
    emit()
    assert sent() == []
    ((level, line),) = log.lines
    assert (level, "; step 5 (`dbt build`): " in line) == ("warning", True)


def test_a_catalog_that_cannot_be_read(dbt_cloud, emit, sent, log):
    """Without its catalog a run is told of all the same, and the log says what is missing."""
    dbt_cloud.ran("dbt build", "built")
    dbt_cloud.ran("dbt docs generate", catalog=b"<html>")
    emit()
    assert ends(sent()) == GOOD
    ((level, line),) = log.lines
    assert (level, "the columns are only those that the project declares" in line) == ("warning", True)


NAMELESS = [
    (
        f"{V3}connections/8/",
        403,
        None,
        "the connection of environment 2 cannot be read: dbt Cloud answered 403",
    ),
    (f"{V3}projects/5/environments/2/", 404, None, "cannot be read: dbt Cloud answered 404"),
    (f"{V3}connections/8/", 200, {"id": 8, "config": None}, "the connection of environment 2 lacks 'path'"),
]


@pytest.mark.parametrize(("url", "status", "answer", "why"), NAMELESS)
def test_a_warehouse_without_an_address(dbt_cloud, emit, sent, log, url, status, answer, why):
    """Where the token may not see the connection, datasets have a namespace of their own, always the same."""
    dbt_cloud.answer("GET", url, answer, status)
    dbt_cloud.ran("dbt build", "built")
    dbt_cloud.ran("dbt build", "built")
    emit()
    assert ends(sent()) == sorted(GOOD * 2)
    namespaces = {d["namespace"] for e in sent() for d in (*e["inputs"], *e["outputs"])}
    assert namespaces == {"duckdb://dbt-cloud-environment-2"}
    ((level, line),) = log.lines
    assert (level, line.count("namespace")) == ("warning", 1)
    assert why in line


def test_namespace(dbt_cloud, emit, sent):
    """The datasets' namespace is made of the connection's address, asked for once."""
    dbt_cloud.ran("dbt build", "built")
    dbt_cloud.ran("dbt build", "built")
    emit()
    assert {d["namespace"] for e in sent() for d in e["outputs"]} == {"duckdb:///ferry.duckdb"}
    assert dbt_cloud.asked().count("connections/8/") == 1


def test_bigquery_needs_no_connection(dbt_cloud, emit, sent):
    """The namespace of BigQuery is always the same, and nobody is asked for it."""
    index = dbt_cloud.ran("dbt build", "built")
    dbt_cloud.artifacts[index, "manifest.json"]["metadata"]["adapter_type"] = "bigquery"
    emit()
    assert {d["namespace"] for e in sent() for d in e["outputs"]} == {"bigquery"}
    assert dbt_cloud.asked() == ["run_results 4", "manifest 4"]


def ended():
    """Wait until the thread is gone."""
    for thread in threading.enumerate():
        if thread.name == "dbt-cloud-lineage":
            thread.join()


def test_the_bound(dbt_cloud, emit, sent, log):
    """What takes too long is given up, and sends nothing afterwards."""
    goes_on = threading.Event()
    index = dbt_cloud.ran("dbt build", "built")
    manifest = dbt_cloud.artifacts[index, "manifest.json"]
    dbt_cloud.artifacts[index, "manifest.json"] = lambda: goes_on.wait() and manifest
    dbt_cloud.ran("dbt build", "built")
    emit(bound=0.2)
    ((level, line),) = log.lines
    assert (level, "(in 0 events): it takes longer than 0 s" in line) == ("warning", True)
    goes_on.set()
    ended()
    assert sent() == []
    assert "manifest 5" not in dbt_cloud.asked()


def test_execution_timeout(dbt_cloud, emit, sent, log):
    """The task's execution_timeout ends the telling, and not the task, whose run has ended."""
    goes_on = threading.Event()

    def ring():
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)
        goes_on.wait()

    def time_is_over(*_):
        raise AirflowTaskTimeout

    index = dbt_cloud.ran("dbt build", "built")
    dbt_cloud.artifacts[index, "manifest.json"] = ring
    before = signal.signal(signal.SIGALRM, time_is_over)
    try:
        emit()
    finally:
        signal.signal(signal.SIGALRM, before)
    goes_on.set()
    ended()
    assert sent() == []
    ((level, line),) = log.lines
    assert (level, "the task's execution_timeout is over" in line) == ("warning", True)


def test_a_parent_that_cannot_be_made(dbt_cloud, emit, sent, log, ti):
    """If Airflow's provider cannot say who the task is, that is one warning."""
    del ti.get_template_context
    dbt_cloud.ran("dbt build", "built")
    emit()
    assert sent() == []
    ((level, line),) = log.lines
    assert level == "warning"
    assert "(in 0 events): AttributeError: " in line


def switch_off(monkeypatch):
    """Switch off OpenLineage for everybody."""
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__DISABLED", "True")


def configure_nothing(monkeypatch):
    """Give OpenLineage nobody to talk to, as where it is installed and never configured."""
    monkeypatch.delenv("AIRFLOW__OPENLINEAGE__TRANSPORT")


def switch_off_the_operator(monkeypatch):
    """Switch it off for our operator."""
    name = "airflow_dbt_cloud.operators.run_job.DbtCloudRunJobOperator"
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__DISABLED_FOR_OPERATORS", name)


def select_others(monkeypatch):
    """Let only those tasks have lineage that ask for it."""
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE", "True")


def set_a_policy(monkeypatch):
    """Switch it off for a DAG."""
    pytest.importorskip(
        "airflow.providers.openlineage.utils.emission_policy", reason="the provider is too old"
    )
    rule = {"scope": {"dag_id": "ferries"}, "controls": {"emit": False}}
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__EMISSION_POLICY", json.dumps([rule]))


@pytest.mark.filterwarnings("ignore::airflow.exceptions.AirflowProviderDeprecationWarning")
@pytest.mark.parametrize(
    "switch", [switch_off, configure_nothing, switch_off_the_operator, select_others, set_a_policy]
)
def test_nothing_is_done_where_it_is_off(dbt_cloud, emit, sent, log, monkeypatch, switch):
    """Where OpenLineage is off, for all or for the task, dbt Cloud is not asked, and the log says nothing."""
    switch(monkeypatch)
    dbt_cloud.ran("dbt build", "built")
    emit()
    assert (dbt_cloud.asked(), sent(), log.lines) == ([], [], [])


@pytest.mark.filterwarnings("ignore::airflow.exceptions.AirflowProviderDeprecationWarning")
def test_selected(dbt_cloud, emit, sent, ti, monkeypatch):
    """A task that asks for lineage has it where only such tasks have."""
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE", "True")
    enable_lineage(ti.task)
    dbt_cloud.ran("dbt build", "built")
    emit()
    assert ends(sent()) == GOOD


def test_nothing_is_loaded_where_it_is_off(monkeypatch):
    """Where OpenLineage is installed but not switched on, a task does not even load it."""
    monkeypatch.delenv("AIRFLOW__OPENLINEAGE__TRANSPORT", raising=False)
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1:] == ["False"]


def test_not_installed(dbt_cloud, emit, sent, log, monkeypatch):
    """Without the extra nothing happens."""
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage.conf", None)
    dbt_cloud.ran("dbt build", "built")
    emit()
    assert (dbt_cloud.asked(), sent(), log.lines) == ([], [], [])
