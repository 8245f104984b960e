"""
Tests of the answers against what dbt Cloud specifies and against what was recorded from it.

Neither is part of this repository: `DBT_CLOUD_OPENAPI_DIR` names the folder with the OpenAPI documents,
`DBT_CLOUD_SAMPLES_DIR` the one with the recorded answers; by default that is the folder `samples` beside the
first. The recordings are from 2021 to 2025: a key that they lack must be in the documents, which are newer,
or among the exempt ones, as must one that only they have. Null has any type.
"""

import json
import os
import re
from pathlib import Path

import jsonschema
import pytest
from starlette.responses import JSONResponse

from airflow_dbt_cloud.local.records import Status, Step

from .conftest import ACCOUNT, CONTRACT

DOCUMENTS = os.environ.get("DBT_CLOUD_OPENAPI_DIR")
SAMPLES = Path(os.environ.get("DBT_CLOUD_SAMPLES_DIR") or Path(DOCUMENTS or ".", "..", "samples"))
needs_samples = pytest.mark.skipif(
    not DOCUMENTS or not SAMPLES.is_dir(),
    reason="DBT_CLOUD_OPENAPI_DIR and DBT_CLOUD_SAMPLES_DIR do not name documents and recorded answers",
)

# Keys that only one side has, and why that is right.
EXEMPT = {
    "scribe_enabled": "of runs until 2022; those recorded later lack it",
    "unlock_if_subscription_renewed": "of accounts until 2022; specified no more",
    "enterprise_authentication_method": "of accounts until 2022; now of users only",
    "enterprise_unique_identifier": "of accounts until 2022; specified no more",
    "enterprise_login_url": "of accounts until 2022; specified no more",
    "sso_reauth": "of accounts until 2022; specified no more",
    "develop_file_system": "of accounts until 2022; specified no more",
    "custom_branch_only": "a trigger of jobs until 2022; deprecated, and jobs recorded later lack it",
    "deactivated": "specified nowhere, but recorded of jobs in 2024; those of 2022 lack it",
    "days": "only the date of a schedule for certain days has it, and ours is for every day",
    "cron": "as days",
    "extra": "400 has it only in the newer of the two recordings",
    "error_code": "as extra",
}
FORMS = (
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
    r"\d\d+:\d\d:\d\d",
    r"\d+ [a-z]+(, \d+ [a-z]+)?( ago| from now)?",
)


def form(text):
    """Say which form of a time or a duration a text has."""
    return next((pattern for pattern in FORMS if re.fullmatch(pattern, text)), "text")


def differences(ours, recorded, place="answer", *, is_whole=True):
    """List in what the shape of an answer differs from a recorded one."""
    if ours is None or recorded is None:
        return []
    if type(ours) is not type(recorded):
        return [f"{place}: {type(ours).__name__} instead of {type(recorded).__name__}"]
    if isinstance(ours, str):
        return [f"{place}: {ours!r} unlike {recorded!r}"] if form(ours) != form(recorded) else []
    if isinstance(ours, list):
        return [
            found
            for each in ours
            for other in recorded
            for found in differences(each, other, f"{place}[]", is_whole=is_whole)
        ]
    if not isinstance(ours, dict):
        return []
    found = [f"{place}.{key}: missing" for key in recorded if key not in {*ours, *EXEMPT}]
    if is_whole:
        explained = {*recorded, *CONTRACT.names, *EXEMPT}
        found += [f"{place}.{key}: neither recorded nor specified" for key in ours if key not in explained]
    for key in ours.keys() & recorded.keys():
        found += differences(ours[key], recorded[key], f"{place}.{key}", is_whole=is_whole)
    return found


def sample(name):
    """Read a recorded answer."""
    return json.loads((SAMPLES / name).read_text(encoding="utf-8"))


@pytest.fixture
def run(api, cloud, standing):
    """Give a finished run with a step and artifacts."""
    run = api.trigger("Report")
    moment = cloud.store.clock()
    step = Step(
        cloud.store.next_id(), 1, "Clone git repository", moment, Status.SUCCESS, None, moment, moment, True
    )
    cloud.store.add_step(run["id"], step)
    target = cloud.store.step_folder(run["id"], 1) / "target"
    target.mkdir(parents=True)
    (target / "manifest.json").write_text("{}")
    standing[run["id"]].end()
    return run


def cancel(api, _):
    """Cancel a run that waits for another, as was recorded."""
    api.trigger("Report")
    queued = api.trigger("Report")
    return api.post(f"runs/{queued['id']}/cancel/")


def list_runs(api, run):
    """List a finished and a queued run of one job."""
    api.trigger("Report")
    api.trigger("Report")
    return api.get("runs/", job_definition_id=run["job_id"], order_by="id")


