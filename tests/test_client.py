"""The verbs: what each one sends, and what it makes of the answer."""

import itertools
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlsplit

import pytest
import responses

from airflow_dbt_cloud.client import Client
from airflow_dbt_cloud.errors import (
    DbtCloudAnswerTooLong,
    DbtCloudApiError,
    DbtCloudConfigurationError,
    DbtCloudNotFound,
    DbtCloudRateLimited,
    DbtCloudServerError,
    DbtCloudUnauthorized,
    DbtCloudUnreachable,
)
from airflow_dbt_cloud.models import (
    Account,
    Connection,
    Environment,
    Job,
    Project,
    Run,
    Step,
)
from airflow_dbt_cloud.parameters import RunRequest
from airflow_dbt_cloud.retries import Retries

HOST = "https://ab123.us1.dbt.com"
V2, V3 = "/api/v2/accounts/7/", "/api/v3/accounts/7/"
PAGE = {"limit": "100", "offset": "0"}
HREF = f"{HOST}/deploy/7/projects/5/runs/1/"
RUN = {"id": 1, "status": 3, "project_id": 5, "account_id": 7, "href": HREF}


@pytest.fixture
def dbt_cloud():
    """Answer for dbt Cloud."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        yield mocked


@pytest.fixture
def client(make_credentials):
    """Return a client that repeats nothing."""
    return Client(make_credentials(), retries=Retries(limit=1))


@pytest.fixture
def sent(dbt_cloud):
    """Return what was sent: method, path, query and body of each request."""

    def read():
        for call in dbt_cloud.calls:
            url = urlsplit(call.request.url)
            assert f"{url.scheme}://{url.netloc}" == HOST
            body = json.loads(call.request.body) if call.request.body else None
            yield call.request.method, url.path, dict(parse_qsl(url.query, keep_blank_values=True)), body

    return lambda: list(read())


RANGE = (
    datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
    datetime(2024, 1, 3, 1, tzinfo=timezone(timedelta(hours=2))),
)

VERBS = [
    (lambda c: c.get_account(), {"id": 7, "name": "F"}, Account(7, "F"), "GET", V2, {}, None),
    (lambda c: list(c.list_projects()), [{"id": 5}], [Project(5, "")], "GET", f"{V3}projects/", PAGE, None),
    (
        lambda c: list(c.list_environments(5)),
        [{"id": 2, "name": "prod"}],
        [Environment(2, "prod")],
        "GET",
        f"{V3}projects/5/environments/",
        PAGE,
        None,
    ),
    (
        lambda c: list(c.list_jobs(name__icontains="kaf fa&x")),
        [],
        [],
        "GET",
        f"{V2}jobs/",
        {"name__icontains": "kaf fa&x", **PAGE},
        None,
    ),
    (
        lambda c: list(c.list_jobs(project_id=5, triggers_schedule=True, project_id__in=[5, 6], state="all")),
        [{"id": 9, "name": "nightly"}],
        [Job(9, "nightly")],
        "GET",
        f"{V2}jobs/",
        {"project_id": "5", "triggers_schedule": "true", "project_id__in": "[5, 6]", "state": "all", **PAGE},
        None,
    ),
    (
        lambda c: c.get_environment(5, 2),
        {"id": 2, "name": "prod", "connection_id": 8},
        Environment(2, "prod", connection_id=8),
        "GET",
        f"{V3}projects/5/environments/2/",
        {},
        None,
    ),
    (
        lambda c: c.get_connection(8),
        {"id": 8, "name": "DB", "config": {"host": "a.example.com", "port": 443, "client_secret": "s3cret"}},
        Connection(8, "DB", {"host": "a.example.com", "port": 443}),
        "GET",
        f"{V3}connections/8/",
        {},
        None,
    ),
    (lambda c: c.get_job(9), {"id": 9}, Job(9, ""), "GET", f"{V2}jobs/9/", {}, None),
    (
        lambda c: c.start_run(9, RunRequest(cause="why", threads_override=4, steps_override=["dbt build"])),
        RUN,
        Run.from_json(RUN),
        "POST",
        f"{V2}jobs/9/run/",
        {},
        {"cause": "why", "threads_override": 4, "steps_override": ["dbt build"]},
    ),
    (lambda c: c.retry_run(1), RUN, Run.from_json(RUN), "POST", f"{V2}runs/1/retry/", {}, None),
    (lambda c: c.get_run(1), RUN, Run.from_json(RUN), "GET", f"{V2}runs/1/", {}, None),
    (
        lambda c: c.get_run(1, include_related=["run_steps", "audit"]),
        RUN,
        Run.from_json(RUN),
        "GET",
        f"{V2}runs/1/",
        {"include_related": "run_steps,audit"},
        None,
    ),
    (
        lambda c: c.get_run(1, include_related="trigger"),
        RUN,
        Run.from_json(RUN),
        "GET",
        f"{V2}runs/1/",
        {"include_related": "trigger"},
        None,
    ),
    (
        lambda c: list(
            c.list_runs(
                pk__in=[70403110257794, 2],
                status__in=(10, 20, 30),
                job_definition_id=9,
                order_by="-id",
                created_at__range=RANGE,
                has_docs_generated=False,
                dbt_version__in=["latest"],
                include_related=("trigger", "job"),
            )
        ),
        [RUN],
        [Run.from_json(RUN)],
        "GET",
        f"{V2}runs/",
        {
            "pk__in": "[70403110257794, 2]",
            "status__in": "[10, 20, 30]",
            "job_definition_id": "9",
            "order_by": "-id",
            "created_at__range": '["2024-01-02T03:04:05.000000", "2024-01-02T23:00:00.000000"]',
            "has_docs_generated": "false",
            "dbt_version__in": '["latest"]',
            "include_related": "trigger,job",
            **PAGE,
        },
        None,
    ),
    (lambda c: c.cancel_run(1), RUN, Run.from_json(RUN), "POST", f"{V2}runs/1/cancel/", {}, None),
    (lambda c: c.get_step(4), {"id": 4, "index": 1}, Step(4, 1, "", 0), "GET", f"{V2}steps/4/", {}, None),
    (lambda c: c.list_artifacts(1), ["a", 5, "b"], ["a", "b"], "GET", f"{V2}runs/1/artifacts/", {}, None),
]


@pytest.mark.parametrize(("verb", "data", "value", "method", "path", "query", "body"), VERBS)
def test_verbs(dbt_cloud, client, sent, verb, data, value, method, path, query, body):
    """Each verb is one request, of exactly this method, path, query and body, and returns values."""
    dbt_cloud.add(method, HOST + path, json={"data": data})
    assert verb(client) == value
    assert sent() == [(method, path, query, body)]


def test_a_naive_time_is_in_utc(dbt_cloud, client, sent, monkeypatch):
    """A time without a zone means what dbt Cloud takes it for, wherever the worker stands."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        dbt_cloud.get(HOST + V2 + "runs/", json={"data": []})
        moment = datetime(2024, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001 - naive on purpose
        assert list(client.list_runs(finished_at__range=(moment, moment))) == []
        text = "2024-01-02T03:04:05.000006"
        assert sent()[0][2]["finished_at__range"] == json.dumps([text, text])
    finally:
        monkeypatch.undo()
        time.tzset()


def pages(dbt_cloud, *counts, path=f"{V2}runs/"):
    """Answer with pages of so many items."""
    numbers = itertools.count(1)
    for count in counts:
        items = [{"id": number, "status": 3} for number in itertools.islice(numbers, count)]
        dbt_cloud.get(HOST + path, json={"data": items})


@pytest.mark.parametrize(
    ("counts", "requests"),
    [((0,), 1), ((1,), 1), ((99,), 1), ((100, 0), 2), ((100, 1), 2), ((100, 100, 7), 3)],
)
def test_pages(dbt_cloud, client, sent, counts, requests):
    """Pages are read until one is short, and each item comes once."""
    pages(dbt_cloud, *counts, 100)
    assert [run.id for run in client.list_runs()] == [*range(1, sum(counts) + 1)]
    assert [query for _, _, query, _ in sent()] == [
        {"limit": "100", "offset": str(100 * number)} for number in range(requests)
    ]


@pytest.mark.parametrize(
    ("ask", "path"),
    [
        (lambda c: c.list_runs(), f"{V2}runs/"),
        (lambda c: c.list_jobs(), f"{V2}jobs/"),
        (lambda c: c.list_projects(), f"{V3}projects/"),
        (lambda c: c.list_environments(5), f"{V3}projects/5/environments/"),
    ],
)
def test_lists_are_lazy(dbt_cloud, client, sent, ask, path):
    """A page is asked for when it is read, so that the newest of 5,000 runs is one request."""
    pages(dbt_cloud, 100, 100, path=path)
    found = ask(client)
    assert isinstance(found, Iterator)
    assert sent() == []
    assert next(found).id == 1
    assert len(sent()) == 1
    assert len([*itertools.islice(found, 100)]) == 100
    assert len(sent()) == 2


@pytest.mark.parametrize(
    ("limit", "sizes"), [(1, [1]), (99, [99]), (100, [100]), (101, [100, 100]), (250, [100, 100, 100])]
)
@pytest.mark.parametrize(
    ("ask", "path"), [(Client.list_runs, f"{V2}runs/"), (Client.list_jobs, f"{V2}jobs/")]
)
def test_limit(dbt_cloud, client, sent, ask, path, limit, sizes):
    """No more is asked for than a limit needs: one run of however many is a page of one."""
    pages(dbt_cloud, *sizes, path=path)
    assert [found.id for found in ask(client, limit=limit)] == [*range(1, limit + 1)]
    assert [(query["limit"], query["offset"]) for _, _, query, _ in sent()] == [
        (str(size), str(100 * number)) for number, size in enumerate(sizes)
    ]


def test_a_limit_above_what_there_is(dbt_cloud, client, sent):
    """A page that is short ends a list before its limit."""
    pages(dbt_cloud, 1, path=f"{V2}runs/")
    assert [run.id for run in client.list_runs(limit=2)] == [1]
    assert len(sent()) == 1


def test_a_server_that_knows_no_offset(dbt_cloud, client, sent):
    """The same page for ever is an error, though the runs in it live on, and not a loop."""
    ages = itertools.count()

    def page(_request):
        age = next(ages)
        assert age < 5
        return (
            200,
            {},
            json.dumps({"data": [{"id": number, "status": 3, "age": age} for number in range(100)]}),
        )

    dbt_cloud.add_callback("GET", HOST + V2 + "runs/", page)
    with pytest.raises(DbtCloudServerError, match="the same page came twice"):
        list(client.list_runs())
    assert len(sent()) == 2


@pytest.mark.parametrize("data", [None, {}, {"id": 1}, "runs", 5])
def test_a_list_that_is_none(dbt_cloud, client, data):
    """An answer that is no list is an error: it does not mean that there are no runs."""
    dbt_cloud.get(HOST + V2 + "runs/", json={"data": data})
    with pytest.raises(DbtCloudServerError, match=f"GET {V2}runs/: the answer is no list"):
        list(client.list_runs())


def test_strange_items_are_left_out(dbt_cloud, client):
    """What is no object in a list is no run, and does not hide the others."""
    dbt_cloud.get(HOST + V2 + "runs/", json={"data": [None, 5, "x", [], RUN]})
    assert [run.id for run in client.list_runs()] == [1]


def test_a_page_of_strange_items_is_a_page(dbt_cloud, client):
    """Strange items count for the length of a page, and do not break the look at its first."""
    dbt_cloud.get(HOST + V2 + "runs/", json={"data": [None] * 100})
    dbt_cloud.get(HOST + V2 + "runs/", json={"data": [RUN]})
    assert [run.id for run in client.list_runs()] == [1]


@pytest.mark.parametrize("data", [None, [], [RUN], "x", 5])
@pytest.mark.parametrize(
    ("verb", "method", "path"),
    [
        (lambda c: c.get_account(), "GET", ""),
        (lambda c: c.get_job(9), "GET", "jobs/9/"),
        (lambda c: c.get_run(1), "GET", "runs/1/"),
        (lambda c: c.get_step(4), "GET", "steps/4/"),
        (lambda c: c.cancel_run(1), "POST", "runs/1/cancel/"),
        (lambda c: c.retry_run(1), "POST", "runs/1/retry/"),
        (lambda c: c.start_run(9, RunRequest(cause="why")), "POST", "jobs/9/run/"),
    ],
)
def test_an_object_that_is_none(dbt_cloud, client, verb, method, path, data):
    """An answer that holds no object is an error that names the request."""
    dbt_cloud.add(method, HOST + V2 + path, json={"data": data})
    with pytest.raises(DbtCloudServerError, match=f"to {method} {V2}{path}: the answer holds no object"):
        verb(client)


@pytest.mark.parametrize("data", [{}, {"id": None}, {"id": 0}, {"id": True}, {"id": "1"}, {"status": 1}])
@pytest.mark.parametrize(
    ("verb", "path"),
    [
        (lambda c: c.start_run(9, RunRequest(cause="why")), "jobs/9/run/"),
        (lambda c: c.retry_run(1), "runs/1/retry/"),
    ],
)
def test_a_start_without_an_id(dbt_cloud, client, sent, verb, path, data):
    """A run that cannot be followed is not taken for one that was started, and nothing is repeated."""
    dbt_cloud.post(HOST + V2 + path, json={"data": data})
    with pytest.raises(DbtCloudServerError, match=f"POST {V2}{path}: the answer to the start has no run id"):
        verb(client)
    assert len(sent()) == 1


@pytest.mark.parametrize(
    "href",
    [None, "", "REDACTED", "javascript:alert(1)", 5, "https://a b", "https://a\n", f"https://{9**2000}"],
)
def test_a_missing_href_is_built(dbt_cloud, client, href):
    """A run that does not say its URL has one all the same."""
    dbt_cloud.get(HOST + V2 + "runs/1/", json={"data": {**RUN, "href": href}})
    dbt_cloud.get(HOST + V2 + "runs/", json={"data": [{**RUN, "href": href}]})
    assert client.get_run(1).href == HREF
    assert next(client.list_runs()).href == HREF


def test_an_href_is_kept(dbt_cloud, client):
    """A URL that dbt Cloud says is not made up again."""
    dbt_cloud.get(HOST + V2 + "runs/1/", json={"data": {**RUN, "href": "https://cloud.getdbt.com/#/runs/1"}})
    assert client.get_run(1).href == "https://cloud.getdbt.com/#/runs/1"


# --- find a job -------------------------------------------------------------------------------------------


@pytest.fixture
def account(dbt_cloud):
    """Fill the account with projects, environments and jobs; two jobs and two projects share a name."""
    projects = [{"id": 5, "name": "kaffa"}, {"id": 6, "name": "twin"}, {"id": 66, "name": "twin"}]
    environments = [{"id": 2, "name": "prod"}, {"id": 3, "name": "it's"}]
    jobs = [{"id": 8, "name": "nightly"}, {"id": 9, "name": "twin"}, {"id": 10, "name": "twin"}]
    dbt_cloud.get(f"{HOST}{V3}projects/", json={"data": projects})
    dbt_cloud.get(f"{HOST}{V3}projects/5/environments/", json={"data": environments})
    dbt_cloud.get(f"{HOST}{V2}jobs/", json={"data": jobs})


@pytest.mark.usefixtures("account")
def test_find_job(client, sent):
    """A job is found by the names of its project, its environment and itself."""
    assert client.find_job("kaffa", "prod", "nightly").id == 8
    assert [(path, query) for _, path, query, _ in sent()] == [
        (f"{V3}projects/", PAGE),
        (f"{V3}projects/5/environments/", PAGE),
        (f"{V2}jobs/", {"project_id": "5", "environment_id": "2", **PAGE}),
    ]


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ("x", "prod", "nightly"),
            "No project in the account is called 'x'. There are: 'kaffa', 'twin', 'twin'.",
        ),
        (
            ("kaffa", "x", "nightly"),
            "No environment in the project 'kaffa' is called 'x'. There are: \"it's\", 'prod'.",
        ),
        (
            ("kaffa", "prod", "Nightly"),
            (
                "No job in the environment 'prod' of 'kaffa' is called 'Nightly'. "
                "There are: 'nightly', 'twin', 'twin'."
            ),
        ),
        (
            ("kaffa", "prod", "twin"),
            (
                "2 jobs in the environment 'prod' of 'kaffa' are called 'twin': 9, 10. "
                "Say which by its id (job_id)."
            ),
        ),
        (
            ("twin", "prod", "nightly"),
            "2 projects in the account are called 'twin': 6, 66. Say which by its id (job_id).",
        ),
    ],
)
def test_find_job_says_what_there_is(client, names, words):
    """A name that fits nothing, or more than one thing, is an error that lists what there is."""
    with pytest.raises(DbtCloudConfigurationError) as caught:
        client.find_job(*names)
    # The remedy for projects and environments is the same: the job's own id.
    assert str(caught.value) == words


