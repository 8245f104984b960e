"""How a try comes to its run, against a dbt Cloud of one job whose answers may be lost, late or bad."""

import json
import logging
import random
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import freezegun
import pytest
import requests
import responses
import urllib3

from airflow_dbt_cloud.client import Client
from airflow_dbt_cloud.errors import (
    DbtCloudError,
    DbtCloudInvalidRequest,
    DbtCloudJobBusy,
    DbtCloudNotFound,
    DbtCloudRateLimited,
    DbtCloudRedirected,
    DbtCloudServerError,
    DbtCloudStartUnconfirmed,
    DbtCloudSuperseded,
    DbtCloudUnauthorized,
    DbtCloudUnreachable,
)
from airflow_dbt_cloud.markers import Marker
from airflow_dbt_cloud.parameters import RunRequest
from airflow_dbt_cloud.retries import Retries
from airflow_dbt_cloud.starting import Starting

ACCOUNT = "https://ab123.us1.dbt.com/api/v2/accounts/7"
KEY = "0123456789abcdef"
SINCE = datetime(2026, 1, 2, 4, 0, tzinfo=UTC)
NOW = SINCE + timedelta(minutes=30)
QUEUED, RUNNING, SUCCESS, ERROR, CANCELLED, UNKNOWN = 1, 3, 10, 20, 30, 7

REFUSED = requests.ConnectionError(urllib3.exceptions.NewConnectionError(None, "refused"))
NO_NAME = requests.ConnectionError(urllib3.exceptions.NameResolutionError("ab123", None, "no such name"))
CONNECT_TIMEOUT = requests.ConnectTimeout(urllib3.exceptions.ConnectTimeoutError("too slow"))
READ_TIMEOUT = requests.ReadTimeout(urllib3.exceptions.ReadTimeoutError(None, None, "too slow"))
RESET = requests.ConnectionError(
    urllib3.exceptions.ProtocolError("aborted", ConnectionResetError(104, "reset"))
)


def said(status, data=None, message="Success!", **headers):
    """Return an answer as dbt Cloud wraps it."""
    words = {"code": status, "is_success": status < 400, "user_message": message, "developer_message": ""}
    return status, headers, json.dumps({"status": words, "data": data})


HTML_502 = (502, {"Content-Type": "text/html"}, "<html>Bad gateway</html>")
TRUNCATED = (200, {}, '{"status": {"code": 200, "is_success": true}, "data": {"id": 10')
NO_ID = said(200, {"status": 1})
TIMED_OUT = (408, {}, "")
FAILING = said(500, None, "Internal server error.")
AMBIGUOUS = [READ_TIMEOUT, RESET, HTML_502, TRUNCATED, NO_ID, TIMED_OUT, FAILING]
NOT_RECEIVED = [REFUSED, NO_NAME, CONNECT_TIMEOUT, said(429), said(429, **{"Retry-After": "300"})]


@dataclass
class Fate:
    """What becomes of a start: what is answered (None = the run), after how long the run is seen, and how."""

    answer: object = None
    seen_after: float | None = 0.0
    status: int = QUEUED


class Clock:
    """Time that only sleeping moves; whoever sleeps may be killed."""

    def __init__(self, frozen):
        self._frozen = frozen
        self.pauses = []
        self.killed_at = None

    def __call__(self):
        return time.monotonic()

    def sleep(self, seconds):
        if self.killed_at is not None and self() + seconds >= self.killed_at:
            msg = "killed"
            raise DbtCloudError(msg)
        self.pauses.append(seconds)
        self._frozen.tick(timedelta(seconds=seconds))


