"""What the names of `apache-airflow-providers-dbt-cloud` are here."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["GONE", "HERE", "MODULES", "OFFICIAL", "Home", "split_name"]

OFFICIAL = "airflow.providers.dbt.cloud"
PACKAGE = "airflow_dbt_cloud"

# Modules by what follows `OFFICIAL`.
MODULES = {
    f"{kind}{leaf}": f"{PACKAGE}.{kind}"
    for kind in ("hooks", "operators", "sensors", "triggers")
    for leaf in ("", ".dbt")
}
# There are more, which nothing here stands for.
ALL_MODULES = (*MODULES, "utils.openlineage", "utils", "version_compat", "get_provider_info", "")


class Home(NamedTuple):
    """Where a name is here, and how it is called."""

    module: str
    name: str


HERE = {
    "DbtCloudGetJobRunArtifactOperator": Home(f"{PACKAGE}.operators", "DbtCloudGetJobRunArtifactOperator"),
    "DbtCloudHook": Home(f"{PACKAGE}.hooks", "DbtCloudHook"),
    "DbtCloudJobRunException": Home(f"{PACKAGE}.errors", "DbtCloudJobRunException"),
    "DbtCloudJobRunSensor": Home(f"{PACKAGE}.sensors", "DbtCloudJobRunSensor"),
    "DbtCloudJobRunStatus": Home(f"{PACKAGE}.hooks", "DbtCloudJobRunStatus"),
    "DbtCloudListJobRunsOperator": Home(f"{PACKAGE}.operators", "DbtCloudListJobRunsOperator"),
    "DbtCloudListJobsOperator": Home(f"{PACKAGE}.operators", "DbtCloudListJobsOperator"),
    "DbtCloudResourceLookupError": Home(f"{PACKAGE}.errors", "DbtCloudConfigurationError"),
    "DbtCloudRunJobOperator": Home(f"{PACKAGE}.operators", "DbtCloudRunJobOperator"),
    "DbtCloudRunJobOperatorLink": Home(f"{PACKAGE}.operators", "DbtCloudJobRunLink"),
    "DbtCloudRunJobTrigger": Home(f"{PACKAGE}.triggers", "DbtCloudRunJobTrigger"),
}

_OUR_EVENT = "what its trigger fires is read with RunEvent.from_payload (airflow_dbt_cloud.triggers)"
_OUR_LINEAGE = "delete it: the operator and the sensor send lineage by themselves (extra `openlineage`)"
_ACCOUNT = "give the account to the hook, DbtCloudHook(account_id=…), or leave it to the connection"
# What is not here, and what to do.
GONE = {
    "DBT_CAUSE_MAX_LENGTH": "write 255",
    "DbtCloudTriggerEventException": f"{_OUR_EVENT}, which raises ValueError",
    "JobRunInfo": "write account_id and run_id as arguments",
    "TRIGGER_EVENT_STATUSES": _OUR_EVENT,
    "TokenAuth": "use the hook's methods",
    "fallback_to_default_account": _ACCOUNT,
    "generate_openlineage_events_from_dbt_cloud_run": _OUR_LINEAGE,
    "inject_parent_job_information_into_dbt_cloud_cause": _OUR_LINEAGE,
    "provide_account_id": _ACCOUNT,
    "validate_execute_complete_event": _OUR_EVENT,
}


def split_name(dotted: str) -> tuple[str, str] | None:
    """
    Return the module and the rest of an official dotted name, None if it is none.

    `airflow.providers.dbt.cloud.hooks.dbt.DbtCloudHook.get_job` gives `hooks.dbt` and `DbtCloudHook.get_job`.
    """
    if dotted != OFFICIAL and not dotted.startswith(f"{OFFICIAL}."):
        return None
    below = dotted[len(OFFICIAL) + 1 :]
    module = max((name for name in ALL_MODULES if f"{below}.".startswith(f"{name}.") or not name), key=len)
    return module, below[len(module) :].removeprefix(".")