def test_find_job_in_an_empty_account(dbt_cloud, client):
    """Where there is nothing, the error says so."""
    dbt_cloud.get(f"{HOST}{V3}projects/", json={"data": []})
    with pytest.raises(DbtCloudConfigurationError, match=r"There are: none\.$"):
        client.find_job("kaffa", "prod", "nightly")


# --- artifacts --------------------------------------------------------------------------------------------


def test_no_artifacts(dbt_cloud, client):
    """A run without artifacts, for which dbt Cloud answers null, has none."""
    dbt_cloud.get(f"{HOST}{V2}runs/1/artifacts/", json={"data": None})
    assert client.list_artifacts(1) == []


@pytest.mark.parametrize("data", [{"a": 1}, "manifest.json", 5])
def test_artifacts_that_are_no_list(dbt_cloud, client, data):
    """Letters and keys are no paths: an answer that is no list is an error."""
    dbt_cloud.get(f"{HOST}{V2}runs/1/artifacts/", json={"data": data})
    with pytest.raises(DbtCloudServerError, match="the answer is no list"):
        client.list_artifacts(1)


@pytest.mark.parametrize(
    "path",
    ["", " ", "/", "/x", "..", "../x", "a/../b", "a/..", ".", "a/./b", "a//b", "a/", "//x", "a\\..\\b"],
)
@pytest.mark.parametrize("verb", ["stream_artifact", "stream_job_artifact"])
def test_paths_that_leave_the_run_are_refused(client, sent, verb, path):
    """A path that is empty, absolute or leads elsewhere is refused before anything is sent."""
    with (
        pytest.raises(DbtCloudConfigurationError, match="relative") as caught,
        getattr(client, verb)(1, path),
    ):
        pass
    assert repr(path) in str(caught.value)
    assert sent() == []