def job_body(api, run):
    """Give a job as it can be sent."""
    return {**api.data(f"jobs/{run['job_id']}/"), "name": "Another"}


@pytest.mark.skipif(not DOCUMENTS, reason="DBT_CLOUD_OPENAPI_DIR does not name dbt Cloud's OpenAPI documents")
def test_answers_are_held_to_the_documents(run, api):
    """An answer that is not as specified fails the test that gets it."""
    path = f"/api/v2/accounts/{ACCOUNT}/runs/{run['id']}/"
    answer = api.get(path).json()
    CONTRACT.check("GET", path, as_response(answer))
    answer["data"]["status"] = "Success"
    with pytest.raises(jsonschema.ValidationError):
        CONTRACT.check("GET", path, as_response(answer))


def as_response(value):
    """Make a response that the contract can be checked on."""
    response = JSONResponse(value)
    response.json = lambda: value
    return response


@needs_samples
@pytest.mark.parametrize(
    ("name", "ask"),
    [
        (
            "kestra/trigger_run_response_2024.json",
            lambda api, run: api.post(f"jobs/{run['job_id']}/run/", {"cause": "x"}),
        ),
        (
            "dbt-cloud-cli/job_run_response.json",
            lambda api, run: api.post(f"jobs/{run['job_id']}/run/", {"cause": "x"}),
        ),
        ("dbt-cloud-cli/run_get_response.json", lambda api, run: api.get(f"runs/{run['id']}/")),
        ("openmetadata/list_runs_2024.json", list_runs),
        ("dbt-cloud-cli/run_cancel_response.json", cancel),
        ("dbt-cloud-cli/job_get_response.json", lambda api, run: api.get(f"jobs/{run['job_id']}/")),
        ("openmetadata/list_jobs_2024.json", lambda api, _: api.get("jobs/")),
        ("dbt-cloud-cli/job_create_response.json", lambda api, run: api.post("jobs/", job_body(api, run))),
        (
            "dbt-cloud-cli/job_delete_response.json",
            lambda api, run: api.ask("DELETE", f"jobs/{run['job_id']}/"),
        ),
        ("dbt-cloud-cli/account_get_response.json", lambda api, _: api.get("")),
        (
            "dbt-cloud-cli/run_list_artifacts_response.json",
            lambda api, run: api.get(f"runs/{run['id']}/artifacts/"),
        ),
        ("errors/400_status__in_not_a_json_list.json", lambda api, _: api.get("runs/", status__in="X")),
        ("errors/400_unknown_filter.json", lambda api, _: api.get("runs/", created_at__gte=1)),
        ("errors/401_invalid_token.json", lambda api, _: api.ask("GET", "runs/", token="wrong")),
        ("errors/403_wrong_account.json", lambda api, _: api.get("/api/v2/accounts/42/runs/")),
        ("errors/404_not_found_or_no_permission.json", lambda api, _: api.get("runs/1/")),
        (
            "errors/405_post_redirected_to_get_without_trailing_slash.json",
            lambda api, run: api.get(f"runs/{run['id']}/cancel/"),
        ),
    ],
)
def test_answers_are_as_recorded(api, run, name, ask):
    """Keys, types and forms of an answer are those of the same answer of dbt Cloud."""
    recorded, response = sample(name), ask(api, run)
    assert differences(response.json(), recorded) == []
    assert response.status_code == recorded.get("status", {"code": 405})["code"]
    if "status" in recorded:
        assert response.json()["status"] == recorded["status"]


@needs_samples
def test_steps_are_as_recorded(api, run):
    """A step has the keys that were recorded of one; the recording leaves out the rest."""
    (step,) = api.run(run["id"])["run_steps"]
    recorded = sample("airflow/run_step_details_partial_2025.json")["run_steps"][0]
    assert differences(step, recorded, is_whole=False) == []
    assert api.data(f"steps/{step['id']}/") == step


def test_differences_are_found():
    """A missing key, another type and another form of a time are differences; null is none."""
    recorded = {"a": 1, "b": "2026-01-01 00:00:00.000000+00:00", "c": [{"d": True}], "e": None}
    assert differences(recorded, recorded) == []
    ours = {"b": "2026-01-01T00:00:00.000000+00:00", "c": [{"d": 1}], "e": 7, "nowhere": 0}
    assert sorted(differences(ours, recorded)) == [
        "answer.a: missing",
        "answer.b: '2026-01-01T00:00:00.000000+00:00' unlike '2026-01-01 00:00:00.000000+00:00'",
        "answer.c[].d: int instead of bool",
        "answer.nowhere: neither recorded nor specified",
    ]
