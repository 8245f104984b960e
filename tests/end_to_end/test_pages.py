"""What a person sees of a task on Airflow's pages: the link to its run, and the tab "dbt"."""

import base64
import json
import re
import zlib
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
from playwright.sync_api import expect

from demo.processes import free_port, wait_until

from .browser import photograph, task_path
from .scenes import PATIENCE, Job, store_xcom

# Two processors may have two Airflows to run, and fixtures count.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LINK = "dbt Cloud run"
LIVE_FOR = PATIENCE * 1000
SCRIPT = "model.ferry_line.<img src=x onerror=\"document.title='told as markup'\">"
ROOT = "/of/the/ferries"
# Seen by administrators only.
HIDDEN = "pages_without_dbt"


@pytest.fixture(scope="module")
def runs(stack):
    """Start all DAG runs that are looked at, and return them by what is special about them."""
    slow = Job(stack, hanging=1, seconds=600)
    mapped = Job(stack, hanging=1, seconds=600)
    runs = SimpleNamespace(
        # The earlier runs of the one that succeeds.
        early=stack.run("pages", job_id=stack.fleet_job),
        failed=stack.run("pages", job_id=stack.failing_job),
        running=stack.run("one_job", job_id=slow.id),
        mixed=stack.run("pages_mixed", job_id=mapped.id, other_job_id=stack.network_job),
        retried=stack.run("pages_retried", job_id=stack.failing_job),
        without=stack.run("pages_without_dbt"),
    )
    stack.wait_for_task(runs.early, "build", "success", within=PATIENCE)
    stack.wait_for_task(runs.failed, "build", "failed", within=PATIENCE)
    runs.success = stack.run("pages", job_id=stack.nightly_job)
    yield runs
    for dag_run, task in ((runs.running, "build"), (runs.mixed, "mapped/0")):
        stack.airflow.set_task_state(*dag_run, task, "failed")


@pytest.fixture(scope="module")
def success(stack, runs):
    """Wait until the nightly build has succeeded, and return its DAG run."""
    stack.wait_for_task(runs.success, "build", "success", "failed", within=PATIENCE)
    return runs.success


@pytest.fixture(scope="module")
def mixed(stack, runs):
    """Wait until one task of a mapped one is deferred and the other has ended, and return the DAG run."""
    for index, state in enumerate(("deferred", "success")):
        stack.wait_for_task(runs.mixed, f"mapped/{index}", state, within=PATIENCE)
    return runs.mixed


def summary_of(stack, dag_run, task_id="build"):
    """Return what a task stored of its run."""
    return stack.airflow.xcom(*dag_run, task_id, "dbt_cloud_run")


def status(page):
    """Return the run's status as the tab shows it."""
    return page.locator("#dbt-cloud-status")


def seconds_of(duration):
    """Return how many seconds a duration has: `1 min 5 s`."""
    numbers, units = duration.split()[::2], duration.split()[1::2]
    return sum(float(number) * {"min": 60, "s": 1}[unit] for number, unit in zip(numbers, units, strict=True))


def assert_link(person, dag_run, task_id, url, **more):
    """Check that the tab "Details" leads to a run."""
    page = person.open_task(dag_run, task_id, "details", **more)
    link = page.get_by_role("link", name=LINK)
    expect(link).to_have_attribute("href", url)


def test_link_of_a_task_that_works(visit, stack, runs):
    """The link to the run is there while the task waits for it."""
    url = stack.wait_for_xcom(runs.running, "build", "job_run_url")
    assert stack.airflow.task(*runs.running, "build")["state"] == "running"
    assert_link(visit(), runs.running, "build", url)


def test_link_of_a_task_that_has_ended(visit, stack, runs, success):
    """The link to the run is there when it has failed, and when it has succeeded."""
    person = visit()
    for dag_run in (runs.failed, success):
        assert_link(person, dag_run, "build", summary_of(stack, dag_run)["url"])


def test_link_of_mapped_tasks(visit, stack, mixed):
    """The link is there on each of a mapped task's pages, deferred and ended, and leads to its own run."""
    entry = "xcomEntries/job_run_url"
    urls = [
        stack.airflow.task(*mixed, "mapped", entry, map_index=index, deserialize=True)["value"]
        for index in range(2)
    ]
    assert urls[0] != urls[1]
    person = visit()
    for index, url in enumerate(urls):
        assert_link(person, mixed, "mapped", url, map_index=index)


