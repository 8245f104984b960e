"""Whether and when a request is sent again: the table in the module's docstring, row by row."""

import json
import random
from datetime import UTC, datetime, timedelta

import freezegun
import pytest
import requests
import responses
import urllib3

from airflow_dbt_cloud.client import Client
from airflow_dbt_cloud.errors import (
    DbtCloudAnswerTooLong,
    DbtCloudApiError,
    DbtCloudConfigurationError,
    DbtCloudError,
    DbtCloudInvalidRequest,
    DbtCloudNotFound,
    DbtCloudRateLimited,
    DbtCloudRedirected,
    DbtCloudServerError,
    DbtCloudUnauthorized,
    DbtCloudUnreachable,
)
from airflow_dbt_cloud.parameters import RunRequest
from airflow_dbt_cloud.retries import (
    CALL_BOUND,
    COOLDOWN,
    LONGEST_DELAY,
    START_BOUND,
    Retries,
    is_full_queue,
    is_repeatable,
    may_have_taken_effect,
    pause_after,
)
from airflow_dbt_cloud.transport import MAX_JSON_BYTES

BASE = "https://ab123.us1.dbt.com/api/v2/accounts/7/"
NOW = "2024-05-27 10:00:00"
RUN = {"data": {"id": 1, "status": 1, "project_id": 5}}
REFUSED = requests.ConnectionError(urllib3.exceptions.NewConnectionError(None, "refused"))
CONNECT_TIMEOUT = requests.ConnectTimeout(urllib3.exceptions.ConnectTimeoutError("too slow"))
RESET = requests.ConnectionError(
    urllib3.exceptions.ProtocolError("aborted", ConnectionResetError(104, "reset"))
)
READ_TIMEOUT = requests.ReadTimeout(urllib3.exceptions.ReadTimeoutError(None, None, "too slow"))


class Sleeper:
    """Sleeps by setting the clock forward, and remembers how long."""

    def __init__(self, clock):
        self._clock = clock
        self.pauses = []

    def __call__(self, seconds):
        self.pauses.append(seconds)
        self._clock.tick(timedelta(seconds=seconds))


@pytest.fixture
def clock():
    """Stop the clock."""
    with freezegun.freeze_time(NOW) as frozen:
        yield frozen


@pytest.fixture
def sleep(clock):
    """Return a sleep that takes no time."""
    return Sleeper(clock)


@pytest.fixture
def retries(sleep):
    """Return retries that sleep by the stopped clock."""
    return Retries(sleep=sleep)


def get(client):
    """Read."""
    return client.get_run(1)


def cancel(client):
    """Change the world in a way that does no harm twice."""
    return client.cancel_run(1)


def start(client):
    """Start a run."""
    return client.start_run(9, RunRequest(cause="why"))


def retry(client):
    """Start a run that does again what failed."""
    return client.retry_run(1)


VERBS = {
    get: ("GET", "runs/1/", CALL_BOUND),
    cancel: ("POST", "runs/1/cancel/", CALL_BOUND),
    start: ("POST", "jobs/9/run/", START_BOUND),
    retry: ("POST", "runs/1/retry/", START_BOUND),
}
SAFE, STARTS = [get, cancel], [start, retry]

DID_NOT_ARRIVE = [{"body": REFUSED}, {"body": CONNECT_TIMEOUT}]
MAY_HAVE_ARRIVED = [{"body": RESET}, {"body": READ_TIMEOUT}]
RATE_LIMITED = [
    {"status": 429},
    {"status": 429, "headers": {"Retry-After": "5"}},
    {"json": {"status": {"is_success": False, "code": 429}, "data": None}},
]
FAILING = [
    *({"status": status} for status in (408, 500, 501, 502, 503, 504, 520, 599)),
    {"status": 503, "headers": {"Retry-After": "5"}},
    {"status": 200, "body": "<html>Sign in</html>"},
    {"status": 200, "json": {"status": {"is_success": False, "code": 500}, "data": None}},
]
REFUSING = [*({"status": status} for status in (301, 302, 307, 400, 401, 402, 403, 404, 405, 409, 410, 422))]


