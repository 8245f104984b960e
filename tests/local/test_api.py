"""Tests of `airflow_dbt_cloud.local.api` and `serializers`: answers as they were recorded."""

from pathlib import Path

import pytest

from airflow_dbt_cloud.local.records import Status, Step

ACCOUNT = 70403103922125
RUN_KEYS = [
    "id",
    "trigger_id",
    "account_id",
    "environment_id",
    "project_id",
    "job_definition_id",
    "status",
    "dbt_version",
    "git_branch",
    "git_sha",
    "status_message",
    "owner_thread_id",
    "executed_by_thread_id",
    "deferring_run_id",
    "artifacts_saved",
    "artifact_s3_path",
    "has_docs_generated",
    "has_sources_generated",
    "notifications_sent",
    "blocked_by",
    "created_at",
    "updated_at",
    "dequeued_at",
    "started_at",
    "finished_at",
    "last_checked_at",
    "last_heartbeat_at",
    "should_start_at",
    "trigger",
    "job",
    "environment",
    "run_steps",
    "status_humanized",
    "in_progress",
    "is_complete",
    "is_success",
    "is_error",
    "is_cancelled",
    "duration",
    "queued_duration",
    "run_duration",
    "duration_humanized",
    "queued_duration_humanized",
    "run_duration_humanized",
    "created_at_humanized",
    "finished_at_humanized",
    "retrying_run_id",
    "can_retry",
    "retry_not_supported_reason",
    "job_id",
    "is_running",
    "href",
    "used_repo_cache",
]
TRIGGER_KEYS = [
    "id",
    "cause",
    "job_definition_id",
    "git_branch",
    "git_sha",
    "azure_pull_request_id",
    "github_pull_request_id",
    "gitlab_merge_request_id",
    "non_native_pull_request_id",
    "schema_override",
    "dbt_version_override",
    "threads_override",
    "target_name_override",
    "generate_docs_override",
    "timeout_seconds_override",
    "steps_override",
    "created_at",
    "cause_humanized",
    "job",
    "cause_category",
]
RUN_TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00"
NOT_FOUND = "The requested resource was not found. Please check that you have the proper permissions."
INVALID = "The request was invalid. Please double check the provided data and try again."


def test_the_reply_to_a_trigger(api):
    """A new run is queued; the reply has its trigger and job, no steps and no environment."""
    run = api.trigger("Report", schema_override=None, steps_override=None)
    assert list(run) == [key for key in RUN_KEYS if key in run]
    assert set(RUN_KEYS) == set(run)
    assert list(run["trigger"]) == TRIGGER_KEYS
    assert (run["status"], run["status_humanized"], run["in_progress"], run["is_complete"]) == (
        1,
        "Queued",
        True,
        False,
    )
    assert (run["environment"], run["run_steps"], run["is_running"]) == (None, [], None)
    assert (run["dequeued_at"], run["started_at"], run["finished_at"]) == (None, None, None)
    assert (run["can_retry"], run["retry_not_supported_reason"]) == (False, "RETRY_NOT_FAILED_RUN")
    assert (run["duration"], run["duration_humanized"]) == ("00:00:00", "0 minutes")
    assert (run["created_at_humanized"], run["finished_at_humanized"]) == (
        "0 minutes ago",
        "0 minutes from now",
    )
    assert (run["trigger"]["cause"], run["trigger"]["cause_category"]) == ("a test", "api")
    assert run["job"]["name"] == "Report"
    assert run["job"]["created_at"].endswith("Z")
    assert run["job"]["schedule"] == {"cron": "0 * * * *", "date": "every_day", "time": "every_hour"}
    assert run["href"].endswith(f"/deploy/{ACCOUNT}/projects/{run['project_id']}/runs/{run['id']}/")


def test_ids_and_times(api):
    """Ids have 14 digits; times of a run have a blank between date and time, those of a job a T."""
    run = api.trigger("Report")
    for key in ("id", "trigger_id", "account_id", "environment_id", "project_id", "job_definition_id"):
        assert len(str(run[key])) == 14, key
    assert run["created_at"][10] == " "
    assert api.data(f"jobs/{run['job_id']}/")["created_at"][10] == "T"


def test_run_over_time(api, clock, standing):
    """Durations count to now while a run goes, and to its end afterwards."""
    run = api.trigger("Report")
    clock.now += 110
    going = api.run(run["id"])
    assert (going["status"], going["status_humanized"]) == (3, "Running")
    assert (going["run_duration"], going["run_duration_humanized"]) == ("00:01:50", "1 minute, 50 seconds")
    standing[run["id"]].end()
    clock.now += 3600
    done = api.run(run["id"])
    assert (done["status"], done["is_complete"], done["is_success"]) == (10, True, True)
    assert (done["run_duration"], done["finished_at_humanized"]) == ("00:01:50", "1 hour ago")