def test_success(visit, stack, runs, success):
    """A run that succeeded: when it was, what started it, its steps, nodes and earlier runs."""
    told = summary_of(stack, success)
    page = visit().open_task(success, "build")
    expect(status(page)).to_have_text("Success")
    expect(page.locator("#dbt-cloud-link")).to_have_attribute("href", told["url"])
    head = page.locator("#dbt-cloud-run")
    expect(head).to_contain_text(f"{told['job_id']}")
    expect(head).to_contain_text("Started by")
    expect(page.locator("#dbt-cloud-steps li")).to_have_count(len(told["steps"]))
    expect(page.locator("#dbt-cloud-steps")).to_contain_text("dbt build")
    expect(page.locator("#dbt-cloud-nodes h3")).to_contain_text("83 nodes; the critical path is ")
    expect(page.locator("#dbt-cloud-timeline canvas")).to_be_visible()
    expect(page.locator("#dbt-cloud-failures")).to_have_count(0)
    earlier = page.locator("#dbt-cloud-history .bars a")
    expect(earlier).to_have_count(2)
    photograph(page, "tab-success")
    earlier.last.click()
    pages = [unquote(task_path(dag_run, "build")) for dag_run in (runs.early, runs.failed)]
    page.wait_for_url(lambda url: any(unquote(url).endswith(end) for end in pages))
    expect(page.get_by_role("link", name="dbt", exact=True)).to_be_visible()


def test_table(visit, success):
    """The table of nodes sorts and filters, and the timeline says what is left."""
    page = visit().open_task(success, "build")
    rows = page.locator("#dbt-cloud-nodes-table .body [role=row]")
    names = page.locator("#dbt-cloud-nodes-table .body .name")
    expect(page.locator("#dbt-cloud-status-warn")).to_contain_text("1")
    # What wants attention is on top.
    expect(rows.first).to_contain_text("warn")
    page.get_by_role("button", name="Duration").click()
    expect(page.get_by_role("columnheader", name="Duration")).to_have_attribute("aria-sort", "descending")
    first, last = map(seconds_of, page.locator(".body .seconds").all_inner_texts()[::15][:2])
    assert first >= last
    page.get_by_role("button", name="Name").click()
    shown = names.all_inner_texts()
    bare = [name.removeprefix("◆").strip() for name in shown]
    assert bare == sorted(bare)
    page.locator("#dbt-cloud-type-model").click()
    expect(page.locator("#dbt-cloud-nodes h3")).to_contain_text("18 of 83 nodes")
    page.locator("#dbt-cloud-search").fill("port")
    expect(names.first).to_contain_text("port")
    left = int(page.locator("#dbt-cloud-nodes h3").inner_text().split(" of ")[0])
    assert 0 < left < 18
    expect(rows).to_have_count(left)
    page.locator("#dbt-cloud-search").fill("no such node")
    expect(page.locator("#dbt-cloud-nodes-table")).to_contain_text("No node is like that.")


def test_failure(visit, runs):
    """A failed node has its message and its compiled SQL, behind one click."""
    page = visit().open_task(runs.failed, "build")
    expect(status(page)).to_have_text("Error")
    failures = page.locator("#dbt-cloud-failures")
    expect(failures).to_contain_text("1 failed node")
    expect(failures).to_contain_text('Conversion Error: Could not convert string "tbc"')
    photograph(page, "tab-failure")
    failures.get_by_role("button", name="port_dues").click()
    dialog = page.locator("#dbt-cloud-node")
    expect(dialog).to_be_visible()
    expect(page.locator("#dbt-cloud-node-message")).to_contain_text("Runtime Error in model port_dues")
    expect(page.locator("#dbt-cloud-node-code")).to_contain_text("select")
    expect(page.locator("#dbt-cloud-node-code")).not_to_contain_text("{{")
    expect(dialog).to_contain_text("model.ferry_line.port_dues")
    photograph(page, "tab-node")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_keyboard(visit, runs):
    """All of it can be done without a mouse, and the focus comes back from where it went."""
    page = visit().open_task(runs.failed, "build")
    table = page.locator("#dbt-cloud-nodes-table")
    expect(table).to_be_visible()
    page.locator("#dbt-cloud-search").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "dbt-cloud-timeline":
            break
    page.keyboard.press("+")
    expect(page.locator("#dbt-cloud-zoom-reset")).to_be_enabled()
    page.keyboard.press("0")
    expect(page.locator("#dbt-cloud-zoom-reset")).to_be_disabled()
    page.keyboard.press("Tab")
    expect(table).to_be_focused()
    for key in ("End", "Home", "ArrowDown"):
        page.keyboard.press(key)
    expect(table).to_have_attribute("aria-activedescendant", "dbt-cloud-row-1")
    page.keyboard.press("Enter")
    expect(page.locator("#dbt-cloud-node")).to_be_visible()
    page.keyboard.press("Escape")
    expect(table).to_be_focused()


