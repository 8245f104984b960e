"""The client for whoever lives on an event loop."""

import asyncio
import contextvars
import threading

import pytest
import requests
import responses

from airflow_dbt_cloud.async_client import LONGEST_ANSWER, AsyncClient
from airflow_dbt_cloud.credentials import Credentials
from airflow_dbt_cloud.errors import (
    DbtCloudAnswerTooLong,
    DbtCloudNotFound,
    DbtCloudServerError,
    DbtCloudUnauthorized,
    DbtCloudUnreachable,
)

HOST = "https://ab123.us1.dbt.com"
GONE = DbtCloudUnreachable("GET", "the run", "no such connection", may_have_arrived=False)


class Connection:
    """A connection whose token is another one each time it is read."""

    def __init__(self, *script, pause=0):
        self.reads = 0
        self._script = list(script)
        self._pause = pause
        self.contexts = []

    async def __call__(self):
        self.reads += 1
        self.contexts.append(contextvars.copy_context())
        await asyncio.sleep(self._pause)
        if self._script and (error := self._script.pop(0)):
            raise error
        return Credentials(HOST, 42, f"token-{self.reads}")


@pytest.fixture
def client(inline_threads):
    """Return a function that makes a client without threads."""
    return lambda connection: AsyncClient(connection, threads=inline_threads)


def test_run(loop, cloud, client):
    """A run is asked for with who cancelled it, and comes as a value."""
    cloud.statuses = {7: 30}
    assert loop.run_until_complete(client(Connection()).get_run(7)).status == 30
    ((_, _, params),) = cloud.requests
    assert params == {"include_related": "audit"}


def test_runs(loop, cloud, client):
    """Many runs are one request, those of some statuses if that is wanted."""
    cloud.statuses = {7: 10, 8: 3, 9: 20}
    asking = client(Connection())
    runs = loop.run_until_complete(asking.list_runs([7, 8, 9], statuses=[10, 20]))
    assert [run.id for run in runs] == [7, 9]
    assert [run.id for run in loop.run_until_complete(asking.list_runs([7, 8]))] == [7, 8]
    assert [params for _, _, params in cloud.requests] == [
        {"pk__in": "[7, 8, 9]", "status__in": "[10, 20]", "limit": "100", "offset": "0"},
        {"pk__in": "[7, 8]", "limit": "100", "offset": "0"},
    ]


def test_a_full_page_is_the_only_one(loop, cloud, client):
    """A hundred runs are one request also if all of them are answered."""
    cloud.statuses = dict.fromkeys(range(1, 101), 10)
    assert len(loop.run_until_complete(client(Connection()).list_runs(list(range(1, 101))))) == 100
    assert len(cloud.requests) == 1


def test_cancel(loop, cloud, client):
    """A run is cancelled."""
    cloud.statuses = {7: 3}
    assert loop.run_until_complete(client(Connection()).cancel_run(7)).status == 30
    assert cloud.cancelled == [7]


def test_the_connection_is_read_once(loop, cloud, client):
    """Whoever asks while the connection is being read waits for the same reading."""
    cloud.statuses = {7: 3}
    connection = Connection(pause=1)
    asking = client(connection)

    async def many():
        await asyncio.gather(*(asking.get_run(7) for _ in range(5)))
        await asking.get_run(7)

    loop.run_until_complete(many())
    assert connection.reads == 1


def test_a_connection_that_cannot_be_read(loop, cloud, client):
    """A connection that cannot be read is everybody's error who waits for it, and is read anew after that."""
    cloud.statuses = {7: 3}
    connection = Connection(GONE, pause=1)
    asking = client(connection)

    async def twice():
        errors = await asyncio.gather(*(asking.get_run(7) for _ in range(3)), return_exceptions=True)
        return errors, await asking.get_run(7)

    errors, run = loop.run_until_complete(twice())
    assert errors == [GONE] * 3
    assert run.status == 3
    assert connection.reads == 2


def test_a_cancelled_asker(loop, cloud, client):
    """Whoever is cancelled while the connection is read takes it from nobody else."""
    cloud.statuses = {7: 3}
    connection = Connection(pause=10)
    asking = client(connection)

    async def scene():
        doomed, other = (asyncio.create_task(asking.get_run(7)) for _ in range(2))
        await asyncio.sleep(5)
        doomed.cancel()
        return await other

    assert loop.run_until_complete(scene()).status == 3
    assert connection.reads == 1


def test_nobody_is_left_when_the_connection_fails(loop, client, caplog):
    """A failure that nobody waits for any more is not complained about."""
    asking = client(Connection(GONE, pause=10))

    async def scene():
        doomed = asyncio.create_task(asking.get_run(7))
        await asyncio.sleep(5)
        doomed.cancel()
        await asyncio.sleep(10)

    loop.run_until_complete(scene())
    assert not [record.getMessage() for record in caplog.records]


def test_the_connection_is_nobodys(loop, cloud, client):
    """The connection is read outside of the context of whoever asked first, whose log it is not."""
    task = contextvars.ContextVar("task", default="nobody's")
    cloud.statuses = {7: 3}
    connection = Connection()

    async def first():
        task.set("the first task's")
        await client(connection).get_run(7)

    loop.run_until_complete(first())
    assert connection.contexts[0].get(task) is None


@pytest.mark.parametrize("status", [401, 403])
def test_refused_token(loop, cloud, client, reply, status):
    """A refused token is an error, and the next question reads the connection anew."""
    cloud.statuses = {7: 3}
    cloud.answers = [reply(status, None, "no")]
    asking = client(Connection())
    with pytest.raises(DbtCloudUnauthorized):
        loop.run_until_complete(asking.get_run(7))
    loop.run_until_complete(asking.get_run(7))
    assert cloud.tokens == ["token-1", "token-2"]


