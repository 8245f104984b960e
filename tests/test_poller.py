"""The shared poller, on an event loop whose time only the tests' own waiting moves."""

import asyncio
import contextvars
import itertools
import json
import logging
import random
import re
from contextlib import ExitStack

import pytest
import requests

from airflow_dbt_cloud.async_client import AsyncClient
from airflow_dbt_cloud.budget import Budget
from airflow_dbt_cloud.credentials import Credentials
from airflow_dbt_cloud.errors import (
    DbtCloudConfigurationError,
    DbtCloudNotFound,
    DbtCloudRateLimited,
    DbtCloudServerError,
    DbtCloudUnauthorized,
    DbtCloudUnreachable,
)
from airflow_dbt_cloud.poller import Poller

HOST = "https://ab123.us1.dbt.com"
TERMINAL = [10, 20, 30]


class Connection:
    """A connection, and how often it was read."""

    def __init__(self):
        self.reads = 0
        self.error = None

    async def __call__(self):
        self.reads += 1
        if self.error:
            raise self.error
        return Credentials(HOST, 42, f"token-{self.reads}")


@pytest.fixture
def connection():
    """Return a connection that can be read."""
    return Connection()


@pytest.fixture
def poller(loop, connection, inline_threads):
    """Return a poller whose requests are sent without threads."""
    return Poller(AsyncClient(connection, threads=inline_threads), budget=Budget(500, clock=loop.time))


async def ended(poller, run_id, interval=10, within=100_000):
    """Follow a run to its end."""
    with poller.follow(run_id, interval) as followed:
        return await followed.wait(within)


def after(loop, seconds, act):
    """Do something at a time of the test's clock."""
    loop.call_at(1000 + seconds, act)


def test_an_end_is_told(loop, cloud, poller):
    """A run that ends is told to whoever follows it, within an interval."""
    cloud.statuses[7] = 3
    after(loop, 25, lambda: cloud.statuses.update({7: 10}))
    run = loop.run_until_complete(ended(poller, 7))
    assert run.is_success
    assert 25 <= loop.now - 1000 <= 35


def test_a_hundred_runs_are_one_request(loop, cloud, poller):
    """A hundred runs that end together are asked for together."""
    cloud.statuses = dict.fromkeys(range(1, 101), 10)

    async def follow_all():
        return await asyncio.gather(*(ended(poller, run_id) for run_id in cloud.statuses))

    runs = loop.run_until_complete(follow_all())
    assert sorted(run.id for run in runs) == list(range(1, 101))
    assert len(cloud.requests) == 1


def test_a_thousand_runs_are_a_few_requests(loop, cloud, poller):
    """A thousand runs that last 5 to 35 s, asked for every 10 s, are at most 35 requests."""
    lengths = {run_id: random.uniform(5, 35) for run_id in range(1, 1001)}
    cloud.statuses = dict.fromkeys(lengths, 3)
    delays = []

    def end(run_id):
        cloud.statuses[run_id] = 10

    async def follow(run_id):
        assert (await ended(poller, run_id)).is_success
        delays.append(loop.now - 1000 - lengths[run_id])

    async def follow_all():
        await asyncio.gather(*map(follow, lengths))

    for run_id, seconds in lengths.items():
        after(loop, seconds, lambda run_id=run_id: end(run_id))
    loop.run_until_complete(follow_all())
    assert len(delays) == 1000
    assert len(cloud.requests) <= 35
    assert sum(delays) / len(delays) <= 5
    assert min(delays) >= 0


def test_only_ended_runs_are_asked_for(loop, cloud, poller):
    """Within a minute only runs that have ended are asked for; once a minute all are."""
    cloud.statuses[7] = 3
    after(loop, 130, lambda: cloud.statuses.update({7: 10}))
    loop.run_until_complete(ended(poller, 7))
    full = [at for at, _, params in cloud.requests if "status__in" not in params]
    assert len(full) == 2
    assert all(json.loads(params.get("status__in", "[10, 20, 30]")) == TERMINAL for params in cloud.lists())


