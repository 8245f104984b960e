"""
What Airflow's providers manager is told about this package.

Imported by every Airflow process at its start, so it imports nothing.
"""

from __future__ import annotations

from typing import Any

__all__ = ["get_provider_info"]

INTEGRATION = "dbt Cloud"


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
                "description": "Seconds to wait for each piece of an answer; 30 if empty.",
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
