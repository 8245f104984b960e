"""Tests of `airflow_dbt_cloud.local.scheduler` and `cloud`: queue, cancel, retry, rerun."""

import sqlite3

import pytest

from airflow_dbt_cloud.local.cloud import Cloud
from airflow_dbt_cloud.local.execution import Execution
from airflow_dbt_cloud.local.faults import Fault, Faults
from airflow_dbt_cloud.local.project import read_project
from airflow_dbt_cloud.local.records import Status, Step
from airflow_dbt_cloud.local.store import Store

from .conftest import StandingExecution, wait_until


def fail(cloud, execution, command="dbt build --exclude endless", *, results=True, index=5):
    """End a run as failed in a command."""
    for number in range(1, index + 1):
        step = Step(cloud.store.next_id(), number, "x", 0.0, status=Status.SUCCESS)
        cloud.store.add_step(execution.run_id, step)
    cloud.store.update_step(
        execution.run_id,
        index,
        command=command,
        status=Status.ERROR,
        has_run_results=results,
        has_artifacts=results,
    )
    execution.end(Status.ERROR, status_message="dbt command failed")


def status(api, run):
    """Ask for the status of a run."""
    return api.data(f"runs/{run['id']}/")["status"]


def test_one_job_runs_in_sequence(api, standing):
    """A run of a job waits for the run before it, and says for which."""
    first, second, third = (api.trigger("Report") for _ in range(3))
    assert [status(api, run) for run in (first, second, third)] == [3, 1, 1]
    assert api.data(f"runs/{second['id']}/")["blocked_by"] == [first["id"]]
    assert api.data(f"runs/{third['id']}/")["blocked_by"] == [second["id"]]
    standing[first["id"]].end()
    assert [status(api, run) for run in (first, second, third)] == [10, 3, 1]


def test_run_slots(api, standing):
    """Different jobs run at the same time, as many as there are slots."""
    runs = [api.trigger(job) for job in ("Report", "Idle", "Idle too")]
    assert [status(api, run) for run in runs] == [3, 3, 1]
    assert api.data(f"runs/{runs[2]['id']}/")["blocked_by"] == [], "it waits for a slot, not for a run"
    standing[runs[0]["id"]].end()
    assert status(api, runs[2]) == 3


def test_pull_requests_do_not_wait(api):
    """Runs for pull requests take no slot and wait for nothing."""
    api.trigger("Report")
    for number in range(1, 4):
        run = api.trigger("Report", github_pull_request_id=number)
        assert status(api, run) == 3
    assert status(api, api.trigger("Idle")) == 3


def test_a_newer_commit_cancels_the_older_run(api, standing):
    """Of two runs of a job for one pull request the older one is cancelled."""
    older = api.trigger("Report", github_pull_request_id=7)
    other = api.trigger("Report", gitlab_merge_request_id=7)
    newer = api.trigger("Report", github_pull_request_id=7)
    assert standing[older["id"]].stops == ["Cancelled because a newer commit was pushed to the pull request."]
    assert not standing[other["id"]].stops
    assert not standing[newer["id"]].stops


def test_a_queued_run_is_cancelled_at_once(api):
    """Who is in the queue ends when asked to, and never started."""
    api.trigger("Report")
    queued = api.trigger("Report")
    reply = api.ask("POST", f"runs/{queued['id']}/cancel/", token="dbtc_second").json()["data"]
    assert (reply["status"], reply["status_message"], reply["started_at"]) == (30, "Cancelled by user.", None)
    assert reply["artifacts_saved"] is False
    assert (reply["queued_duration"], reply["run_duration"]) == (reply["duration"], "00:00:00")
    audit = api.run(queued["id"], "audit")["audit"]
    assert audit["trigger"]["actor"]["name"] == "local"
    assert audit["cancellation"]["actor"]["name"] == "second"


def test_a_going_run_is_asked_to_stop(api, standing):
    """Who goes may still be going in the reply; asking twice changes nothing."""
    run = api.trigger("Report")
    for _ in range(2):
        assert api.post(f"runs/{run['id']}/cancel/").json()["data"]["status"] == 3
    assert standing[run["id"]].stops == ["Cancelled by user."]


def test_a_finished_run_cannot_be_cancelled(api, standing):
    """Cancelling what is finished answers 200 and changes nothing."""
    run = api.trigger("Report")
    standing[run["id"]].end()
    response = api.post(f"runs/{run['id']}/cancel/")
    assert (response.status_code, response.json()["data"]["status"]) == (200, 10)
    assert api.run(run["id"], "audit")["audit"]["cancellation"] is None


def test_a_full_queue(api, cloud):
    """A trigger that finds the queue full is refused."""
    cloud.queue_limit = 2
    for _ in range(3):
        api.trigger("Report")
    response = api.post(f"jobs/{api.job_id('Report')}/run/", {"cause": "x"})
    assert response.status_code == 400
    assert response.json()["data"] == "The run queue is full: 2 runs are queued, the limit is 2."


