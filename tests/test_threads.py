"""A few threads for calls that block: real ones, held up and let go by the tests."""

import asyncio
import threading

import pytest

from airflow_dbt_cloud.threads import Threads


class Gate:
    """A call that blocks until the test opens the gate, and tells which threads it blocks."""

    def __init__(self):
        self.entered = threading.Semaphore(0)
        self._open = threading.Event()
        self.names = []
        self.most = self.now = 0
        self._lock = threading.Lock()

    def __call__(self):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.names.append(threading.current_thread().name)
        self.entered.release()
        assert self._open.wait(30)
        with self._lock:
            self.now -= 1

    def wait_for(self, count):
        """Wait until so many calls have begun."""
        for _ in range(count):
            assert self.entered.acquire(timeout=30)

    def open(self):
        self._open.set()


@pytest.fixture
def gate():
    """Return a gate, opened at the end at the latest."""
    gate = Gate()
    yield gate
    gate.open()


async def blocked(gate, count):
    """Wait, without blocking the loop, until so many calls have begun."""
    await asyncio.to_thread(gate.wait_for, count)


def test_result():
    """The caller gets what the call returns."""
    assert asyncio.run(Threads(1, "t").run(lambda: 42)) == 42


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
def test_errors(error):
    """The caller gets what the call raises, whatever it is, and the thread lives on."""
    threads = Threads(1, "t")

    def fail():
        raise error

    async def scene():
        future = asyncio.ensure_future(threads.run(fail))
        await asyncio.wait({future})
        assert future.exception() is error
        return await threads.run(lambda: "still here")

    # A loop lets SystemExit and KeyboardInterrupt pass through itself when a task raises them.
    if isinstance(error, ValueError):
        assert asyncio.run(scene()) == "still here"
    else:
        with pytest.raises(type(error)):
            asyncio.run(threads.run(fail))
        assert asyncio.run(threads.run(lambda: "still here")) == "still here"


def test_at_most_so_many(gate):
    """No more calls are made at once than there may be threads; the others wait and come to their turn."""

    async def scene():
        threads = Threads(3, "few")
        calls = [asyncio.create_task(threads.run(gate)) for _ in range(10)]
        await blocked(gate, 3)
        gate.open()
        await asyncio.gather(*calls)

    asyncio.run(scene())
    assert len(gate.names) == 10
    assert gate.most == 3
    assert set(gate.names) == {"few-1", "few-2", "few-3"}


def test_calls_run_beside_each_other(gate):
    """A call that blocks does not hold up the next one while there may be another thread."""

    async def scene():
        threads = Threads(2, "t")
        slow = asyncio.create_task(threads.run(gate))
        await blocked(gate, 1)
        assert await threads.run(lambda: "fast") == "fast"
        gate.open()
        await slow

    asyncio.run(scene())


def test_an_idle_thread_is_used_again():
    """Calls one after the other are made by one thread."""
    threads = Threads(4, "one")
    names = set()
    for _ in range(20):
        names.add(asyncio.run(threads.run(lambda: threading.current_thread().name)))
        # Idle a moment after the answer.
        assert threads._idle.acquire(timeout=30)
        threads._idle.release()
    assert names == {"one-1"}


def test_a_cancelled_waiter_breaks_nothing(gate):
    """A waiter that is cancelled while its call is made leaves a thread that takes the next call."""

    async def scene():
        threads = Threads(1, "t")
        doomed = asyncio.create_task(threads.run(gate))
        await blocked(gate, 1)
        doomed.cancel()
        next_one = asyncio.create_task(threads.run(lambda: "next"))
        await asyncio.wait({doomed})
        assert doomed.cancelled()
        gate.open()
        return await next_one

    assert asyncio.run(scene()) == "next"


def test_a_call_that_nobody_waits_for_any_more(gate):
    """A call whose waiter is cancelled before its turn is not made."""
    made = []

    async def scene():
        threads = Threads(1, "t")
        first = asyncio.create_task(threads.run(gate))
        await blocked(gate, 1)
        doomed = asyncio.create_task(threads.run(lambda: made.append("doomed")))
        await asyncio.sleep(0)
        doomed.cancel()
        await asyncio.wait({doomed})
        gate.open()
        await first
        await threads.run(lambda: made.append("last"))

    asyncio.run(scene())
    assert made == ["last"]


def test_daemons(gate):
    """A process that ends does not wait for a slow answer."""

    async def scene():
        call = asyncio.create_task(Threads(1, "slow").run(gate))
        await blocked(gate, 1)
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "slow-1"]
        gate.open()
        await call
        return thread.daemon

    assert asyncio.run(scene())


def test_the_loop_ends_first(gate):
    """A loop that is closed while a call is made does not wait for it, and does the thread no harm."""
    threads = Threads(1, "t")

    async def leave():
        call = asyncio.create_task(threads.run(gate))
        await blocked(gate, 1)
        call.cancel()

    asyncio.run(leave())
    gate.open()
    assert asyncio.run(threads.run(lambda: "on another loop")) == "on another loop"