def test_states_are_known(loop, cloud, poller):
    """Once a minute a follower can see the state of a run that goes on."""
    cloud.statuses[7] = 3

    async def look():
        with poller.follow(7, 10) as followed:
            assert await followed.wait(75) is None
            return followed.status

    assert loop.run_until_complete(look()) == 3


def test_nobody_is_asked_about(loop, cloud, poller):
    """A run that nobody follows is not asked about."""
    cloud.statuses = {7: 3, 8: 3}

    async def leave():
        with poller.follow(7, 10):
            with poller.follow(8, 10) as followed:
                await followed.wait(25)
            before = len(cloud.requests)
            await asyncio.sleep(30)
            late = [json.loads(params["pk__in"]) for _, _, params in cloud.requests[before:]]
            assert late
            assert all(ids == [7] for ids in late)
        before = len(cloud.requests)
        await asyncio.sleep(100)
        assert len(cloud.requests) == before

    loop.run_until_complete(leave())


def test_the_task_lives_with_the_table(loop, cloud, poller):
    """The poller's task ends when nobody follows a run, and starts again when somebody does."""
    cloud.statuses = {7: 3}

    async def come_and_go():
        for _ in range(3):
            with poller.follow(7, 10) as followed:
                await followed.wait(12)
                assert (
                    len([task for task in asyncio.all_tasks() if task.get_name() == "dbt-cloud-poller"]) == 1
                )
            await asyncio.sleep(1)
            assert [task.get_name() for task in asyncio.all_tasks() if "dbt" in task.get_name()] == []

    loop.run_until_complete(come_and_go())


def test_two_followers_of_one_run(loop, cloud, poller):
    """Two who follow the same run are both told, and ask no more than one."""
    cloud.statuses = {7: 10}

    async def both():
        return await asyncio.gather(ended(poller, 7), ended(poller, 7))

    first, second = loop.run_until_complete(both())
    assert first.is_success
    assert second.is_success
    assert len(cloud.requests) == 1


def test_one_follower_is_cancelled(loop, cloud, poller):
    """A follower that is cancelled touches no other, of the same run or of another."""
    cloud.statuses = {7: 3, 8: 3}
    after(loop, 30, lambda: cloud.statuses.update({7: 10, 8: 20}))

    async def scene():
        others = [asyncio.create_task(ended(poller, run_id)) for run_id in (7, 8)]
        doomed = asyncio.create_task(ended(poller, 7))
        await asyncio.sleep(15)
        doomed.cancel()
        return [run.status for run in await asyncio.gather(*others)]

    assert loop.run_until_complete(scene()) == [10, 20]


@pytest.mark.parametrize(
    "trouble",
    [
        (500, {}, "<html>"),
        (200, {}, "<html>"),
        (200, {}, '{"status": {}, "da'),
        (403, {}, "{}"),
        ConnectionResetError("reset"),
    ],
)
def test_trouble_is_waited_out(loop, cloud, poller, trouble):
    """A question that fails is asked again when the runs are due, and the run is told when it has ended."""
    cloud.statuses = {7: 3}
    cloud.answers = [trouble] * 6
    after(loop, 25, lambda: cloud.statuses.update({7: 10}))
    assert loop.run_until_complete(ended(poller, 7)).is_success


def test_trouble_is_seen(loop, cloud, poller):
    """A follower can see why the last question failed, and that the next one did not."""
    cloud.statuses = {7: 3}
    cloud.answers = [(503, {}, "<html>")]

    async def look():
        with poller.follow(7, 10) as followed:
            await followed.wait(10)
            first = followed.error
            await followed.wait(10)
            return first, followed.error

    first, second = loop.run_until_complete(look())
    assert isinstance(first, DbtCloudServerError)
    assert second is None


