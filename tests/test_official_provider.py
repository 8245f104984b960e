"""Beside the official provider: whose the connection is, and that its DAGs go on."""

import json
import subprocess
import sys

import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk import Connection
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

pytest.importorskip("airflow.providers.dbt.cloud", reason="the official provider is not installed")

OURS = "airflow_dbt_cloud.hooks.DbtCloudHook"


def test_both_are_listed():
    """`airflow providers list` has both."""
    command = [sys.executable, "-m", "airflow", "providers", "list", "--output", "json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    names = {provider["package_name"] for provider in json.loads(done.stdout)}
    assert names >= {"airflow-dbt-cloud", "apache-airflow-providers-dbt-cloud"}


def test_the_hook_is_ours():
    """Connections of type dbt_cloud get our hook."""
    assert ProvidersManagerTaskRuntime().hooks["dbt_cloud"].hook_class_name == OURS


def test_a_connection_gives_our_hook():
    """A connection of this type makes our hook."""
    connection = Connection(conn_id="dbt", conn_type="dbt_cloud", host="ab123.us1.dbt.com", login="7")
    hook = connection.get_hook()
    assert f"{type(hook).__module__}.{type(hook).__qualname__}" == OURS


def test_the_form_is_ours():
    """The form of the connection asks for what our hook needs."""
    manager = ProvidersManager()
    manager.initialize_providers_hooks()
    labels = manager.field_behaviours["dbt_cloud"]["relabeling"]
    assert labels == {"host": "Access URL", "login": "Account ID", "password": "API token"}


def test_the_official_operators_are_there():
    """DAGs that have not moved import the official classes, which are not ours."""
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook
    from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator
    from airflow.providers.dbt.cloud.sensors.dbt import DbtCloudJobRunSensor

    for their in (DbtCloudHook, DbtCloudRunJobOperator, DbtCloudJobRunSensor):
        assert their.__module__.startswith("airflow.providers.dbt.cloud.")
    build = DbtCloudRunJobOperator(task_id="build", job_id=1)
    assert build.hook.__class__ is DbtCloudHook