@pytest.mark.parametrize(
    ("path", "quoted"),
    [
        ("run_results.json", "run_results.json"),
        ("compiled/kaffa/models/a b.sql", "compiled/kaffa/models/a%20b.sql"),
        ("a?b#c%2e%2e&d=e+f;g", "a%3Fb%23c%252e%252e%26d%3De%2Bf%3Bg"),
        ("caf\u00e9/\U0001f680.sql", "caf%C3%A9/%F0%9F%9A%80.sql"),
        ("a\r\nX: y", "a%0D%0AX%3A%20y"),
        ("...", "..."),
        ("..a/b..", "..a/b.."),
    ],
)
def test_odd_paths_are_quoted(serve, make_credentials, answer, path, quoted):
    """An artifact's path arrives as it is, whatever stands in it, and without a slash at its end."""
    server = serve(lambda *_: answer(body=b"x"))
    client = Client(make_credentials(server.url), retries=Retries(limit=1))
    with client.stream_artifact(1, path) as pieces:
        assert b"".join(pieces) == b"x"
    assert server.requests[0].target == f"{V2}runs/1/artifacts/{quoted}"


@pytest.mark.parametrize(("step", "query"), [(None, {}), (4, {"step": "4"})])
def test_artifact_of_a_step(dbt_cloud, client, sent, step, query):
    """An artifact is that of one step if there is one named, and raw bytes."""
    dbt_cloud.get(f"{HOST}{V2}runs/1/artifacts/run_results.json", body=b"\xff\x00")
    with client.stream_artifact(1, "run_results.json", step=step) as pieces:
        assert b"".join(pieces) == b"\xff\x00"
    assert sent() == [("GET", f"{V2}runs/1/artifacts/run_results.json", query, None)]


