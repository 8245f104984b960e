"""The oldest Airflow that is supported, with the dependencies of its time: its pages, and runs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from .browser import Person
from .conftest import ROOT, started
from .scenes import PATIENCE

# Two processors may have two Airflows to run, and fixtures count.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

AIRFLOW = "3.2.2"
# It breaks with what came out after it; this is the day after.
NEWEST = "2026-05-30"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Install the package as a wheel beside that Airflow, and start it."""
    uv = shutil.which("uv", path=Path(sys.executable).parent)
    assert uv, "There is no uv beside this Python; `make` installs it."
    home = tmp_path_factory.mktemp("oldest")
    python = home / "venv" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, home / "venv"], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", python, "--exclude-newer", NEWEST]
    subprocess.run([*install, f"apache-airflow=={AIRFLOW}", ROOT], check=True)
    # `python -m` would import what is in the current folder, and that is the checkout.
    with started(home, python=python, PYTHONSAFEPATH="1", PYTHONPATH="") as stack:
        where = "import airflow_dbt_cloud; print(airflow_dbt_cloud.__file__)"
        told = subprocess.run(
            [python, "-c", where], env=stack.airflow.environment, capture_output=True, text=True, check=True
        )
        assert Path(told.stdout).is_relative_to(home / "venv")
        assert stack.airflow.call("GET", "version")["version"] == AIRFLOW
        yield stack


@pytest.fixture(scope="module")
def failed(stack):
    """Return a DAG run with a task that was deferred and whose run failed."""
    dag_run = stack.run("deferred", job_id=stack.failing_job)
    assert stack.wait_for_task(dag_run, "build", "success", "failed", within=PATIENCE)["state"] == "failed"
    return dag_run


@pytest.fixture
def person(browser, stack):
    """Let somebody look at its pages, who likes it dark."""
    person = Person(browser, stack.airflow.url, color_scheme="dark")
    yield person
    person.context.close()
    person.assert_calm()


def test_success(stack):
    """A task succeeds with its run."""
    dag_run = stack.run("one_job", job_id=stack.fleet_job)
    assert stack.wait_for_task(dag_run, "build", "success", "failed", within=PATIENCE)["state"] == "success"


def test_pages(person, stack, failed):
    """The link is there, and the tab loads, follows the theme, and tells what failed."""
    run = stack.client.get_run(stack.airflow.xcom(*failed, "build", "job_run_id"))
    page = person.open_task(failed, "build", "details")
    expect(page.get_by_role("link", name="dbt Cloud run")).to_have_attribute("href", run.href)
    page.get_by_role("link", name="dbt", exact=True).click()
    expect(page.locator("#dbt-cloud-status")).to_have_text("Error")
    expect(page.locator("#dbt-cloud-timeline canvas")).to_be_visible()
    expect(page.locator("#dbt-cloud-nodes-table")).to_contain_text("port_dues")
    tab = page.locator("#dbt-cloud-tab")
    dark = tab.evaluate("element => getComputedStyle(element).backgroundColor")
    page.evaluate("document.documentElement.className = 'light'")
    expect(tab).not_to_have_css("background-color", dark)
    page.locator("#dbt-cloud-failures button").first.click()
    expect(page.locator("#dbt-cloud-node-message")).to_contain_text("Conversion Error")


def test_connection(person, stack):
    """A connection that was saved in the form can be tested with the button beside it."""
    fields = stack.dbt_cloud.connection()
    page = person.open("/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.locator("[name=connection_id]").fill("typed_in")
    form.get_by_role("combobox").click()
    page.keyboard.type("dbt Cloud")
    page.keyboard.press("Enter")
    for name in ("host", "login", "password"):
        form.locator(f"[name={name}]").fill(fields[name])
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    page.mouse.move(0, 0)
    row = page.get_by_role("row").filter(has_text="typed_in")
    with page.expect_response(lambda answer: answer.url.endswith("/connections/test")) as answered:
        row.get_by_role("button", name="Test Connection").click()
    assert answered.value.json()["message"].startswith("Connected to account 'Ferry Line'")
