"""Artifacts become files: whole or not at all, and byte for byte."""

import json
import tracemalloc
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest
import responses
from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.sdk.io import attach
from airflow.sdk.lineage import HookLineageCollector

from airflow_dbt_cloud.artifacts import Artifact, save_artifact
from airflow_dbt_cloud.client import Client
from airflow_dbt_cloud.errors import (
    DbtCloudConfigurationError,
    DbtCloudNotFound,
    DbtCloudServerError,
    DbtCloudUnreachable,
)
from airflow_dbt_cloud.models import Run
from airflow_dbt_cloud.retries import Retries

ACCOUNT = "https://ab123.us1.dbt.com/api/v2/accounts/7"
NOW = datetime(2026, 5, 27, 10, tzinfo=UTC)
# What is no text in any encoding, and what a text file would translate.
BINARY = b"PAR1\x00\xff\xfe\r\n\n\r\x1a" * 1000
PARQUET = Artifact("metadata/telemetry-4-otel.parquet", run_id=7)


class Downloads:
    """A client, each of whose downloads yields what a test wants, or raises it."""

    def __init__(self, *downloads, run=None):
        self.downloads = list(downloads)
        self.run = run
        self.asked = []

    @contextmanager
    def stream_artifact(self, run_id, path, *, step=None):
        self.asked.append((run_id, path, step))
        download = self.downloads.pop(0)
        if isinstance(download, Exception):
            raise download
        yield pieces_of(download)

    def get_run(self, run_id):
        assert run_id == self.run.id
        return self.run


def pieces_of(download):
    """Yield what is bytes, and raise what is an error."""
    for piece in download:
        if isinstance(piece, BaseException):
            raise piece
        yield piece


def broken():
    """Return what a connection that breaks off is."""
    return DbtCloudUnreachable("GET", "artifacts/a", "reset", may_have_arrived=True)


def missing():
    """Return what an artifact that is not there is."""
    return DbtCloudNotFound("GET", "artifacts/a", 404, "Not found.")


@pytest.fixture
def memory():
    """Return a store of objects, which knows neither folders nor how to move."""
    store = fsspec.filesystem("memory")
    attach("memory", fs=store)
    yield store
    store.store.clear()
    store.pseudo_dirs[:] = [""]


@pytest.fixture(params=["path", "file", "memory"])
def target(request, tmp_path, memory):
    """Return a file in a folder that is not there: a path, a URL of a file, and one of an object."""
    assert memory is not None
    return {
        "path": tmp_path / "a" / "b" / "x.bin",
        "file": ObjectStoragePath(f"file://{tmp_path}/a/b/x.bin"),
        "memory": ObjectStoragePath("memory://a/b/x.bin"),
    }[request.param]


@pytest.fixture
def cloud():
    """Stand in for dbt Cloud."""
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def client(make_credentials):
    """Return a client that repeats nothing."""
    return Client(make_credentials(), retries=Retries(limit=1))


def beside(target):
    """Return the names of what stands in the target's folder."""
    return [path.name for path in target.parent.iterdir()] if target.parent.exists() else []


# --- whole or not at all ----------------------------------------------------------------------------------


def test_bytes(cloud, client, target):
    """An artifact is saved byte for byte, whatever it is, in a folder that is made for it."""
    cloud.get(f"{ACCOUNT}/runs/7/artifacts/{PARQUET.path}", body=BINARY)
    assert save_artifact(client, PARQUET, target) == len(BINARY)
    assert target.read_bytes() == BINARY
    assert beside(target) == ["x.bin"]


def test_empty(target):
    """An artifact without a byte is a file without a byte."""
    assert save_artifact(Downloads([]), PARQUET, target) == 0
    assert target.read_bytes() == b""


def test_a_file_is_replaced(target):
    """A file that is there gives way to a new one, also to one that is shorter."""
    save_artifact(Downloads([b"a long one"]), PARQUET, target)
    save_artifact(Downloads([b"short"]), PARQUET, target)
    assert target.read_bytes() == b"short"
    assert beside(target) == ["x.bin"]


def test_the_old_file_stands_until_the_new_one_is_whole(target):
    """Whoever reads the file meanwhile gets the old one."""
    save_artifact(Downloads([b"old"]), PARQUET, target)

    def download():
        yield b"ne"
        assert target.read_bytes() == b"old"
        yield b"w"

    save_artifact(Downloads(download()), PARQUET, target)
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize(
    "error", [AirflowTaskTimeout("over"), KeyboardInterrupt(), OSError("no space left"), DbtCloudServerError]
)
def test_whatever_goes_wrong(target, error):
    """A download that ends in the midst leaves nothing behind, and the old file as it was."""
    save_artifact(Downloads([b"old"]), PARQUET, target)
    error = DbtCloudServerError("GET", "a", 500, "x") if error is DbtCloudServerError else error
    with pytest.raises(type(error)) as caught:
        save_artifact(Downloads([b"new", error]), PARQUET, target)
    assert caught.value is error
    assert target.read_bytes() == b"old"
    assert beside(target) == ["x.bin"]