def test_artifact_of_a_job(dbt_cloud, client, sent):
    """An artifact of a job is asked for without a step, which dbt Cloud would refuse."""
    dbt_cloud.get(f"{HOST}{V2}jobs/9/artifacts/a/b%20c.sql", body=b"\xff\x00")
    with client.stream_job_artifact(9, "a/b c.sql") as pieces:
        assert b"".join(pieces) == b"\xff\x00"
    assert sent() == [("GET", f"{V2}jobs/9/artifacts/a/b%20c.sql", {}, None)]


def test_an_artifact_that_is_not_there(dbt_cloud, client):
    """An artifact that is not there, or not yet, is not found."""
    dbt_cloud.get(f"{HOST}{V2}runs/1/artifacts/catalog.json", status=404)
    with pytest.raises(DbtCloudNotFound), client.stream_artifact(1, "catalog.json"):
        pass


def test_an_artifact_that_breaks_off_is_not_begun_again(serve, make_credentials, answer):
    """What comes after the first bytes is not repeated behind the back of whoever has them."""
    server = serve(lambda *_: answer(body=b"half", content_length="8", connection="close"))
    client = Client(make_credentials(server.url), retries=Retries(sleep=lambda _: None))
    got = []
    with pytest.raises(DbtCloudUnreachable), client.stream_artifact(1, "a.json") as pieces:
        got.extend(pieces)
    assert b"".join(got) in {b"", b"half"}
    assert len(server.requests) == 1