class Job:
    """Job 5: its runs, what was asked about them, and what is answered."""

    def __init__(self, clock):
        self.clock = clock
        self.rows = []
        self.seen_at = {}
        self.requests = []
        self.fates = []
        self.lists = []  # what to answer to the next lists, the last one for ever; None = the truth
        self.cancels = {}  # by run, what to answer to a cancel instead of cancelling
        self.refuses_retry = None

    def add(self, status, *, by=None, cause=None, created_at=None, **fields):
        """Let there be a run; by a try, or with a cause of somebody else's."""
        cause = by.mark("nightly") if by else cause
        trigger = {"cause": cause, **fields.pop("overrides", {})} if cause is not None else None
        row = {
            "id": 101 + len(self.rows),
            "status": status,
            "job_definition_id": 5,
            "project_id": 3,
            "trigger": trigger,
            "created_at": str(created_at or datetime.now(UTC)),
            **fields,
        }
        self.rows.append(row)
        return row["id"]

    def status(self, run_id):
        return next(row["status"] for row in self.rows if row["id"] == run_id)

    def asked(self, kind):
        return [request for request in self.requests if request[0] == kind]

    @property
    def starts(self):
        return [body for kind, body in self.requests if kind == "start"]

    @property
    def cancelled(self):
        return [run_id for kind, run_id in self.requests if kind == "cancel"]

    def list(self, request):
        params = dict(parse_qsl(urlsplit(request.url).query))
        self.requests.append(("list", params))
        instead = self.lists.pop(0) if len(self.lists) > 1 else (self.lists or [None])[0]
        if instead is not None:
            return _answered(instead)
        filters = dict(params)
        assert filters.pop("job_definition_id") == "5"
        assert filters.pop("order_by") == "-id"
        assert filters.pop("include_related") == "trigger"
        limit, offset = int(filters.pop("limit")), int(filters.pop("offset"))
        rows = [row for row in reversed(self.rows) if self.seen_at.get(row["id"], 0) <= self.clock()]
        if statuses := filters.pop("status__in", None):
            rows = [row for row in rows if row["status"] in json.loads(statuses)]
        if times := filters.pop("created_at__range", None):
            begin, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in json.loads(times))
            rows = [row for row in rows if begin <= datetime.fromisoformat(row["created_at"]) <= end]
        assert not filters
        return said(200, rows[offset : offset + limit])

    def start(self, request):
        body = json.loads(request.body)
        self.requests.append(("start", body))
        overrides = {name: value for name, value in body.items() if name != "cause"}
        return self._begin(cause=body["cause"], overrides=overrides)

    def retry(self, request):
        assert not request.body
        run_id = int(re.search(r"/runs/(\d+)/retry/", request.url)[1])
        self.requests.append(("retry", run_id))
        if self.refuses_retry is not None:
            return self.refuses_retry
        return self._begin(cause="This run resumed execution", retrying_run_id=run_id)

    def _begin(self, **fields):
        fate = self.fates.pop(0) if self.fates else Fate()
        if fate.seen_after is not None:
            run_id = self.add(fate.status, **fields)
            self.seen_at[run_id] = self.clock() + fate.seen_after
        return said(200, self.rows[-1]) if fate.answer is None else _answered(fate.answer)

    def cancel(self, request):
        run_id = int(re.search(r"/runs/(\d+)/cancel/", request.url)[1])
        self.requests.append(("cancel", run_id))
        if run_id in self.cancels:
            return _answered(self.cancels[run_id])
        row = next(row for row in self.rows if row["id"] == run_id)
        row["status"] = CANCELLED
        return said(200, row)


def _answered(answer):
    if isinstance(answer, BaseException):
        raise answer
    return answer


def by(try_number=1, *, max_tries=2, clear=0, key=KEY):
    """Return the marker of a try."""
    return Marker(key=key, max_tries=max_tries, clear_number=clear, try_number=try_number)


@pytest.fixture
def clock():
    """Stop the clock."""
    random.seed(7)
    with freezegun.freeze_time(NOW) as frozen:
        yield Clock(frozen)


@pytest.fixture
def job(clock):
    """Stand in for dbt Cloud."""
    job = Job(clock)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback(responses.GET, f"{ACCOUNT}/runs/", callback=job.list)
        mock.add_callback(responses.POST, f"{ACCOUNT}/jobs/5/run/", callback=job.start)
        mock.add_callback(responses.POST, re.compile(rf"{ACCOUNT}/runs/\d+/retry/"), callback=job.retry)
        mock.add_callback(responses.POST, re.compile(rf"{ACCOUNT}/runs/\d+/cancel/"), callback=job.cancel)
        yield job


@pytest.fixture
def begin(clock, make_credentials):
    """Return the function that makes a try; the first one, unless its marker says another."""

    def make(marker=by(), *, overrides=None, wrap=lambda client, _: client, **wishes):  # noqa: B008 - frozen
        client = Client(make_credentials(), retries=Retries(sleep=clock.sleep))
        return Starting(
            client=wrap(client, clock),
            job_id=5,
            request=RunRequest.from_parameters("nightly", overrides or {}),
            log=logging.getLogger("task"),
            marker=marker,
            since=SINCE,
            sleep=clock.sleep,
            clock=clock,
            **wishes,
        )

    return make


# --- the first try, and what a later one finds ------------------------------------------------------------


@pytest.mark.parametrize("wishes", [{}, {"retry_from_failure": True}, {"cancel_on_kill": False}])
def test_first_try(job, begin, wishes):
    """A first try sends one start, which bears its marker, and asks nothing."""
    job.add(RUNNING, by=by())
    taken = begin(overrides={"git_branch": "main"}, **wishes).take()
    assert (taken.run.id, taken.how, taken.is_own, taken.starts) == (102, "started", True, 1)
    assert job.requests == [("start", {"cause": f"nightly [airflow:{KEY}:2.0.1]", "git_branch": "main"})]


def test_later_try_that_finds_nothing(job, begin):
    """A later try that finds no run of its task starts one, and leaves the runs of others alone."""
    job.add(RUNNING, cause="by hand")
    job.add(RUNNING, by=by(key="f" * 16))
    taken = begin(by(2)).take()
    assert (taken.run.id, taken.how, job.cancelled) == (103, "started", [])
    assert job.starts == [{"cause": f"nightly [airflow:{KEY}:2.0.2]"}]


def test_what_is_asked(job, begin):
    """A later try asks for the job's runs that go, and for those created since the DAG run began."""
    begin(by(2)).take()
    common = {"job_definition_id": "5", "order_by": "-id", "include_related": "trigger"}
    page = {**common, "limit": "100", "offset": "0"}
    assert job.asked("list") == [
        ("list", {"status__in": "[1, 2, 3]", **page}),
        (
            "list",
            {"created_at__range": '["2026-01-02T03:50:00.000000", "2026-01-03T04:30:00.000000"]', **page},
        ),
    ]


