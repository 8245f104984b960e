"""How rarely dbt Cloud is asked for runs that go, however many look at them, and how long these wait."""

import asyncio
import logging
import threading
from datetime import UTC, datetime

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_dbt_cloud.errors import DbtCloudUnreachable
from airflow_dbt_cloud.tab.live import MOST_VIEWS, Live
from airflow_dbt_cloud.tab.sight import Sight, Subject, Unseen

RUN = Subject(7, "dbt_cloud_default", marker_key="0123456789abcdef")
GONE = DbtCloudUnreachable("GET", "/api/v2/accounts/42/runs/7/", "gone", may_have_arrived=False)


class Cloud:
    """Answers looks with a number that grows; those in `trouble` with an error."""

    def __init__(self):
        self.looks = []
        self.trouble = {}

    def __call__(self, subject, *, is_known):
        self.looks.append((subject, is_known))
        number = len(self.looks)
        if number in self.trouble:
            raise self.trouble[number]
        return Sight({"status": "Running"}, f"look {number}", datetime(2026, 1, 1, tzinfo=UTC))


class Gate:
    """Threads that do nothing before they are let through."""

    def __init__(self):
        self.opened = asyncio.Event()

    async def run(self, call):
        await self.opened.wait()
        return call()


@pytest.fixture
def cloud():
    """Stand in for dbt Cloud."""
    return Cloud()


@pytest.fixture
def live(loop, cloud, inline_threads):
    """Return what looks at runs of that dbt Cloud, on the loop's clock."""
    return Live(cloud, threads=inline_threads, clock=loop.time)


def test_a_first_look(loop, live, cloud):
    """Who looks first waits for the answer."""
    assert loop.run_until_complete(live.see(RUN)) == {
        "version": 1,
        "run": {"status": "Running"},
        "seen_at": "2026-01-01T00:00:00+00:00",
        "is_stale": False,
        "console": "look 1",
        "message": "",
    }
    assert cloud.looks == [(RUN, False)]


def test_many_viewers(loop, live, cloud):
    """Twenty people who look every five seconds ask as often as one; what they see is five seconds old."""

    async def watch(delay):
        await asyncio.sleep(delay)
        for _ in range(7):
            seen = await live.see(RUN)
            assert not seen["is_stale"]
            await asyncio.sleep(5)

    async def all_watch():
        await asyncio.gather(*(watch(number / 4) for number in range(20)))

    loop.run_until_complete(all_watch())
    assert loop.elapsed >= 35
    assert len(cloud.looks) <= 8
    assert [is_known for _, is_known in cloud.looks] == [False, *[True] * (len(cloud.looks) - 1)]


def test_one_question_at_a_time(loop, cloud):
    """Who looks while dbt Cloud is asked shares the answer, and nobody asks again, however long it takes."""

    async def story():
        gate = Gate()
        live = Live(cloud, threads=gate, clock=loop.time)
        early = [asyncio.create_task(live.see(RUN)) for _ in range(3)]
        await asyncio.sleep(7)
        late = asyncio.create_task(live.see(RUN))
        await asyncio.sleep(0)
        gate.opened.set()
        return [await seen for seen in (*early, late)]

    assert {seen["console"] for seen in loop.run_until_complete(story())} == {"look 1"}
    assert len(cloud.looks) == 1


def test_nobody_waits_long(loop, cloud):
    """Who sees nothing yet waits for eight seconds, and who has seen something for less than two."""

    async def story():
        gate = Gate()
        live = Live(cloud, threads=gate, clock=loop.time)
        began = loop.time()
        nothing = await live.see(RUN)
        assert loop.time() - began == 8
        gate.opened.set()
        assert (await live.see(RUN))["console"] == "look 1"
        gate.opened.clear()
        await asyncio.sleep(5)
        began = loop.time()
        old = await live.see(RUN)
        assert loop.time() - began == 1.5
        await asyncio.sleep(10)
        older = await live.see(RUN)
        gate.opened.set()
        await asyncio.sleep(0)
        return nothing, old, older

    nothing, old, older = loop.run_until_complete(story())
    assert (nothing["run"], nothing["message"]) == (None, "dbt Cloud has not answered yet.")
    assert (old["console"], old["is_stale"]) == ("look 1", False)
    assert (older["console"], older["is_stale"]) == ("look 1", True)


