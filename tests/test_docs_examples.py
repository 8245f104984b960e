"""The DAGs of the documentation's how-to pages, run by a real Airflow against the local dbt Cloud."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from demo.airflow import Airflow
from demo.dbt_cloud import DbtCloud
from demo.processes import stop

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"
# Runs each DAG in one process, and prints how its tasks ended and what they returned.
RUN = """
import importlib, json, sys
for name in sys.argv[1:]:
    ended = getattr(importlib.import_module(name), name)().test()
    told = {
        f"{task.task_id}[{task.map_index}]": [
            task.state, task.xcom_pull(task.task_id, map_indexes=task.map_index)
        ]
        for task in ended.get_task_instances()
    }
    print(json.dumps([name, told]))
"""


@pytest.fixture(scope="module")
def dbt_cloud(tmp_path_factory):
    """Serve the example project, whose files have landed."""
    folder = tmp_path_factory.mktemp("docs")
    landing = folder / "landing"
    land = [sys.executable, ROOT / "example_dags" / "ferry_landing.py", landing]
    subprocess.run(land, check=True, capture_output=True, timeout=60)
    cloud = DbtCloud(
        ROOT / "example_dags" / "project",
        folder / "state",
        log=folder / "dbt-cloud.log",
        environment={"DBT_LANDING": str(landing)},
    )
    yield cloud
    stop([cloud])


# Three DAG runs one after another, and a database, take a minute on a machine of their own.
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_dags_do_what_the_pages_say(dbt_cloud, tmp_path, monkeypatch):
    """Each DAG of the how-to pages ends green, and its tasks return what the pages promise."""
    airflow = Airflow(
        tmp_path / "airflow", [EXAMPLES], environment={"AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES)}
    )
    (tmp_path / "airflow").mkdir()
    airflow._run("db", "migrate")
    dbt_cloud.wait_until_ready()
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", RUN, "sales", "refresh", "policies"],
        env={
            **airflow.environment,
            "AIRFLOW__DBT_CLOUD__CHECK_INTERVAL": "2",
            "AIRFLOW_CONN_DBT_CLOUD_DEFAULT": dbt_cloud.connection_json(),
            "PYTHONPATH": str(EXAMPLES),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith('["')]
    dags = dict(json.loads(line) for line in lines)
    assert sorted(dags) == ["policies", "refresh", "sales"], done.stdout[-5000:]
    for name, tasks in dags.items():
        assert {state for state, _ in tasks.values()} == {"success"}, (name, done.stdout[-5000:])
    sales = {task: value for task, (_, value) in dags["sales"].items()}
    run_id = sales["build[-1]"]
    assert sales["latest[-1]"]["id"] == run_id
    manifest = json.loads(Path(sales["keep_the_manifest[-1]"]).read_text())
    assert manifest["metadata"]["adapter_type"] == "duckdb"
    assert sales["slowest[-1]"].endswith(f"/runs/{run_id}/")
    refresh = {task: value for task, (_, value) in dags["refresh"].items()}
    assert len(refresh["jobs[-1]"]) == 1
    assert len([task for task in refresh if task.startswith("wait[")]) == 1