def test_what_is_not_included_is_null(api):
    """Related things are null, or an empty list, unless `include_related` names them."""
    run = api.trigger("Report")
    bare = api.data(f"runs/{run['id']}/")
    assert (bare["trigger"], bare["job"], bare["environment"], bare["run_steps"]) == (None, None, None, [])
    assert "audit" not in bare
    full = api.run(run["id"], "trigger,job,environment,run_steps,audit,run_retries,repository")
    assert full["trigger"]["cause"] == "a test"
    assert full["environment"]["name"] == "Staging"
    assert full["audit"]["trigger"]["actor"]["name"] == "local"
    assert full["run_retries"] == []
    listed = api.data("runs/", include_related='["trigger","run_steps"]')[0]
    assert listed["trigger"]["cause"] == "a test"
    assert listed["run_steps"] == [], "a list of runs has no steps"


@pytest.mark.parametrize(
    "text", ['["trigger","job"]', "['trigger', 'job']", "trigger,job", '["trigger",,"job"']
)
def test_include_related_is_read_leniently(api, text):
    """Every word in `include_related` counts, whatever is between."""
    api.trigger("Report")
    run = api.data("runs/", include_related=text)[0]
    assert run["trigger"]
    assert run["job"]


def test_list_envelope(api):
    """A list says how its filters were understood, defaults first."""
    run = api.trigger("Report")
    body = api.get("runs/", status__in="[1, 3]", job_definition_id=run["job_id"], order_by="-id").json()
    assert list(body) == ["status", "data", "extra"]
    assert list(body["extra"]) == ["filters", "order_by", "pagination"]
    assert body["extra"]["filters"] == {
        "limit": 100,
        "offset": 0,
        "state": "all",
        "account_id": ACCOUNT,
        "status__in": [1, 3],
        "job_definition_id": run["job_id"],
    }
    assert list(body["extra"]["filters"])[:4] == ["limit", "offset", "state", "account_id"]
    assert body["extra"]["order_by"] == "-id"
    assert body["extra"]["pagination"] == {"count": 1, "total_count": 1}


def test_order_and_pages(api):
    """Runs come oldest first unless asked otherwise, and in pages."""
    ids = [api.trigger("Report")["id"] for _ in range(5)]
    assert ids == sorted(ids)
    assert [run["id"] for run in api.data("runs/")] == ids
    assert [run["id"] for run in api.data("runs/", order_by="-created_at", limit=2, offset=1)] == [
        ids[3],
        ids[2],
    ]
    assert api.get("runs/", limit=2).json()["extra"]["pagination"] == {"count": 2, "total_count": 5}


def test_run_filters(api, clock, standing):
    """Every filter of the specification lets the right runs through."""
    report, idle = api.trigger("Report"), api.trigger("Idle")
    clock.now += 10
    standing[report["id"]].end(has_docs_generated=True)
    day = "2026-09-21"
    for filters, expected in (
        ({"id__gt": report["id"]}, [idle]),
        ({"pk": report["id"]}, [report]),
        ({"pk__in": f"[{report['id']},1]"}, [report]),
        ({"pk__in": "[]"}, []),
        ({"status": 10}, [report]),
        ({"status__in": "[3,30]"}, [idle]),
        ({"project_id": report["project_id"]}, [report, idle]),
        ({"project_id__in": "[1]"}, []),
        ({"environment_id": idle["environment_id"]}, [idle]),
        ({"job_definition_id": idle["job_id"]}, [idle]),
        ({"deferring_run_id": 1}, []),
        ({"dbt_version": "1.11.16"}, [report, idle]),
        ({"dbt_version__in": '["1.5"]'}, []),
        ({"has_docs_generated": "true"}, [report]),
        ({"has_sources_generated": "false"}, [report, idle]),
        ({"created_at__range": f'["{day}T00:00:00","{day}T23:59:59.5"]'}, [report, idle]),
        ({"created_at__range": f'["{day}","{day}T00:00:00"]'}, []),
        ({"finished_at__range": f'["{day} 00:00:00", "{day} 23:59:59"]'}, [report]),
        ({"state": "active"}, [report, idle]),
        ({"state": 2}, []),
    ):
        assert [run["id"] for run in api.data("runs/", **filters)] == [run["id"] for run in expected], filters