@pytest.fixture
def ask(make_credentials, retries):
    """Let dbt Cloud answer a verb with some answers, the last one for ever; return how often it was asked."""

    def play(verb, *answers, patience=None):
        method, path, _ = VERBS[verb]
        with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
            registered = [mocked.add(method, BASE + path, **answer) for answer in answers]
            try:
                return verb(Client(make_credentials(), retries=patience or retries)), len(mocked.calls)
            except DbtCloudError as error:
                return error, sum(answer.call_count for answer in registered)

    return play


@pytest.mark.parametrize("verb", SAFE)
@pytest.mark.parametrize("bad", [*DID_NOT_ARRIVE, *MAY_HAVE_ARRIVED, *RATE_LIMITED, *FAILING], ids=repr)
def test_safe_requests_are_repeated(ask, verb, bad, monkeypatch):
    """A GET and a cancel are repeated whatever went wrong, unless the request itself is refused."""
    monkeypatch.setattr(random, "uniform", lambda low, _high: low)
    run, asked = ask(verb, bad, bad, {"json": RUN})
    assert (run.id, asked) == (1, 3)


@pytest.mark.parametrize("verb", STARTS)
@pytest.mark.parametrize("bad", [*DID_NOT_ARRIVE, *RATE_LIMITED], ids=repr)
def test_starts_that_were_not_received_are_repeated(ask, verb, bad):
    """A request that starts a run is repeated if it certainly had no effect."""
    run, asked = ask(verb, bad, bad, {"json": RUN})
    assert (run.id, asked) == (1, 3)


@pytest.mark.parametrize("verb", STARTS)
@pytest.mark.parametrize(
    "bad", [*MAY_HAVE_ARRIVED, *FAILING, {"json": {"data": {}}}, {"json": {"data": None}}], ids=repr
)
def test_starts_that_may_have_arrived_are_not_repeated(ask, sleep, verb, bad):
    """A request that starts a run is never sent twice if the first may have started one."""
    error, asked = ask(verb, bad, {"json": RUN})
    assert isinstance(error, DbtCloudServerError | DbtCloudUnreachable)
    assert getattr(error, "may_have_arrived", True)
    assert (asked, sleep.pauses) == (1, [])


@pytest.mark.parametrize("verb", [*SAFE, *STARTS])
def test_answers_that_are_too_long_are_not_asked_for_again(ask, sleep, verb):
    """An answer that was given up for its length would be as long the next time."""
    error, asked = ask(verb, {"body": b" " * (MAX_JSON_BYTES + 1)})
    assert isinstance(error, DbtCloudAnswerTooLong)
    assert (asked, sleep.pauses) == (1, [])


@pytest.mark.parametrize("verb", [*SAFE, *STARTS])
@pytest.mark.parametrize("bad", REFUSING, ids=repr)
def test_refused_requests_are_not_repeated(ask, sleep, verb, bad):
    """What dbt Cloud refuses, it would refuse again."""
    error, asked = ask(verb, bad, {"json": RUN})
    refusals = DbtCloudInvalidRequest, DbtCloudUnauthorized, DbtCloudNotFound, DbtCloudRedirected
    assert isinstance(error, refusals)
    assert (asked, sleep.pauses) == (1, [])


def test_a_good_answer_is_not_repeated(ask, sleep):
    """One good answer is one request."""
    assert ask(start, {"json": RUN})[1] == 1
    assert sleep.pauses == []