@pytest.mark.parametrize("status", [RUNNING, SUCCESS])
def test_all_pages_are_read(job, begin, status):
    """A run of the task is found behind hundreds of others."""
    mine = job.add(status, by=by())
    for _ in range(300):
        job.add(status, cause="by somebody who has much to do")
    assert begin(by(2)).take().run.id == mine
    assert job.starts == []


@pytest.mark.parametrize("status", [QUEUED, RUNNING, UNKNOWN, SUCCESS])
def test_resumed(job, begin, status, caplog):
    """The run of the try before is taken up, be it going or finished."""
    caplog.set_level(logging.INFO)
    job.add(status, by=by())
    taken = begin(by(2)).take()
    assert (taken.run.id, taken.run.status, taken.how, taken.is_own) == (101, status, "resumed", True)
    assert (job.starts, job.cancelled) == ([], [])
    assert "Resuming dbt Cloud run 101" in caplog.text
    assert "started by try 1" in caplog.text


def test_a_run_from_before_the_clock_skew(job, begin):
    """A run that goes is found however old dbt Cloud says it is."""
    job.add(RUNNING, by=by(), created_at=SINCE - timedelta(days=1))
    assert begin(by(2)).take().run.id == 101


def test_a_run_that_ends_while_it_is_looked_for(job, begin):
    """A run that ended between the two questions is known by the newer answer."""
    job.add(RUNNING, by=by())
    old = said(200, [job.rows[0]])
    job.rows[0]["status"] = SUCCESS
    job.lists = [old, None]
    taken = begin(by(2)).take()
    assert (taken.run.status, taken.how) == (SUCCESS, "resumed")


def test_a_retry_is_resumed_but_not_owned(job, begin):
    """A retry that goes is taken up; it may be a person's, so this try will not cancel it."""
    job.add(ERROR, by=by())
    job.add(RUNNING, cause="resumed", retrying_run_id=101)
    taken = begin(by(2)).take()
    assert (taken.run.id, taken.how, taken.is_own) == (102, "resumed", False)


def test_doubles_of_earlier_tries(job, begin):
    """Of several runs of the task the oldest is taken up, and the others are cancelled."""
    for _ in range(3):
        job.add(QUEUED, by=by())
    job.add(QUEUED, cause="by hand")
    assert begin(by(2)).take().run.id == 101
    assert sorted(job.cancelled) == [102, 103]
    assert job.starts == []


@pytest.mark.parametrize("cancel_on_kill", [True, False])
def test_cleared(job, begin, cancel_on_kill):
    """After a clear the run that goes is cancelled, unless it shall not be, and another one is started."""
    job.add(RUNNING, by=by())
    taken = begin(by(2, max_tries=3, clear=1), cancel_on_kill=cancel_on_kill).take()
    assert (taken.run.id, taken.how) == (102, "started")
    assert job.cancelled == ([101] if cancel_on_kill else [])


@pytest.mark.parametrize("status", [ERROR, CANCELLED])
def test_after_a_bad_end(job, begin, status):
    """A run that ended badly is followed by another one."""
    job.add(status, by=by(), can_retry=True)
    assert begin(by(2)).take().run.id == 102
    assert len(job.starts) == 1


@pytest.mark.parametrize("later", [by(3), by(1, clear=1)])
def test_superseded(job, begin, later):
    """A try that finds the run of a later one starts nothing, cancels nothing and says so."""
    job.add(RUNNING, by=by())
    job.add(RUNNING, by=later)
    with pytest.raises(DbtCloudSuperseded, match="has started run 102") as caught:
        begin(by(2)).take()
    assert caught.value.run.id == 102
    assert (job.starts, job.cancelled) == ([], [])


# --- retry from failure -----------------------------------------------------------------------------------


def test_retried(job, begin):
    """A failed run is retried by dbt Cloud if that is wanted; no start is sent."""
    job.add(ERROR, by=by(), can_retry=True)
    taken = begin(by(2), retry_from_failure=True).take()
    assert (taken.run.id, taken.run.retrying_run_id) == (102, 101)
    assert (taken.how, taken.is_own) == ("started", True)
    assert job.asked("retry") == [("retry", 101)]
    assert job.starts == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409])
def test_refused_retry(job, begin, status, caplog):
    """A retry that dbt Cloud refuses is followed by a full start, and the log has dbt Cloud's words."""
    job.add(ERROR, by=by(), can_retry=True)
    job.refuses_retry = said(status, None, "This run cannot be retried.")
    taken = begin(by(2), retry_from_failure=True).take()
    assert (taken.run.id, taken.run.retrying_run_id, taken.how) == (102, None, "started")
    assert (len(job.asked("retry")), len(job.starts)) == (1, 1)
    assert re.search(r"This run cannot be retried\..* Starting a full run instead\.", caplog.text)


def test_retry_that_dbt_cloud_cannot_do(job, begin, caplog):
    """Where dbt Cloud says beforehand that it cannot retry, a full run is started, and the log says why."""
    caplog.set_level(logging.INFO)
    job.add(ERROR, by=by(), can_retry=False, retry_not_supported_reason="RETRY_NOT_LATEST_RUN")
    assert begin(by(2), retry_from_failure=True).take().run.id == 102
    assert (job.asked("retry"), len(job.starts)) == ([], 1)
    assert "RETRY_NOT_LATEST_RUN" in caplog.text


