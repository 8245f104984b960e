"""What the state of a task says about who has ended it."""

from types import SimpleNamespace

import pytest

from airflow_dbt_cloud.task_states import question, read_state


@pytest.mark.parametrize(
    ("map_index", "name", "asked"), [(-1, "build", None), (None, "build", None), (0, "build_0", 0)]
)
def test_the_tasks_own_state(map_index, name, asked):
    """A task asks for its own state, not for its siblings'."""
    ti = SimpleNamespace(dag_id="dag", run_id="manual__1", task_id="build", map_index=map_index)
    assert question(ti) == {
        "dag_id": "dag",
        "task_ids": ["build"],
        "run_ids": ["manual__1"],
        "map_index": asked,
    }
    assert read_state({"manual__1": {name: "failed", "build_7": "success"}}, ti) == "failed"
    assert read_state({"manual__1": {name: None}}, ti) is None


def test_a_deleted_dag_run():
    """A task whose DAG run is deleted counts as removed."""
    ti = SimpleNamespace(dag_id="dag", run_id="manual__1", task_id="build", map_index=-1)
    assert read_state({}, ti) == "removed"


def test_an_answer_without_the_task():
    """An answer that does not tell the task's state is an error."""
    ti = SimpleNamespace(dag_id="dag", run_id="manual__1", task_id="build", map_index=-1)
    with pytest.raises(KeyError):
        read_state({"manual__1": {}}, ti)