def test_a_swallowed_request_is_sent_again_at_once(loop, cloud, poller):
    """A request that a kept-alive connection swallowed is sent again at once, not an interval later."""
    cloud.statuses = {7: 10}
    cloud.answers = [ConnectionResetError("closed meanwhile")]
    loop.run_until_complete(ended(poller, 7))
    (first, *_), (second, *_) = cloud.requests
    assert second == first


@pytest.mark.parametrize(("headers", "least", "most"), [({"Retry-After": "90"}, 90, 101), ({}, 30, 311)])
def test_rate_limited(loop, cloud, poller, headers, least, most, reply):
    """After a 429 nothing at all is asked for as long as dbt Cloud wants."""
    cloud.statuses = dict.fromkeys(range(1, 301), 3)
    cloud.answers = [None, reply(429, None, "slow down", headers)]

    async def follow_all():
        await asyncio.gather(*(ended(poller, run_id, within=400) for run_id in cloud.statuses))

    loop.run_until_complete(follow_all())
    times = [at for at, _, _ in cloud.requests]
    gap = max(later - earlier for earlier, later in itertools.pairwise(times))
    assert least - 1 <= gap <= most


def test_budget(loop, cloud, poller):
    """Ten thousand runs stretch the interval rather than the budget, and none is forgotten."""
    cloud.statuses = dict.fromkeys(range(1, 10_001), 3)
    seen = set()
    original = cloud._list

    def remember(params):
        seen.update(json.loads(params["pk__in"]))
        return original(params)

    cloud._list = remember

    async def follow_all():
        await asyncio.gather(*(ended(poller, run_id, interval=5, within=60) for run_id in cloud.statuses))

    loop.run_until_complete(follow_all())
    assert len(cloud.requests) <= 501
    assert seen == set(cloud.statuses)


def test_hurry(loop, cloud, poller):
    """A run in a hurry is asked for at once, and whoever waits is woken by the answer that it goes on."""
    cloud.statuses = {7: 3}

    async def hurry():
        with poller.follow(7, 3600) as followed:
            await followed.wait(50)
            poller.hurry(followed)
            assert await followed.wait(30) is None
            assert loop.elapsed == pytest.approx(50)
            # That was one hurry, not a habit.
            assert await followed.wait(30) is None
            assert loop.elapsed == pytest.approx(80)

    loop.run_until_complete(hurry())
    assert [at for at, _, _ in cloud.requests] == [pytest.approx(50)]


def test_hurry_while_a_question_is_on_its_way(loop, cloud, poller, inline_threads, monkeypatch):
    """An answer to a question from before is not the one that is waited for."""
    cloud.statuses = {7: 3}
    answer = inline_threads.run

    async def answer_late(call):
        known = await answer(call)
        await asyncio.sleep(5)
        return known

    monkeypatch.setattr(inline_threads, "run", answer_late)

    async def hurry():
        with poller.follow(7, 20) as followed:
            while not cloud.requests:
                await followed.wait(1)
            cloud.statuses = {7: 10}
            poller.hurry(followed)
            return await followed.wait(30)

    assert loop.run_until_complete(hurry()).is_success
    first, second = [at for at, _, _ in cloud.requests]
    assert second - first <= 1


@pytest.mark.parametrize("trouble", [(503, {}, "<html>"), (429, {"Retry-After": "100"}, "{}"), (404, {}, "")])
def test_hurry_in_trouble(loop, cloud, poller, trouble):
    """Whoever waits for an answer in a hurry is woken by a failure, too, and can see it."""
    cloud.statuses = {7: 3}
    cloud.answers = [trouble]

    async def hurry():
        with poller.follow(7, 3600) as followed:
            poller.hurry(followed)
            assert await followed.wait(30) is None
            return followed.error

    assert loop.run_until_complete(hurry()) is not None
    assert loop.elapsed == pytest.approx(0)


def test_hurry_asks_no_more_often(loop, cloud, poller):
    """After a hurry the run is asked for an interval later, by one question only."""
    cloud.statuses = {7: 3}

    async def hurry():
        with poller.follow(7, 10) as followed:
            for _ in range(20):
                poller.hurry(followed)
            await followed.wait(10)
            before = len(cloud.requests)
            await followed.wait(40)
            return before, len(cloud.requests) - before

    first, later = loop.run_until_complete(hurry())
    assert first == 1
    assert later <= 6