@pytest.mark.parametrize("answer", AMBIGUOUS, ids=repr)
@pytest.mark.parametrize("seen_after", [0, 60, 119])
def test_retry_whose_answer_is_lost(job, begin, answer, seen_after):
    """A retry whose answer is lost is looked for by the run that it does again."""
    job.add(ERROR, by=by(), can_retry=True)
    job.fates = [Fate(answer, seen_after)]
    taken = begin(by(2), retry_from_failure=True).take()
    assert (taken.run.id, taken.how, taken.is_own) == (102, "started", True)
    assert (len(job.asked("retry")), job.starts) == (1, [])


def test_retry_that_turns_up_late(job, begin):
    """A second retry that is refused because the first one did start a run leads to no third one."""
    job.add(ERROR, by=by(), can_retry=True)
    job.fates = [Fate(READ_TIMEOUT, 123), Fate(said(400, None, "This is not the latest run."), None)]
    taken = begin(by(2), retry_from_failure=True, wrap=Slow).take()
    assert (taken.run.id, taken.how) == (102, "started")
    assert job.starts == []


def test_start_after_a_refused_retry_whose_answer_is_lost(job, begin):
    """A full start that follows a refused retry is looked for by its marker, as any other."""
    job.add(ERROR, by=by(), can_retry=True)
    job.refuses_retry = said(400, None, "This run cannot be retried.")
    job.fates = [Fate(READ_TIMEOUT, 5)]
    assert begin(by(2), retry_from_failure=True).take().run.id == 102
    assert len(job.starts) == 1


def test_retry_of_a_person(job, begin):
    """A retry that a person asked for meanwhile is not taken for a double of ours."""
    job.add(ERROR, by=by(), can_retry=True)
    job.fates = [Fate(READ_TIMEOUT, None)]

    def announce(_):
        job.add(QUEUED, cause="by hand", retrying_run_id=101)

    assert begin(by(2), retry_from_failure=True, announce=announce).take().starts == 2
    assert len(job.rows) == 3
    assert job.cancelled == []


class Slow:
    """A client whose retries take two seconds to be answered."""

    def __init__(self, client, clock):
        self.client, self.clock = client, clock

    def __getattr__(self, name):
        return getattr(self.client, name)

    def within(self, left):
        return Slow(self.client.within(left), self.clock)

    def retry_run(self, run_id):
        try:
            return self.client.retry_run(run_id)
        finally:
            self.clock.sleep(2)


# --- a start whose fate is unknown ------------------------------------------------------------------------


@pytest.mark.parametrize("answer", AMBIGUOUS, ids=repr)
@pytest.mark.parametrize("seen_after", [0, 5, 60, 119])
def test_lost_answer(job, begin, clock, answer, seen_after):
    """A start whose answer is lost is looked for, and its run taken up, without another start."""
    job.fates = [Fate(answer, seen_after)]
    began = clock()
    taken = begin().take()
    assert (taken.run.id, taken.how, taken.is_own, taken.starts) == (101, "started", True, 1)
    assert len(job.starts) == 1
    assert seen_after <= clock() - began <= seen_after + 30


def test_lost_answer_of_a_short_run(job, begin):
    """A run that has ended when it is found is the one that was started all the same."""
    job.fates = [Fate(READ_TIMEOUT, 3, ERROR)]
    taken = begin().take()
    assert (taken.run.status, len(job.starts)) == (ERROR, 1)


@pytest.mark.parametrize("answer", AMBIGUOUS, ids=repr)
def test_lost_start(job, begin, clock, answer):
    """A start that left no run for two minutes is sent again."""
    job.fates = [Fate(answer, None)]
    began = clock()
    taken = begin().take()
    assert (taken.run.id, taken.starts, len(job.starts)) == (101, 2, 2)
    assert 120 <= clock() - began <= 121


def test_lost_starts(job, begin, clock):
    """After three starts that left no run it is said that nobody knows, and what the next try does."""
    job.fates = [Fate(READ_TIMEOUT, None) for _ in range(5)]
    began = clock()
    with pytest.raises(DbtCloudStartUnconfirmed, match=r"^3 starts were sent to dbt Cloud job 5") as caught:
        begin().take()
    assert "A retry looks again" in str(caught.value)
    assert len(job.starts) == 3
    assert clock() - began >= 360


def test_a_look_costs_little(job, begin):
    """Two minutes of looking are few requests: a whole platform may look at once."""
    job.fates = [Fate(READ_TIMEOUT, None)]
    begin().take()
    assert len(job.asked("list")) <= 20


def test_others_are_not_mistaken_for_mine(job, begin):
    """Neither the run of another task nor that of another try is taken for the one that was started."""
    job.add(RUNNING, by=by(key="f" * 16))
    job.add(RUNNING, cause=f"by hand {by()} it seems")
    job.fates = [Fate(READ_TIMEOUT, None)]
    taken = begin().take()
    assert (taken.run.id, taken.starts) == (103, 2)


def test_no_start_beyond_the_timeout(job, begin):
    """When `timeout` is over after the two minutes, no further start is sent."""
    job.fates = [Fate(READ_TIMEOUT, None)]
    with pytest.raises(DbtCloudStartUnconfirmed, match="A start was sent"):
        begin(timeout=60).take()
    assert len(job.starts) == 1


def test_found_beyond_the_timeout(job, begin):
    """A start that was sent is looked for, for two minutes, also if `timeout` is over by then."""
    job.fates = [Fate(READ_TIMEOUT, 100)]
    assert begin(timeout=10).take().run.id == 101
    assert len(job.starts) == 1


