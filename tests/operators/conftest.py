"""The connection of operators, and a dbt Cloud that `responses` stands in for."""

import json
from datetime import UTC, datetime

import pytest
import responses
from airflow.sdk import DAG
from structlog.testing import capture_logs

HOST = "https://ab123.us1.dbt.com"


@pytest.fixture(autouse=True)
def _connection(monkeypatch):
    connection = {"conn_type": "dbt_cloud", "host": HOST, "login": "42", "password": "dbtc_of_an_operator"}
    monkeypatch.setenv("AIRFLOW_CONN_DBT_CLOUD_DEFAULT", json.dumps(connection))


@pytest.fixture
def account():
    """Return the URL of the connection's account."""
    return f"{HOST}/api/v2/accounts/42"


@pytest.fixture
def cloud():
    """Stand in for dbt Cloud."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def said():
    """Return a function that returns what tasks have said so far."""
    with capture_logs() as lines:
        yield lambda: [
            line["event"] % line.get("positional_args", ()) for line in lines if line["log_level"] == "info"
        ]


@pytest.fixture
def rendered():
    """Return the function that renders an operator's templates, with names that they can use."""

    def render(task, **names):
        with DAG("dag", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
            task.dag = dag
        task.render_template_fields(names)
        return task

    return render