def test_an_artifact_that_is_left_early_gives_its_connection_back(serve, make_credentials, answer):
    """Whoever stops reading leaves nothing open, and the client goes on."""
    server = serve(lambda *_: answer(body=b"x" * 2**20))
    client = Client(make_credentials(server.url), retries=Retries(limit=1))
    for _ in range(2):
        with client.stream_artifact(1, "a.json") as pieces:
            next(pieces)
    assert len(server.requests) == 2


def test_read_artifact(dbt_cloud, client, sent):
    """An artifact that is JSON is read, that of a step if one is named."""
    dbt_cloud.get(f"{HOST}{V2}runs/1/artifacts/run_results.json", body='\ufeff{"a": ["\u00d8"]}'.encode())
    assert client.read_artifact(1, "run_results.json", step=4) == {"a": ["\u00d8"]}
    assert sent() == [("GET", f"{V2}runs/1/artifacts/run_results.json", {"step": "4"}, None)]


def test_read_artifact_that_is_not_there(dbt_cloud, client):
    """An artifact that is not there cannot be read."""
    dbt_cloud.get(f"{HOST}{V2}runs/1/artifacts/run_results.json", status=404)
    with pytest.raises(DbtCloudNotFound):
        client.read_artifact(1, "run_results.json")


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"PAR1", b"[" * 100_000, b"9" * 5000, b'{"a": 1'])
def test_read_artifact_that_is_no_json(dbt_cloud, make_credentials, body):
    """An artifact that is no JSON is an error that says so, at once and without what it holds."""
    dbt_cloud.get(f"{HOST}{V2}runs/1/artifacts/a.json", body=body)
    client = Client(make_credentials(), retries=Retries(sleep=pytest.fail))
    with pytest.raises(DbtCloudServerError, match=r"a\.json: the artifact is not JSON\.$") as caught:
        client.read_artifact(1, "a.json")
    assert caught.value.__suppress_context__