def test_live(visit, stack):
    """While a run goes its nodes come, and how it ended, without a reload; then nothing is asked any more."""
    job = Job(stack, execute_steps=["dbt build"] * 2, settings={"threads": 1, "target_name": "default"})
    dag_run = stack.run("deferred", job_id=job.id)
    stack.wait_for_xcom(dag_run, "build", "job_run_url")
    person = visit()
    page = person.open_task(dag_run, "build")
    expect(status(page)).to_have_text("Running", timeout=LIVE_FOR)
    head = page.locator("#dbt-cloud-run")
    expect(head).to_contain_text("Live, as of ")
    expect(head).to_contain_text("Started by")
    some = re.compile(r"\d+ of 83 nodes")
    expect(page.locator("#dbt-cloud-steps")).to_contain_text(some, timeout=LIVE_FOR)
    expect(page.locator("#dbt-cloud-timeline canvas")).to_be_visible()
    expect(page.locator("#dbt-cloud-nodes-table .body [role=row]").first).to_be_visible()
    photograph(page, "tab-live")
    page.get_by_text("Console", exact=True).click()
    expect(page.locator("#dbt-cloud-console pre")).to_contain_text("Running with dbt=1.11")
    expect(status(page)).to_have_text("Success", timeout=LIVE_FOR)
    expect(head).not_to_contain_text("Live")
    asked = person.asked_of("live")
    assert asked > 0
    # Longer than between two questions before.
    page.wait_for_timeout(7_000)
    assert person.asked_of("live") == asked


def test_foreign_task(visit, mixed):
    """On a task that runs no dbt job there is one line, with links to those that do."""
    page = visit().open_task(mixed, "land")
    sentence = page.locator("#dbt-cloud-sentence")
    expect(sentence).to_contain_text("This task runs no dbt Cloud job. ")
    sentence.get_by_role("link", name="mapped [1]").click()
    page.get_by_role("link", name="dbt", exact=True).click()
    expect(status(page)).to_have_text("Success")


def test_dag_without_dbt(visit, runs):
    """In a DAG run without dbt the line says so."""
    page = visit().open_task(runs.without, "land")
    expect(page.locator("#dbt-cloud-sentence")).to_have_text(
        "This task runs no dbt Cloud job. Nor does any other of this Dag run."
    )


def test_mapped_tasks(visit, mixed):
    """Each of a mapped task's pages shows its own run: one that still waits, one that has ended."""
    person = visit()
    page = person.open_task(mixed, "mapped", map_index=1)
    expect(status(page)).to_have_text("Success")
    page.locator("#dbt-cloud-search").fill("route_performance")
    expect(page.locator("#dbt-cloud-nodes-table")).to_contain_text("route_performance")
    page = person.open_task(mixed, "mapped", map_index=0)
    expect(status(page)).to_have_text(re.compile("Queued|Starting|Running"))
    expect(page.locator("#dbt-cloud-run")).to_contain_text("Live, as of ")


