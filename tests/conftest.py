"""Fakes that stand at the front doors of the package: credentials, servers, TLS, dbt Cloud itself, time."""

import asyncio
import json
import random
import re
import selectors
import socket
import ssl
import struct
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest
import responses
import trustme

from airflow_dbt_cloud.credentials import Credentials

HOST = "ab123.us1.dbt.com"
TOKEN = "dbtc_S3cr3tT0ken0fNobody"


def pytest_make_parametrize_id(val):
    """Name a case after the beginning of its text: processes send each other the names, one of 128 MiB."""
    if isinstance(val, (str, bytes)) and len(val) > 200:
        return f"{val[:40]!r} and {len(val) - 40} more"
    return None


@dataclass(frozen=True)
class Request:
    """A request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Server:
    """
    A socket that a test answers for.

    `answer(request, connection)` returns the bytes of the answer, or None if it has done what it wanted with
    the connection, which is closed then; so it is after an answer with `Connection: close`.
    """

    def __init__(self, answer, *, tls=None):
        self.answer = answer
        self.requests = []
        self.connections = 0
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(60)
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """Stop to listen."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with suppress(OSError), ExitStack() as opened:
            opened.enter_context(connection)
            connection.settimeout(60)
            if self._tls:
                connection = opened.enter_context(self._tls.wrap_socket(connection, server_side=True))
            stream = opened.enter_context(connection.makefile("rb"))
            while request := _read_request(stream):
                self.requests.append(request)
                answer = self.answer(request, connection)
                if answer is None:
                    return
                connection.sendall(answer)
                if b"\r\nconnection: close\r\n" in answer.lower():
                    return


def _read_request(stream):
    method, _, rest = stream.readline().decode().partition(" ")
    if not method.strip():
        return None
    headers = {}
    while line := stream.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    return Request(method, rest.rpartition(" ")[0], headers, body)


