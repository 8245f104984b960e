"""Request bodies: what may be asked of a run and of a job.

Unknown fields, wrong types, empty texts and what is no text are refused, explicit nulls are as good as
absent. What the real service would do and this one cannot (a schedule, a deferral, another dbt version) is
refused, never ignored.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_dbt_cloud.local.envelope import InvalidRequest
from airflow_dbt_cloud.local.json_text import read_json, why_unfit
from airflow_dbt_cloud.local.records import DELETED, PULL_REQUEST_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_CAUSE = LONGEST_DESCRIPTION = 255
_RUN_FIELDS: dict[str, type] = {
    "cause": str,
    "git_sha": str,
    "git_branch": str,
    **dict.fromkeys(PULL_REQUEST_FIELDS, int),
    "schema_override": str,
    "dbt_version_override": str,
    "threads_override": int,
    "target_name_override": str,
    "generate_docs_override": bool,
    "timeout_seconds_override": int,
    "steps_override": list,
}
_JOB_FIELDS: dict[str, type] = {
    "account_id": int,
    "project_id": int,
    "environment_id": int,
    "name": str,
    "execution": dict,
    "generate_docs": bool,
    "lifecycle_webhooks": bool,
    "run_generate_sources": bool,
    "settings": dict,
    "state": int,
    "triggers": dict,
}
_OPTIONAL_JOB_FIELDS: dict[str, type] = {
    "dbt_version": str,
    "deferring_environment_id": int,
    "deferring_job_definition_id": int,
    "description": str,
    "execute_steps": list,
    "job_type": str,
    "run_compare_changes": bool,
    "compare_changes_flags": str,
    "run_lint": bool,
    "errors_on_lint_failure": bool,
    "cost_optimization_features": list,
    "triggers_on_draft_pr": bool,
    "schedule": dict,
    "generate_sources": bool,
    "deactivated": bool,
}
# Fields of a job that only answers have; clients send back what they got.
_READ_ONLY_JOB_FIELD = re.compile(
    r"id|account|project|environment|(created|updated)_at|raw_dbt_version|run_failure_count|is_deferrable"
    r"|lifecycle_webhooks_url|job_completion_trigger_condition|fusion_readiness|cron_humanized|next_run(_humanized)?"
    r"|most_recent_(completed_)?run|custom_environment_variables"
)
_NOT_HONOURED = {
    "lifecycle_webhooks": "webhooks",
    "run_compare_changes": "comparing changes",
    "run_lint": "linting",
    "cost_optimization_features": "cost optimization",
    "deferring_environment_id": "deferral",
    "deferring_job_definition_id": "deferral",
}
_JOB_TYPES = ("ci", "scheduled", "other", "merge", "exposure_sync", "adaptive", "hybrid")


def read_object(body: bytes) -> dict[str, Any]:
    """Read a body that must be a JSON object; its nulls are left out."""
    try:
        value = read_json(body)
    except ValueError as error:
        raise InvalidRequest(f"The body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"{value!r} is not of type 'object'")
    for name, entry in value.items():
        if (reason := why_unfit(name)) is not None:
            raise InvalidRequest(reason)
        if (reason := why_unfit(entry)) is not None:
            raise InvalidRequest({name: reason})
    return {name: entry for name, entry in value.items() if entry is not None}


def read_run_request(body: bytes, dbt_versions: Iterable[str]) -> dict[str, Any]:
    """Read what a new run is asked to be."""
    fields = read_object(body)
    _refuse_unknown(fields, _RUN_FIELDS)
    if "cause" not in fields:
        raise InvalidRequest({"cause": "This field is required."})
    _check_types(fields, _RUN_FIELDS)
    if len(fields["cause"]) > LONGEST_CAUSE:
        raise InvalidRequest({"cause": f"Ensure this field has no more than {LONGEST_CAUSE} characters."})
    _check_least(fields, "threads_override", 1)
    _check_least(fields, "timeout_seconds_override", 0)
    if fields.get("steps_override") == []:
        raise InvalidRequest({"steps_override": "[] is too short"})
    _check_commands(fields, "steps_override")
    _check_dbt_version(fields, "dbt_version_override", dbt_versions)
    if "steps_override" in fields:
        fields["steps_override"] = tuple(fields["steps_override"])
    return fields


def read_job(
    body: bytes, project_id: int, environment_ids: set[int], dbt_versions: Iterable[str]
) -> dict[str, Any]:
    """Read a job definition; gives the fields of `Job`."""
    fields = {
        name: value for name, value in read_object(body).items() if not _READ_ONLY_JOB_FIELD.fullmatch(name)
    }
    types = {**_JOB_FIELDS, **_OPTIONAL_JOB_FIELDS}
    _refuse_unknown(fields, types)
    if missing := [name for name in _JOB_FIELDS if name not in fields]:
        raise InvalidRequest(dict.fromkeys(missing, "This field is required."))
    _check_types(fields, types, may_be_empty={"description"})
    if fields["project_id"] != project_id:
        raise InvalidRequest({"project_id": f"{fields['project_id']} is not a project of this account"})
    if fields["environment_id"] not in environment_ids:
        raise InvalidRequest(
            {"environment_id": f"{fields['environment_id']} is not one of {sorted(environment_ids)}"}
        )
    if len(fields.get("description", "")) > LONGEST_DESCRIPTION:
        limit = f"Ensure this field has no more than {LONGEST_DESCRIPTION} characters."
        raise InvalidRequest({"description": limit})
    _check_commands(fields, "execute_steps")
    _check_dbt_version(fields, "dbt_version", dbt_versions)
    _refuse_not_honoured(fields)
    return _job_fields(fields)


def _job_fields(fields: dict[str, Any]) -> dict[str, Any]:
    job_type = fields.get("job_type", "other")
    if job_type not in _JOB_TYPES:
        raise InvalidRequest({"job_type": f"{job_type!r} is not one of {list(_JOB_TYPES)}"})
    settings, execution = fields["settings"], fields["execution"]
    for section, name, expected in ((settings, "threads", int), (settings, "target_name", str)):
        if not _is(section.get(name), expected) or section[name] in ("", 0):
            raise InvalidRequest({"settings": f"{name}: {section.get(name)!r} is not valid"})
    timeout = execution.get("timeout_seconds", 0)
    if not _is(timeout, int) or timeout < 0:
        raise InvalidRequest({"execution": f"timeout_seconds: {timeout!r} is not valid"})
    return {
        "name": fields["name"],
        "environment_id": fields["environment_id"],
        "commands": tuple(fields.get("execute_steps", ())),
        "description": fields.get("description", ""),
        "threads": settings["threads"],
        "timeout_seconds": timeout,
        "generate_docs": fields["generate_docs"],
        "run_generate_sources": fields["run_generate_sources"] or fields.get("generate_sources", False),
        "target_name": settings["target_name"],
        "dbt_version": fields.get("dbt_version"),
        "job_type": job_type,
        "schedule": fields.get("schedule"),
        "deactivated": fields.get("deactivated", False),
        "state": DELETED if fields["state"] == DELETED else 1,
    }


def _refuse_not_honoured(fields: dict[str, Any]) -> None:
    for name, what in _NOT_HONOURED.items():
        if fields.get(name):
            raise InvalidRequest({name: f"The local server does not do {what}."})
    for name, value in fields["triggers"].items():
        if value:
            raise InvalidRequest({"triggers": f"{name}: the local server starts runs on request only."})


def _refuse_unknown(fields: dict[str, Any], known: Iterable[str]) -> None:
    if unknown := sorted(repr(name) for name in fields if name not in known):
        verb = "was" if len(unknown) == 1 else "were"
        raise InvalidRequest(
            f"Additional properties are not allowed ({', '.join(unknown)} {verb} unexpected)"
        )


def _check_types(fields: dict[str, Any], types: dict[str, type], may_be_empty: Iterable[str] = ()) -> None:
    for name, value in fields.items():
        if not _is(value, types[name]):
            raise InvalidRequest({name: f"{value!r} is not of type '{_JSON_TYPES[types[name]]}'"})
        if value == "" and name not in may_be_empty:
            raise InvalidRequest({name: "'' is too short"})


_JSON_TYPES = {str: "string", int: "integer", bool: "boolean", list: "array", dict: "object"}


def _is(value: object, expected: type) -> bool:
    return isinstance(value, expected) and not (expected is int and isinstance(value, bool))


def _check_least(fields: dict[str, Any], name: str, least: int) -> None:
    if fields.get(name, least) < least:
        raise InvalidRequest({name: f"{fields[name]} is less than the minimum of {least}"})


def _check_commands(fields: dict[str, Any], name: str) -> None:
    for command in fields.get(name, ()):
        if not isinstance(command, str) or not command.startswith("dbt ") or not command[4:].strip():
            raise InvalidRequest({name: f"{command!r} is not a dbt command: it must begin with 'dbt '"})


def _check_dbt_version(fields: dict[str, Any], name: str, dbt_versions: Iterable[str]) -> None:
    if fields.get(name) is not None and fields[name] not in dbt_versions:
        versions = sorted(dbt_versions)
        raise InvalidRequest({name: f"{fields[name]!r} is not installed; the local server has {versions}"})