def test_sensor(visit, stack, success):
    """A sensor's page has the link to the run that it followed, and the tab shows that run."""
    told = summary_of(stack, success)
    dag_run = stack.run("pages_followed", run_id=told["run_id"])
    stack.wait_for_task(dag_run, "follow", "success", within=PATIENCE)
    person = visit()
    assert_link(person, dag_run, "follow", told["url"])
    page = person.open_task(dag_run, "follow")
    expect(status(page)).to_have_text("Success")
    expect(page.locator("#dbt-cloud-nodes h3")).to_contain_text("83 nodes")


def test_run_that_outlives_its_task(visit, stack):
    """A run that a task has started and not waited for is followed, too."""
    job = Job(stack, hanging=1, seconds=20)
    dag_run = stack.run("followed", job_id=job.id)
    stack.wait_for_task(dag_run, "start", "success", within=PATIENCE)
    page = visit().open_task(dag_run, "start")
    expect(page.locator("#dbt-cloud-run")).to_contain_text("Live, as of ")
    expect(status(page)).to_have_text("Success", timeout=LIVE_FOR)
    expect(page.locator("#dbt-cloud-run")).not_to_contain_text("Live")


def test_tries(visit, stack, runs):
    """The last try shows its run; of an earlier one, of which Airflow keeps nothing, the tab says so."""
    assert stack.wait_for_task(runs.retried, "build", "failed", within=PATIENCE)["try_number"] == 2
    person = visit()
    page = person.open_task(runs.retried, "build", try_number=1)
    expect(page.locator(".note").first).to_contain_text("for its last try only")
    page = person.open_task(runs.retried, "build")
    expect(page.locator("#dbt-cloud-nodes-table")).to_contain_text("port_dues")


def test_themes(visit, success):
    """The tab follows Airflow's theme, the picture too, when it is changed while the page is open."""
    page = visit(color_scheme="dark").open_task(success, "build")
    canvas = page.locator("#dbt-cloud-timeline canvas")
    expect(canvas).to_be_visible()
    dark = page.locator("#dbt-cloud-tab").evaluate("element => getComputedStyle(element).backgroundColor")
    drawn = canvas.evaluate("canvas => canvas.toDataURL()")
    photograph(page, "tab-dark")
    page.evaluate("document.documentElement.className = 'light'")
    expect(page.locator("#dbt-cloud-tab")).not_to_have_css("background-color", dark)
    wait_until(
        lambda: canvas.evaluate("canvas => canvas.toDataURL()") != drawn, within=30, what="Another picture"
    )


def test_right_to_left(visit, runs):
    """Where people read from right to left, the tab does, but not time."""
    page = visit(before="localStorage.setItem('i18nextLng', 'ar')").open_task(runs.failed, "build")
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    tab, timeline = page.locator("#dbt-cloud-tab"), page.locator(".timeline")
    expect(timeline).to_have_css("direction", "ltr")
    expect(page.locator("#dbt-cloud-status")).to_be_visible()
    pill, box = page.locator("#dbt-cloud-status").bounding_box(), tab.bounding_box()
    # The first word is at the right.
    assert pill["x"] + pill["width"] > box["x"] + box["width"] - 40
    assert tab.evaluate("element => element.scrollWidth <= element.clientWidth")
    page.locator("#dbt-cloud-failures button").first.click()
    expect(page.locator("#dbt-cloud-node")).to_be_visible()
    assert page.locator("#dbt-cloud-node").bounding_box()["x"] == 0


def test_narrow_window(visit, runs):
    """In a narrow window nothing sticks out."""
    page = visit(viewport={"width": 700, "height": 900}).open_task(runs.failed, "build")
    expect(page.locator("#dbt-cloud-nodes-table")).to_be_visible()
    assert page.locator("#dbt-cloud-tab").evaluate("element => element.scrollWidth <= element.clientWidth")


