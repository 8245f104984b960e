"""Tests of `airflow_dbt_cloud.local.execution`: real runs of real dbt."""

import json
import os
import re
import signal
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from .conftest import git, wait_until

pytestmark = pytest.mark.slow

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def logs(run):
    """Give the logs of all steps, without colours."""
    return [ANSI.sub("", step["logs"]) for step in run["run_steps"]]


@pytest.fixture(scope="module")
def started(server):
    """Start what takes longest first, so that the tests wait at the same time."""
    api = server.api
    return {
        "nightly": api.trigger("Nightly build"),
        "report": api.trigger("Report"),
    }


@pytest.fixture(scope="module")
def nightly(server, started):
    """Give the nightly build, finished."""
    return server.api.finish(started["nightly"]["id"])


@pytest.fixture(scope="module")
def report(server, started):
    """Give a run of the report, which fails because its input is missing."""
    return server.api.finish(started["report"]["id"])


def test_steps(nightly):
    """A run clones, makes a profile, invokes deps, freshness, the commands and docs, each with its log."""
    assert nightly["status_humanized"] == "Success", logs(nightly)[-1]
    assert [step["name"] for step in nightly["run_steps"]] == [
        "Clone git repository",
        "Create profile from connection DuckDB",
        "Invoke dbt with `dbt deps`",
        "Invoke dbt with `dbt source freshness`",
        "Invoke dbt with `dbt seed`",
        "Invoke dbt with `dbt run --select trips`",
        "Invoke dbt with `dbt test`",
        "Invoke dbt with `dbt docs generate`",
    ]
    assert [step["index"] for step in nightly["run_steps"]] == list(range(1, 9))
    assert {step["status"] for step in nightly["run_steps"]} == {10}
    clone, _, _, _, seed, *_ = logs(nightly)
    assert re.fullmatch(
        r"Cloning into '.*'\.\.\.\nSuccessfully cloned repository\.\nChecking out default branch\n", clone
    )
    assert re.search(r"^\d\d:\d\d:\d\d  1 of 1 OK loaded seed file analytics\.boats", seed, re.MULTILINE)
    assert "\x1b[32m" in nightly["run_steps"][4]["logs"], "logs have dbt's colours"
    assert '"name": "MainReportVersion"' in nightly["run_steps"][4]["truncated_debug_logs"]


def test_what_a_finished_run_says(server, nightly):
    """Flags, times and the commit are as a client expects them."""
    assert (nightly["is_complete"], nightly["is_success"], nightly["in_progress"]) == (True, True, False)
    assert nightly["has_docs_generated"]
    assert nightly["has_sources_generated"]
    assert nightly["artifacts_saved"]
    times = [nightly[name] for name in ("created_at", "dequeued_at", "started_at", "finished_at")]
    assert times == sorted(times)
    assert nightly["git_branch"] == "main"
    assert nightly["git_sha"] == git(server.landing / "project", "rev-parse", "main")


def test_artifacts_by_step(server, nightly):
    """Each step has the artifacts as they were after it; by default one gets those of the last."""
    base = f"runs/{nightly['id']}/artifacts/"
    assert {"manifest.json", "run_results.json", "catalog.json", "sources.json"} <= set(server.api.data(base))
    assert "compiled/ferry/models/trips.sql" in server.api.data(base)
    which = {
        step: server.api.get(f"{base}run_results.json", step=step).json()["args"]["which"]
        for step in (5, 6, 7, 8)
    }
    assert which == {5: "seed", 6: "run", 7: "test", 8: "generate"}
    for step in (1, 2, 3, 4):
        assert server.api.get(f"{base}run_results.json", step=step).status_code == 404
    results = server.api.get(f"{base}run_results.json", step=6).json()
    assert results["metadata"]["env"]["DBT_CLOUD_RUN_ID"] == str(nightly["id"])
    assert [result["unique_id"] for result in results["results"]] == ["model.ferry.trips"]
    assert server.api.get(f"jobs/{nightly['job_id']}/artifacts/catalog.json").json()["nodes"]


def test_failure_and_retry(server, report):
    """A failed command ends the run; a retry does what failed or was skipped, then the rest."""
    assert (report["status"], report["status_message"], report["is_error"]) == (
        20,
        "dbt command failed",
        True,
    )
    assert [step["status"] for step in report["run_steps"]] == [10, 10, 10, 10, 20], "the rest is not listed"
    assert "report.csv" in logs(report)[-1]
    assert report["can_retry"]
    (server.landing / "report.csv").write_text("state\nwell\n")
    retried = server.api.post(f"runs/{report['id']}/retry/").json()["data"]
    run = server.api.finish(retried["id"], "run_steps,trigger")
    assert run["status"] == 10, logs(run)
    assert [step["name"] for step in run["run_steps"][3:]] == [
        "Invoke dbt with `dbt retry`",
        "Invoke dbt with `dbt ls --quiet`",
    ]
    assert run["retrying_run_id"] == report["id"]
    results = server.api.get(f"runs/{run['id']}/artifacts/run_results.json", step=4).json()["results"]
    assert [result["unique_id"] for result in results] == ["model.ferry.report", "model.ferry.summary"]


