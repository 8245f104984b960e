"""The section of Airflow's configuration."""

import pytest

from airflow_dbt_cloud import options
from airflow_dbt_cloud.errors import DbtCloudConfigurationError
from airflow_dbt_cloud.get_provider_info import OPTIONS, get_provider_info


def test_defaults():
    """Without a word in the configuration, everything is as documented."""
    assert options.check_interval() == 60
    assert options.requests_per_minute() == 500
    assert options.is_durable() is True
    assert options.start_timeout() == 900
    assert options.lost_track_after() == 12 * 60 * 60
    assert options.min_deferral() == 5


@pytest.mark.parametrize("option", ["check_interval", "requests_per_minute", "start_timeout", "min_deferral"])
def test_numbers(option, monkeypatch):
    """An option holds from when it is set."""
    monkeypatch.setenv(f"AIRFLOW__DBT_CLOUD__{option.upper()}", "7.5")
    assert getattr(options, option)() == 7.5


def test_durable(monkeypatch):
    """Looking for the run of the try before can be turned off for all tasks."""
    monkeypatch.setenv("AIRFLOW__DBT_CLOUD__DURABLE", "false")
    assert options.is_durable() is False


@pytest.mark.parametrize(
    ("option", "read", "value", "wanted"),
    [
        ("check_interval", options.check_interval, "often", "a number of seconds above 0"),
        ("requests_per_minute", options.requests_per_minute, "0", "a number above 0"),
        ("durable", options.is_durable, "maybe", "True or False"),
    ],
)
def test_nonsense(option, read, value, wanted, monkeypatch):
    """A value that cannot be meant is an error that names the section and the option."""
    monkeypatch.setenv(f"AIRFLOW__DBT_CLOUD__{option.upper()}", value)
    with pytest.raises(DbtCloudConfigurationError, match=rf"\[dbt_cloud\] {option} must be {wanted}"):
        read()


def test_deployment_id(monkeypatch):
    """A deployment is told by its own option, else by the address of its API server, which each has."""
    assert options.deployment_id() == ""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
    assert options.deployment_id() == "https://airflow.example.com"
    monkeypatch.setenv("AIRFLOW__DBT_CLOUD__DEPLOYMENT_ID", "production")
    assert options.deployment_id() == "production"


def test_every_option_is_declared():
    """Airflow's own tools list every option that is read here, and no other."""
    readers = {"durable" if name == "is_durable" else name for name in options.__all__}
    assert set(OPTIONS) == readers
    assert get_provider_info()["config"]["dbt_cloud"]["options"] is OPTIONS