def test_nothing_is_made_for_an_artifact_that_is_not_there(tmp_path):
    """Not even a folder is made before dbt Cloud has answered with the artifact."""
    client = Downloads(missing(), run=Run(7, 10, finished_at=NOW - timedelta(days=1)))
    with pytest.raises(DbtCloudNotFound):
        save_artifact(client, PARQUET, tmp_path / "a" / "x.bin")
    assert list(tmp_path.iterdir()) == []


def test_object_storage_gets_no_folders(memory):
    """Where there are no folders none is made: it might become a bucket."""
    save_artifact(Downloads([b"x"]), PARQUET, ObjectStoragePath("memory://bucket/a/x.bin"))
    assert memory.pseudo_dirs == [""]


def test_a_folder_is_no_target(tmp_path, memory):
    """A folder is refused before anything is asked, rather than filled under another name."""
    memory.pipe_file("/bucket/a/x.bin", b"x")
    for folder in (tmp_path, Path(), ObjectStoragePath("memory://bucket/a"), ObjectStoragePath("file:///")):
        client = Downloads()
        with pytest.raises(DbtCloudConfigurationError, match="is a folder") as caught:
            save_artifact(client, PARQUET, folder)
        assert str(folder) in str(caught.value)
        assert client.asked == []


def test_a_temporary_file_that_cannot_be_removed(tmp_path, caplog):
    """If the unfinished file cannot be removed, that is told, and does not hide why it should be."""

    class Stubborn(type(tmp_path)):
        def unlink(self, **_):
            raise PermissionError("not yours")

    with pytest.raises(AirflowTaskTimeout):
        save_artifact(Downloads([AirflowTaskTimeout("over")]), PARQUET, Stubborn(tmp_path / "x.bin"))
    (left,) = beside(tmp_path / "x.bin")
    assert [record.getMessage() for record in caplog.records] == [
        f"The unfinished file {tmp_path / left} stays behind: not yours"
    ]


def test_no_lineage_of_a_temporary_file(monkeypatch, tmp_path):
    """Airflow's lineage learns of no file that is gone when the task has ended."""
    collector = HookLineageCollector()
    monkeypatch.setattr("airflow.sdk.lineage.get_hook_lineage_collector", lambda: collector)
    save_artifact(Downloads([b"x", b"y"]), PARQUET, ObjectStoragePath(f"file://{tmp_path}/x.bin"))
    assert not collector.has_collected


def test_constant_memory(tmp_path):
    """A file of 64 MiB takes no more memory than a small one."""
    tracemalloc.start()
    try:
        size = save_artifact(Downloads(bytes(2**16) for _ in range(2**10)), PARQUET, tmp_path / "x.bin")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == (tmp_path / "x.bin").stat().st_size == 2**26
    assert peak < 8 * 2**20


# --- again ------------------------------------------------------------------------------------------------


def test_a_download_that_breaks_off_begins_again(target, caplog):
    """A download that breaks off begins again from its first byte, and the log says so."""
    client = Downloads([b"half", broken()], [b"other ", broken()], [b"the ", b"whole"])
    assert save_artifact(client, PARQUET, target) == len(b"the whole")
    assert target.read_bytes() == b"the whole"
    assert beside(target) == ["x.bin"]
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"{broken()} The download begins again."] * 2


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_a_download_that_always_breaks_off(target, tries):
    """It is not begun for ever: as often as a request is sent at most."""
    client = Downloads(*[[b"half", broken()]] * 9)
    with pytest.raises(DbtCloudUnreachable):
        save_artifact(client, PARQUET, target, tries=tries)
    assert len(client.asked) == tries
    assert beside(target) == []


def test_a_download_that_cannot_begin(target):
    """What the client has given up is not begun again here."""
    client = Downloads(broken(), [b"x"])
    with pytest.raises(DbtCloudUnreachable):
        save_artifact(client, PARQUET, target)
    assert len(client.asked) == 1


def test_a_broken_connection(serve, make_credentials, answer, target):
    """A real connection that breaks off in the midst of the bytes is one that breaks off."""
    answers = [answer(body=b"half", content_length="8", connection="close"), answer(body=b"all of it")]
    server = serve(lambda *_: answers.pop(0))
    client = Client(make_credentials(server.url), retries=Retries(limit=1))
    assert save_artifact(client, PARQUET, target) == 9
    assert target.read_bytes() == b"all of it"


# --- not there yet ----------------------------------------------------------------------------------------