def test_another_question(loop, cloud, poller):
    """A question beside those for runs comes out of the same budget, and a 429 to it stops all of them."""
    cloud.statuses = {7: 3, 8: 3}
    cloud.answers = [(429, {"Retry-After": "100"}, "{}")]

    async def ask():
        return await poller.ask(lambda client: client.get_run(8))

    with pytest.raises(DbtCloudRateLimited):
        loop.run_until_complete(ask())
    assert loop.run_until_complete(ask()).id == 8
    assert loop.elapsed >= 100
    assert (poller.requests, poller.rate_limited) == (2, 1)


def test_other_questions_can_wait(loop, cloud, connection, inline_threads):
    """However many other questions there are, no run is asked for later because of them."""
    cloud.statuses = {7: 3, 8: 3}
    poller = Poller(AsyncClient(connection, threads=inline_threads), budget=Budget(60, clock=loop.time))

    async def keep_asking():
        while True:
            await poller.ask(lambda client: client.get_run(8))

    async def scene():
        others = [asyncio.create_task(keep_asking()) for _ in range(100)]
        loop.call_later(1000, lambda: cloud.statuses.update({7: 10}))
        await ended(poller, 7)
        for other in others:
            other.cancel()

    loop.run_until_complete(scene())
    assert loop.elapsed <= 1010
    polls = [at for at, _, params in cloud.requests if "pk__in" in params]
    assert max(later - at for at, later in itertools.pairwise(polls)) <= 10.1
    assert len(cloud.requests) >= 700


def test_other_questions_come_last(loop, cloud, connection, inline_threads):
    """If the runs need all of the budget there is none for another question; it does not fail."""
    cloud.statuses = {7: 3, 8: 3}
    poller = Poller(AsyncClient(connection, threads=inline_threads), budget=Budget(6, clock=loop.time))

    async def scene():
        other = asyncio.create_task(poller.ask(lambda client: client.get_run(8)))
        loop.call_later(1000, lambda: cloud.statuses.update({7: 10}))
        await ended(poller, 7)
        assert len(cloud.requests) == len(cloud.lists())
        return await other

    assert loop.run_until_complete(scene()).id == 8


def test_other_questions_take_turns(loop, poller):
    """Only some other questions are on their way at a time, in the order in which they came."""
    going, seen = [], []

    class Client:
        async def ask(self, call):
            going.append(call)
            seen.append((call, len(going)))
            await asyncio.sleep(20)
            going.remove(call)

    poller._client = Client()

    async def ask_all():
        await asyncio.gather(*map(poller.ask, range(7)))

    loop.run_until_complete(ask_all())
    assert [call for call, _ in seen] == list(range(7))
    assert max(count for _, count in seen) == 2


def test_a_run_that_is_gone(loop, cloud, poller):
    """A run that is gone is noticed within a minute or so, asked for by itself, and told as not found."""
    cloud.statuses = {7: 3, 8: 3}
    after(loop, 20, lambda: cloud.statuses.pop(7))

    async def look():
        with poller.follow(7, 10) as gone, poller.follow(8, 10) as there:
            await gone.wait(90)
            return gone.error, there.error

    gone, there = loop.run_until_complete(look())
    assert isinstance(gone, DbtCloudNotFound)
    assert there is None


def is_for_one(url):
    """Say whether a question is for one run alone."""
    return re.search(r"/runs/\d+/", url) is not None