def test_overrides(server):
    """Schema, target, threads, steps, docs and dbt version are what the trigger says."""
    run = server.api.trigger(
        "Nightly build",
        cause="nothing <b>special</b>",
        schema_override="mine",
        target_name_override="ci",
        threads_override=7,
        steps_override=["dbt run-operation greet", "dbt run-operation 'greet"],
        generate_docs_override=False,
        dbt_version_override="1.11",
    )
    done = server.api.finish(run["id"])
    names = [step["name"] for step in done["run_steps"]]
    assert names[1] == "Create profile from connection DuckDB (override schema to 'mine')"
    assert names[4:] == [
        "Invoke dbt with `dbt run-operation greet`",
        "Invoke dbt with `dbt run-operation 'greet`",
    ]
    assert "<script>hello</script> ['mine', 'ci', 7]" in logs(done)[4]
    assert f"run {run['id']} because nothing <b>special</b>" in logs(done)[4]
    assert (done["status"], done["dbt_version"]) == (20, "1.11")
    assert logs(done)[5] == "This command cannot be read: No closing quotation\n"
    assert not done["has_docs_generated"]
    page = server.api.ask("GET", done["href"].removeprefix(server.url), token=None).text
    assert "&lt;script&gt;hello&lt;/script&gt; [&#x27;mine&#x27;, &#x27;ci&#x27;, 7]" in page
    assert "<script>hello" not in page


def test_commits(server):
    """A branch and a commit are checked out; one that is not there is refused."""
    sha = git(server.landing / "project", "rev-parse", "polite")
    by_branch = server.api.trigger("Greeting", git_branch="polite")
    by_sha = server.api.trigger("Greeting", git_sha=sha[:12])
    for run, asked, branch in ((by_branch, "polite", "polite"), (by_sha, sha[:12], None)):
        assert (run["git_branch"], run["git_sha"]) == (None, None), "known after the clone"
        done = server.api.finish(run["id"])
        assert done["status"] == 10, logs(done)
        assert (done["git_branch"], done["git_sha"]) == (branch, sha)
        assert logs(done)[0].endswith(f"Checking out to {asked}...\n")
        assert "good morning" in logs(done)[3]
    response = server.api.post(f"jobs/{by_sha['job_id']}/run/", {"cause": "x", "git_branch": "polit"})
    assert (response.status_code, response.json()["data"]) == (
        400,
        {"git_branch": "'polit' does not exist in the project's repository."},
    )


def test_a_project_that_cannot_be_parsed(server):
    """The message of dbt is in the log, the run is an error, and there is nothing to retry."""
    run = server.api.trigger("Greeting", git_branch="broken", steps_override=["dbt build"])
    done = server.api.finish(run["id"])
    assert (done["status"], done["retry_not_supported_reason"]) == (20, "RETRY_NO_RUN_RESULTS")
    assert "no_such_boat" in logs(done)[-1]


def test_a_command_that_dbt_does_not_know(server):
    """A misspelt option fails the step, and dbt says why."""
    run = server.api.trigger("Idle", steps_override=["dbt build --no-such-option"])
    done = server.api.finish(run["id"])
    assert done["status"] == 20
    assert "No such option" in logs(done)[-1]


def test_cancel_interrupts_dbt(server):
    """A cancel interrupts dbt's query; what had been built is in the artifacts; who did it is known."""
    run = server.api.trigger("Endless")

    def is_building():
        steps = server.api.run(run["id"])["run_steps"]
        return steps and "START sql table model main.endless" in ANSI.sub("", steps[-1]["logs"])

    wait_until(is_building, "the endless model")
    server.api.ask("POST", f"runs/{run['id']}/cancel/", token="dbtc_night")
    done = server.api.finish(run["id"], "run_steps,audit")
    assert (done["status"], done["status_message"]) == (30, "Cancelled by user.")
    assert done["audit"]["cancellation"]["actor"]["name"] == "night shift"
    assert done["audit"]["trigger"]["actor"]["name"] == "local"
    assert done["run_steps"][-1]["status"] == 30
    results = server.api.get(f"runs/{run['id']}/artifacts/run_results.json").json()["results"]
    assert {result["unique_id"]: result["status"] for result in results}["model.ferry.trips"] == "success"
    assert done["retry_not_supported_reason"] == "RETRY_NOT_FAILED_RUN"