def test_a_range_with_an_offset_loses_the_time_of_its_start(api):
    """Clients report that the start then counts by its date only."""
    run = api.trigger("Report")
    bounds = '["2026-09-21T23:59:58+00:00","2026-09-21T23:59:59+00:00"]'
    assert [each["id"] for each in api.data("runs/", created_at__range=bounds)] == [run["id"]]


@pytest.mark.parametrize(
    ("path", "parameters", "reason"),
    [
        ("runs/", {"status__in": "1,2"}, {"status__in": "'1,2' is not valid under any of the given schemas"}),
        ("runs/", {"status__in": "1"}, {"status__in": "'1' is not valid under any of the given schemas"}),
        (
            "runs/",
            {"status__in": '["x"]'},
            {"status__in": "'[\"x\"]' is not valid under any of the given schemas"},
        ),
        ("runs/", {"pk": "x"}, {"pk": "'x' is not valid under any of the given schemas"}),
        ("runs/", {"limit": 101}, {"limit": "101 is greater than the maximum of 100"}),
        ("runs/", {"limit": 0}, {"limit": "0 is less than the minimum of 1"}),
        ("runs/", {"offset": -1}, {"offset": "-1 is less than the minimum of 0"}),
        (
            "runs/",
            {"order_by": "status"},
            {"order_by": "'status' is not one of ['created_at', 'finished_at', 'id']"},
        ),
        ("runs/", {"state": "x"}, {"state": "'x' is not valid under any of the given schemas"}),
        (
            "runs/",
            {"created_at__range": '["2026-01-01"]'},
            {"created_at__range": "'[\"2026-01-01\"]' is not valid under any of the given schemas"},
        ),
        (
            "runs/",
            {"has_docs_generated": 7},
            {"has_docs_generated": "'7' is not valid under any of the given schemas"},
        ),
        (
            "runs/",
            {"created_at__lte": 1, "created_at__gte": 1},
            "Additional properties are not allowed ('created_at__gte', 'created_at__lte' were unexpected)",
        ),
        (
            "runs/",
            {"status__in": f"[{2**63}]"},
            {"status__in": f"'[{2**63}]' is not valid under any of the given schemas"},
        ),
        (
            "runs/",
            {"dbt_version__in": '["\\ud800"]'},
            {"dbt_version__in": "'[\"\\\\ud800\"]' is not valid under any of the given schemas"},
        ),
        (
            "runs/",
            {"pk__in": "[" * 5000},
            {"pk__in": f"'{'[' * 5000}' is not valid under any of the given schemas"},
        ),
        ("jobs/", {"pk__in": "[1]"}, "Additional properties are not allowed ('pk__in' was unexpected)"),
        ("projects/", {"name": "x"}, "Additional properties are not allowed ('name' was unexpected)"),
        ("environments/", {"name": "x"}, "Additional properties are not allowed ('name' was unexpected)"),
    ],
)
def test_bad_queries_are_refused(api, path, parameters, reason):
    """An unknown name, a wrong type and an array that is no JSON list are refused with the reason as data."""
    response = api.get(path, **parameters)
    assert response.status_code == 400
    assert response.json() == {
        "status": {"code": 400, "is_success": False, "user_message": INVALID, "developer_message": ""},
        "data": reason,
        "extra": {},
        "error_code": None,
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "jobs/{job_id}/rerun/"),
        ("POST", "runs/{id}/cancel/"),
        ("POST", "runs/{id}/retry/"),
        ("POST", "jobs/"),
        ("POST", "jobs/{job_id}/"),
        ("DELETE", "jobs/{job_id}/"),
    ],
)
def test_what_changes_things_knows_no_parameters(api, method, path):
    """A request that changes something is refused, and changes nothing, if there is a query."""
    run = api.trigger("Report")
    response = api.ask(method, path.format_map(run), params={"bogus": 1})
    assert response.status_code == 400
    assert response.json()["data"] == "Additional properties are not allowed ('bogus' was unexpected)"
    assert [each["status"] for each in api.data("runs/")] == [3]
    assert api.get(f"jobs/{run['job_id']}/").status_code == 200


def test_repeated_parameters(api):
    """Of a repeated parameter the last counts, which a repeated array does not survive."""
    assert api.ask("GET", "runs/", params=[("status__in", "1"), ("status__in", "2")]).status_code == 400
    assert api.ask("GET", "runs/", params=[("limit", "x"), ("limit", "2")]).status_code == 200