def alone(trouble):
    """Return what answers so if it is asked for one run alone."""
    return lambda request: trouble if is_for_one(request.url) else None


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        ((403, {}, "{}"), DbtCloudUnauthorized),
        ((503, {}, "<html>"), DbtCloudServerError),
        (ConnectionResetError("reset"), DbtCloudUnreachable),
    ],
)
def test_a_run_that_cannot_be_asked_for(loop, cloud, poller, trouble, error):
    """A run that is in no list, and cannot be asked for by itself, is no trouble of those beside it."""
    cloud.statuses = {8: 3}
    cloud.answers = [alone(trouble)] * 100

    async def look():
        with poller.follow(7, 10) as odd, poller.follow(8, 10) as there:
            await odd.wait(150)
            return odd.error, there.error, there.status

    odd, there, status = loop.run_until_complete(look())
    assert isinstance(odd, error)
    assert (there, status) == (None, 3)
    # All runs are asked for once a minute, and no more often because of the odd one.
    assert len([params for params in cloud.lists() if "status__in" not in params]) == 2


def test_rate_limited_beside_a_list(loop, cloud, poller, reply):
    """A 429 to the question for one run makes all wait, but is no trouble of those that were just seen."""
    cloud.statuses = {8: 3}
    cloud.answers = [alone(reply(429, None, "slow down", {"Retry-After": "300"}))] * 100

    async def look():
        with poller.follow(6, 10), poller.follow(7, 10), poller.follow(8, 10) as there:
            await there.wait(200)
            return there.error, there.status

    assert loop.run_until_complete(look()) == (None, 3)
    # Of the two that are in no list the second is not asked for meanwhile.
    assert len([url for _, url, _ in cloud.requests if is_for_one(url)]) == 1


def test_many_that_cannot_be_asked_for(loop, cloud, poller):
    """If dbt Cloud does not answer for the first of many runs that no list shows, the others wait."""
    cloud.statuses = {8: 3}
    cloud.answers = [alone(requests.ReadTimeout("too slow"))] * 100

    async def look():
        with ExitStack() as following:
            odd = [following.enter_context(poller.follow(run_id, 10)) for run_id in range(10, 30)]
            there = following.enter_context(poller.follow(8, 10))
            await there.wait(110)
            return [followed.error for followed in odd], there.error, there.status

    errors, there, status = loop.run_until_complete(look())
    assert {type(error) for error in errors} == {DbtCloudUnreachable}
    assert (there, status) == (None, 3)
    # What fails at once is tried a second time, because a connection may have swallowed it.
    assert len([url for _, url, _ in cloud.requests if is_for_one(url)]) == 2


def test_the_longest_pause_counts(loop, cloud, connection, inline_threads, reply):
    """Of two answers 429 the one that wants the longer pause is obeyed, whichever came first."""

    class Slow(type(inline_threads)):
        async def run(self, call):
            await asyncio.sleep(5)
            return await super().run(call)

    poller = Poller(AsyncClient(connection, threads=Slow()), budget=Budget(500, clock=loop.time))
    cloud.statuses = dict.fromkeys(range(1, 301), 3)
    cloud.answers = [reply(429, None, "slow down", {"Retry-After": str(seconds)}) for seconds in (300, 30)]

    async def follow_all():
        await asyncio.gather(*(ended(poller, run_id, within=400) for run_id in cloud.statuses))

    loop.run_until_complete(follow_all())
    times = [at for at, _, _ in cloud.requests]
    assert times[1] - times[0] < 5
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) >= 299


def test_batches_refused(loop, cloud, poller, caplog):
    """If dbt Cloud refuses to be asked for many runs, each is asked for by itself, and that is said once."""
    cloud.statuses = {7: 3, 8: 3, 9: 3}
    cloud.batches_allowed = False
    after(loop, 100, lambda: cloud.statuses.update({7: 10, 8: 20, 9: 30}))

    async def follow_all():
        return await asyncio.gather(*(ended(poller, run_id) for run_id in cloud.statuses))

    assert [run.status for run in loop.run_until_complete(follow_all())] == [10, 20, 30]
    assert len(cloud.lists()) == 1
    assert caplog.text.count("Each run is asked for by itself") == 1