def test_retry(api, cloud, standing):
    """A failed run can be retried: the new one resumes the failed command, then those that were skipped."""
    run = api.trigger("Report", schema_override="mine", threads_override=2)
    fail(cloud, standing[run["id"]])
    failed = api.data(f"runs/{run['id']}/")
    assert (failed["can_retry"], failed["retry_not_supported_reason"]) == (True, None)
    details = api.data(f"runs/{run['id']}/retry/")
    assert details == {"failed_step": "dbt build --exclude endless", "skipped_steps": ["dbt ls --quiet"]}
    retried = api.post(f"runs/{run['id']}/retry/").json()["data"]
    assert (retried["retrying_run_id"], retried["status"]) == (run["id"], 1)
    assert (retried["trigger"]["schema_override"], retried["trigger"]["threads_override"]) == ("mine", 2)
    assert retried["trigger"]["cause"] == "This run resumed execution from last failed step"
    assert cloud.store.find_run(retried["id"]).commands == ("dbt retry", "dbt ls --quiet")
    assert [each["id"] for each in api.run(run["id"], "run_retries")["run_retries"]] == [retried["id"]]
    assert api.data(f"runs/{run['id']}/")["retry_not_supported_reason"] == "RETRY_NOT_LATEST_RUN"


@pytest.mark.parametrize(
    ("command", "results", "reason"),
    [
        ("dbt build", True, None),
        ("dbt --quiet run-operation x", True, None),
        ("dbt docs generate", True, None),
        ("dbt retry", True, None),
        ("dbt build", False, "RETRY_NO_RUN_RESULTS"),
        ("dbt source freshness", True, "RETRY_UNSUPPORTED_CMD"),
        ("dbt deps", False, "RETRY_UNSUPPORTED_CMD"),
        (None, False, "RETRY_NO_RUN_RESULTS"),
    ],
)
def test_what_can_be_retried(api, cloud, standing, command, results, reason):
    """Only commands that `dbt retry` knows, and only with their results."""
    run = api.trigger("Report")
    fail(cloud, standing[run["id"]], command, results=results)
    assert api.data(f"runs/{run['id']}/")["retry_not_supported_reason"] == reason
    if reason is not None:
        response = api.post(f"runs/{run['id']}/retry/")
        assert (response.status_code, response.json()["data"]) == (400, reason)


def test_other_reasons_against_a_retry(api, cloud, standing):
    """A run that did not fail, and one of an old dbt, cannot be retried."""
    cloud.dbt_version = "1.5.9"
    run = api.trigger("Report")
    assert api.post(f"runs/{run['id']}/retry/").json()["data"] == "RETRY_NOT_FAILED_RUN"
    fail(cloud, standing[run["id"]])
    assert api.post(f"runs/{run['id']}/retry/").json()["data"] == "RETRY_UNSUPPORTED_VERSION"
    done = api.trigger("Idle")
    standing[done["id"]].end()
    assert api.data(f"runs/{done['id']}/retry/") == {"failed_step": None, "skipped_steps": []}


def test_runs_of_a_deleted_job_are_not_retried(api, cloud, standing):
    """A job that is gone starts nothing, by whatever way."""
    run = api.trigger("Report")
    fail(cloud, standing[run["id"]])
    api.ask("DELETE", f"jobs/{run['job_id']}/")
    assert api.post(f"runs/{run['id']}/retry/").status_code == 404
    assert api.post(f"jobs/{run['job_id']}/rerun/").status_code == 404
    assert len(api.data("runs/")) == 1


def test_rerun_after_success(api, standing):
    """A rerun of a job that did not fail is a plain run, without overrides."""
    run = api.trigger("Report", schema_override="mine")
    standing[run["id"]].end()
    again = api.post(f"jobs/{run['job_id']}/rerun/").json()["data"]
    assert (again["trigger"]["schema_override"], again["retrying_run_id"]) == (None, None)
    assert again["trigger"]["cause_category"] == "rerun"


def test_rerun_after_failure(api, cloud, standing):
    """A rerun of a job that failed is a retry; if that cannot be, a whole run with the same overrides."""
    run = api.trigger("Report", schema_override="mine", steps_override=["dbt seed", "dbt run"])
    fail(cloud, standing[run["id"]], "dbt run")
    again = api.post(f"jobs/{run['job_id']}/rerun/").json()["data"]
    assert (again["retrying_run_id"], again["trigger"]["schema_override"]) == (run["id"], "mine")
    fail(cloud, standing[again["id"]], "dbt retry", results=False)
    whole = api.post(f"jobs/{run['job_id']}/rerun/").json()["data"]
    assert (whole["retrying_run_id"], whole["trigger"]["schema_override"]) == (None, "mine")
    assert cloud.store.find_run(whole["id"]).commands == ("dbt seed", "dbt run")