def test_trouble_beyond_the_timeout(job, begin):
    """The look for a start that was sent survives trouble, also if `timeout` is over by then."""
    job.fates = [Fate(READ_TIMEOUT)]
    job.lists = [*[said(429, **{"Retry-After": "20"})] * 3, None]
    assert begin(timeout=10).take().run.id == 101


@pytest.mark.parametrize("trouble", [FAILING, READ_TIMEOUT, said(429), said(401), said(404)], ids=repr)
def test_no_second_start_without_a_look(job, begin, trouble):
    """If dbt Cloud cannot be asked whether there is a run, no second start is sent."""
    job.fates = [Fate(READ_TIMEOUT, None)]
    job.lists = [trouble]
    with pytest.raises(DbtCloudStartUnconfirmed, match="A start was sent"):
        begin().take()
    assert len(job.starts) == 1


def test_trouble_while_looking(job, begin):
    """A look that fails for a while is repeated."""
    job.fates = [Fate(READ_TIMEOUT, 0)]
    job.lists = [FAILING, RESET, said(429, **{"Retry-After": "90"}), None]
    assert begin().take().run.id == 101
    assert len(job.starts) == 1


def test_refused_after_a_lost_start(job, begin):
    """A start that is refused after one whose fate was unknown is dbt Cloud's error, if there is no run."""
    job.fates = [Fate(READ_TIMEOUT, None), Fate(said(400, None, "The job is deactivated."), None)]
    with pytest.raises(DbtCloudInvalidRequest, match="The job is deactivated"):
        begin().take()
    assert len(job.starts) == 2


def test_double_is_cancelled(job, begin):
    """Of two runs that this try started, the one that turned up late is cancelled, and no other."""
    job.add(RUNNING, cause="by hand")
    job.add(RUNNING, by=by(key="f" * 16))
    job.fates = [Fate(READ_TIMEOUT, 121)]
    announced = []

    def announce(taken):
        announced.append((taken.run.id, taken.starts, [*job.cancelled]))
        job.clock.sleep(5)

    assert begin(announce=announce).take().run.id == 104
    assert announced == [(104, 2, [])]
    assert job.cancelled == [103]
    assert [job.status(run_id) for run_id in (101, 102, 104)] == [RUNNING, RUNNING, QUEUED]


def test_both_turn_up(job, begin):
    """If two answers are lost and both runs found, the older one is followed, and the other cancelled."""
    job.fates = [Fate(READ_TIMEOUT, 125), Fate(READ_TIMEOUT, 5)]
    taken = begin().take()
    assert (taken.run.id, taken.starts, job.cancelled) == (101, 2, [102])


def test_double_that_has_ended(job, begin):
    """What turned up late and has ended already is not cancelled."""
    job.fates = [Fate(READ_TIMEOUT, 121)]

    def announce(_):
        job.rows[0]["status"] = SUCCESS
        job.clock.sleep(5)

    assert begin(announce=announce).take().run.id == 102
    assert job.cancelled == []


def test_no_doubles_without_a_second_start(job, begin):
    """After one start nobody looks for a second run."""
    begin().take()
    assert [kind for kind, _ in job.requests] == ["start"]


@pytest.mark.parametrize("trouble", [FAILING, said(403, None, "Forbidden.")])
def test_double_that_cannot_be_looked_for(job, begin, trouble, caplog):
    """If the second look fails, the log says that there may be a second run, and the task goes on."""
    job.fates = [Fate(READ_TIMEOUT, None)]

    def announce(_):
        job.lists = [trouble]

    assert begin(announce=announce).take().starts == 2
    assert "There may be a second run" in caplog.text


# --- a start that was not received, or was refused --------------------------------------------------------


@pytest.mark.parametrize("answer", NOT_RECEIVED, ids=repr)
def test_not_received(job, begin, answer):
    """A start that certainly was not received is sent again, and never looked for."""
    job.fates = [Fate(answer, None), Fate(answer, None)]
    taken = begin().take()
    assert (taken.run.id, taken.how, taken.starts) == (101, "started", 1)
    assert len(job.starts) == 3
    assert job.asked("list") == []


def test_retry_after(job, begin, clock):
    """What dbt Cloud asks a start to wait is waited."""
    job.fates = [Fate(said(429, **{"Retry-After": "300"}), None)]
    began = clock()
    begin().take()
    assert clock() - began == pytest.approx(300)


def test_cooldown(job, begin, clock):
    """A 429 that does not say how long is waited for 30 to 300 seconds."""
    job.fates = [Fate(said(429), None)]
    began = clock()
    begin().take()
    assert 30 <= clock() - began <= 300


