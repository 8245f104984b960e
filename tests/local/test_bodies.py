"""Tests of `airflow_dbt_cloud.local.bodies`: what may be asked of a run and of a job."""

import json

import pytest

from .conftest import ACCOUNT

INVALID = "The request was invalid. Please double check the provided data and try again."


def post_text(api, path, text):
    """Post a body as it is; clients refuse to write some of these."""
    url = f"{api.base_url}/api/v2/accounts/{ACCOUNT}/{path}"
    return api.session.post(url, content=text, headers={"Authorization": "Token dbtc_local_token"})


@pytest.fixture
def job_body(api):
    """Give a whole job definition, as a client would send it."""
    job = next(job for job in api.data("jobs/") if job["name"] == "Report")
    return {
        "account_id": job["account_id"],
        "project_id": job["project_id"],
        "environment_id": job["environment_id"],
        "name": "Made by hand",
        "execute_steps": ["dbt build"],
        "execution": {"timeout_seconds": 60},
        "generate_docs": False,
        "lifecycle_webhooks": False,
        "run_generate_sources": False,
        "settings": {"threads": 2, "target_name": "prod"},
        "state": 1,
        "triggers": {"github_webhook": False, "schedule": False},
    }


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, {"cause": "This field is required."}),
        ({"cause": None}, {"cause": "This field is required."}),
        ({"cause": ""}, {"cause": "'' is too short"}),
        ({"cause": 7}, {"cause": "7 is not of type 'string'"}),
        ({"cause": "x" * 256}, {"cause": "Ensure this field has no more than 255 characters."}),
        ({"cause": "x", "foo": 1}, "Additional properties are not allowed ('foo' was unexpected)"),
        ({"cause": "x", "schema_override": ""}, {"schema_override": "'' is too short"}),
        ({"cause": "x", "threads_override": "4"}, {"threads_override": "'4' is not of type 'integer'"}),
        ({"cause": "x", "threads_override": True}, {"threads_override": "True is not of type 'integer'"}),
        ({"cause": "x", "threads_override": 0}, {"threads_override": "0 is less than the minimum of 1"}),
        (
            {"cause": "x", "generate_docs_override": 1},
            {"generate_docs_override": "1 is not of type 'boolean'"},
        ),
        ({"cause": "x", "steps_override": "dbt run"}, {"steps_override": "'dbt run' is not of type 'array'"}),
        (
            {"cause": "x", "steps_override": ["ls"]},
            {"steps_override": "'ls' is not a dbt command: it must begin with 'dbt '"},
        ),
        (
            {"cause": "x", "git_branch": "main"},
            {"git_branch": "'main' cannot be checked out: the project is in no git repository."},
        ),
        ({"cause": "x", "git_sha": "--all"}, None),
        ({"cause": "x", "dbt_version_override": "1.2.3"}, None),
        ({"cause": "x", "steps_override": []}, {"steps_override": "[] is too short"}),
        ([], "[] is not of type 'object'"),
    ],
)
def test_a_run_that_cannot_be_is_refused(api, body, reason):
    """What is wrong with a trigger is said by field; what cannot be honoured is not ignored."""
    response = api.post(f"jobs/{api.job_id('Report')}/run/", body)
    assert response.status_code == 400
    assert response.json()["status"]["user_message"] == INVALID
    assert reason is None or response.json()["data"] == reason
    assert api.data("runs/") == []


def test_a_body_that_is_no_json(api):
    """A body that cannot be read is refused."""
    response = post_text(api, f"jobs/{api.job_id('Report')}/run/", "cause=x")
    assert response.status_code == 400
    assert response.json()["data"].startswith("The body is not JSON: ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cause", "a \ud800 b"),
        ("cause", "a\0b"),
        ("schema_override", "\udfff"),
        ("git_branch", "a\0b"),
        ("target_name_override", "\0"),
        ("steps_override", ["dbt run", "dbt run --select \0"]),
        ("timeout_seconds_override", 10**30),
        ("threads_override", -(2**63) - 1),
        ("github_pull_request_id", 2**63),
    ],
)
def test_what_cannot_be_kept_is_refused(api, field, value):
    """A text with NUL or half a surrogate pair, and a number beyond 64 bits, are refused by field."""
    response = post_text(api, f"jobs/{api.job_id('Report')}/run/", json.dumps({"cause": "x", field: value}))
    assert response.status_code == 400
    assert list(response.json()["data"]) == [field]
    assert api.data("runs/") == []


@pytest.mark.parametrize(
    "text",
    [
        '{"cause": ' + "[" * 100_000,
        '{"cause": ' + "[" * 21 + "]" * 21 + "}",
        '{"cause": "x", "threads_override": NaN}',
        '{"cause": "x", "threads_override": 1' + "0" * 5000 + "}",
        '{"\\ud800": "\\ud800"}',
    ],
)
def test_json_that_only_python_reads_is_refused(api, text):
    """Endless nesting, NaN, endless numbers and names that are no text answer 400."""
    assert post_text(api, f"jobs/{api.job_id('Report')}/run/", text).status_code == 400
    assert api.data("runs/") == []