@pytest.mark.parametrize("verb", [*SAFE, *STARTS])
@pytest.mark.parametrize(
    "bad", [{"body": REFUSED}, {"status": 429}, {"status": 429, "headers": {"Retry-After": "7"}}], ids=repr
)
@pytest.mark.parametrize("seed", range(3))
def test_bounded_by_time(ask, sleep, verb, bad, seed):
    """The pauses of one call never exceed its bound: two minutes, or 15 if it starts a run."""
    random.seed(seed)
    bound = VERBS[verb][2]
    error, asked = ask(verb, bad)
    assert isinstance(error, DbtCloudApiError | DbtCloudUnreachable)
    assert sum(sleep.pauses) < bound
    assert asked == len(sleep.pauses) + 1
    # The next pause would have been too long: nothing else ended the call.
    longest = COOLDOWN[1] if bad == {"status": 429} else LONGEST_DELAY
    assert sum(sleep.pauses) >= bound - longest


def test_bounds():
    """A call has two minutes; a start has more than dbt Cloud's cooldown of five."""
    assert (CALL_BOUND, START_BOUND) == (120, 900)


def test_time_that_requests_take_counts(clock, sleep, retries):
    """The bound is on the whole: what slow requests take is not left for pauses."""
    starts = []

    def request():
        starts.append(datetime.now(UTC))
        clock.tick(timedelta(seconds=50))
        raise DbtCloudServerError("GET", "/x/", 503, "no", 15.0)

    with pytest.raises(DbtCloudServerError):
        retries.call(request, is_safe=True, bound=120)
    assert sleep.pauses == [15.0]
    assert starts[-1] - starts[0] == timedelta(seconds=65)


@pytest.mark.parametrize("value", ["17", "Mon, 27 May 2024 10:00:17 GMT", "Mon, 27 May 2024 12:00:17 +0200"])
@pytest.mark.parametrize(
    ("verb", "status"), [(get, 429), (cancel, 429), (start, 429), (retry, 429), (get, 503), (cancel, 503)]
)
def test_retry_after_is_obeyed(ask, sleep, verb, status, value):
    """What dbt Cloud asks us to wait is waited, whether it says it in seconds or as a date."""
    run, _ = ask(verb, {"status": status, "headers": {"Retry-After": value}}, {"json": RUN})
    assert run.id == 1
    assert sleep.pauses == [17.0]


@pytest.mark.parametrize(
    ("verb", "seconds"),
    [(get, 120), (get, 121), (cancel, 10**30), (start, 900), (start, 901), (retry, 86400)],
)
def test_a_retry_after_beyond_the_bound(ask, sleep, verb, seconds):
    """If dbt Cloud asks for more time than there is, the call ends at once, without a pause."""
    error, asked = ask(verb, {"status": 429, "headers": {"Retry-After": str(seconds)}}, {"json": RUN})
    assert isinstance(error, DbtCloudRateLimited)
    assert error.retry_after == min(seconds, 86400)
    assert (asked, sleep.pauses) == (1, [])


def test_the_longest_retry_after(ask, sleep):
    """What still fits into the bound is waited."""
    run, _ = ask(start, {"status": 429, "headers": {"Retry-After": "899"}}, {"json": RUN})
    assert (run.id, sleep.pauses) == (1, [899.0])


@pytest.mark.parametrize("value", ["0", "Mon, 27 May 2024 09:00:00 GMT"])
def test_a_retry_after_of_nothing_is_no_storm(ask, sleep, value):
    """A `Retry-After` of 0 does not make us ask thousands of times."""
    random.seed(1)
    _, asked = ask(start, {"status": 429, "headers": {"Retry-After": value}})
    assert 30 < asked < 200
    assert sum(sleep.pauses) > START_BOUND - LONGEST_DELAY


def test_a_429_without_retry_after():
    """The start of dbt Cloud's cooldown is waited for 30 to 300 s, at random, whichever try it is."""
    error = DbtCloudRateLimited("GET", "/x/", 429, "no")
    pauses = [pause_after(error, attempt) for attempt in range(1, 1000)]
    assert 30 <= min(pauses) < 45
    assert 285 < max(pauses) <= 300