@pytest.mark.parametrize("answer", NOT_RECEIVED, ids=repr)
@pytest.mark.parametrize("timeout", [60, 900, 3600])
def test_never_received(job, begin, clock, answer, timeout):
    """A start that never arrives is an error when `timeout` is over."""
    job.fates = [Fate(answer, None) for _ in range(10_000)]
    began = clock()
    with pytest.raises((DbtCloudUnreachable, DbtCloudRateLimited)):
        begin(timeout=timeout).take()
    assert clock() - began <= timeout
    assert job.asked("list") == []


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ((302, {"Location": "https://emea.dbt.com/"}, ""), DbtCloudRedirected, "https://emea.dbt.com"),
        (said(400, {"cause": "too long"}, "The request was invalid."), DbtCloudInvalidRequest, "too long"),
        (said(401, None, "Invalid token."), DbtCloudUnauthorized, "Invalid token"),
        (said(403, None, "Not scoped."), DbtCloudUnauthorized, "Not scoped"),
        (said(404, None, "Not found."), DbtCloudNotFound, "Not found"),
        (said(400, None, "Job 5 is deactivated."), DbtCloudInvalidRequest, "Job 5 is deactivated"),
        (said(422, None, "No."), DbtCloudInvalidRequest, "No"),
    ],
)
@pytest.mark.parametrize("marker", [by(), by(2), None])
def test_refused(job, begin, clock, answer, error, words, marker):
    """A start that dbt Cloud refuses is an error at once, with its words."""
    job.fates = [Fate(answer, None)]
    with pytest.raises(error, match=words):
        begin(marker).take()
    assert len(job.starts) == 1
    assert len(job.asked("list")) == (2 if marker == by(2) else 0)
    assert [seconds for seconds in clock.pauses if seconds] == []


FULL = said(400, None, "The queue limit of this account is reached.")


def test_full_queue(job, begin, clock):
    """A refusal that names a full queue is waited for, without a look."""
    job.fates = [Fate(FULL, None) for _ in range(5)]
    assert begin().take().starts == 1
    assert len(job.starts) == 6
    assert sum(clock.pauses) > 0
    assert job.asked("list") == []


def test_queue_that_stays_full(job, begin, clock):
    """A queue that stays full is dbt Cloud's refusal, when `timeout` is over."""
    job.fates = [Fate(FULL, None) for _ in range(10_000)]
    began = clock()
    with pytest.raises(DbtCloudInvalidRequest, match="queue limit"):
        begin(timeout=300).take()
    assert 200 <= clock() - began <= 300


# --- when dbt Cloud cannot be asked -----------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [FAILING, HTML_502, READ_TIMEOUT, REFUSED, said(429)], ids=repr)
@pytest.mark.parametrize("timeout", [60, 900])
def test_look_up_fails(job, begin, clock, trouble, timeout):
    """A later try that cannot ask for runs ends with an error when `timeout` is over, and starts nothing."""
    job.lists = [trouble]
    began = clock()
    with pytest.raises((DbtCloudServerError, DbtCloudUnreachable, DbtCloudRateLimited)):
        begin(by(2), timeout=timeout).take()
    assert clock() - began <= timeout
    assert len(job.asked("list")) > 1 or timeout == 60
    assert job.starts == []


def test_second_page_fails(job, begin):
    """Half a list is none: what cannot be read to its end starts nothing."""
    for _ in range(150):
        job.add(RUNNING, cause="by hand")
    job.lists = [None, FAILING]
    with pytest.raises(DbtCloudServerError):
        begin(by(2)).take()
    assert job.starts == []


def test_pages_share_the_time(job, begin, clock):
    """A look-up of many pages has no more time than one of a single page."""
    for _ in range(150):
        job.add(RUNNING, cause="by hand")
    job.lists = [said(429, **{"Retry-After": "800"}), None, FAILING]
    began = clock()
    with pytest.raises(DbtCloudServerError):
        begin(by(2), timeout=900).take()
    assert 800 <= clock() - began <= 900


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_look_up_refused(job, begin, status):
    """A look-up that is refused is an error at once."""
    job.lists = [said(status, None, "No.")]
    with pytest.raises(DbtCloudError, match="No"):
        begin(by(2)).take()
    assert (len(job.asked("list")), job.starts) == (1, [])


def test_look_up_fails_for_a_while(job, begin):
    """A later try that cannot ask for a while asks again, and resumes."""
    job.add(RUNNING, by=by())
    job.lists = [FAILING, RESET, said(429), FAILING, None]
    assert begin(by(2)).take().how == "resumed"


def test_cancel_refused(job, begin, caplog):
    """A cancel that is refused is logged, and the start goes on: the run has most likely ended."""
    job.add(RUNNING, by=by())
    job.cancels = {101: said(409, None, "The run has ended.")}
    assert begin(by(2, max_tries=3, clear=1)).take().how == "started"
    assert (job.cancelled, len(job.starts)) == ([101], 1)
    assert "dbt Cloud run 101 may go on: it could not be cancelled." in caplog.text
    assert "The run has ended." in caplog.text


@pytest.mark.parametrize("trouble", [FAILING, said(429), RESET, REFUSED], ids=repr)
def test_cancel_fails(job, begin, trouble):
    """A run of before a clear that cannot be cancelled keeps the next one from being started."""
    job.add(RUNNING, by=by())
    job.cancels = {101: trouble}
    with pytest.raises(DbtCloudError):
        begin(by(2, max_tries=3, clear=1), timeout=200).take()
    assert job.starts == []


# --- not durable ------------------------------------------------------------------------------------------


def test_not_durable(job, begin):
    """Without a marker nothing is marked and nothing looked for."""
    job.add(RUNNING, by=by())
    starting = begin(None)
    taken = starting.take()
    assert (taken.run.id, taken.how, taken.is_own) == (102, "started", True)
    assert job.requests == [("start", {"cause": "nightly"})]
    assert starting.find_started(starting.client) == []


