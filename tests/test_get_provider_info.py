"""What Airflow's providers manager makes of this package."""

import json
from importlib.metadata import distribution, entry_points
from pathlib import Path

import airflow
import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from airflow_dbt_cloud.get_provider_info import get_provider_info


def test_schema():
    """The provider's metadata is what Airflow's own schema asks for."""
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_package_name():
    """The package's name is that of the distribution, else Airflow would find no provider at all."""
    assert get_provider_info()["package-name"] == distribution("airflow-dbt-cloud").metadata["Name"]


def test_entry_point():
    """Airflow finds the metadata by the entry point."""
    points = entry_points(group="apache_airflow_provider")
    (ours,) = [point for point in points if point.dist.name == "airflow-dbt-cloud"]
    assert ours.load() is get_provider_info


@pytest.fixture(scope="module")
def manager():
    """Return Airflow's own providers manager."""
    manager = ProvidersManager()
    manager.initialize_providers_hooks()
    return manager


def test_hook_is_registered():
    """Connections of type dbt_cloud get our hook."""
    hook = ProvidersManagerTaskRuntime().hooks["dbt_cloud"]
    assert hook.hook_class_name == "airflow_dbt_cloud.hooks.DbtCloudHook"
    assert hook.hook_name == "dbt Cloud"


def test_form_of_the_connection(manager):
    """The form has dbt Cloud's words, and extra fields that are nullable, described and without defaults."""
    behaviour = manager.field_behaviours["dbt_cloud"]
    assert behaviour["relabeling"] == {"host": "Access URL", "login": "Account ID", "password": "API token"}
    fields = get_provider_info()["connection-types"][0]["conn-fields"]
    assert set(fields) == {"timeout_seconds", "proxies", "ca_bundle", "allow_http"}
    for field in fields.values():
        assert "null" in field["schema"]["type"]
        assert "default" not in field["schema"]
        assert field["description"]


def test_extra_link_is_registered(manager):
    """`airflow providers links` lists the link to the run."""
    manager.initialize_providers_extra_links()
    assert "airflow_dbt_cloud.links.DbtCloudJobRunLink" in manager.extra_links_class_names