def http(status=200, body=b"", **headers):
    """Return the bytes of an answer; an underscore in a header's name stands for a dash."""
    headers = {"content_length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {status} Whatever"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([*lines, "", ""]).encode() + body


def reset(connection):
    """Close a connection so that the other side sees a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _pump(source, sink):
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def serve():
    """Start servers that end with the test: `serve(answer, tls=None)`."""
    servers = []

    def start(answer, **options):
        servers.append(Server(answer, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def forward_proxy(serve):
    """Start forward proxies that lead to a server of ours, whatever name is asked for."""

    def start(server):
        def forward(request, connection):
            with socket.create_connection(("127.0.0.1", server.port)) as upstream:
                if request.method == "CONNECT":
                    connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                else:
                    path = "/" + request.target.split("/", 3)[3]
                    head = [f"{request.method} {path} HTTP/1.1"]
                    head += [f"{name}: {value}" for name, value in request.headers.items()]
                    upstream.sendall("\r\n".join([*head, "", ""]).encode() + request.body)
                threading.Thread(target=_pump, args=(connection, upstream), daemon=True).start()
                _pump(upstream, connection)

        return serve(forward)

    return start


@pytest.fixture(scope="session")
def authority():
    """Return a certificate authority that nobody trusts by himself."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_bundle(authority, tmp_path_factory):
    """Return the path of a file with the authority's certificate."""
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(scope="session")
def tls(authority):
    """Return a server's TLS context, for localhost and the host of the credentials."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", HOST).configure_cert(context)
    return context


@pytest.fixture
def token():
    """Return the token that must show nowhere."""
    return TOKEN


@pytest.fixture
def make_credentials():
    """Return credentials of account 7, at a host that does not exist or at another one."""

    def make(base_url=f"https://{HOST}", **options):
        return Credentials(base_url, 7, TOKEN, **options)

    return make


@pytest.fixture
def answer():
    """Return the function that makes the bytes of an answer."""
    return http


@pytest.fixture
def reset_connection():
    """Return the function that resets a connection."""
    return reset


class JumpingLoop(asyncio.SelectorEventLoop):
    """
    An event loop that does not wait for a timer but puts its clock forward.

    Only while a thread of its executor works does it wait, and its clock stands still.
    """

    class Selector(selectors.DefaultSelector):
        """Waits for nothing but what is there already."""

        loop = None

        def select(self, timeout=None):
            if self.loop.calls:
                return super().select(timeout if timeout == 0 else None)
            if timeout:
                self.loop.now += timeout
            return super().select(0)

    def __init__(self):
        self.began = self.now = 1000.0
        self.calls = set()
        selector = self.Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self):
        return self.now

    @property
    def elapsed(self):
        return self.now - self.began

    def run_in_executor(self, executor, func, *args):
        call = super().run_in_executor(executor, func, *args)
        self.calls.add(call)
        call.add_done_callback(self.calls.discard)
        return call


class InlineThreads:
    """Threads that are none: a call takes no time on the loop's clock."""

    async def run(self, call):
        await asyncio.sleep(0)
        return call()


class Cloud:
    """A dbt Cloud with some runs, and a memory of what it was asked."""

    runs = "https://ab123.us1.dbt.com/api/v2/accounts/42/runs/"
    step = "https://ab123.us1.dbt.com/api/v2/accounts/42/steps/"

    def __init__(self, loop):
        self.loop = loop
        self.statuses = {}
        self.requests = []
        self.tokens = []
        self.valid_tokens = None  # all of them
        self.messages = {}
        self.steps = {}
        self.cancelled = []
        self.cancel_answer = None  # what to answer instead of cancelling
        self.timeouts = set()
        self.answers = []  # what to answer next instead of the truth
        self.batches_allowed = True

    def answer(self, request):
        self.requests.append((self.loop.elapsed, request.url, dict(request.params)))
        self.tokens.append(request.headers["Authorization"].removeprefix("Token "))
        self.timeouts.add(request.req_kwargs["timeout"][1])
        if self.valid_tokens is not None and self.tokens[-1] not in self.valid_tokens:
            return as_dbt_cloud(401, None, "Invalid token.")
        if self.answers:
            instead = self.answers.pop(0)
            if callable(instead):
                instead = instead(request)
            if isinstance(instead, Exception):
                raise instead
            if instead is not None:
                return instead
        if "pk__in" in request.params:
            return self._list(request.params)
        run_id = self._run_id(request)
        if run_id not in self.statuses:
            return as_dbt_cloud(404, None, "Not found.")
        steps = self.steps.get(run_id, []) if "run_steps" in request.params.get("include_related", "") else []
        return as_dbt_cloud(200, {**self._row(run_id), "run_steps": steps})

    def answer_step(self, request):
        self.requests.append((self.loop.elapsed, request.url, dict(request.params)))
        steps = {str(step["id"]): step for steps in self.steps.values() for step in steps}
        return as_dbt_cloud(200, steps[request.url.rstrip("/").rpartition("/")[2]])

    def cancel(self, request):
        if self.cancel_answer is not None:
            return self.cancel_answer
        run_id = self._run_id(request)
        self.cancelled.append(run_id)
        self.statuses[run_id] = 30
        return as_dbt_cloud(200, self._row(run_id))

    def _run_id(self, request):
        return int(re.search(r"/runs/(\d+)/", request.url)[1])

    def _list(self, params):
        if not self.batches_allowed:
            return as_dbt_cloud(400, {"pk__in": "no"}, "The request was invalid.")
        ids = json.loads(params["pk__in"])
        assert len(ids) <= 100
        assert params["limit"] == "100"
        wanted = json.loads(params.get("status__in", "null"))
        rows = [
            self._row(run_id)
            for run_id in ids
            if run_id in self.statuses and (wanted is None or self.statuses[run_id] in wanted)
        ]
        return as_dbt_cloud(200, rows)

    def _row(self, run_id):
        message = self.messages.get(run_id)
        return {"id": run_id, "status": self.statuses[run_id], "status_message": message, "project_id": 3}

    def lists(self):
        return [params for _, _, params in self.requests if "pk__in" in params]


def as_dbt_cloud(status, data, message="Success!", headers=None):
    """Return an answer as dbt Cloud wraps it."""
    said = {"code": status, "is_success": status < 400, "user_message": message, "developer_message": ""}
    return status, headers or {}, json.dumps({"status": said, "data": data})


@pytest.fixture
def reply():
    """Return the function that wraps an answer as dbt Cloud does."""
    return as_dbt_cloud


@pytest.fixture
def loop():
    """Return an event loop whose time only the test's own waiting moves."""
    random.seed(7)
    loop = JumpingLoop()
    yield loop
    # Whoever was to end now that nobody follows a run gets the time to.
    loop.run_until_complete(asyncio.sleep(1))
    assert not asyncio.all_tasks(loop)
    loop.close()


@pytest.fixture
def inline_threads():
    """Return threads that are none."""
    return InlineThreads()


@pytest.fixture
def cloud(loop):
    """Stand in for dbt Cloud, for whoever waits on the loop."""
    cloud = Cloud(loop)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback(responses.GET, url=re.compile(f"{cloud.runs}.*"), callback=cloud.answer)
        mock.add_callback(responses.GET, url=re.compile(f"{cloud.step}.*"), callback=cloud.answer_step)
        mock.add_callback(responses.POST, url=re.compile(rf"{cloud.runs}\d+/cancel/"), callback=cloud.cancel)
        yield cloud
