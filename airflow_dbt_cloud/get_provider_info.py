"""
What Airflow's providers manager is told about this package.

Imported by every Airflow process at its start, so it imports nothing.
"""

from __future__ import annotations

from typing import Any

__all__ = ["CONFIG_SECTION", "OPTIONS", "get_provider_info"]

INTEGRATION = "dbt Cloud"
CONFIG_SECTION = "dbt_cloud"


def _option(kind: str, default: str, example: str, description: str) -> dict[str, Any]:
    return {
        "type": kind,
        "default": default,
        "example": example,
        "description": description,
        "version_added": "1.0.0",
    }


OPTIONS: dict[str, dict[str, Any]] = {
    "check_interval": _option(
        "float",
        "60",
        "30",
        "Seconds between two questions whether a run has ended, where the task does not say.",
    ),
    "requests_per_minute": _option(
        "float",
        "500",
        "1000",
        "How many requests a triggerer may send to dbt Cloud in a minute. dbt Cloud's limit is 5,000 for an "
        "account; above ours, runs are asked for less often, and none is forgotten.",
    ),
    "durable": _option(
        "boolean",
        "True",
        "False",
        "Whether a retry looks for the run of the try before and takes it up, instead of starting another.",
    ),
    "deployment_id": _option(
        "string",
        "",
        "production",
        "Tells this Airflow from others that start runs in the same account, such as staging. If empty, "
        "[api] base_url does; every worker must have the same.",
    ),
    "start_timeout": _option(
        "float",
        "900",
        "1800",
        "Seconds within which a run must be looked for and started. After too many requests dbt Cloud "
        "refuses all for five minutes, and a whole platform may start at midnight.",
    ),
    "lost_track_after": _option(
        "float",
        "43200",
        "7200",
        "Seconds for which dbt Cloud cannot be asked how a run is, without a single answer, after which the "
        "task gives up.",
    ),
    "min_deferral": _option(
        "float",
        "5",
        "10",
        "Seconds for which a task is deferred at least. Airflow fails a task whose trigger fires before the "
        "worker has quite ended.",
    ),
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, as `airflow/provider_info.schema.json` has it."""
    return {
        # Must be the name of the distribution, else discovery of all providers breaks.
        "package-name": "airflow-dbt-cloud",
        "name": INTEGRATION,
        "description": "Run dbt Cloud jobs from Apache Airflow and trust the result.",
        "integrations": [
            {
                "integration-name": INTEGRATION,
                "external-doc-url": "https://docs.getdbt.com/docs/cloud/about-cloud/dbt-cloud-features",
                "tags": ["dbt"],
            }
        ],
        "operators": [{"integration-name": INTEGRATION, "python-modules": ["airflow_dbt_cloud.operators"]}],
        "sensors": [{"integration-name": INTEGRATION, "python-modules": ["airflow_dbt_cloud.sensors"]}],
        "triggers": [{"integration-name": INTEGRATION, "python-modules": ["airflow_dbt_cloud.triggers"]}],
        "hooks": [{"integration-name": INTEGRATION, "python-modules": ["airflow_dbt_cloud.hooks"]}],
        "extra-links": ["airflow_dbt_cloud.links.DbtCloudJobRunLink"],
        "connection-types": [_connection_type()],
        "config": {
            CONFIG_SECTION: {
                "description": "Defaults of all tasks that run dbt Cloud jobs.",
                "options": OPTIONS,
            }
        },
    }


def _connection_type() -> dict[str, Any]:
    return {
        "connection-type": "dbt_cloud",
        "hook-class-name": "airflow_dbt_cloud.hooks.DbtCloudHook",
        "hook-name": INTEGRATION,
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "port"],
            "relabeling": {"host": "Access URL", "login": "Account ID", "password": "API token"},
            "placeholders": {
                "host": "https://ab123.us1.dbt.com (Account settings in dbt Cloud)",
                "login": "70403103922125",
                "password": "a service token or a personal access token",
            },
        },
        # No defaults and all nullable: Airflow's form writes every field into the extra, nulls too.
        "conn-fields": {
            "timeout_seconds": {
                "label": "Timeout",
                "description": "Seconds to wait for each piece of an answer; 30 if empty, at most 60.",
                "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
            },
            "proxies": {
                "label": "Proxies",
                "description": (
                    "A proxy's URL, or a JSON object of URLs by scheme, such as "
                    '{"https": "http://proxy:3128"}. HTTPS_PROXY and NO_PROXY of the environment work too.'
                ),
                "schema": {"type": ["string", "null"], "format": "password"},
            },
            "ca_bundle": {
                "label": "CA bundle",
                "description": (
                    "Path of a file of certificates to trust instead of the system's; it must exist wherever "
                    "tasks and triggerers run."
                ),
                "schema": {"type": ["string", "null"]},
            },
            "allow_http": {
                "label": "Allow http",
                "description": "Send the token in clear text to a host that is not this machine. For tests.",
                "schema": {"type": ["boolean", "null"]},
            },
        },
    }
