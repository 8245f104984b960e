"""The operator that saves what a run left behind, with dbt Cloud stood in for by `responses`."""

import hashlib
import json
from pathlib import Path

import fsspec
import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowException
from airflow.sdk.io import attach

from airflow_dbt_cloud.errors import DbtCloudConfigurationError, DbtCloudNotFound
from airflow_dbt_cloud.operators import DbtCloudGetJobRunArtifactOperator

PARQUET = b"PAR1\x00\xff\xfe\r\n\n\r\x1a" * 1000
NOT_FOUND = {"status": {"code": 404, "is_success": False, "user_message": "Not found."}, "data": None}


def operator(**parameters):
    """Return an operator; run_results.json of nobody unless the parameters say otherwise."""
    return DbtCloudGetJobRunArtifactOperator(task_id="fetch", **{"path": "run_results.json", **parameters})


def test_bytes(cloud, account, tmp_path):
    """A file that is no text arrives as it is, in a folder that is made for it."""
    path = "metadata/telemetry-4-otel.parquet"
    cloud.get(f"{account}/runs/7/artifacts/{path}", body=PARQUET, content_type="application/x-parquet")
    file = tmp_path / "a" / "b.parquet"
    assert operator(run_id=7, path=path, output_file_name=str(file)).execute({}) == str(file)
    assert hashlib.sha256(file.read_bytes()).digest() == hashlib.sha256(PARQUET).digest()


def test_json_is_not_written_anew(cloud, account, tmp_path):
    """JSON arrives as dbt wrote it, its blanks and the order of its keys included."""
    written = b'{ "b":1.0,\n "a": "\\u00e9" }\n'
    cloud.get(f"{account}/runs/7/artifacts/run_results.json", body=written)
    operator(run_id=7, output_file_name=str(tmp_path / "x")).execute({})
    assert (tmp_path / "x").read_bytes() == written


def test_the_right_step(cloud, account, tmp_path):
    """With a step the file is that step's, and not that of the last one, which made the docs."""
    url = f"{account}/runs/7/artifacts/run_results.json"
    cloud.get(f"{url}?step=4", body=b"of dbt build")
    last = cloud.get(url, body=b"of dbt docs generate")
    operator(run_id="7", step="4", output_file_name=str(tmp_path / "x")).execute({})
    assert (tmp_path / "x").read_text() == "of dbt build"
    assert last.call_count == 0


def test_an_artifact_that_is_not_there(cloud, account, tmp_path):
    """An artifact that the run does not have is an error, and no file."""
    cloud.get(f"{account}/runs/7/artifacts/catalog.json", status=404, json=NOT_FOUND)
    cloud.get(f"{account}/runs/7/", json={"data": {"id": 7, "status": 10}})
    with pytest.raises(DbtCloudNotFound, match=r"runs/7/artifacts/catalog\.json: Not found\."):
        operator(run_id=7, path="catalog.json", output_file_name=str(tmp_path / "x")).execute({})
    assert list(tmp_path.iterdir()) == []


def test_the_latest_run_of_a_job(cloud, account, tmp_path, monkeypatch):
    """With a job the file is that of its latest run that left any."""
    monkeypatch.chdir(tmp_path)
    cloud.get(f"{account}/jobs/5/artifacts/manifest.json", body=b"{}")
    assert operator(job_id="5", path="manifest.json").execute({}) == "5_manifest.json"
    assert (tmp_path / "5_manifest.json").read_bytes() == b"{}"


def test_default_name(cloud, account, tmp_path, monkeypatch, rendered):
    """Without a name the file is called by the run and the path, rendered, with dashes for slashes."""
    monkeypatch.chdir(tmp_path)
    cloud.get(f"{account}/runs/7/artifacts/compiled/ferry/a.sql", body=b"select 1")
    task = rendered(operator(run_id="{{ run }}", path="compiled/{{ project }}/a.sql"), run=7, project="ferry")
    assert task.execute({}) == "7_compiled-ferry-a.sql"
    assert [path.name for path in tmp_path.iterdir()] == ["7_compiled-ferry-a.sql"]


@pytest.mark.parametrize("url", ["memory://bucket/a/x.json", "file://{}/a/x.json"])
def test_object_storage(cloud, account, tmp_path, url):
    """The file may be an object in a store, named by its URL, which is what the task returns."""
    attach("memory", fs=fsspec.filesystem("memory"))
    url = url.format(tmp_path)
    cloud.get(f"{account}/runs/7/artifacts/run_results.json", body=PARQUET)
    assert operator(run_id=7, output_file_name=url).execute({}) == url
    assert ObjectStoragePath(url).read_bytes() == PARQUET
    assert [path.name for path in ObjectStoragePath(url).parent.iterdir()] == ["x.json"]