@pytest.mark.parametrize("answer", AMBIGUOUS, ids=repr)
def test_not_durable_and_a_lost_answer(job, begin, answer):
    """Without a marker a start whose fate is unknown is an error at once."""
    job.fates = [Fate(answer, None)]
    with pytest.raises((DbtCloudServerError, DbtCloudUnreachable)):
        begin(None).take()
    assert [kind for kind, _ in job.requests] == ["start"]


def test_not_durable_reuse(job, begin):
    """The policy about other runs holds without a marker, too."""
    job.add(RUNNING, cause="by hand")
    taken = begin(None, if_job_running="reuse").take()
    assert (taken.run.id, taken.how, taken.is_own) == (101, "reused", False)


# --- other runs of the job --------------------------------------------------------------------------------


@pytest.mark.parametrize("marker", [by(), by(2)])
def test_reuse(job, begin, marker, caplog):
    """The newest run that goes is taken up, and is not the task's own."""
    caplog.set_level(logging.INFO)
    job.add(RUNNING, cause="older")
    job.add(QUEUED, cause="newer")
    job.add(SUCCESS, cause="over")
    taken = begin(marker, if_job_running="reuse").take()
    assert (taken.run.id, taken.how, taken.is_own) == (102, "reused", False)
    assert job.starts == []
    assert "Taking up dbt Cloud run 102, which goes already: newer" in caplog.text


@pytest.mark.parametrize(
    "other",
    [
        {"cause": "by hand", "overrides": {"git_branch": "feature"}},
        {"cause": "by hand", "overrides": {"steps_override": ["dbt test"]}},
        {"cause": "CI", "overrides": {"github_pull_request_id": 4}},
        {"cause": ""},
        {},
    ],
)
def test_runs_that_are_not_reused(job, begin, other, caplog):
    """A run with other overrides, of a pull request, or of which nothing is known is not taken up."""
    caplog.set_level(logging.INFO)
    job.add(RUNNING, **other)
    assert begin(if_job_running="reuse").take().how == "started"
    assert "Of the runs of the job that go (1), none has the same overrides." in caplog.text


def test_reuse_with_the_same_overrides(job, begin):
    """A run with the very same overrides is taken up, and a newer one without them is not."""
    overrides = {"git_branch": "main", "steps_override": ["dbt build"], "generate_docs_override": False}
    job.add(RUNNING, cause="same", overrides={**overrides, "schema_override": None})
    job.add(RUNNING, cause="none")
    assert begin(overrides=overrides, if_job_running="reuse").take().run.id == 101


def test_no_pull_request_is_reused(job, begin):
    """Also a task that runs for a pull request takes up no run of one."""
    overrides = {"github_pull_request_id": 4}
    job.add(RUNNING, cause="CI", overrides=overrides)
    assert begin(overrides=overrides, if_job_running="reuse").take().how == "started"


@pytest.mark.parametrize("policy", ["skip", "fail"])
@pytest.mark.parametrize("marker", [by(), by(2)])
def test_busy(job, begin, policy, marker):
    """If the job has runs that go, the task that wants none is told of the newest, and starts nothing."""
    job.add(RUNNING, cause="older")
    job.add(QUEUED, cause="newer")
    with pytest.raises(DbtCloudJobBusy, match="dbt Cloud job 5 has run 102 and 1 more going") as caught:
        begin(marker, if_job_running=policy).take()
    assert (caught.value.run.id, caught.value.count) == (102, 2)
    assert job.starts == []


@pytest.mark.parametrize("policy", ["reuse", "skip", "fail"])
def test_not_busy(job, begin, policy):
    """If no run of the job goes, one is started, after one question."""
    job.add(SUCCESS, cause="over")
    assert begin(if_job_running=policy).take().how == "started"
    assert [kind for kind, _ in job.requests] == ["list", "start"]


@pytest.mark.parametrize("policy", ["reuse", "skip", "fail"])
def test_own_runs_are_no_others(job, begin, policy):
    """The run that a clear has just cancelled, and that still stops, does not keep the task from starting."""
    job.add(RUNNING, by=by())
    job.cancels = {101: said(200, job.rows[0])}
    assert begin(by(2, max_tries=3, clear=1), if_job_running=policy).take().how == "started"


@pytest.mark.parametrize("policy", ["queue", "reuse", "skip", "fail"])
def test_own_run_first(job, begin, policy):
    """The task's own run is resumed, whatever else goes."""
    job.add(RUNNING, by=by())
    job.add(RUNNING, cause="by hand")
    assert begin(by(2), if_job_running=policy).take().run.id == 101


def test_policy_after_a_refused_retry(job, begin):
    """The policy holds, too, where a full run is started because a retry was refused."""
    job.add(ERROR, by=by(), can_retry=True)
    job.add(RUNNING, cause="by hand")
    job.refuses_retry = said(400, None, "This is not the latest run.")
    with pytest.raises(DbtCloudJobBusy):
        begin(by(2), retry_from_failure=True, if_job_running="fail").take()
    assert job.starts == []


def test_policy_that_cannot_be_kept(job, begin):
    """If dbt Cloud cannot be asked for other runs, nothing is started."""
    job.lists = [FAILING]
    with pytest.raises(DbtCloudServerError):
        begin(if_job_running="skip").take()
    assert job.starts == []


