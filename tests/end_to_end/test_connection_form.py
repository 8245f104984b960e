"""The form for a connection of type "dbt Cloud", filled in by a person at a browser."""

import json
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from demo.dbt_cloud import TOKEN

from .browser import photograph

pytestmark = pytest.mark.slow

STANDARD = {
    "host": ("Access URL", "https://ab123.us1.dbt.com (Account settings in dbt Cloud)"),
    "login": ("Account ID", "70403103922125"),
    "password": ("API token", "a service token or a personal access token"),
}
EXTRA = {
    "timeout_seconds": "Timeout",
    "proxies": "Proxies",
    "ca_bundle": "CA bundle",
    "allow_http": "Allow http",
}


@pytest.fixture
def connection(stack):
    """Return the fields of a connection that a person types in, and remove what he has saved."""
    fields = stack.dbt_cloud.connection()
    yield {"connection_id": "typed_in", **{name: fields[name] for name in STANDARD}}
    for known in stack.airflow.call("GET", "connections")["connections"]:
        if known["connection_id"] == "typed_in":
            stack.airflow.call("DELETE", "connections/typed_in")


def test_form(visit, stack, connection):
    """A person creates a connection in a form that explains itself, and the token never comes back."""
    person = visit(viewport={"width": 1440, "height": 1200})
    page = person.open("/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.locator("[name=connection_id]").fill(connection["connection_id"])
    form.get_by_role("combobox").click()
    page.keyboard.type("dbt Cloud")
    page.keyboard.press("Enter")
    for name, (label, placeholder) in STANDARD.items():
        expect(form.get_by_text(label, exact=True)).to_be_visible()
        field = form.locator(f"[name={name}]")
        expect(field).to_have_attribute("placeholder", placeholder)
        field.fill(connection[name])
    # Nothing else is asked for, but for what a connection may say of itself.
    assert {field.get_attribute("name") for field in form.locator("[name]:visible").all()} == {
        *STANDARD,
        "connection_id",
        "description",
    }
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    for name, label in EXTRA.items():
        expect(form.get_by_text(label, exact=True)).to_be_visible()
        field = form.locator(f"[name=element_{name}]")
        described = field.get_attribute("aria-describedby")
        assert len(form.locator(f"[id='{described}']").inner_text()) > 20
        # What is required has a red mark.
        assert field.get_attribute("required") is None
    photograph(page, "connection-form")
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()

    told = []
    page.on("response", lambda answer: told.append(answer))  # noqa: PLW0108 - Playwright wants a function
    page.reload()
    row = page.get_by_role("row").filter(has_text=connection["connection_id"])
    row.get_by_role("button", name="Edit Connection").click()
    form = page.get_by_role("dialog")
    expect(form.locator("[name=login]")).to_have_value(connection["login"])
    expect(form.locator("[name=host]")).to_have_value(connection["host"])
    assert TOKEN not in page.content()
    assert form.locator("[name=password]").input_value() in {"", "***"}
    answers = [answer.text() for answer in told if "/api/v2/connections" in answer.url]
    assert any(connection["login"] in answer for answer in answers)
    assert not any(TOKEN in answer for answer in answers)
    # Saved as it was opened, it still has its token.
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    assert try_out(stack, connection)["status"] is True


def test_button(visit, stack, connection):
    """The button that tests a connection says which account it is connected to."""
    port = urlsplit(connection["host"]).port
    # Without a port the page of Airflow 3.3.1 and 3.3.2 asks for port 0, and its API refuses that.
    stack.airflow.call("POST", "connections", {**connection, "conn_type": "dbt_cloud", "port": port})
    page = visit().open("/connections")
    row = page.get_by_role("row").filter(has_text=connection["connection_id"])
    with page.expect_response(lambda answer: answer.url.endswith("/connections/test")) as answered:
        row.get_by_role("button", name="Test Connection").click()
    told = answered.value.json()
    assert told["status"] is True
    assert told["message"].startswith("Connected to account 'Ferry Line' (70403103922125, ")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"host": "http://127.0.0.1:1"}, "cannot be reached"),
        ({"host": "{airflow}"}, "is not dbt Cloud"),
        ({"password": "dbtc_of_another_region"}, "region"),
        ({"login": "7"}, "account"),
    ],
    ids=["host", "page", "token", "account"],
)
def test_what_is_wrong(stack, connection, change, words):
    """Testing a connection says what is wrong with it, and never the token."""
    change = {name: value.format(airflow=stack.airflow.url) for name, value in change.items()}
    told = try_out(stack, {**connection, **change})
    assert told["status"] is False
    assert words in told["message"]
    assert TOKEN not in json.dumps(told)
    assert "dbtc_" not in json.dumps(told)


def try_out(stack, connection):
    """Test a connection as Airflow's page does, and return what is told; without a port, as it is meant."""
    body = {**connection, "conn_type": "dbt_cloud", "port": None, "extra": json.dumps(dict.fromkeys(EXTRA))}
    return stack.airflow.call("POST", "connections/test", body)