def test_refusals(api):
    """401, 403, 404 and 405 read as recorded."""
    for token, header in ((None, {}), ("wrong", {}), (None, {"Authorization": "Basic dbtc_local_token"})):
        response = api.ask("GET", "runs/", token=token, headers=header)
        assert response.status_code == 401
        assert response.json() == {
            "status": {
                "code": 401,
                "is_success": False,
                "user_message": "Invalid token.",
                "developer_message": None,
            },
            "data": None,
        }
    wrong_account = api.get("/api/v2/accounts/42/runs/")
    assert wrong_account.status_code == 403
    assert wrong_account.json()["status"]["user_message"] == "Access denied: Token is not scoped to account."
    for path in ("runs/1/", "jobs/1/", "steps/1/", "projects/1/", "environments/1/", "nothing/", "runs/x/"):
        missing = api.get(path)
        assert missing.status_code == 404
        assert missing.json()["status"]["user_message"] == NOT_FOUND
        assert missing.json()["data"] is None
    wrong_method = api.get("runs/1/cancel/")
    assert (wrong_method.status_code, wrong_method.json()) == (405, {"detail": 'Method "GET" not allowed.'})


@pytest.mark.parametrize(
    "header", ["Token dbtc_local_token", "Bearer dbtc_local_token", "bearer dbtc_second"]
)
def test_tokens(api, header):
    """`Token` and `Bearer` are the same."""
    assert api.ask("GET", "runs/", token=None, headers={"Authorization": header}).status_code == 200


@pytest.mark.parametrize("path", ["runs", "jobs", "projects", "environments", ""])
def test_the_last_slash_may_be_missing(api, path):
    """Paths count with and without their last slash."""
    assert api.get(path).status_code == 200


def test_account(api):
    """The token's account is the only one."""
    listed = api.get("/api/v2/accounts/").json()
    assert listed["extra"] == {
        "filters": {"pk__in": [ACCOUNT]},
        "order_by": None,
        "pagination": {"count": 1, "total_count": 1},
    }
    account = api.data("")
    assert listed["data"] == [account]
    assert (account["name"], account["run_slots"], account["queue_limit"]) == ("Ferry Line", 2, 50)
    assert account["run_duration_limit_seconds"] == 86400


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_projects(api, version):
    """The project can be found by id and by part of its name."""
    base = f"/api/{version}/accounts/{ACCOUNT}/projects/"
    (project,) = api.data(base)
    assert project["name"] == "ferry"
    assert api.data(f"{base}{project['id']}/") == project
    assert api.data(base, name__icontains="FERR", pk__in=f"[{project['id']}]", pk__gt=1) == [project]
    assert api.data(base, name__icontains="train") == []


def test_environments(api):
    """Environments are found in v2, and in v3 below the project and (undocumented) below the account."""
    (project,) = api.data("projects/")
    v3 = f"/api/v3/accounts/{ACCOUNT}/"
    for base in ("environments/", f"{v3}environments/", f"{v3}projects/{project['id']}/environments/"):
        names = [environment["name"] for environment in api.data(base, order_by="id")]
        assert sorted(names) == ["Production", "Slow lane", "Staging"]
    base = f"{v3}projects/{project['id']}/environments/"
    (production,) = api.data(base, deployment_type="production", name__icontains="PROD", id__gt=1)
    assert (production["type"], production["deployment_type"]) == ("deployment", "production")
    assert api.data(f"{base}{production['id']}/")["name"] == "Production"
    assert api.data(f"environments/{production['id']}/")["name"] == "Production"
    both = api.data(base, deployment_type__in='["production","staging"]')
    assert len(both) == 2
    assert api.get(f"{v3}projects/1/environments/").status_code == 404


def test_connections(api):
    """An environment names its connection, and that says where the DuckDB file is."""
    v3 = f"/api/v3/accounts/{ACCOUNT}/"
    (staging,) = (entry for entry in api.data("environments/") if entry["name"] == "Staging")
    connection = api.data(f"{v3}connections/{staging['connection_id']}/")
    assert (connection["name"], Path(connection["config"]["path"]).name) == ("DuckDB", "staging.duckdb")
    assert api.get(f"{v3}connections/1/").status_code == 404