def test_read_artifact_is_bounded(serve, make_credentials, answer):
    """An artifact that is longer than the limit is given up before it is whole, and not asked for again."""
    server = serve(lambda *_: answer(body=b"[" * 2**20))
    client = Client(make_credentials(server.url), retries=Retries(sleep=pytest.fail))
    with pytest.raises(DbtCloudAnswerTooLong, match="the artifact is longer than 1000 bytes"):
        client.read_artifact(1, "a.json", limit=1000)
    assert len(server.requests) == 1


def test_read_artifact_is_bounded_in_time(serve, make_credentials, answer):
    """An artifact that trickles is given up."""
    server = serve(lambda *_: answer(body=b"1" * 2**20))
    client = Client(make_credentials(server.url), retries=Retries(limit=1))
    clock = itertools.count(step=100).__next__
    with pytest.raises(DbtCloudUnreachable, match="the artifact was not whole after 120 s"):
        client.read_artifact(1, "a.json", clock=clock)


@pytest.mark.parametrize(("left", "bound"), [(30.0, 30), (500.0, 120)])
def test_read_artifact_within(serve, make_credentials, answer, left, bound):
    """An artifact has the time that is left for it, and two minutes at most."""
    server = serve(lambda *_: answer(body=b"1" * 2**20))
    client = Client(make_credentials(server.url), retries=Retries(limit=1)).within(lambda: left)
    # The deadline is made from the first of these.
    times = iter([0.0, bound, bound + 1.0])
    with pytest.raises(DbtCloudUnreachable, match=f"the artifact was not whole after {bound} s"):
        client.read_artifact(1, "a.json", clock=lambda: next(times))
    assert next(times, None) is None