def test_batches_are_tried_again(loop, cloud, poller):
    """An hour after batches were refused one is tried again."""
    cloud.statuses = {7: 3}
    cloud.batches_allowed = False
    after(loop, 1800, lambda: setattr(cloud, "batches_allowed", True))
    after(loop, 4000, lambda: cloud.statuses.update({7: 10}))
    loop.run_until_complete(ended(poller, 7, interval=60))
    first, second, *_ = [at for at, _, params in cloud.requests if "pk__in" in params]
    assert 3600 <= second - first <= 3700


def test_strangers(loop, cloud, poller, caplog, reply):
    """If dbt Cloud ignores which runs are asked for, its answers are not believed."""
    cloud.statuses = {7: 3}
    cloud.answers = [reply(200, [{"id": 99, "status": 10}, {"id": 7, "status": 10}])]
    after(loop, 60, lambda: cloud.statuses.update({7: 20}))
    assert loop.run_until_complete(ended(poller, 7)).status == 20
    assert "runs that were not asked for, such as 99" in caplog.text


def test_rotated_token(loop, cloud, poller, connection, reply):
    """After a token was refused the connection is read anew."""
    cloud.statuses = {7: 10}
    cloud.answers = [reply(401, None, "Invalid token.")]
    assert loop.run_until_complete(ended(poller, 7)).is_success
    assert connection.reads == 2


def test_401_storm(loop, cloud, poller, connection, reply):
    """A storm of 401s is waited out, with one look at the connection for each question."""
    cloud.statuses = {7: 10}
    cloud.answers = [reply(401, None, "Invalid token.")] * 20
    assert loop.run_until_complete(ended(poller, 7)).is_success
    assert connection.reads == 21


def test_the_connection_is_read_once(loop, cloud, poller, connection):
    """However many runs are followed, the connection is read once."""
    cloud.statuses = dict.fromkeys(range(1, 501), 10)

    async def follow_all():
        await asyncio.gather(*(ended(poller, run_id) for run_id in cloud.statuses))

    loop.run_until_complete(follow_all())
    assert connection.reads == 1


def test_a_connection_that_cannot_be_read(loop, cloud, poller, connection):
    """A connection that cannot be read now counts as dbt Cloud being unreachable."""
    cloud.statuses = {7: 10}
    connection.error = DbtCloudUnreachable("GET", "the run", "no connection", may_have_arrived=False)
    after(loop, 50, lambda: setattr(connection, "error", None))
    assert loop.run_until_complete(ended(poller, 7)).is_success
    assert loop.now - 1000 >= 50


def test_a_connection_that_leads_elsewhere(loop, cloud, poller, connection):
    """A connection that leads elsewhere is told to everybody: nobody's run can be followed with it."""
    cloud.statuses = {7: 3, 8: 3}
    connection.error = DbtCloudConfigurationError("elsewhere")

    async def both():
        return await asyncio.gather(ended(poller, 7), ended(poller, 8), return_exceptions=True)

    assert [str(error) for error in loop.run_until_complete(both())] == ["elsewhere", "elsewhere"]


def test_a_bug_is_told(loop, poller, connection, caplog):
    """An error that nobody thought of is told to whoever waits, not swallowed."""
    connection.error = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        loop.run_until_complete(ended(poller, 7))
    assert "broke down" in caplog.text


def test_the_callers_context_stays_outside(loop, cloud, poller, reply):
    """The poller does not run in the context of whoever came first, so its log lines are nobody's."""
    task = contextvars.ContextVar("task", default="nobody's")
    seen = []
    cloud.statuses = {7: 10}

    class Handler(logging.Handler):
        def emit(self, _):
            seen.append(task.get())

    handler = Handler()
    logging.getLogger("airflow_dbt_cloud.poller").addHandler(handler)
    cloud.answers = [reply(429, None, "slow down", {"Retry-After": "1"})]

    async def first():
        task.set("the first task's")
        await ended(poller, 7)

    loop.run_until_complete(first())
    logging.getLogger("airflow_dbt_cloud.poller").removeHandler(handler)
    assert seen == ["nobody's"]