# --- killed -----------------------------------------------------------------------------------------------


def test_killed_before_the_start(job, begin, clock):
    """Whoever was killed before the start sends none."""
    clock.killed_at = clock()
    with pytest.raises(DbtCloudError, match="killed"):
        begin().take()
    assert job.requests == []


@pytest.mark.parametrize("answer", [REFUSED, said(429), FULL], ids=repr)
def test_killed_while_waiting_to_start(job, begin, clock, answer):
    """Whoever is killed while a start is waited with sends none any more."""
    job.fates = [Fate(answer, None)]
    clock.killed_at = clock() + 0.001
    with pytest.raises(DbtCloudError, match="killed"):
        begin().take()
    assert len(job.starts) == 1


def test_killed_while_looking_up(job, begin, clock):
    """Whoever is killed while runs cannot be asked for starts none."""
    job.lists = [FAILING]
    clock.killed_at = clock() + 5
    with pytest.raises(DbtCloudError, match="killed"):
        begin(by(2)).take()
    assert job.starts == []


def test_killed_while_looking_for_a_lost_start(job, begin, clock):
    """Whoever is killed while a lost start is looked for says that nobody knows, and starts no other."""
    job.fates = [Fate(READ_TIMEOUT, None)]
    clock.killed_at = clock() + 5
    with pytest.raises(DbtCloudStartUnconfirmed, match="killed"):
        begin().take()
    assert len(job.starts) == 1


def test_killed_while_a_cancel_is_waited_for(job, begin, clock):
    """Whoever is killed while the run of before a clear cannot be cancelled starts none."""
    job.add(RUNNING, by=by())
    job.cancels = {101: FAILING}
    clock.killed_at = clock() + 5
    with pytest.raises(DbtCloudError, match="killed"):
        begin(by(2, max_tries=3, clear=1)).take()
    assert job.starts == []


class Killed(BaseException):
    """As Airflow raises it, from a signal handler, wherever the task is."""


def test_a_lost_start_is_found_by_a_kill(job, begin):
    """The run of a start that was on its way when the task was killed is found, by one question."""
    job.add(RUNNING, by=by(key="f" * 16))
    job.add(RUNNING, cause="by hand")
    job.fates = [Fate(Killed())]
    starting = begin()
    with pytest.raises(Killed):
        starting.take()
    job.requests.clear()
    assert [run.id for run in starting.find_started(starting.client)] == [103]
    assert len(job.requests) == 1


def test_a_lost_retry_is_found_by_a_kill(job, begin):
    """The run of a retry that was on its way when the task was killed is found, too."""
    job.add(ERROR, by=by(), can_retry=True)
    job.fates = [Fate(Killed())]
    starting = begin(by(2), retry_from_failure=True)
    with pytest.raises(Killed):
        starting.take()
    job.add(QUEUED, cause="a retry of another run", retrying_run_id=99)
    assert [run.id for run in starting.find_started(starting.client)] == [102]


def test_a_run_of_an_earlier_try_is_found_by_a_kill(job, begin):
    """A try that is killed before it could resume the run of the one before finds it all the same."""
    job.add(RUNNING, by=by(1))
    job.lists = [Killed()]
    starting = begin(by(2))
    with pytest.raises(Killed):
        starting.take()
    job.lists = []
    assert [run.id for run in starting.find_started(starting.client)] == [101]


@pytest.mark.parametrize(
    "other",
    [
        {"by": by(3)},
        {"by": by(1, clear=1)},
        {"by": by(key="f" * 16)},
        {"cause": "by hand"},
        {"by": by(2), "retrying_run_id": 99},
        {"cause": "resumed", "retrying_run_id": 99},
    ],
)
def test_what_a_kill_must_not_find(job, begin, other):
    """The run of a later try, of another task or of a person is not this task's to cancel."""
    job.add(RUNNING, **other)
    starting = begin(by(2))
    assert starting.find_started(starting.client) == []


def test_a_run_that_has_ended_is_not_found_by_a_kill(job, begin):
    """What has ended needs no cancel."""
    job.add(SUCCESS, by=by(2))
    starting = begin(by(2))
    assert starting.find_started(starting.client) == []


def test_a_later_try_begins_while_a_lost_start_is_looked_for(job, begin, clock):
    """A try that sees the run of a later one while it looks for its own gives way, and starts no second."""
    job.fates = [Fate(READ_TIMEOUT, None)]
    sleep = clock.sleep

    def sleep_while_another_begins(seconds):
        sleep(seconds)
        if seconds >= 30 and not job.rows:
            job.add(RUNNING, by=by(2))

    clock.sleep = sleep_while_another_begins
    with pytest.raises(DbtCloudSuperseded):
        begin().take()
    assert len(job.starts) == 1


def test_a_list_without_causes(job, begin):
    """If dbt Cloud does not say why runs were started, a later try starts none: one may be its own."""
    job.add(RUNNING)
    with pytest.raises(DbtCloudServerError, match="does not say why"):
        begin(by(2)).take()
    assert job.starts == []


def test_cancels_are_counted(job, begin):
    """Whoever counts cancelled runs hears of each."""
    job.add(RUNNING, by=by())
    cancelled = []
    begin(by(2, max_tries=3, clear=1), on_cancel=lambda: cancelled.append(1)).take()
    assert cancelled == [1]