def test_read_artifact_without_time(dbt_cloud, client):
    """An artifact for which there is no time is not asked for."""
    with pytest.raises(DbtCloudUnreachable, match="there is no time left to read the artifact"):
        client.within(lambda: 0.0).read_artifact(1, "a.json")
    assert not dbt_cloud.calls


def test_read_artifact_that_breaks_off(serve, make_credentials, answer):
    """An artifact that breaks off is asked for again, because nobody has seen the first half."""
    halves = iter([answer(body=b"[1,", content_length="6", connection="close")])
    server = serve(lambda *_: next(halves, answer(body=b"[1, 2]")))
    client = Client(make_credentials(server.url), retries=Retries(sleep=lambda _: None))
    assert client.read_artifact(1, "a.json") == [1, 2]
    assert len(server.requests) == 2


def test_read_artifact_without_the_token(dbt_cloud, client, token):
    """A token that stands in an artifact is not handed on."""
    dbt_cloud.get(f"{HOST}{V2}runs/1/artifacts/a.json", body=f'["say {token}"]')
    assert client.read_artifact(1, "a.json") == ["say ***"]


# --- the client itself ------------------------------------------------------------------------------------


def test_hurried(serve, make_credentials):
    """A client in a hurry has the same account, repeats nothing, and waits as long as it was told."""
    server = serve(lambda *_: None)
    hurried = Client(make_credentials(server.url)).hurried(1.5)
    with pytest.raises(DbtCloudUnreachable):
        hurried.cancel_run(1)
    assert len(server.requests) == 1
    assert hurried._credentials == make_credentials(server.url, timeout_seconds=1.5)


def test_within(dbt_cloud, make_credentials):
    """A client of so many seconds gives each request that time, and is as patient as before otherwise."""
    dbt_cloud.get(f"{HOST}{V2}runs/1/", status=429, headers={"Retry-After": "50"})
    dbt_cloud.post(f"{HOST}{V2}jobs/9/run/", status=429, headers={"Retry-After": "50"})
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        raise InterruptedError

    client = Client(make_credentials(), retries=Retries(sleep=sleep))
    for ask in (lambda c: c.get_run(1), lambda c: c.start_run(9, RunRequest(cause="why"))):
        with pytest.raises(DbtCloudRateLimited):
            ask(client.within(lambda: 49))
        assert pauses == []
        with pytest.raises(InterruptedError):
            ask(client.within(lambda: 51))
        assert pauses.pop() == 50
        with pytest.raises(InterruptedError):
            ask(client)
        assert pauses.pop() == 50


def test_within_keeps_the_limit(dbt_cloud, client):
    """Who wants each request sent once gets that, also with time left."""
    asked = dbt_cloud.get(f"{HOST}{V2}runs/1/", status=503)
    with pytest.raises(DbtCloudServerError):
        client.within(lambda: 1000).get_run(1)
    assert asked.call_count == 1


def test_within_shares_the_connection(serve, make_credentials, answer):
    """A client of so many seconds opens no connection of its own."""
    server = serve(lambda *_: answer(body=json.dumps({"data": RUN}).encode()))
    client = Client(make_credentials(server.url), retries=Retries(limit=1))
    for each in (client, client.within(lambda: 5), client.within(lambda: 7).within(lambda: 9)):
        each.get_run(1)
    assert (len(server.requests), server.connections) == (3, 1)


def test_the_transport_is_a_parameter(make_credentials):
    """Whoever has another way to dbt Cloud gives it to the client."""

    class Fake:
        def request(self, method, path, *, params, body):
            return {"data": {"id": 9, "name": f"{method} {path} {params} {body}"}}

    job = Client(make_credentials(), transport=Fake()).get_job(9)
    assert job.name == f"GET {V2}jobs/9/ {{}} None"