def save(client, *, pauses):
    """Save to nowhere in particular, with a clock of its own; note how long was waited."""
    target = ObjectStoragePath("memory://x.bin")
    return save_artifact(client, PARQUET, target, sleep=pauses.append, clock=NOW.timestamp)


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("age", [-100, 0, 5, 119])
def test_the_artifacts_of_a_run_that_has_just_ended(age):
    """An artifact of a run that has just ended is waited for, also if the clocks differ a little."""
    run = Run(7, 20, finished_at=NOW - timedelta(seconds=age))
    client, pauses = Downloads(missing(), missing(), [b"x"], run=run), []
    assert save(client, pauses=pauses) == 1
    assert pauses == [1, 2]


@pytest.mark.usefixtures("memory")
def test_the_wait_is_bounded(caplog):
    """An artifact that does not come is waited for 20 s, and then missing; the log says so once."""
    caplog.set_level("INFO")
    client, pauses = Downloads(*[missing() for _ in range(99)], run=Run(7, 10, finished_at=NOW)), []
    with pytest.raises(DbtCloudNotFound):
        save(client, pauses=pauses)
    assert (len(client.asked), sum(pauses)) == (7, 20)
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"Waiting for {PARQUET}, because the run has just ended: 20 s at most."]


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("finished_at", [NOW - timedelta(seconds=121), None])
def test_the_artifacts_of_an_old_run(finished_at):
    """An artifact of a run that ended long ago is not waited for."""
    client, pauses = Downloads(missing(), run=Run(7, 10, finished_at=finished_at)), []
    with pytest.raises(DbtCloudNotFound):
        save(client, pauses=pauses)
    assert pauses == []


@pytest.mark.usefixtures("memory")
def test_the_artifacts_of_a_run_that_goes():
    """An artifact of a run that has not ended is not waited for, and the error says why it is missing."""
    client, pauses = Downloads(missing(), run=Run(7, 3)), []
    with pytest.raises(DbtCloudNotFound, match=r"Not found\. The run has not ended \(Running\)"):
        save(client, pauses=pauses)
    assert pauses == []


def test_the_artifacts_of_a_job(cloud, client, target):
    """An artifact of a job is that of its latest run that has any, and is not waited for."""
    url = f"{ACCOUNT}/jobs/5/artifacts/manifest.json"
    cloud.get(url, body=b"{}")
    asked = cloud.get(url, status=404, body=json.dumps({"status": {"user_message": "No."}, "data": None}))
    artifact = Artifact("manifest.json", job_id=5)
    assert save_artifact(client, artifact, target) == 2
    with pytest.raises(DbtCloudNotFound):
        save_artifact(client, artifact, target)
    assert asked.call_count == 1


# --- which one --------------------------------------------------------------------------------------------


def test_of_a_step(cloud, client, target):
    """An artifact of a step is asked for by that step."""
    cloud.get(f"{ACCOUNT}/runs/7/artifacts/run_results.json?step=4", body=b"4")
    cloud.get(f"{ACCOUNT}/runs/7/artifacts/run_results.json?step=5", body=b"5")
    for step in (5, 4):
        save_artifact(client, Artifact("run_results.json", run_id=7, step=step), target)
        assert target.read_text() == str(step)


@pytest.mark.parametrize(
    ("artifact", "name", "text"),
    [
        (Artifact("a/b.sql", run_id=7), "7_a-b.sql", "a/b.sql of dbt Cloud run 7"),
        (Artifact("m.json", run_id=7, step=4), "7_m.json", "m.json of step 4 of dbt Cloud run 7"),
        (Artifact("m.json", job_id=5), "5_m.json", "m.json of the latest run of dbt Cloud job 5"),
    ],
)
def test_names(artifact, name, text):
    """An artifact has a name as a file, without folders, and one in words."""
    assert artifact.file_name == name
    assert str(artifact) == text


def test_parameters_as_text():
    """Numbers may be strings, as templates make them."""
    assert Artifact.from_parameters("m.json", run_id="7", step="4") == Artifact("m.json", run_id=7, step=4)
    assert Artifact.from_parameters("m.json", job_id=" 5 ") == Artifact("m.json", job_id=5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"path": "m.json"}, "give run_id or job_id, and not both"),
        ({"path": "m.json", "run_id": 7, "job_id": 5}, "give run_id or job_id, and not both"),
        ({"path": "m.json", "job_id": 5, "step": 4}, "the steps of a run, not of a job: give step=4"),
        ({"path": "m.json", "run_id": ""}, "run_id must be a number"),
        ({"path": "m.json", "job_id": "x"}, "job_id must be a number"),
        ({"path": "m.json", "run_id": 7, "step": 0}, "step must be a whole number above 0"),
        ({"path": "../m.json", "run_id": 7}, "path must be the path of an artifact"),
        ({"path": "..\\m.json", "run_id": 7}, "path must be the path of an artifact"),
        ({"path": "/etc/passwd", "run_id": 7}, "path must be the path of an artifact"),
    ],
)
def test_bad_parameters(parameters, message):
    """What cannot be meant is refused, and the message says what to give."""
    with pytest.raises(DbtCloudConfigurationError, match=message):
        Artifact.from_parameters(**parameters)