@pytest.mark.parametrize("delay", [0.5, 1.0, 4.0])
def test_full_jitter(delay):
    """A pause is a random part of a delay that doubles with each try, up to 30 s."""
    error = DbtCloudServerError("GET", "/x/", 500, "no")
    for attempt in range(1, 100):
        longest = min(30.0, delay * 2 ** (attempt - 1))
        pauses = [pause_after(error, attempt, delay=delay) for _ in range(200)]
        assert 0 <= min(pauses) < 0.2 * longest
        assert 0.8 * longest < max(pauses) <= longest


def test_a_try_beyond_all_numbers():
    """The delay does not overflow, however often was tried."""
    assert 0 <= pause_after(None, 10**9) <= 30


@pytest.mark.parametrize(("limit", "sent"), [(0, 1), (1, 1), (2, 2), (5, 5)])
@pytest.mark.parametrize("verb", [get, start])
def test_limit(ask, sleep, limit, sent, verb):
    """A limit is the number of requests, and one is always sent."""
    error, asked = ask(verb, {"body": REFUSED}, patience=Retries(limit=limit, sleep=sleep))
    assert isinstance(error, DbtCloudUnreachable)
    assert (asked, len(sleep.pauses)) == (sent, sent - 1)


def test_delay(ask, sleep, monkeypatch):
    """The delay is that of the second try, and doubles from there."""
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    ask(get, {"status": 500}, patience=Retries(limit=8, delay=0.5, sleep=sleep))
    assert sleep.pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0]


def test_other_errors_are_not_ours(retries, sleep):
    """A bug, a kill or a wrong parameter is never repeated, and comes out as it is."""
    for error in (ZeroDivisionError(), KeyboardInterrupt(), SystemExit(), DbtCloudConfigurationError("no")):
        calls = []

        def request(error=error, calls=calls):
            calls.append(1)
            raise error

        with pytest.raises(type(error)) as caught:
            retries.call(request, is_safe=True, bound=120)
        assert caught.value is error
        assert calls == [1]
    assert sleep.pauses == []


def test_the_last_error_comes_out(ask):
    """What is raised is the error of the last try, not one of the machinery."""
    error, _ = ask(get, {"status": 500}, {"status": 404})
    assert type(error) is DbtCloudNotFound
    assert error.__cause__ is None
    assert error.__context__ is None


def test_a_pause_is_logged(ask, caplog):
    """Before a pause it is said what went wrong and how long it is."""
    ask(get, {"status": 503, "headers": {"Retry-After": "12"}}, {"json": RUN})
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.startswith(
        "dbt Cloud answered 503 Service Unavailable to GET /api/v2/accounts/7/runs/1/: "
    )
    assert record.message.endswith(". Asking again in 12.0 s.")


def test_the_token_is_not_logged(ask, caplog, token):
    """Not even a token that came back is in the log of a pause."""
    body = json.dumps({"status": {"user_message": token}, "data": {"token": token}})
    ask(get, {"status": 500, "body": body}, {"json": RUN})
    assert "***" in caplog.text
    assert token not in caplog.text


@pytest.mark.parametrize("count", [2])
def test_lists_are_repeated_page_by_page(make_credentials, retries, count):
    """A page that fails is asked for again; those before it are not."""
    with responses.RequestsMock() as mocked:
        mocked.get(BASE + "runs/", json={"data": [{"id": number, "status": 3} for number in range(100)]})
        mocked.get(BASE + "runs/", status=502)
        mocked.get(BASE + "runs/", json={"data": [{"id": 100, "status": 3}]})
        assert len(list(Client(make_credentials(), retries=retries).list_runs())) == 101
        assert len(mocked.calls) == count + 1


def test_an_artifact_is_repeated_until_it_begins(make_credentials, retries):
    """An artifact that does not come is asked for again; it is bytes when it comes."""
    with responses.RequestsMock() as mocked:
        mocked.get(BASE + "runs/1/artifacts/a.json", status=502)
        mocked.get(BASE + "runs/1/artifacts/a.json", body=RESET)
        mocked.get(BASE + "runs/1/artifacts/a.json", body=b"\x00\xff")
        with Client(make_credentials(), retries=retries).stream_artifact(1, "a.json") as pieces:
            assert b"".join(pieces) == b"\x00\xff"