def test_repr_shows_no_token(client, token):
    """A client says whom it talks to, and not how."""
    assert repr(client) == f"<Client of account 7 at {HOST}>"
    assert not [item for item in map(repr, vars(client).values()) if token in item]


def test_every_error_names_the_whole_path(dbt_cloud, client):
    """An error of dbt Cloud's and one of ours name a request alike."""
    dbt_cloud.get(HOST + V2 + "runs/1/", status=500)
    dbt_cloud.get(HOST + V2 + "runs/1/", json={"data": None})
    dbt_cloud.get(HOST + V3 + "projects/", json={"data": None})
    for ask, path in ((client.get_run, "/api/v2/accounts/7/runs/1/"),) * 2:
        with pytest.raises(DbtCloudApiError) as caught:
            ask(1)
        assert caught.value.path == path
    with pytest.raises(DbtCloudApiError) as caught:
        list(client.list_projects())
    assert caught.value.path == "/api/v3/accounts/7/projects/"


class Slow:
    """A dbt Cloud whose run never stops, and which answers slowly by a clock that nothing else moves."""

    def __init__(self, seconds):
        self.now = 0.0
        self.seconds = seconds
        self.asked = 0

    def request(self, method, *_, **__):
        self.asked += 1
        self.now += self.seconds if method == "GET" else 0.0
        return {"data": {**RUN, "status": 3}}

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize(("statuses", "pauses"), [([30], 0), ([3, 3, 30], 2), ([3] * 31, 30)])
def test_end_run(client, dbt_cloud, statuses, pauses):
    """A run is cancelled and waited for until it has stopped, for a minute at most."""
    envelope = {"status": {"code": 200, "is_success": True}, "extra": {}}
    first, *later = ({**envelope, "data": {**RUN, "status": status}} for status in statuses)
    dbt_cloud.post(f"{HOST}{V2}runs/1/cancel/", json=first)
    for answer in later:
        dbt_cloud.get(f"{HOST}{V2}runs/1/", json=answer)
    slept = []
    ended = client.end_run(1, sleep=slept.append, clock=lambda: sum(slept))
    assert ended.status == statuses[-1]
    assert slept == [2.0] * pauses


def test_end_run_of_slow_answers(make_credentials):
    """The minute is one of time: slow answers make it less often that a run is looked at, and no longer."""
    slow = Slow(25.0)
    client = Client(make_credentials(), retries=Retries(limit=1), transport=slow)
    assert client.end_run(1, sleep=slow.sleep, clock=lambda: slow.now).status == 3
    assert (slow.asked, slow.now) == (4, 81.0)


def test_end_run_repeats_no_longer(dbt_cloud, make_credentials):
    """A look that fails is repeated within the minute only."""
    slept = []
    dbt_cloud.post(f"{HOST}{V2}runs/1/cancel/", json={"data": {**RUN, "status": 3}})
    dbt_cloud.get(f"{HOST}{V2}runs/1/", status=429, headers={"Retry-After": "59"})
    client = Client(make_credentials(), retries=Retries(sleep=pytest.fail))
    assert client.end_run(1, sleep=slept.append, clock=lambda: sum(slept)).status == 3
    assert slept == [2.0]


def test_end_run_that_is_not_seen(dbt_cloud, client):
    """A cancelled run that cannot be seen any more is returned as it was: only the cancel raises."""
    dbt_cloud.post(f"{HOST}{V2}runs/1/cancel/", json={"data": {**RUN, "status": 3}})
    dbt_cloud.get(f"{HOST}{V2}runs/1/", status=403, json={"status": {}, "data": None})
    assert client.end_run(1, sleep=lambda _: None, clock=lambda: 0.0).status == 3


def test_end_run_that_is_not_cancelled(dbt_cloud, client):
    """A cancel that dbt Cloud refuses raises."""
    dbt_cloud.post(f"{HOST}{V2}runs/1/cancel/", status=403, json={"status": {}, "data": None})
    with pytest.raises(DbtCloudUnauthorized):
        client.end_run(1, sleep=pytest.fail, clock=lambda: 0.0)