def test_jobs(api):
    """Jobs are found by environment and by part of their name."""
    report = next(job for job in api.data("jobs/") if job["name"] == "Report")
    assert api.data("jobs/", name__icontains="repo") == [report]
    assert report in api.data(
        "jobs/", environment_id=report["environment_id"], project_id=report["project_id"]
    )
    assert api.data("jobs/", triggers_schedule="true") == []
    names = [job["name"] for job in api.data("jobs/", order_by="-name")]
    assert names == sorted(names, reverse=True)
    assert report["execute_steps"] == ["dbt seed", "dbt build --exclude endless", "dbt ls --quiet"]
    assert report["schedule"]["date"] == {"type": "every_day"}
    assert report["settings"] == {"threads": 4, "target_name": "default"}
    assert report["execution"] == {"timeout_seconds": 0}


def test_job_related(api, standing):
    """A job can be had with its environment and its newest runs."""
    first, second = api.trigger("Report"), api.trigger("Report")
    standing[first["id"]].end()
    related = "environment,most_recent_run,most_recent_completed_run,custom_environment_variables"
    job = api.data(f"jobs/{first['job_id']}/", include_related=related)
    assert job["environment"]["name"] == "Staging"
    assert job["most_recent_run"]["id"] == second["id"]
    assert job["most_recent_completed_run"]["id"] == first["id"]


def test_logs_of_a_step(api, cloud):
    """A step has its console log; the debug log is whole on request, else its last 1,000 lines."""
    run = api.trigger("Report")
    step = Step(
        cloud.store.next_id(), 1, "Invoke dbt with `dbt seed`", cloud.store.clock(), command="dbt seed"
    )
    cloud.store.add_step(run["id"], step)
    folder = cloud.store.step_folder(run["id"], 1)
    folder.mkdir(parents=True)
    (folder / "console.log").write_text("one\n\x1b[31mtwo\x1b[0m\nthr")
    (folder / "dbt.log").write_text("".join(f"line {number}\n" for number in range(1500)))
    written = api.run(run["id"])["run_steps"][0]
    assert written["logs"] == "one\n\x1b[31mtwo\x1b[0m\n", "a line that is not complete waits"
    assert written["debug_logs"] == ""
    assert written["truncated_debug_logs"].startswith("line 500\n")
    assert written["run_step_command"] == {"run_step_id": step.id, "dbt_command": "dbt seed"}
    assert api.data(f"steps/{step.id}/") == written
    whole = api.data(f"steps/{step.id}/", include_related="debug_logs")
    assert whole["debug_logs"].startswith("line 0\n")
    cloud.store.update_step(run["id"], 1, status=Status.SUCCESS, finished_at=cloud.store.clock())
    assert api.data(f"steps/{step.id}/")["logs"].endswith("thr")


def test_artifacts_of_a_run(api, cloud, standing):
    """Artifacts can be had by step once the run has ended; by default as of the last step that wrote some."""
    run = api.trigger("Report")
    assert api.data(f"runs/{run['id']}/artifacts/") is None
    for index, text in ((1, "{}"), (2, '{"step": 2}'), (3, None)):
        cloud.store.add_step(
            run["id"], Step(cloud.store.next_id(), index, "x", 0.0, has_artifacts=text is not None)
        )
        folder = cloud.store.step_folder(run["id"], index) / "target"
        (folder / "compiled").mkdir(parents=True)
        if text:
            (folder / "manifest.json").write_text(text)
            (folder / "compiled" / "a.sql").write_text("select 1")
    base = f"runs/{run['id']}/artifacts/"
    assert api.get(f"{base}manifest.json").status_code == 404, "not before the end"
    standing[run["id"]].end()
    assert api.data(base) == ["compiled/a.sql", "manifest.json"]
    assert api.data(base[:-1]) == ["compiled/a.sql", "manifest.json"]
    response = api.get(f"{base}manifest.json")
    assert (response.content, response.headers["content-type"]) == (b'{"step": 2}', "application/json")
    assert api.get(f"{base}compiled/a.sql").content == b"select 1"
    assert api.get(f"{base}manifest.json", step=1).content == b"{}"
    assert api.get(f"jobs/{run['job_id']}/artifacts/manifest.json").content == b'{"step": 2}'
    assert api.run(run["id"])["artifacts_saved"]
    for missing in ({"step": 3}, {"step": 9}):
        assert api.get(f"{base}manifest.json", **missing).status_code == 404
    for path in (
        "nothing.json",
        "../1/target/manifest.json",
        "..%2F..%2F..%2F..%2Fstate.sqlite3",
        "%00",
        "compiled",
    ):
        assert api.get(f"{base}{path}").status_code == 404
    assert api.get(f"{base}manifest.json", step="x").status_code == 400
    assert api.get(f"{base}manifest.json", stepp=1).status_code == 400
