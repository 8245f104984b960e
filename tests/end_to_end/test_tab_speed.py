"""How much work the tab "dbt" makes for a browser: printed, because machines differ (`pytest -rP`)."""

import pytest
from playwright.sync_api import expect

from tests.tab.answers import make_answer

from .browser import Person, traced
from .scenes import store_xcom

# Two processors may have two Airflows to run, and fixtures count.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KEYS = {"run": "dbt_cloud_run", "nodes": "dbt_cloud_nodes", "failures": "dbt_cloud_failures"}
TABLE = "#dbt-cloud-nodes-table"


@pytest.fixture(scope="module")
def dag_runs(stack):
    """Let a task in each of two DAG runs have stored what a run of many nodes leaves behind."""
    dag_runs = {}
    for count in (1_000, 5_000):
        dag_runs[count] = stack.run("pages_without_dbt")
        stack.wait_for_task(dag_runs[count], "land", "success", within=240)
        stored = make_answer("failed", count)
        for part, key in KEYS.items():
            store_xcom(stack, dag_runs[count], "land", key, stored[part])
    return dag_runs


@pytest.mark.parametrize("count", [1_000, 5_000])
def test_speed(browser, stack, dag_runs, count):
    """The first picture of many nodes, and scrolling their table to its end, are little work."""
    person = Person(browser, stack.airflow.url)
    # Airflow's own page is loaded by then.
    page = person.open_task(dag_runs[count], "land", "details")
    tab = page.get_by_role("link", name="dbt", exact=True)
    expect(tab).to_be_visible()
    with traced(person) as trace:
        tab.click()
        expect(page.locator("#dbt-cloud-nodes h3")).to_contain_text(f"{count:,} nodes")
        expect(page.locator("#dbt-cloud-timeline canvas")).to_be_visible()
        page.wait_for_timeout(300)
    picture = trace.within("dbt-cloud-tab picture")
    with traced(person) as trace:
        page.locator(TABLE).hover()
        for _ in range(60):
            page.mouse.wheel(0, 30 * count / 60)
            page.wait_for_timeout(50)
    expect(page.locator(f"{TABLE} [aria-rowindex='{count + 1}']")).to_be_visible()
    # Whatever their number, no more rows are drawn than are in view, and some on either side.
    assert page.locator(f"{TABLE} .body [role=row]").count() < 120
    told = f"first picture {picture:.0f} ms, longest task while scrolling {trace.longest:.0f} ms"
    print(f"{count:,} nodes: {told}")  # noqa: T201 - what the test is for
    person.context.close()
    person.assert_calm()
