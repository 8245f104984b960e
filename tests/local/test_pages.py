"""Tests of `airflow_dbt_cloud.local.pages` and `markup`."""

import re
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from airflow_dbt_cloud.local.application import Application
from airflow_dbt_cloud.local.markup import log_html
from airflow_dbt_cloud.local.records import Status, Step
from airflow_dbt_cloud.local.scheduler import SYSTEM

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


def test_artifacts_are_in_order(api, cloud, run):
    """The four that people look for come first, each folder's paths are folded away with their number."""
    target = cloud.store.step_folder(run["id"], 2) / "target"
    for name in ("catalog.json", "graph_summary.json", "manifest.json", "run_results.json", "sources.json"):
        (target / name).write_text("{}")
    (target / "run").mkdir()
    for name in ("a.sql", "b.sql"):
        (target / "run" / name).write_text("")
    _, _, text = page(api, run["href"].removeprefix("http://localhost")).text.partition("<h2>Artifacts</h2>")
    assert re.findall(r"<li><a [^>]*>([^<]+)</a>|<summary>|</details>", text.partition("</div>")[0]) == [
        *("manifest.json", "run_results.json", "catalog.json", "sources.json", "graph_summary.json"),
        *("", "compiled/a&lt;b&gt;.sql", ""),
        *("", "run/a.sql", "run/b.sql", ""),
    ]
    assert re.findall(r"class=name>([^<]+)</span><span class=time>([^<]+)<", text) == [
        ("compiled/", "1 file"),
        ("run/", "2 files"),
    ]


def row(text, number):
    """Give the cells of a run's row."""
    (found,) = [each for each in re.findall("<tr>.*?</tr>", text) if f">{number}</a>" in each]
    return found


def test_a_run_and_its_job_have_links_of_their_own(api, run):
    """The id leads to the run, the name to the job; the job's page does not repeat its name."""
    base = f"/deploy/{run['account_id']}/projects/{run['project_id']}"
    job, this = f"{base}/jobs/{run['job_id']}/", f"{base}/runs/{run['id']}/"
    cells = row(page(api, "/").text, run["id"])
    assert f'<a href="{this}">{run["id"]}</a>' in cells
    assert f'<a href="{job}">Report</a>' in cells
    cells = row(page(api, job).text, run["id"])
    assert this in cells
    assert "Report" not in cells


def test_a_deleted_job_is_not_linked(api, run):
    """Runs outlive their job, whose page is gone."""
    assert api.ask("DELETE", f"jobs/{run['job_id']}/").status_code == 200
    for path in ("/", run["href"].removeprefix("http://localhost")):
        text = page(api, path).text
        assert "<span>Report</span>" in text
        assert f"/jobs/{run['job_id']}/" not in text


def fact(text, name):
    """Give the value of a fact on a page."""
    return re.search(rf"<dt>{name}</dt><dd>(.*?)</dd>", text)[1]


def test_a_job_says_what_its_runs_do(api):
    """Beside its commands a job shows source freshness, docs, threads and timeout."""
    nightly, idle = api.data(f"jobs/{api.job_id('Nightly build')}/"), api.data(f"jobs/{api.job_id('Idle')}/")
    base = f"/deploy/{nightly['account_id']}/projects/{nightly['project_id']}/jobs"
    text = page(api, f"{base}/{nightly['id']}/").text
    names = ("Source freshness", "Docs", "Threads", "Timeout")
    assert [fact(text, name) for name in names] == ["yes", "yes", "4", "1 day, the account's limit"]
    text = page(api, f"{base}/{idle['id']}/").text
    assert [fact(text, name) for name in names[:2]] == ["no", "no"]


def test_the_home_page_connects_airflow(api):
    """Type, host, login and where the password is found stand on the home page."""
    text = page(api, "/").text
    assert fact(text, "Type") == "<code>dbt_cloud</code>"
    assert fact(text, "Host") == "<code>http://localhost</code>"
    assert fact(text, "Login") == "<code>70403103922125</code>"
    assert "token" in fact(text, "Password")


@pytest.mark.parametrize("name", ["Ferry Line", "Night Ferries"])
def test_a_name_stands_once(api, cloud, name):
    """The home page names the account only if it is called other than the project."""
    cloud.folder = replace(cloud.folder, project=replace(cloud.folder.project, name=name))
    content = page(api, "/").text.partition("<body")[2]
    assert content.count("Ferry Line") == 1
    assert content.count(name) == 1


@pytest.mark.parametrize(("by", "said"), [("local", "token local"), (SYSTEM, "dbt Cloud")])
def test_who_triggered_and_cancelled(api, cloud, standing, by, said):
    """A run names the token that triggered or cancelled it as such, and dbt Cloud by its name."""
    run = api.trigger("Report")
    cloud.store.update_run(run["id"], cancelled_by=by)
    standing[run["id"]].end(Status.CANCELLED)
    text = page(api, run["href"].removeprefix("http://localhost")).text
    assert (fact(text, "Triggered by"), fact(text, "Cancelled by")) == ("token local", said)


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
