"""Tests of `airflow_dbt_cloud.local.store`: what outlives a restart."""

import pytest

from airflow_dbt_cloud.local.errors import StartError
from airflow_dbt_cloud.local.records import Job, Run, Status, Step, Trigger
from airflow_dbt_cloud.local.store import RESTARTED, Store

JOB = Job(id=1, name="J", environment_id=2, commands=("dbt build",), created_at=0.0, updated_at=0.0)


def new_run(store, **fields):
    """Make a run of the job."""
    trigger = Trigger(
        id=store.next_id(), cause="x", job_definition_id=1, steps_override=("dbt run",), created_at=0.0
    )
    return Run(
        id=store.next_id(),
        job=JOB,
        trigger=trigger,
        created_at=store.clock(),
        updated_at=store.clock(),
        commands=("dbt run",),
        core_version="1.11.16",
        triggered_by="local",
        **fields,
    )


def test_everything_is_read_back(tmp_path, clock):
    """Runs with their steps, and jobs that the API made, are equal after a restart."""
    store = Store(tmp_path, [], clock)
    store.save_job(JOB)
    run = store.add_run(new_run(store))
    store.add_step(run.id, Step(store.next_id(), 1, "Clone git repository", 1.0, status=Status.SUCCESS))
    run = store.update_run(run.id, status=Status.SUCCESS, finished_at=9.0)
    last_id = store.next_id()
    store.close()
    again = Store(tmp_path, [], clock)
    assert again.find_run(run.id) == run
    assert again.find_job(1) == JOB
    assert again.latest_run(1) == run
    assert again.next_id() >= last_id
    again.close()


def test_a_restart_ends_what_was_going(tmp_path, clock):
    """Runs that were going are cancelled with a message, their steps too; what was queued still is."""
    store = Store(tmp_path, [JOB], clock)
    going, queued = store.add_run(new_run(store)), store.add_run(new_run(store))
    store.update_run(going.id, status=Status.RUNNING)
    store.add_step(going.id, Step(store.next_id(), 1, "x", 1.0))
    store.close()
    clock.now += 100
    again = Store(tmp_path, [JOB], clock)
    ended = again.find_run(going.id)
    assert (ended.status, ended.status_message, ended.finished_at) == (Status.CANCELLED, RESTARTED, clock.now)
    assert ended.steps[0].status is Status.CANCELLED
    assert again.find_run(queued.id).status is Status.QUEUED
    assert [run.id for run in again.unfinished_runs()] == [queued.id]
    again.close()


def test_a_finished_run_never_changes(tmp_path, clock):
    """Nothing follows a terminal status."""
    store = Store(tmp_path, [JOB], clock)
    run = store.add_run(new_run(store))
    done = store.update_run(run.id, status=Status.CANCELLED)
    assert store.update_run(run.id, status=Status.SUCCESS) == done
    store.close()


def test_ids_grow_over_a_wiped_state(tmp_path, clock):
    """Ids follow the clock, so a new state folder gives no id a second time."""
    first = Store(tmp_path / "a", [], clock)
    ids = [first.next_id() for _ in range(1000)]
    assert ids == sorted(set(ids))
    first.close()
    clock.now += 2
    second = Store(tmp_path / "b", [], clock)
    assert second.next_id() > ids[-1]
    assert len(str(ids[-1])) == 14
    second.close()


def test_a_file_job_is_as_the_file_says_after_a_restart(tmp_path, clock):
    """What the API changes in a job of the file lasts until the restart."""
    store = Store(tmp_path, [JOB], clock)
    store.save_job(Job.from_json({"id": 1, "name": "Changed", "environment_id": 2, "commands": [], **TIMES}))
    assert store.find_job(1).name == "Changed"
    store.close()
    again = Store(tmp_path, [JOB], clock)
    assert again.find_job(1) == JOB
    again.close()


TIMES = {"created_at": 0.0, "updated_at": 0.0}


def test_one_server_to_a_folder(tmp_path, clock):
    """A second server on a state folder is refused, with what to do."""
    store = Store(tmp_path, [], clock)
    with pytest.raises(
        StartError, match=r"another local server \(process \d+\) uses the state folder .*--state"
    ):
        Store(tmp_path, [], clock)
    store.close()
    Store(tmp_path, [], clock).close()


def test_a_folder_that_cannot_be(tmp_path, clock):
    """A state folder that cannot be made is explained."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StartError, match=r"cannot be used: .*choose another with --state"):
        Store(tmp_path / "file", [], clock)


def test_a_damaged_state_is_explained(tmp_path, clock):
    """A state that is no database is explained."""
    (tmp_path / "state.sqlite3").write_text("no database at all, but long enough to be looked at" * 100)
    with pytest.raises(StartError, match="cannot be used: file is not a database"):
        Store(tmp_path, [], clock)


def test_a_folder_with_other_things_is_refused(tmp_path, clock):
    """A folder that holds something else is no state folder, and nothing in it is touched."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("x")
    (tmp_path / "photos").mkdir()
    with pytest.raises(StartError, match=r"is no state folder: found 'photos' in it; give a new"):
        Store(tmp_path, [], clock)
    assert (tmp_path / "work" / "thesis.txt").exists()


def test_the_state_of_another_version_is_explained(tmp_path, clock):
    """A row that cannot be read is explained, with what to do."""
    store = Store(tmp_path, [], clock)
    store._write("runs", 1, {"id": 1, "job": {}})
    store.close()
    with pytest.raises(StartError, match=r"was written by another version .*delete it"):
        Store(tmp_path, [], clock)