def test_a_dbt_that_is_killed(server):
    """A dbt process that somebody kills fails its step, and the log says so."""
    run = server.api.trigger("Endless", steps_override=["dbt run --select +endless"])

    def find_dbt():
        folder = f"/work/{run['id']}/target"
        return [entry for entry in Path("/proc").glob("[0-9]*/cwd") if folder in _target(entry)]

    found = wait_until(find_dbt, "the dbt process")
    wait_until(lambda: len(server.api.run(run["id"])["run_steps"]) == 4, "the step after deps")
    found = wait_until(find_dbt, "the dbt process of that step")
    os.kill(int(found[0].parent.name), signal.SIGKILL)
    done = server.api.finish(run["id"])
    assert (done["status"], done["retry_not_supported_reason"]) == (20, "RETRY_NO_RUN_RESULTS")
    assert logs(done)[-1].endswith("dbt was ended by signal 9.\n")


def _target(link):
    try:
        return str(link.readlink())
    except OSError:
        return ""


def test_timeout(server):
    """A run that takes too long is cancelled by dbt Cloud itself, with the recorded message."""
    run = server.api.trigger(
        "Endless", timeout_seconds_override=1, steps_override=["dbt run --select +endless"]
    )
    done = server.api.finish(run["id"], "run_steps,audit")
    assert (done["status"], done["is_cancelled"]) == (30, True)
    assert done["status_message"] == (
        "This run timed out after running for 1 second, which exceeded the configured timeout of 1 seconds."
    )
    assert done["audit"]["cancellation"] is None


def test_jobs_side_by_side(server):
    """Different jobs go at the same time, one job's runs do not; a slow start can be cancelled."""
    idle, idle_too = server.api.job_id("Idle"), server.api.job_id("Idle too")
    server.api.fault("slow_start", wait=600, job_id=idle)
    server.api.fault("slow_start", wait=600, job_id=idle_too)
    first, second, other = (server.api.trigger(job) for job in ("Idle", "Idle", "Idle too"))
    ci = [server.api.trigger("Idle", github_pull_request_id=7, git_branch="polite") for _ in range(2)]
    try:
        for run in (first, other, ci[1]):
            wait_until(
                lambda run=run: server.api.data(f"runs/{run['id']}/")["status"] == 3, "three runs at a time"
            )
        assert server.api.data(f"runs/{second['id']}/")["blocked_by"] == [first["id"]]
        older = server.api.finish(ci[0]["id"])
        assert "newer commit" in older["status_message"]
    finally:
        server.api.clear_faults()
    for run in (second, first, other, ci[1]):
        server.api.post(f"runs/{run['id']}/cancel/")
    for run in (first, other, ci[1]):
        done = server.api.finish(run["id"])
        assert (done["status"], [step["status"] for step in done["run_steps"]]) == (30, [30])


def test_two_jobs_of_one_environment_take_turns(server):
    """Commands on one warehouse file wait for each other, so none finds it locked."""
    overrides = {"steps_override": ["dbt seed", "dbt run --select trips"]}
    runs = [server.api.trigger(job, schema_override=job, **overrides) for job in ("Report", "Greeting")]
    runs.append(server.api.trigger("Greeting", gitlab_merge_request_id=11, **overrides))
    for run in runs:
        done = server.api.finish(run["id"])
        assert done["status"] == 10, logs(done)[-1]
    assert f"dbt_cloud_pr_{done['job_id']}_11.trips" in logs(done)[-1]


def test_logs_grow(server):
    """The log of a step that goes can be read, and what was read stays its beginning."""
    run = server.api.trigger("Report", steps_override=["dbt build --exclude endless report+"])
    seen = {}
    while True:
        now = server.api.run(run["id"])
        for step in now["run_steps"]:
            assert step["logs"].startswith(seen.get(step["index"], ""))
            seen[step["index"]] = step["logs"]
        if now["is_complete"]:
            break
    assert now["status"] == 10


def test_the_token_is_nowhere(server, nightly):
    """No log, page or answer has a token in it."""
    for token in ("dbtc_local_token", "dbtc_night"):
        assert token not in str(server.api.run(nightly["id"], "run_steps,audit,debug_logs"))
        assert token not in server.api.ask("GET", "/", token=None).text
        assert token not in server.log.read_text()


def test_time_to_the_first_log_line(server, capsys):
    """Print how long it takes from the trigger to dbt's first line."""
    run = server.api.trigger("Greeting")
    done = server.api.finish(run["id"], "run_steps,debug_logs")
    first = json.loads(done["run_steps"][2]["debug_logs"].partition("\n")[0])["info"]["ts"]
    waited = datetime.fromisoformat(first) - datetime.fromisoformat(run["created_at"])
    assert waited > timedelta(0)
    with capsys.disabled():
        print(f"\nfrom the trigger to dbt's first log line: {waited.total_seconds():.2f} s")  # noqa: T201