def test_thousands_of_runs(api, cloud, standing):
    """With thousands of runs in the state and hundreds queued, lists are right and the queue moves."""
    cloud.queue_limit = 500
    finished = api.trigger("Idle")["id"]
    standing[finished].end()
    cloud.store._runs = dict.fromkeys(range(5000), cloud.store.find_run(finished)) | cloud.store._runs
    path = f"jobs/{api.job_id('Report')}/run/"
    queued = [api.post(path, {"cause": "x"}).json()["data"]["id"] for _ in range(300)]
    assert api.get("runs/", status__in="[1]", limit=100, order_by="-id").json()["extra"]["pagination"] == {
        "count": 100,
        "total_count": 299,
    }
    standing[queued[0]].end()
    assert api.data(f"runs/{queued[1]}/")["status"] == 3


def test_a_state_that_cannot_be_written(project, tmp_path):
    """A run whose files cannot be written ends as an internal error that says why, and frees its slot."""
    folder = read_project(project)
    store = Store(tmp_path / "state", folder.jobs)
    (store.folder / "runs").write_text("in the way")
    cloud = Cloud(folder, store, Faults(), dbt_version="1.11.16", run_slots=1)
    for job in folder.jobs[:2]:
        run = cloud.trigger(job, {"cause": "x"}, "local")
        wait_until(lambda run=run: store.find_run(run.id).status.is_terminal, "the end of the run")
        ended = store.find_run(run.id)
        assert ended.status is Status.ERROR
        assert ended.status_message.startswith("Internal error: ")
        assert "Not a directory" in ended.status_message
    store.close()


def test_an_end_that_cannot_be_written(project, tmp_path):
    """A run whose end cannot be written ends all the same, with its steps, and is executed once."""
    folder = read_project(project)
    store = Store(tmp_path / "state", folder.jobs)
    begun = []

    def execution(site, run, on_end):
        begun.append(run.id)
        return Execution(site, run, on_end)

    faults = Faults()
    faults.add(Fault("slow_start", wait=60.0))
    cloud = Cloud(folder, store, faults, dbt_version="1.11.16", run_slots=1, execution=execution)
    run = cloud.trigger(folder.jobs[0], {"cause": "x"}, "local")
    wait_until(lambda: [step.status for step in store.find_run(run.id).steps] == [3], "its first step")
    store._database.execute("PRAGMA query_only = ON")
    with pytest.raises(sqlite3.OperationalError):
        cloud.cancel(run, "local")
    wait_until(lambda: store.find_run(run.id).status.is_terminal, "the end of the run")
    ended = store.find_run(run.id)
    assert {ended.status, *(step.status for step in ended.steps)} == {Status.ERROR}
    assert "readonly" in ended.status_message
    wait_until(lambda: not cloud.scheduler._going, "the free slot")
    assert begun == [run.id]
    store._database.execute("PRAGMA query_only = OFF")
    store.close()
    store = Store(tmp_path / "state", folder.jobs)
    assert store.find_run(run.id) == ended, "it is written when that can be done again"
    store.close()


def test_a_start_that_cannot_be_written(api, cloud, standing):
    """A queued run that cannot begin because the disk is full says so."""
    run, queued = api.trigger("Report"), api.trigger("Report")
    cloud.store._database.execute("PRAGMA query_only = ON")
    cloud.scheduler._ended(run["id"])
    cloud.store._database.execute("PRAGMA query_only = OFF")
    assert queued["id"] not in standing
    ended = api.data(f"runs/{queued['id']}/")
    assert (ended["status"], ended["status_message"][:16]) == (20, "Internal error: ")


def test_a_full_disk_is_explained(api, cloud):
    """A trigger that finds the disk full says where to make room."""
    (pages,) = cloud.store._database.execute("PRAGMA page_count").fetchone()
    cloud.store._database.execute(f"PRAGMA max_page_count = {pages}")
    path = f"jobs/{api.job_id('Report')}/run/"
    wait_until(lambda: api.post(path, {"cause": "x"}).status_code == 500, "a full disk")
    detail = api.post(path, {"cause": "x"}).json()["detail"]
    assert "disk is full: make room on the disk of the state folder" in detail


def test_a_queued_run_whose_environment_is_gone(project, tmp_path, standing):
    """After a restart, what was queued goes on, but for runs whose environment is not declared any more."""
    folder = read_project(project)
    store = Store(tmp_path / "state", folder.jobs)
    cloud = Cloud(folder, store, Faults(), dbt_version="1.11.16", run_slots=1, execution=StandingExecution)
    first, lost, kept = (cloud.trigger(folder.jobs[index], {"cause": "x"}, "local") for index in (0, 1, 3))
    store.close()
    text = (project / "dbt_cloud.yml").read_text()
    (project / "dbt_cloud.yml").write_text(text.replace("Staging", "Proving ground"))
    folder = read_project(project)
    store = Store(tmp_path / "state", folder.jobs)
    cloud = Cloud(folder, store, Faults(), dbt_version="1.11.16", run_slots=1, execution=StandingExecution)
    cloud.start()
    assert store.find_run(first.id).status is Status.CANCELLED
    assert store.find_run(lost.id).status is Status.CANCELLED
    assert "not in dbt_cloud.yml any more" in store.find_run(lost.id).status_message
    assert kept.id in standing
    store.close()