def test_markup(visit, stack, runs):
    """What somebody else wrote is text, whatever it looks like: names, messages, SQL, causes, addresses."""
    told = summary_of(stack, runs.early)
    failed = {"unique_id": SCRIPT, "status": "error", "message": SCRIPT}
    told |= {"cause": SCRIPT, "failed": [failed], "failed_count": 1, "url": "javascript:document.title='x'"}
    nodes = {"unique_id": [SCRIPT], "status": ["error"], "start": [1], "seconds": [2], "thread": [SCRIPT]}
    failures = {SCRIPT: {"message": SCRIPT, "code": SCRIPT, "relation": SCRIPT}}
    for key, value in {
        "dbt_cloud_run": told,
        "dbt_cloud_nodes": pack({"version": 1, "nodes": nodes}),
        "dbt_cloud_failures": pack({"version": 1, "failures": failures}),
    }.items():
        store_xcom(stack, runs.early, "build", key, value)
    page = visit().open_task(runs.early, "build")
    page.locator("#dbt-cloud-failures button").first.click()
    for place in ("#dbt-cloud-node", "#dbt-cloud-node-message", "#dbt-cloud-node-code"):
        expect(page.locator(place)).to_contain_text("<img src=x onerror=")
    expect(page.locator("#dbt-cloud-run")).to_contain_text("<img src=x onerror=")
    assert page.locator("#dbt-cloud-tab img").count() == 0
    assert page.locator("a[href^='javascript']").count() == 0
    assert "markup" not in page.title()


def test_broken(visit, runs):
    """What breaks in the tab stays in the tab."""
    person = visit()
    broken = 'export function Head() { throw new Error("broken on purpose"); }'
    person.page.route("**/head.js", lambda route: route.fulfill(body=broken, content_type="text/javascript"))
    page = person.open_task(runs.failed, "build")
    expect(page.get_by_role("alert")).to_have_text("The dbt tab broke, nothing else did: broken on purpose")
    expect(page.get_by_role("link", name="Details")).to_be_visible()
    assert any("broken on purpose" in complaint for complaint in person.complaints)
    person.complaints.clear()


@pytest.fixture(scope="module")
def below_a_path(stack):
    """Start another API server: below a path of its host, and where a viewer may not see everything."""
    port = free_port()
    passwords = stack.home / "passwords.json"
    passwords.write_text(json.dumps({"Ada": "secret", "Bob": "secret"}))
    url = f"http://127.0.0.1:{port}{ROOT}"
    server = stack.airflow.start_component(
        "api-server",
        name="api-server-below-a-path",
        environment={
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__CORE__AUTH_MANAGER": "tests.tab.auth_manager.PickyAuthManager",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "Ada:admin,Bob:viewer",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            # What markers are made with must be the same everywhere, whatever the address.
            "AIRFLOW__DBT_CLOUD__DEPLOYMENT_ID": stack.airflow.environment["AIRFLOW__API__BASE_URL"],
            "PYTHONPATH": str(stack.root),
            "TESTS_HIDDEN_DAG": HIDDEN,
        },
    )
    yield url, server
    stack.airflow.stop_component("api-server-below-a-path")


def test_below_a_path_for_a_viewer(visit, below_a_path, runs):
    """Below a path of its host a viewer sees the tab, but not of a DAG that is hidden from him."""
    url, _ = below_a_path
    person = visit(url)
    routes = {
        dag_run[0]: f"{url}/dbt-cloud/api/{'/'.join(dag_run)}/{task}/-1"
        for dag_run, task in ((runs.failed, "build"), (runs.without, "land"))
    }
    wait_until(lambda: is_up(person, url), within=120, what="The start of a third API server")
    # Nobody yet.
    assert {person.context.request.get(route).status for route in routes.values()} == {401}
    page = person.open("/")
    page.locator("[name=username]").fill("Bob")
    page.locator("[name=password]").fill("secret")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{url}/")
    page = person.open_task(runs.failed, "build")
    expect(status(page)).to_have_text("Error")
    expect(page.locator("#dbt-cloud-timeline canvas")).to_be_visible()
    earlier = page.locator("#dbt-cloud-history a").first
    expect(earlier).to_have_attribute("href", re.compile(f"{ROOT}/dags/pages/runs/"))
    assert person.context.request.get(routes["pages"]).status == 200
    assert person.context.request.get(routes[HIDDEN]).status == 403
    person.complaints.clear()


def is_up(person, url):
    """Say whether an API server answers."""
    try:
        return person.context.request.get(f"{url}/api/v2/version").ok
    except Exception:  # noqa: BLE001 - whatever it is, it is not up
        return False


def pack(value):
    """Pack JSON as a task does."""
    return base64.b64encode(zlib.compress(json.dumps(value).encode())).decode()