def test_a_late_refusal(loop, cloud, inline_threads, reply):
    """The refusal of an old token that comes late does not throw away the new one."""
    cloud.statuses = {7: 3}
    connection = Connection()
    delays = [0, 1, 5]  # the first one is the client's making

    class Slow(type(inline_threads)):
        async def run(self, call):
            await asyncio.sleep(delays.pop(0) if delays else 0)
            return await super().run(call)

    async def scene():
        asking = AsyncClient(connection, threads=Slow())
        early, late = (asyncio.create_task(asking.get_run(7)) for _ in range(2))
        cloud.answers = [reply(401, None, "no"), None, reply(401, None, "no")]
        await asyncio.wait({early})
        await asking.get_run(7)
        await asyncio.wait({late})
        assert isinstance(early.exception(), DbtCloudUnauthorized)
        assert isinstance(late.exception(), DbtCloudUnauthorized)
        await asking.get_run(7)

    loop.run_until_complete(scene())
    assert cloud.tokens == ["token-1", "token-2", "token-1", "token-2"]


@pytest.mark.parametrize(("trouble", "error"), [(404, DbtCloudNotFound), (503, DbtCloudServerError)])
def test_answers_are_not_asked_for_again(loop, cloud, client, reply, trouble, error):
    """A question that was answered is not repeated, however bad the answer is."""
    cloud.answers = [reply(trouble, None, "no")]
    with pytest.raises(error):
        loop.run_until_complete(client(Connection()).get_run(7))
    assert len(cloud.requests) == 1


def test_a_swallowed_request(loop, cloud, client):
    """A request that a kept-alive connection may have swallowed is sent once more, and no more than that."""
    cloud.statuses = {7: 3}
    asking = client(Connection())
    cloud.answers = [ConnectionResetError("closed meanwhile")]
    assert loop.run_until_complete(asking.get_run(7)).status == 3
    cloud.answers = [ConnectionResetError("closed meanwhile")] * 2
    with pytest.raises(DbtCloudUnreachable):
        loop.run_until_complete(asking.get_run(7))
    assert len(cloud.requests) == 4


def test_nothing_is_repeated_that_did_not_arrive(loop, monkeypatch, inline_threads):
    """Where no connection could be made, nothing is sent a second time: the next tick does that."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    class Counting(type(inline_threads)):
        calls = 0

        async def run(self, call):
            self.calls += 1
            return await super().run(call)

    async def nowhere():
        return Credentials("http://localhost:9", 42, "token")

    threads = Counting()
    with pytest.raises(DbtCloudUnreachable) as caught:
        loop.run_until_complete(AsyncClient(nowhere, threads=threads).get_run(7))
    assert not caught.value.may_have_arrived
    assert threads.calls == 2  # one makes the client


def test_requests_are_sent_from_threads():
    """Nothing that blocks happens on the event loop's thread."""
    seen = []

    def answer(_):
        seen.append(threading.current_thread())
        return 200, {}, '{"status": {"code": 200, "is_success": true}, "data": {"id": 7, "status": 3}}'

    with responses.RequestsMock() as mock:
        mock.add_callback(responses.GET, f"{HOST}/api/v2/accounts/42/runs/7/", callback=answer)
        assert asyncio.run(AsyncClient(Connection()).get_run(7)).status == 3
    (thread,) = seen
    assert thread is not threading.main_thread()
    assert thread.daemon
    assert thread.name.startswith("dbt-cloud-")


def test_a_long_answer(loop, cloud, client):
    """An answer that would stall the event loop is given up, and not asked for again."""
    cloud.answers = [(200, {}, " " * (LONGEST_ANSWER + 1))]
    with pytest.raises(DbtCloudAnswerTooLong):
        loop.run_until_complete(client(Connection()).get_run(7))
    assert len(cloud.requests) == 1


def test_questions_that_take_long():
    """Whatever else is asked has threads of its own, so that runs are asked for all the same."""
    begun, gate = threading.Semaphore(0), threading.Event()

    def hold(_):
        begun.release()
        assert gate.wait(30)

    async def scene():
        client = AsyncClient(Connection())
        others = [asyncio.create_task(client.ask(hold)) for _ in range(10)]
        await asyncio.to_thread(begun.acquire, timeout=30)
        try:
            return await asyncio.wait_for(client.get_run(7), 30)
        finally:
            gate.set()
            await asyncio.gather(*others)

    with responses.RequestsMock() as mock:
        envelope = {"status": {"code": 200, "is_success": True}, "data": {"id": 7, "status": 3}}
        mock.get(f"{HOST}/api/v2/accounts/42/runs/7/", json=envelope)
        assert asyncio.run(scene()).status == 3


@pytest.mark.parametrize(("seconds", "asked"), [(0.1, 2), (30, 1)])
def test_a_slow_failure_is_not_repeated(loop, cloud, inline_threads, seconds, asked):
    """What fails after some time was not swallowed by a connection, and is not asked for again."""
    cloud.answers = [requests.ReadTimeout("too slow")] * 2

    class Slow(type(inline_threads)):
        async def run(self, call):
            await asyncio.sleep(seconds)
            return await super().run(call)

    with pytest.raises(DbtCloudUnreachable):
        loop.run_until_complete(AsyncClient(Connection(), threads=Slow()).get_run(7))
    assert len(cloud.requests) == asked
