"""Tests of `airflow_dbt_cloud.local.pages` and `markup`."""

import re

import pytest
from starlette.testclient import TestClient

from airflow_dbt_cloud.local.application import Application
from airflow_dbt_cloud.local.markup import log_html
from airflow_dbt_cloud.local.records import Status, Step

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def run(api, cloud, standing):
    """Give a finished run whose cause and log try to run a script."""
    run = api.trigger("Report", cause=EVIL, schema_override=EVIL)
    for index, name in enumerate(
        ("Clone git repository", f"Invoke dbt with `dbt run --select '{EVIL}'`"), start=1
    ):
        step = Step(
            cloud.store.next_id(), index, name, 0.0, status=Status.ERROR, started_at=0.0, finished_at=5.0
        )
        cloud.store.add_step(run["id"], step)
        folder = cloud.store.step_folder(run["id"], index)
        (folder / "target" / "compiled").mkdir(parents=True)
        (folder / "console.log").write_text(f"18:00:00  \x1b[31m{EVIL}\x1b[0m\n")
        (folder / "target" / "compiled" / "a<b>.sql").write_text(EVIL)
    cloud.store.update_step(run["id"], 2, has_artifacts=True)
    standing[run["id"]].end(Status.ERROR, status_message=EVIL)
    return run


def page(api, path):
    """Get a page, without a token."""
    response = api.ask("GET", path, token=None)
    assert response.status_code == 200
    return response


def test_the_run_page_is_where_href_says(api, run):
    """The page of a run has its status, cause, steps with logs, and artifacts; it needs no token."""
    response = page(api, run["href"].removeprefix("http://localhost"))
    text = response.text
    assert ">Error</span>" in text
    assert f"Run {run['id']}" in text
    assert "1. Clone git repository" in text
    assert "00:00:05" in text
    assert 'data-refresh="never"' in text, "a finished run does not change"
    assert "compiled/a&lt;b&gt;.sql" in text


def test_everything_is_escaped(api, run):
    """Causes, step names, messages, schemas and logs run no script; the page's policy would not let them."""
    job = f"/deploy/{run['account_id']}/projects/{run['project_id']}/jobs/{run['job_id']}/"
    for path in ("/", job, run["href"].removeprefix("http://localhost")):
        response = page(api, path)
        assert EVIL not in response.text
        assert "&lt;script&gt;alert(1)" in response.text
        assert response.text.count("<script") == 1
        assert re.search(r"script-src 'sha256-[^']+'", response.headers["content-security-policy"])
        assert not re.search(r"(src|href)=.?https?:", response.text), "no external host"


def test_artifacts_are_shown_as_text(api, run):
    """An artifact is plain text, whatever is in it."""
    response = page(api, run["href"].removeprefix("http://localhost") + "artifacts/compiled/a%3Cb%3E.sql")
    assert response.text == EVIL
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_a_going_run_refreshes(api):
    """The page of a run that goes asks for news."""
    run = api.trigger("Report")
    assert 'data-refresh="going"' in page(api, run["href"].removeprefix("http://localhost")).text
    assert 'data-refresh="going"' in page(api, "/").text
    queued = api.trigger("Report")
    text = page(api, queued["href"].removeprefix("http://localhost")).text
    assert f"Waiting for run {run['id']} of the same job." in text


def test_pages_that_are_not_there(api):
    """A wrong path is a page too, and says nothing about tokens."""
    run = api.trigger("Report")
    base = f"/deploy/{run['account_id']}/projects/{run['project_id']}"
    for path in (
        "/x",
        f"{base}/runs/1/",
        f"{base}/jobs/1/",
        f"{base}1/runs/{run['id']}/",
        f"/deploy/1{base[7:]}/runs/1/",
    ):
        response = api.ask("GET", path, token=None)
        assert response.status_code == 404
        assert "There is no such page" in response.text
    assert api.ask("POST", "/", token=None).status_code == 405


def test_pages_are_for_this_machine(cloud):
    """Whoever comes from elsewhere sees nothing without a token."""
    client = TestClient(Application(cloud, {"t": "t"}), client=("192.0.2.7", 1))
    assert client.get("/").status_code == 403


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost", 200),
        ("LOCALHOST:8580", 200),
        ("dbt.localhost:8580", 200),
        ("127.0.0.1:8580", 200),
        ("127.1.2.3", 200),
        ("[::1]:8580", 200),
        ("Box.example:8580", 200),
        ("evil.example", 403),
        ("localhost.evil.example:8580", 403),
        ("127.0.0.1.evil.example", 403),
        ("192.0.2.7:8580", 403),
        ("[::1", 403),
    ],
)
def test_pages_are_for_the_names_of_this_machine(cloud, host, code):
    """A site whose name suddenly means this machine reads no logs: its name is refused."""
    client = TestClient(Application(cloud, {"t": "t"}, "box.example"), client=("127.0.0.1", 1))
    for path in ("/", "/deploy/1/"):
        response = client.get(path, headers={"Host": host})
        assert (response.status_code == 403) == (code == 403)
    assert code == 200 or response.text.endswith(": use localhost.")


def test_no_page_has_the_token(api, run):
    """The token is on no page."""
    for path in ("/", run["href"].removeprefix("http://localhost")):
        assert "dbtc_local_token" not in page(api, path).text


def test_colours():
    """Colours become spans, other control sequences vanish, and what is open is closed."""
    text = "a\x1b[0m \x1b[31m<b>\x1b[0m \x1b[2K\x1b[1;33mc\x07"
    assert (
        log_html(text)
        == 'a <span style="color:var(--red)">&lt;b&gt;</span> <span style="color:var(--yellow)">c</span>'
    )