def test_traceback_is_short(make_credentials, retries):
    """What reaches the caller is the error, without the frames of whatever repeats requests."""
    with responses.RequestsMock() as mocked:
        mocked.get(BASE + "runs/1/", status=404)
        with pytest.raises(DbtCloudNotFound) as caught:
            get(Client(make_credentials(), retries=retries))
    assert "tenacity" not in "".join(str(entry.path) for entry in caught.traceback)


@pytest.mark.parametrize("verb", [*SAFE, *STARTS])
@pytest.mark.parametrize("bound", [30, 700, 2000])
def test_a_bound_of_ones_own(ask, sleep, verb, bound):
    """Who has a bound of his own has it for every request, be it shorter or longer."""
    error, _ = ask(verb, {"body": REFUSED}, patience=Retries(sleep=sleep, left=lambda: bound))
    assert isinstance(error, DbtCloudUnreachable)
    assert bound - LONGEST_DELAY <= sum(sleep.pauses) < bound


QUEUE_IS_FULL = [
    "The queue limit of this account is reached.",
    "Run queue is full",
    "Your account has reached its limit of 50 QUEUED runs in the queue.",
]


@pytest.mark.parametrize("message", QUEUE_IS_FULL)
@pytest.mark.parametrize("verb", STARTS)
def test_a_full_queue_is_waited_for(ask, sleep, message, verb):
    """A start that is refused because too many runs wait had no effect, and is sent again."""
    bad = {"status": 400, "json": {"status": {"user_message": message}, "data": None}}
    run, asked = ask(verb, bad, bad, {"json": RUN})
    assert (run.id, asked, len(sleep.pauses)) == (1, 3, 2)


@pytest.mark.parametrize("verb", SAFE)
def test_a_full_queue_is_none_to_others(ask, sleep, verb):
    """What starts no run is not waited with, whatever the refusal says."""
    bad = {"status": 400, "json": {"status": {"user_message": QUEUE_IS_FULL[0]}, "data": None}}
    error, asked = ask(verb, bad, {"json": RUN})
    assert isinstance(error, DbtCloudInvalidRequest)
    assert (asked, sleep.pauses) == (1, [])


@pytest.mark.parametrize(
    "error",
    [
        DbtCloudInvalidRequest("POST", "/x/", 400, "The job is deactivated."),
        DbtCloudInvalidRequest("POST", "/x/", 400, "cause: longer than the limit of 255"),
        DbtCloudInvalidRequest("POST", "/x/", 400, "There is no such queue."),
        DbtCloudNotFound("POST", "/x/", 404, "The queue is full."),
        DbtCloudServerError("POST", "/x/", 500, "The queue is full."),
        ValueError("The queue is full."),
    ],
    ids=repr,
)
def test_no_full_queue(error):
    """Only a refusal that says so means a full queue."""
    assert not is_full_queue(error)


@pytest.mark.parametrize(
    ("error", "may"),
    [
        (DbtCloudUnreachable("POST", "/x/", "reset", may_have_arrived=True), True),
        (DbtCloudUnreachable("POST", "/x/", "refused", may_have_arrived=False), False),
        (DbtCloudServerError("POST", "/x/", 502, "html"), True),
        (DbtCloudRateLimited("POST", "/x/", 429, "no"), False),
        (DbtCloudInvalidRequest("POST", "/x/", 400, "no"), False),
        (DbtCloudNotFound("POST", "/x/", 404, "no"), False),
        (ValueError("no"), False),
    ],
    ids=repr,
)
def test_may_have_taken_effect(error, may):
    """Only silence after the request and a failing server leave open whether a run was started."""
    assert may_have_taken_effect(error) is may
    # What may have had an effect is never repeated blindly.
    assert not (may and is_repeatable(error, is_safe=False))