@pytest.mark.parametrize("kind", [Path, lambda name: ObjectStoragePath(f"file://{name}")])
def test_a_path_for_a_name(cloud, account, tmp_path, kind):
    """The file may be given as a path, and is returned as text all the same."""
    cloud.get(f"{account}/runs/7/artifacts/run_results.json", body=b"{}")
    name = kind(tmp_path / "x.json")
    assert operator(run_id=7, output_file_name=name).execute({}) == str(name)
    assert (tmp_path / "x.json").read_bytes() == b"{}"


def test_connection_of_a_store(cloud, account):
    """The URL may name the connection of the store, as Airflow writes it."""
    store = fsspec.filesystem("memory", skip_instance_cache=True, global_store=False)
    attach("memory", conn_id="storage", fs=store)
    cloud.get(f"{account}/runs/7/artifacts/run_results.json", body=b"{}")
    url = "memory://storage@bucket/x.json"
    assert operator(run_id=7, output_file_name=url).execute({}) == url
    assert store.cat_file("/bucket/x.json") == b"{}"


def test_templates(rendered):
    """Everything that says what to fetch and where to put it is templated."""
    names = ("run_id", "path", "step", "output_file_name", "account_id", "dbt_cloud_conn_id")
    task = rendered(operator(**dict.fromkeys(names, "{{ x }}")), x="7")
    assert {getattr(task, name) for name in names} == {"7"}
    assert rendered(operator(job_id="{{ x }}"), x="5").job_id == "5"


def test_official_templates():
    """What the official provider's operator renders is rendered."""
    official = {"dbt_cloud_conn_id", "run_id", "path", "account_id", "output_file_name"}
    assert official <= set(DbtCloudGetJobRunArtifactOperator.template_fields)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "give run_id or job_id, and not both"),
        ({"run_id": 7, "job_id": "{{ job }}"}, "give run_id or job_id, and not both"),
        ({"job_id": 5, "step": "{{ step }}"}, "knows the steps of a run, not of a job"),
        ({"run_id": "seven"}, "run_id must be a number"),
        ({"job_id": 0}, "job_id must be a number"),
        ({"run_id": 7, "account_id": "ours"}, "account_id must be a number"),
        ({"run_id": 7, "step": "last"}, "step must be a whole number above 0"),
        ({"run_id": 7, "path": "../secrets"}, "path must be the path of an artifact"),
        ({"run_id": 7, "path": "/etc/passwd"}, "path must be the path of an artifact"),
        ({"run_id": 7, "output_file_name": "s3://bucket/folder/"}, "output_file_name must name a file"),
        ({"run_id": 7, "output_file_name": " "}, "output_file_name must name a file"),
        ({"run_id": 7, "output_file_name": "a\0b"}, "output_file_name must name a file"),
        ({"run_id": 7, "hook_params": {"retries": 3}}, "hook_params takes timeout_seconds, retry_limit"),
    ],
)
def test_bad_parameters(parameters, message):
    """What cannot be meant is refused when the DAG is parsed."""
    with pytest.raises(DbtCloudConfigurationError, match=message):
        operator(**parameters)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"run_id": "{{ x }}"}, "run_id must be a number"),
        ({"run_id": 7, "path": "{{ x }}"}, "path must be the path of an artifact"),
        ({"run_id": 7, "output_file_name": "a{{ x }}"}, "output_file_name must name a file"),
    ],
)
def test_bad_templates(parameters, message, rendered):
    """What cannot be meant once it is rendered is refused then, before anything is asked."""
    with pytest.raises(DbtCloudConfigurationError, match=message):
        rendered(operator(**parameters), x="../").execute({})


def test_log(cloud, account, tmp_path, said):
    """The task says in one line what it saved, where to, and how much it was."""
    cloud.get(f"{account}/runs/7/artifacts/run_results.json", body=b"{}")
    operator(run_id=7, output_file_name=str(tmp_path / "x")).execute({})
    assert said() == [f"Saved run_results.json of dbt Cloud run 7 to {tmp_path}/x: 2 bytes."]


def test_kill_while_it_saves(cloud, account, tmp_path):
    """A task that is killed in the midst of its download leaves no unfinished file behind."""
    task = operator(run_id=7, output_file_name=str(tmp_path / "x"))

    def kill(_):
        task.on_kill()
        return 200, {}, json.dumps({})

    cloud.add_callback("GET", f"{account}/runs/7/artifacts/run_results.json", callback=kill)
    with pytest.raises(AirflowException, match="the artifact was not saved"):
        task.execute({})
    assert list(tmp_path.iterdir()) == []


def test_kill_while_it_does_not_save(cloud, account, tmp_path):
    """A kill before or after the download breaks into nothing."""
    cloud.get(f"{account}/runs/7/artifacts/run_results.json", body=b"{}")
    task = operator(run_id=7, output_file_name=str(tmp_path / "x"))
    task.on_kill()
    task.execute({})
    task.on_kill()
