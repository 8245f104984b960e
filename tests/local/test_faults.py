"""Tests of `airflow_dbt_cloud.local.faults`: each fault, and which requests and runs it strikes."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_dbt_cloud.local.faults import Fault, FaultError, read_fault
from airflow_dbt_cloud.local.records import Status, Step

from .conftest import wait_until

HTML = "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lose_reply", Fault("lose_reply")),
        (
            "lose_reply:method=POST,path=/run/$,times=1",
            Fault("lose_reply", method="POST", path="/run/$", times=1),
        ),
        ("status:code=429,retry_after=2", Fault("status", code=429, retry_after=2.0)),
        (
            "refuse:path=runs/\\d{1,3}/,rate=0.5,seed=3",
            Fault("refuse", path="runs/\\d{1,3}/", rate=0.5, seed=3),
        ),
        ('{"kind": "slow_start", "wait": 30, "job_id": 7}', Fault("slow_start", wait=30.0, job_id=7)),
        ("delay_reply:wait=3", Fault("delay_reply", wait=3.0)),
        ("run_status:code=7,wait=10", Fault("run_status", code=7, wait=10.0)),
        ("rotate_token:token=new", Fault("rotate_token", token="new")),
    ],
)
def test_grammar(text, expected):
    """A fault is a kind with keys and values, or a JSON object."""
    assert read_fault(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("loose_reply", "kind: found 'loose_reply', expected one of artifact_delay, delay"),
        ("lose_reply:tims=1", "lose_reply: found the keys tims, expected some of job_id, kind, method"),
        ("slow_start:wait=1,path=x", "slow_start: found the keys path"),
        ("refuse:times", "found 'times', expected key=value"),
        ("refuse:times=often", "times: found 'often', expected a number"),
        ("refuse:times=-1", "times: found '-1', expected a number that is not negative"),
        ("refuse:rate=2", "rate: found 2.0, expected 0 to 1"),
        ("refuse:path=(", "is no regular expression"),
        ("status:code=99", "code: found 99, expected 200 to 599"),
        ("status", "status: the key code is missing"),
        ("status:code=500,body=xml", "body: found 'xml', expected one of json, html, empty"),
        ("delay", "delay: the key wait is missing"),
        ("delay_reply", "delay_reply: the key wait is missing"),
        ("run_status:wait=1", "run_status: the key code is missing"),
        ("run_status:code=7", "run_status: the key wait is missing"),
        ("run_status:code=20,wait=1", "code: found 20, expected a status that ends no run"),
        ("rotate_token", "rotate_token: the key token is missing"),
        ("{", "is not JSON"),
        ("{}", "kind: found None"),
        ('{"kind": ["x"]}', "kind: found ['x'], expected one of"),
        ('{"kind": ' + "[" * 100_000, "nested deeper than 20 levels"),
        ('{"kind": "status", "code": Infinity}', "Infinity is no JSON value"),
        ('{"kind": "status", "code": 1e999}', "code: found inf, expected a number"),
        ("status:code=500,retry_after=inf", "retry_after: expected a number that fits into 64 bits"),
        ("delay:wait=nan", "wait: found 'nan', expected a number that is not negative"),
        ("delay:wait=1,times=" + "9" * 400, "times: expected a number that fits into 64 bits"),
        ('{"kind": "rotate_token", "token": "\\ud800"}', "token: found '\\ud800', expected a text"),
        ('{"kind": "delay", "\\ud800": 1}', "holds NUL or half of a surrogate pair"),
        ("status:code=301,location=https://☃", "location: found 'https://☃', expected a URL in ASCII"),
    ],
)
def test_a_malformed_fault_is_explained(text, expected):
    """What was found and what is expected."""
    with pytest.raises(FaultError) as caught:
        read_fault(text)
    assert expected in str(caught.value)


def test_the_endpoint(api):
    """Faults are listed with how often they struck, refused with a message, and lifted; all with a token."""
    api.fault("status", code=503, times=1)
    assert api.get("runs/").status_code == 503
    assert api.get("runs/").status_code == 200
    (fault,) = api.get("/local/faults/").json()
    assert (fault["kind"], fault["code"], fault["times"], fault["fired"]) == ("status", 503, 1, 1)
    refused = api.post("/local/faults/", {"kind": "status", "cod": 1})
    assert refused.status_code == 400
    assert "cod" in refused.json()["detail"]
    for body in (["refuse"], {"kind": ["x"]}, {"kind": "status", "code": "inf"}):
        assert api.post("/local/faults/", body).status_code == 400
    assert api.post("/local/faults/", "status:code=503,times=0").json()["code"] == 503
    assert api.ask("GET", "/local/faults/", token="wrong").status_code == 401
    assert api.ask("PUT", "/local/faults/").status_code == 405
    api.clear_faults()
    assert api.get("/local/faults/").json() == []


@pytest.mark.parametrize(
    ("keys", "content_type", "headers"),
    [
        ({"code": 429, "retry_after": 0.5}, "application/json", {"retry-after": "0.5"}),
        ({"code": 502, "body": "html"}, HTML, {}),
        ({"code": 500, "body": "empty"}, None, {}),
        (
            {"code": 301, "body": "empty", "location": "https://elsewhere.example"},
            None,
            {"location": "https://e"},
        ),
    ],
)
def test_status(api, keys, content_type, headers):
    """A status comes as JSON, as HTML or without a body, and with headers if asked for."""
    api.session.follow_redirects = False
    api.fault("status", **keys)
    response = api.get("runs/")
    assert (response.status_code, response.headers.get("content-type")) == (keys["code"], content_type)
    for name, value in headers.items():
        assert response.headers[name].startswith(value)


@pytest.mark.slow
@pytest.mark.parametrize("code", [204, 304])
def test_a_status_without_a_body(server, code):
    """What HTTP lets have no body has none, and the connection is good for the next request."""
    server.api.fault("status", code=code, times=1)
    response = server.api.get("runs/")
    assert (response.status_code, response.content) == (code, b"")
    assert server.api.get("runs/").status_code == 200
    server.api.clear_faults()


def test_selectors(api):
    """Method, path and job select the requests of a fault."""
    report, idle = api.trigger("Report"), api.trigger("Idle")
    api.fault("status", code=503, job_id=report["job_id"], method="get", path="/runs/")
    assert api.get(f"runs/{report['id']}/").status_code == 503
    assert api.get("runs/", job_definition_id=report["job_id"]).status_code == 503
    assert api.get(f"runs/{idle['id']}/").status_code == 200
    assert api.get(f"jobs/{report['job_id']}/").status_code == 200
    assert api.post(f"runs/{report['id']}/cancel/").status_code == 200


def test_rate_and_seed(api):
    """A rate strikes some of the requests, with one seed always the same ones."""

    def codes():
        api.clear_faults()
        api.fault("status", code=503, rate=0.5, seed=7)
        return [api.get("runs/").status_code for _ in range(30)]

    first = codes()
    assert set(first) == {200, 503}
    assert codes() == first


def test_seconds(api, clock):
    """A fault with an end ends."""
    api.fault("status", code=503, seconds=60)
    assert api.get("runs/").status_code == 503
    clock.now += 61
    assert api.get("runs/").status_code == 200
    assert api.get("/local/faults/").json() == []


def test_truncate(api):
    """Half of a body is no JSON."""
    whole = api.get("runs/").content
    api.fault("truncate", times=1)
    url = "/api/v2/accounts/70403103922125/runs/"
    response = api.session.get(url, headers={"Authorization": "Token dbtc_local_token"})
    assert response.content == whole[: len(whole) // 2]
    with pytest.raises(json.JSONDecodeError):
        response.json()


@pytest.mark.slow
def test_delay_reply(server):
    """A run whose start is answered late is there at once."""

    def newest():
        return [run["id"] for run in server.api.data("runs/", order_by="-id")][:1]

    server.api.fault("delay_reply", wait=3, method="POST", path="/run/$", times=1)
    before = newest()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.api.trigger, "Idle")
        wait_until(lambda: newest() != before, "the run")
        assert not answer.done()
    assert [answer.result()["id"]] == newest()
    server.api.clear_faults()


def test_hide_run(api, clock):
    """A hidden run is not found and in no list, until its time comes."""
    api.fault("hide_run", wait=5, times=1)
    hidden, seen = api.trigger("Report"), api.trigger("Idle")
    assert api.get(f"runs/{hidden['id']}/").status_code == 404
    assert [run["id"] for run in api.data("runs/")] == [seen["id"]]
    path = f"jobs/{hidden['job_id']}/"
    assert api.data(path, include_related="most_recent_run")["most_recent_run"] is None
    clock.now += 6
    assert api.get(f"runs/{hidden['id']}/").status_code == 200
    assert len(api.data("runs/")) == 2


@pytest.mark.parametrize(("code", "name"), [(7, "Unknown"), (40, "Unknown"), (3, "Running")])
def test_run_status(api, clock, standing, code, name):
    """A run that shows another status tells of no end anywhere, until its time comes."""
    api.fault("run_status", code=code, wait=5, times=1)
    run, other = api.trigger("Report"), api.trigger("Idle")
    assert (run["status_humanized"], other["status_humanized"]) == ("Queued", "Queued")
    standing[run["id"]].end(status_message="all is well")

    def views():
        yield api.run(run["id"])
        yield from (each for each in api.data("runs/") if each["id"] == run["id"])
        yield api.data(f"jobs/{run['job_id']}/", include_related="most_recent_run")["most_recent_run"]
        yield api.post(f"runs/{run['id']}/cancel/").json()["data"]

    def listed(*statuses):
        return [each["id"] for each in api.data("runs/", status__in=json.dumps(statuses))]

    for view in views():
        assert (view["status"], view["status_humanized"], view["in_progress"]) == (code, name, True)
        assert (view["is_complete"], view["is_success"], view["finished_at"]) == (False, False, None)
        assert view["status_message"] is None
    assert run["id"] in listed(code)
    assert listed(10, 20, 30) == []
    assert api.data("runs/", status=10) == []
    path = f"jobs/{run['job_id']}/"
    assert api.data(path, include_related="most_recent_completed_run")["most_recent_completed_run"] is None
    assert api.get("/", params={}).text.count(f"badge {name}") >= 2
    clock.now += 6
    assert [view["status"] for view in views()] == [10, 10, 10, 10]
    assert listed(10, 20, 30) == [run["id"]]
    assert run["id"] not in listed(code)


def test_run_status_and_others(api, clock, standing):
    """A run that shows another status is itself as before: it can be cancelled, and its time ends it."""
    api.fault("run_status", code=7, wait=5)
    run = api.trigger("Idle")
    assert api.post(f"runs/{run['id']}/cancel/").json()["data"]["status"] == 7
    assert len(standing[run["id"]].stops) == 1
    standing[run["id"]].end(Status.CANCELLED)
    assert api.run(run["id"])["status"] == 7
    clock.now += 6
    assert api.run(run["id"], "audit")["status"] == 30


def test_rotate_token(api):
    """After a rotation only the new token is valid, but the fault can still be lifted with the old one."""
    api.fault("rotate_token", token="dbtc_new")
    assert api.get("runs/").status_code == 401
    assert api.ask("GET", "runs/", token="dbtc_new").status_code == 200
    assert "dbtc_new" not in api.get("/local/faults/").text
    api.clear_faults()
    assert api.get("runs/").status_code == 200
    assert api.ask("GET", "runs/", token="dbtc_new").status_code == 401


def test_late_artifacts_and_logs(api, cloud, clock, standing):
    """Artifacts and the last lines of logs may come later than the end of the run."""
    api.fault("artifact_delay", wait=5)
    api.fault("stale_logs", wait=8, lines=1)
    run = api.trigger("Report")
    cloud.store.add_step(run["id"], Step(1, 1, "x", 0.0, status=Status.SUCCESS, has_artifacts=True))
    folder = cloud.store.step_folder(run["id"], 1)
    (folder / "target").mkdir(parents=True)
    (folder / "target" / "manifest.json").write_text("{}")
    (folder / "console.log").write_text("one\ntwo\n")
    standing[run["id"]].end()
    for seconds, listed, code, logs in ((0, None, 404, "one\n"), (6, ["manifest.json"], 200, "one\n")):
        clock.now += seconds
        assert api.data(f"runs/{run['id']}/artifacts/") == listed
        assert api.get(f"runs/{run['id']}/artifacts/manifest.json").status_code == code
        assert api.run(run["id"])["run_steps"][0]["logs"] == logs
    clock.now += 3
    assert api.run(run["id"])["run_steps"][0]["logs"] == "one\ntwo\n"


def test_slow_start_strikes_runs(cloud, api):
    """How long a start takes is drawn once for each run."""
    api.fault("slow_start", wait=30, times=1)
    first, second = (cloud.store.find_run(api.trigger(job)["id"]) for job in ("Report", "Idle"))
    assert [cloud.faults.start_delay(run) for run in (first, second, first)] == [30, 0, 30]


def test_request_counts(api):
    """Requests are counted by method and path template, those that nobody knows too; local ones are not."""
    run = api.trigger("Report")
    for _ in range(3):
        api.get(f"runs/{run['id']}/")
    api.get("nothing/")
    counts = api.get("/local/requests/").json()
    assert counts["GET /api/v2/accounts/{account_id}/runs/{run_id}/"] == 3
    assert counts["POST /api/v2/accounts/{account_id}/jobs/{job_id}/run/"] == 1
    assert counts["GET unknown path"] == 1
    assert not any("local" in name for name in counts)
    assert api.ask("GET", "/local/requests/", token=None).status_code == 401
