"""Runs with a status that dbt Cloud has invented since."""

from datetime import datetime, timedelta

import pytest

pytestmark = pytest.mark.slow

SECONDS = 20


def test_unknown_status(stack):
    """A run with a status that is new to us goes on, whichever way a task waits; the log says so once."""
    jobs = {"one_job": stack.fleet_job, "deferred": stack.network_job}
    for job_id in jobs.values():
        stack.fault("run_status", code=7, wait=SECONDS, job_id=job_id, times=1)
    dag_runs = [stack.run(dag_id, job_id=job_id) for dag_id, job_id in jobs.items()]
    for dag_run in dag_runs:
        task = stack.wait_for_task(dag_run, "build", "success", "failed")
        assert task["state"] == "success"
        run = stack.client.get_run(stack.airflow.xcom(*dag_run, "build"))
        assert run.is_success
        waited = datetime.fromisoformat(task["end_date"]) - run.created_at
        assert waited >= timedelta(seconds=SECONDS)
    waiting, _ = dag_runs
    assert stack.log(waiting, "build").count("is new to us; the run counts as still going") == 1