def test_somebody_goes_away(loop, cloud):
    """Who goes away does not end the question that others wait for."""

    async def story():
        gate = Gate()
        live = Live(cloud, threads=gate, clock=loop.time)
        first, second = (asyncio.create_task(live.see(RUN)) for _ in range(2))
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.sleep(0)
        gate.opened.set()
        return await second

    assert loop.run_until_complete(story())["console"] == "look 1"


@pytest.mark.parametrize("error", [GONE, AirflowNotFoundException("no such connection"), Unseen("not yours")])
def test_trouble_at_first(loop, live, cloud, error):
    """Where nothing can be seen a sentence says why; dbt Cloud is asked again no sooner than otherwise."""
    cloud.trouble = {1: error}
    for _ in range(3):
        seen = loop.run_until_complete(live.see(RUN))
        assert (seen["run"], seen["seen_at"], seen["message"]) == (None, None, str(error))
    assert len(cloud.looks) == 1
    loop.now += 5
    assert loop.run_until_complete(live.see(RUN))["console"] == "look 2"
    assert cloud.looks[1] == (RUN, False)


def test_trouble_later(loop, live, cloud):
    """If dbt Cloud cannot be reached, what was seen last is shown, with a sentence, until it can be again."""
    cloud.trouble = {2: GONE}
    loop.run_until_complete(live.see(RUN))
    loop.now += 5
    seen = loop.run_until_complete(live.see(RUN))
    assert (seen["console"], seen["is_stale"], seen["message"]) == ("look 1", True, str(GONE))
    loop.now += 5
    seen = loop.run_until_complete(live.see(RUN))
    assert (seen["console"], seen["is_stale"], seen["message"]) == ("look 3", False, "")


def test_a_note(loop, inline_threads):
    """What could not be seen of a run that was is said, too."""
    sight = Sight({"status": "Running"}, "", datetime(2026, 1, 1, tzinfo=UTC), "too long")
    live = Live(lambda *_, **__: sight, threads=inline_threads, clock=loop.time)
    seen = loop.run_until_complete(live.see(RUN))
    assert (seen["is_stale"], seen["message"]) == (False, "too long")


def test_a_mistake_of_ours(loop, live, cloud, caplog):
    """An error that nobody has thought of is in the server's log, and not on the page."""
    cloud.trouble = {1: KeyError("token=dbtc_x")}
    with caplog.at_level(logging.ERROR):
        seen = loop.run_until_complete(live.see(RUN))
    assert seen["message"] == "The run cannot be shown; the log of Airflow's API server says why."
    assert "Looking at dbt Cloud run 7 failed." in caplog.text


def test_tasks_apart(loop, live, cloud):
    """What one task may see of a run another may not, so that each is asked for by itself."""
    stranger = Subject(7, "dbt_cloud_default", marker_key="f" * 16)
    cloud.trouble = {2: Unseen("not yours")}
    assert loop.run_until_complete(live.see(RUN))["console"] == "look 1"
    assert loop.run_until_complete(live.see(stranger))["console"] == ""


def test_forgotten(loop, live):
    """What nobody has asked for in a minute is not kept, nor more than a hundred runs."""
    loop.run_until_complete(live.see(RUN))
    for number in range(MOST_VIEWS):
        loop.run_until_complete(live.see(Subject(100 + number, "dbt_cloud_default")))
    assert len(live._views) == MOST_VIEWS
    assert RUN not in live._views
    loop.now += 61
    loop.run_until_complete(live.see(RUN))
    assert [*live._views] == [RUN]


def test_two_questions_at_a_time():
    """No more than two runs are asked for at a time in a process, however many are looked at."""
    lock, going, most, all_done = threading.Lock(), [0], [0], threading.Barrier(2)

    def look(subject, *, is_known):  # noqa: ARG001 - as the real one is called
        with lock:
            going[0] += 1
            most[0] = max(most[0], going[0])
        # Two must be there at the same time to go on.
        all_done.wait(30)
        with lock:
            going[0] -= 1
        return Sight({"status": "Running"}, "", datetime.now(UTC))

    async def story():
        live = Live(look)
        return await asyncio.gather(*(live.see(Subject(number, "dbt_cloud_default")) for number in range(6)))

    assert {seen["run"]["status"] for seen in asyncio.run(story())} == {"Running"}
    assert most == [2]
