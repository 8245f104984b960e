"""What is read of Airflow's database."""

from dataclasses import replace

import pytest

from airflow_dbt_cloud.tab.database import MOST_OTHERS, find_task, list_dbt_tasks, list_past


def test_find_task(airflow, key):
    """A task is found with its state, its template fields and the XComs of ours."""
    xcoms = {"dbt_cloud_run": {"version": 1}, "job_run_id": 7, "return_value": 7, "password": "secret"}
    airflow.add(key, xcoms, {"job_id": 9}, state="running", try_number=2)
    task = find_task(key)
    assert (task.key, task.state, task.try_number) == (key, "running", 2)
    assert (task.operator, task.is_last_try) == ("DbtCloudRunJobOperator", True)
    assert task.dag_run_started_at.isoformat() == "2026-01-01T12:00:00+00:00"
    assert task.rendered == {"job_id": 9}
    assert task.xcoms == {"dbt_cloud_run": {"version": 1}, "job_run_id": 7}
    assert find_task(key, keys=("job_run_id",)).xcoms == {"job_run_id": 7}


def test_not_found(airflow, key):
    """A task is found under all of its names only."""
    airflow.add(key)
    for other in ({"dag_id": "x"}, {"run_id": "x"}, {"task_id": "x"}, {"map_index": 0}):
        assert find_task(replace(key, **other)) is None
    assert find_task(key, try_number=7) is None


def test_before_anything(airflow, key):
    """A task that has not begun has a state at most."""
    airflow.add(key, state=None, try_number=0)
    task = find_task(key)
    assert (task.state, task.rendered, task.xcoms, task.is_ours) == (None, {}, {}, True)


@pytest.mark.parametrize(
    ("operator", "xcoms", "is_ours"),
    [
        ("DbtCloudRunJobOperator", {}, True),
        ("DbtCloudJobRunSensor", {}, True),
        ("OurOwnDbtOperator", {"job_run_id": 7}, True),
        ("OurOwnDbtSensor", {"dbt_cloud_run": {}}, True),
        ("OurOwnDbtOperator", {}, False),
        ("PythonOperator", {"return_value": 7}, False),
    ],
)
def test_is_ours(airflow, key, operator, xcoms, is_ours):
    """A task is ours by its operator, or, whatever it is called, by what only ours push."""
    airflow.add(key, xcoms, operator=operator)
    assert find_task(key).is_ours is is_ours
    assert [task.key for task in list_dbt_tasks(key.dag_id, key.run_id)] == ([key] if is_ours else [])


def test_list_past(airflow, key):
    """Thirty earlier runs of the same task have told what they did, and the latest of them of all nodes."""
    for number in range(40):
        run = replace(key, run_id=f"run {number}")
        xcoms = {"dbt_cloud_run": {"run": number}, "dbt_cloud_nodes": f"nodes {number}"}
        airflow.add(run, xcoms, started=number)
    for other in ({"dag_id": "x"}, {"task_id": "x"}, {"map_index": 0}):
        airflow.add(replace(key, **other), {"dbt_cloud_run": {}}, started=9)
    airflow.add(replace(key, run_id="silent"), {"job_run_id": 7}, started=9)
    looked_at = replace(key, run_id="run 35")
    past = list_past(looked_at, find_task(looked_at).dag_run_started_at)
    assert [each.summary["run"] for each in past] == list(range(34, 4, -1))
    assert past[0].key == replace(key, run_id="run 34")
    assert [each.nodes for each in past[:4]] == ["nodes 34", "nodes 33", "nodes 32", None]


def test_past_of_what_has_not_started(airflow, key):
    """Before its DAG run has started, all others are earlier."""
    airflow.add(key, {"dbt_cloud_run": {"run": 1}})
    airflow.add(replace(key, run_id="later"), {"dbt_cloud_run": {"run": 2}}, started=9)
    assert [each.summary["run"] for each in list_past(replace(key, run_id="queued"), None)] == [2, 1]


def test_list_dbt_tasks(airflow, key):
    """The dbt tasks of a DAG run are listed, one more at most than are shown."""
    airflow.add(key)
    airflow.add_mapped(replace(key, task_id="mapped"), 3, state="running")
    airflow.add(replace(key, run_id="another"))
    tasks = list_dbt_tasks(key.dag_id, key.run_id)
    assert [(task.key.task_id, task.key.map_index, task.state) for task in tasks] == [
        ("build", -1, "success"),
        *(("mapped", index, "running") for index in range(3)),
    ]
    airflow.add_mapped(replace(key, task_id="many"), MOST_OTHERS)
    assert len(list_dbt_tasks(key.dag_id, key.run_id)) == MOST_OTHERS + 1
