"""All pollers of an event loop, whose time only the tests' own waiting moves."""

import asyncio
import gc
import weakref

import pytest

from airflow_dbt_cloud.credentials import Credentials
from airflow_dbt_cloud.pollers import get_poller


@pytest.fixture
def connection():
    """Return a connection that can be read."""

    async def connect():
        return Credentials("https://ab123.us1.dbt.com", 42, "token")

    return connect


async def ended(poller, run_id, interval=10, within=100_000):
    """Follow a run to its end."""
    with poller.follow(run_id, interval) as followed:
        return await followed.wait(within)


def test_one_poller_for_each_key_and_loop(connection):
    """Whoever has the same way to dbt Cloud shares a poller, on the same event loop."""

    async def pollers():
        return tuple(get_poller(key, connection, requests_per_minute=lambda: 500) for key in "aab")

    first, again, other = asyncio.run(pollers())
    assert first is again
    assert first is not other
    assert asyncio.run(pollers())[0] is not first


def test_the_budget_is_shared(loop, cloud, connection, inline_threads):
    """All pollers of an event loop share one budget, which runs on the loop's clock."""
    cloud.statuses = {7: 10}

    async def follow(key):
        poller = get_poller(key, connection, requests_per_minute=lambda: 500)
        poller.client._threads = inline_threads
        await ended(poller, 7, interval=0.001)

    async def follow_all():
        await asyncio.gather(*map(follow, range(26)))

    loop.run_until_complete(follow_all())
    assert loop.elapsed == pytest.approx(25 * 60 / 500, abs=0.01)


def test_figures(loop, cloud, connection, inline_threads, reply):
    """Every ten seconds the pollers of a loop tell together how they fare, and once more when all is done."""
    cloud.statuses = {7: 3, 8: 3, 9: 3}
    cloud.answers = [reply(429, None, "slow down", {"Retry-After": "60"})]
    loop.call_later(85, lambda: cloud.statuses.update({7: 10, 8: 10, 9: 10}))
    told = []

    async def follow(run_id):
        key = "one" if run_id == 9 else "two"
        poller = get_poller(key, connection, requests_per_minute=lambda: 500, report=told.append)
        poller.client._threads = inline_threads
        await ended(poller, run_id)

    async def follow_all():
        await asyncio.gather(*map(follow, cloud.statuses))
        await asyncio.sleep(1000)

    loop.run_until_complete(follow_all())
    assert [figures.runs_waiting for figures in told[:8]] == [3] * 8
    assert told[-1].runs_waiting == 0
    assert len(told) <= 11
    assert sum(figures.requests for figures in told) == len(cloud.requests)
    assert sum(figures.rate_limited for figures in told) == 1
    # One of the two pollers was silent for a minute.
    assert 50 <= max(figures.oldest_poll_age for figures in told) <= 70
    assert told[0].oldest_poll_age <= 10


def test_the_registry_forgets_loops(cloud, connection, inline_threads):
    """A loop that is gone takes its pollers with it."""
    cloud.statuses = {7: 10}

    def run():
        loop = asyncio.new_event_loop()

        async def follow():
            poller = get_poller("x", connection, requests_per_minute=lambda: 500)
            poller.client._threads = inline_threads
            await ended(poller, 7, interval=0.01, within=5)
            await asyncio.sleep(0.01)

        loop.run_until_complete(follow())
        loop.close()
        return weakref.ref(loop)

    gone = run()
    gc.collect()
    assert gone() is None