def test_every_field_may_be_null(api):
    """An explicit null is as good as absent, for every field but cause."""
    fields = dict.fromkeys(
        [
            "git_sha",
            "git_branch",
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
        ]
    )
    assert api.trigger("Report", **fields)["status"] == 1


def test_overrides_are_kept(api):
    """What was overridden can be read in the trigger."""
    overrides = {
        "schema_override": "mine",
        "dbt_version_override": "latest",
        "threads_override": 7,
        "target_name_override": "ci",
        "generate_docs_override": True,
        "timeout_seconds_override": 7200,
        "steps_override": ["dbt run --select 'a b'"],
    }
    run = api.trigger("Report", cause="x" * 255, **overrides)
    assert {name: run["trigger"][name] for name in overrides} == overrides
    assert run["dbt_version"] == "latest"


def test_a_job_is_created(api, job_body):
    """A job from the API is answered with 201 and works like one from the file."""
    response = api.post("jobs/", job_body)
    assert response.status_code == 201
    job = response.json()["data"]
    assert (job["name"], job["execute_steps"], job["settings"]["threads"]) == (
        "Made by hand",
        ["dbt build"],
        2,
    )
    assert api.trigger("Made by hand")["job"]["execution"] == {"timeout_seconds": 60}


def test_what_was_got_can_be_sent_back(api, job_body):
    """A client may change one field of what it got and send the whole."""
    job = api.post("jobs/", job_body).json()["data"]
    response = api.post(f"jobs/{job['id']}/", {**job, "name": "Renamed", "description": "short"})
    assert response.status_code == 200
    assert api.data(f"jobs/{job['id']}/")["name"] == "Renamed"


def test_a_deactivated_job_is_refused(api, job_body):
    """A deactivated job starts no run."""
    job = api.post("jobs/", {**job_body, "deactivated": True}).json()["data"]
    response = api.post(f"jobs/{job['id']}/run/", {"cause": "x"})
    assert (response.status_code, response.json()["data"]) == (400, f"Job {job['id']} is deactivated.")


def test_a_deleted_job_is_gone(api, job_body):
    """Deleting answers with the job in state 2; after that it is found only by who asks for deleted ones."""
    job = api.post("jobs/", job_body).json()["data"]
    response = api.ask("DELETE", f"jobs/{job['id']}/")
    assert (response.status_code, response.json()["data"]["state"]) == (200, 2)
    assert api.get(f"jobs/{job['id']}/").status_code == 404
    assert api.post(f"jobs/{job['id']}/run/", {"cause": "x"}).status_code == 404
    assert job["id"] not in [each["id"] for each in api.data("jobs/")]
    assert [each["id"] for each in api.data("jobs/", state="deleted")] == [job["id"]]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"settings": None}, "settings"),
        ({"settings": {"threads": 0, "target_name": "x"}}, "settings"),
        ({"settings": {"threads": 1}}, "settings"),
        ({"execution": {"timeout_seconds": -1}}, "execution"),
        ({"project_id": 1}, "project_id"),
        ({"environment_id": 1}, "environment_id"),
        ({"description": "x" * 256}, "description"),
        ({"execute_steps": ["make"]}, "execute_steps"),
        ({"dbt_version": "0.21.0"}, "dbt_version"),
        ({"job_type": "weekly"}, "job_type"),
        ({"triggers": {"schedule": True, "github_webhook": False}}, "triggers"),
        ({"deferring_environment_id": 1}, "deferring_environment_id"),
        ({"run_lint": True}, "run_lint"),
        ({"name": "a\ud800"}, "name"),
        ({"description": "a\0"}, "description"),
        ({"settings": {"threads": 1, "target_name": "\0"}}, "settings"),
        ({"settings": {"threads": 2**63, "target_name": "x"}}, "settings"),
        ({"execution": {"timeout_seconds": 10**30}}, "execution"),
        ({"schedule": {"\ud800": 1e300}}, "schedule"),
    ],
)
def test_a_job_that_cannot_be_is_refused(api, job_body, change, field):
    """What is wrong with a job is said by field; what this server does not do is refused."""
    response = post_text(api, "jobs/", json.dumps({**job_body, **change}))
    assert response.status_code == 400
    assert list(response.json()["data"]) == [field]


def test_unknown_job_fields_are_refused(api, job_body):
    """A misspelt field is refused."""
    response = api.post("jobs/", {**job_body, "thread": 1})
    assert response.json()["data"] == "Additional properties are not allowed ('thread' was unexpected)"
