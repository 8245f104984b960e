"""One request on the wire: what is sent, what each answer means, and what is never said."""

import gzip
import itertools
import json
import logging
import pickle
import socket
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import replace

import pytest
import responses

from airflow_dbt_cloud import __version__
from airflow_dbt_cloud.errors import (
    DbtCloudAnswerTooLong,
    DbtCloudApiError,
    DbtCloudError,
    DbtCloudInvalidRequest,
    DbtCloudNotFound,
    DbtCloudRateLimited,
    DbtCloudRedirected,
    DbtCloudServerError,
    DbtCloudUnauthorized,
    DbtCloudUnreachable,
)
from airflow_dbt_cloud.transport import MAX_JSON_BYTES, Transport

PATH = "/api/v2/accounts/7/runs/1/"
URL = f"https://ab123.us1.dbt.com{PATH}"
GOOD = {"status": {"code": 200, "is_success": True, "user_message": "Success!"}, "data": {"id": 1}}


def envelope(code, message, data=None):
    """Return the body of an answer that dislikes the request."""
    said = {"code": code, "is_success": False, "user_message": message, "developer_message": None}
    return json.dumps({"status": said, "data": data}).encode()


def reachable(error):
    """Yield every text that can be reached from an exception by its attributes, causes and arguments."""
    waiting, seen = [error], set()
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, str):
            yield item
        elif isinstance(item, bytes):
            yield item.decode("latin-1")
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset):
            waiting += item
        else:
            waiting += vars(item).values() if hasattr(item, "__dict__") else []
            if isinstance(item, BaseException):
                yield from (str(item), repr(item))
                waiting += [item.args, item.__cause__, item.__context__]
            elif hasattr(item, "items"):
                waiting += [list(item.items())]


def assert_hides(error, *secrets):
    """Look for secrets in everything that an exception shows or holds."""
    texts = [*reachable(error), *traceback.format_exception(error), repr(pickle.dumps(error))]
    assert not [text for text in texts for secret in secrets if secret in text]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch, tmp_path):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture
def transport(make_credentials):
    """Return a transport to a host that only `responses` answers for."""
    return Transport(make_credentials())


@pytest.fixture
def connect(serve, make_credentials):
    """Start a server with an answer, and return a transport to it and the server."""

    def start(answer, *, clock=None, tls=None, **options):
        server = serve(answer, tls=tls)
        clocked = {"clock": clock} if clock else {}
        return Transport(make_credentials(server.url, **options), **clocked), server

    return start


# --- what an answer means ---------------------------------------------------------------------------------


@responses.activate
def test_a_good_answer(transport):
    """The envelope of a good answer is returned as it is."""
    responses.get(URL, json=GOOD)
    assert transport.request("GET", PATH) == GOOD


STATUSES = [
    (300, DbtCloudRedirected),
    (305, DbtCloudRedirected),
    (400, DbtCloudInvalidRequest),
    (401, DbtCloudUnauthorized),
    (402, DbtCloudInvalidRequest),
    (403, DbtCloudUnauthorized),
    (404, DbtCloudNotFound),
    (405, DbtCloudInvalidRequest),
    (408, DbtCloudServerError),
    (409, DbtCloudInvalidRequest),
    (422, DbtCloudInvalidRequest),
    (429, DbtCloudRateLimited),
    (499, DbtCloudInvalidRequest),
    (500, DbtCloudServerError),
    (502, DbtCloudServerError),
    (503, DbtCloudServerError),
    (504, DbtCloudServerError),
    (529, DbtCloudServerError),
    (599, DbtCloudServerError),
]


@pytest.mark.parametrize(("status", "kind"), STATUSES)
@pytest.mark.parametrize(
    "body", [envelope(0, "Sorry."), b"", b"<html>no</html>", b"{}", b'{"detail": "no"}', b"\xff"]
)
@responses.activate
def test_statuses(transport, status, kind, body):
    """Every status is one error, whatever the body is."""
    responses.get(URL, status=status, body=body)
    with pytest.raises(DbtCloudApiError) as caught:
        transport.request("GET", PATH)
    assert type(caught.value) is kind
    assert (caught.value.method, caught.value.path, caught.value.status) == ("GET", PATH, status)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (envelope(400, "The request was invalid."), "The request was invalid."),
        (
            envelope(400, "The request was invalid.", {"status__in": "'X' is not valid"}),
            'The request was invalid. {"status__in": "\'X\' is not valid"}',
        ),
        (
            envelope(400, "The request was invalid.", "Additional properties ('x' was unexpected)"),
            "The request was invalid. Additional properties ('x' was unexpected)",
        ),
        (b'{"detail": "Method \\"GET\\" not allowed."}', 'Method "GET" not allowed.'),
        (b"", "the body is not dbt Cloud's JSON (text/plain, 0 bytes)."),
        (b"<html>", "the body is not dbt Cloud's JSON (text/plain, 6 bytes)."),
        (b"[1]", "the body is not dbt Cloud's JSON (text/plain, 3 bytes)."),
        (b'{"error": 1}', "the body is not dbt Cloud's JSON (text/plain, 12 bytes)."),
        (b"[" * 100_000, "the body is not dbt Cloud's JSON (text/plain, 100000 bytes)."),
        (b'{"status": {"user_message": null}, "data": null}', "no explanation."),
        (b'{"status": 5, "data": null}', "no explanation."),
    ],
)
@responses.activate
def test_messages(transport, body, message):
    """An error tells dbt Cloud's words and what exactly was wrong, or what it got instead of words."""
    responses.get(URL, status=400, body=body)
    with pytest.raises(DbtCloudInvalidRequest) as caught:
        transport.request("GET", PATH)
    assert caught.value.message == message


@responses.activate
def test_a_long_message_is_cut(transport):
    """A page of words does not become the log."""
    responses.get(URL, status=400, body=envelope(400, "x" * 10**6, {"y": "y" * 10**6}))
    with pytest.raises(DbtCloudInvalidRequest) as caught:
        transport.request("GET", PATH)
    assert 500 < len(caught.value.message) < 1100


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"<html>Sign in</html>",
            b"null",
            b"[]",
            b"5",
            b'"data"',
            b"{}",
            b'{"id": 1}',
            b"\xff\xfe",
            b"{",
        ),
        *(b"[" * 100_000, b'{"data": ' + b"9" * 5000 + b"}"),
    ],
    ids=lambda body: repr(body)[:20],
)
@responses.activate
def test_a_200_that_is_not_dbt_clouds(transport, body):
    """A page with status 200 that has no envelope is no news of anything."""
    responses.get(URL, body=body, content_type="text/html; charset=utf-8")
    with pytest.raises(DbtCloudServerError, match=r"not dbt Cloud's JSON \(text/html, \d+ bytes\)"):
        transport.request("GET", PATH)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (401, DbtCloudUnauthorized),
        (404, DbtCloudNotFound),
        (429, DbtCloudRateLimited),
        (500, DbtCloudServerError),
        (200, DbtCloudServerError),
        (302, DbtCloudRedirected),
        ("404", DbtCloudServerError),
        (None, DbtCloudServerError),
    ],
)
@responses.activate
def test_an_envelope_that_says_no(transport, code, kind):
    """`is_success: false` within a 200 is the error that its code names."""
    responses.get(URL, body=envelope(code, "No.", {"id": 1}))
    with pytest.raises(DbtCloudApiError) as caught:
        transport.request("GET", PATH)
    assert type(caught.value) is kind


# --- what is sent -----------------------------------------------------------------------------------------


def test_what_is_sent(connect, answer, token):
    """A request carries method, path, query, JSON, token and who we are."""
    transport, server = connect(lambda *_: answer(body=json.dumps(GOOD).encode()))
    transport.request("POST", "/api/v2/x/", params={"pk__in": "[1, 2]"}, body={"cause": "why"})
    (sent,) = server.requests
    assert (sent.method, sent.target) == ("POST", "/api/v2/x/?pk__in=%5B1%2C+2%5D")
    assert json.loads(sent.body) == {"cause": "why"}
    assert sent.headers["authorization"] == f"Token {token}"
    assert sent.headers["user-agent"] == f"airflow-dbt-cloud/{__version__}"
    assert sent.headers["content-type"] == "application/json"


def test_a_post_without_a_body(connect, answer):
    """A POST without a body has a length, 0."""
    transport, server = connect(lambda *_: answer(body=json.dumps(GOOD).encode()))
    transport.request("POST", PATH)
    assert server.requests[0].headers["content-length"] == "0"


def test_kept_alive(connect, answer):
    """Many requests take one connection, also after answers that we dislike, without a body or compressed."""
    packed = answer(body=gzip.compress(json.dumps(GOOD).encode()), content_encoding="gzip")
    chunked = answer(
        body=b'5\r\n{"dat\r\n6\r\na": 1}\r\n0\r\n\r\n', transfer_encoding="chunked", content_length=None
    )
    scenes = iter([packed, answer(404, envelope(404, "No.")), answer(500), chunked, packed])
    transport, server = connect(lambda *_: next(scenes))
    assert transport.request("GET", PATH) == GOOD
    with pytest.raises(DbtCloudNotFound):
        transport.request("GET", PATH)
    with pytest.raises(DbtCloudServerError):
        transport.request("GET", PATH)
    assert transport.request("GET", PATH) == {"data": 1}
    with transport.stream(PATH) as pieces:
        assert json.loads(b"".join(pieces)) == GOOD
    assert (len(server.requests), server.connections) == (5, 1)


def test_one_session_for_each_thread(connect, answer):
    """Threads share a transport, and no connection."""
    transport, server = connect(lambda *_: answer(body=json.dumps(GOOD).encode()))
    transport.request("GET", PATH)
    thread = threading.Thread(target=transport.request, args=("GET", PATH))
    thread.start()
    thread.join()
    transport.request("GET", PATH)
    assert (len(server.requests), server.connections) == (3, 2)


def test_netrc_does_not_replace_the_token(connect, answer, token, tmp_path):
    """A login for the host in `.netrc` is not sent instead of ours, nor to the storage."""
    (tmp_path / "netrc").write_text("machine localhost login me password hunter2\n", encoding="utf-8")
    scenes = iter(
        [answer(body=json.dumps(GOOD).encode()), answer(302, location="/stored"), answer(body=b"x")]
    )
    transport, server = connect(lambda *_: next(scenes))
    transport.request("GET", PATH)
    with transport.stream(PATH) as pieces:
        assert b"".join(pieces) == b"x"
    assert [request.headers.get("authorization") for request in server.requests] == [
        *(f"Token {token}", f"Token {token}", None)
    ]


def test_cookies_are_refused(connect, answer):
    """A cookie is not sent back, neither to dbt Cloud nor to the storage."""
    cookie = {"set_cookie": "session=1; Path=/"}
    good = answer(body=json.dumps(GOOD).encode(), **cookie)
    scenes = iter([good, good, answer(302, location="/stored", **cookie), answer(body=b"x")])
    transport, server = connect(lambda *_: next(scenes))
    transport.request("GET", PATH)
    transport.request("GET", PATH)
    with transport.stream(PATH) as pieces:
        list(pieces)
    assert len(server.requests) == 4
    assert not any("cookie" in request.headers for request in server.requests)


# --- no answer --------------------------------------------------------------------------------------------


def unreachable(transport, method="POST"):
    """Send a request that gets no answer, and return the error."""
    with pytest.raises(DbtCloudUnreachable) as caught:
        transport.request(method, PATH, body={"cause": "why"} if method == "POST" else None)
    assert (caught.value.method, caught.value.path) == (method, PATH)
    assert_hides(caught.value, transport._credentials.token)
    return caught.value


def test_no_such_host(make_credentials, monkeypatch):
    """A name that does not resolve: the request did not arrive."""

    def fail(*_args, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    error = unreachable(Transport(make_credentials()))
    assert not error.may_have_arrived
    assert "Name or service not known" in error.reason


def closed_port():
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_refused(make_credentials):
    """A refused connection: the request did not arrive."""
    error = unreachable(Transport(make_credentials(f"http://localhost:{closed_port()}")))
    assert not error.may_have_arrived
    assert "refused" in error.reason


def test_connect_timeout(make_credentials):
    """A connection that nobody accepts: the request did not arrive."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        error = unreachable(Transport(make_credentials(url, timeout_seconds=0.1)))
    assert not error.may_have_arrived
    assert "timed out" in error.reason


def test_untrusted_certificate(connect, answer, tls):
    """A certificate that we do not trust: the request, and with it the token, did not arrive."""
    transport, server = connect(lambda *_: answer(), tls=tls)
    error = unreachable(transport)
    assert not error.may_have_arrived
    assert "CERTIFICATE_VERIFY_FAILED" in error.reason
    assert server.requests == []


def test_certificate_of_another_host(serve, make_credentials, answer, tls, ca_bundle):
    """A certificate of another name: the request did not arrive."""
    server = serve(lambda *_: answer(), tls=tls)
    url = f"https://127.0.0.1:{server.port}"
    assert not unreachable(Transport(make_credentials(url, ca_bundle=ca_bundle))).may_have_arrived


def test_trusted_certificate(connect, answer, tls, ca_bundle):
    """The connection's file of certificates is trusted."""
    good = answer(body=json.dumps(GOOD).encode())
    transport, server = connect(lambda *_: good, tls=tls, ca_bundle=ca_bundle)
    assert transport.request("GET", PATH) == transport.request("GET", PATH) == GOOD
    assert server.connections == 1


def test_the_environments_certificates_do_not_beat_ours(
    connect, answer, tls, ca_bundle, monkeypatch, tmp_path
):
    """`REQUESTS_CA_BUNDLE` is for connections without certificates of their own."""
    import trustme

    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    good = answer(body=json.dumps(GOOD).encode())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    assert connect(lambda *_: good, tls=tls, ca_bundle=ca_bundle)[0].request("GET", PATH) == GOOD
    assert not unreachable(connect(lambda *_: good, tls=tls)[0]).may_have_arrived
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca_bundle)
    assert connect(lambda *_: good, tls=tls)[0].request("GET", PATH) == GOOD


@pytest.mark.parametrize("url", ["http://a..b", f"http://{'x' * 64}.com", "http://localhost:99999"])
def test_impossible_hosts(make_credentials, url):
    """A host that cannot exist: the request did not arrive."""
    assert not unreachable(Transport(make_credentials(url))).may_have_arrived


def test_reset_after_the_request(connect, reset_connection):
    """A reset when the request was sent: it may have arrived."""
    transport, server = connect(lambda _, connection: reset_connection(connection))
    assert unreachable(transport).may_have_arrived
    assert len(server.requests) == 1


def test_closed_after_the_request(connect):
    """A connection that is closed without an answer: the request may have arrived."""
    transport, server = connect(lambda *_: None)
    assert unreachable(transport).may_have_arrived
    assert len(server.requests) == 1


def test_read_timeout(connect):
    """A server that says nothing: the request may have arrived."""
    done = threading.Event()
    transport, server = connect(lambda *_: done.wait(60) and None, timeout_seconds=0.1)
    error = unreachable(transport)
    done.set()
    assert error.may_have_arrived
    assert len(server.requests) == 1


def test_not_http(connect, token):
    """A server that speaks something else may have taken the request; what it said is cut."""
    transport, _ = connect(lambda *_: f"SSH-2.0 {token} {'x' * 5000}\r\n".encode())
    error = unreachable(transport)
    assert error.may_have_arrived
    assert len(error.reason) < 1000


def test_a_status_of_slashes(connect):
    """The longest line that a server may say instead of a status takes no time to be made safe to show."""
    transport, _ = connect(lambda *_: b"/" * 60_000 + b"\r\n\r\n")
    began = time.process_time()
    assert len(unreachable(transport).reason) < 1000
    assert time.process_time() - began < 5


def test_what_a_terminal_would_obey(connect, answer):
    """An error is one line of letters, whatever bytes the other side made its words of."""
    odd = "\x1b]0;title\x07\x1b[31mred\r\nINFO all is well\u202e \ud800 end"
    answers = iter([answer(400, envelope(400, odd, odd)), b"HTTP/1.1 \x1b[31m\x9b\r\r\n\r\n"])
    transport, _ = connect(lambda *_: next(answers))
    with pytest.raises(DbtCloudInvalidRequest) as caught:
        transport.request("GET", PATH)
    assert caught.value.message == "red INFO all is well ? end red INFO all is well ? end"
    assert unreachable(transport, "GET").reason.isprintable()


TRUNCATED = [
    {"body": b'{"data": 1}', "content_length": "500", "connection": "close"},
    {
        "body": b'b\r\n{"data": 1}\r\n',
        "content_length": None,
        "transfer_encoding": "chunked",
        "connection": "close",
    },
    {"body": b'ff\r\n{"data"', "content_length": None, "transfer_encoding": "chunked", "connection": "close"},
    {"body": b"zz\r\n{}", "content_length": None, "transfer_encoding": "chunked", "connection": "close"},
    {
        "body": gzip.compress(b'{"data": 1}')[:-4],
        "content_length": "31",
        "content_encoding": "gzip",
        "connection": "close",
    },
    {"body": b"no gzip", "content_encoding": "gzip", "connection": "close"},
]


@pytest.mark.parametrize("headers", TRUNCATED)
def test_truncated_bodies(connect, answer, headers):
    """A body that is not whole is no answer: the request may have arrived."""
    transport, _ = connect(lambda *_: answer(**headers))
    assert unreachable(transport).may_have_arrived


@pytest.mark.parametrize("headers", TRUNCATED)
def test_truncated_artifacts(connect, answer, headers):
    """An artifact that is not whole does not end as if it were."""
    transport, _ = connect(lambda *_: answer(**headers))
    with pytest.raises(DbtCloudUnreachable) as caught, transport.stream(PATH) as pieces:
        list(pieces)
    assert_hides(caught.value, transport._credentials.token)


def endless(head):
    """Make an answer whose body never ends."""

    def trickle(_request, connection):
        connection.sendall(head)
        with suppress(OSError):
            while True:
                connection.sendall(b" ")

    return trickle


@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_trickling_bodies_end(connect, answer, status):
    """A body that trickles for ever is given up when 60 s have passed, also that of a bad answer."""
    head = answer(status, content_length=None, location="https://elsewhere.example/")
    ticks = itertools.count(step=10)
    transport, _ = connect(endless(head), clock=lambda: next(ticks))
    error = unreachable(transport)
    assert error.may_have_arrived
    assert "60 s" in error.reason
    assert next(ticks) <= 90


def test_a_slow_body_may_take_its_time(connect, answer):
    """A body that is whole within 60 s is an answer, however many pieces it came in."""
    transport, _ = connect(
        lambda *_: answer(body=json.dumps(GOOD).encode()), clock=iter([0, 60, 61]).__next__
    )
    assert transport.request("GET", PATH) == GOOD


def too_long(transport):
    """Send a request whose answer is given up for its length, and return the error."""
    error = unreachable(transport)
    assert isinstance(error, DbtCloudAnswerTooLong)
    return error


@pytest.mark.parametrize("status", [200, 302, 500])
def test_huge_bodies_end(connect, answer, status):
    """A body of more than 32 MiB is given up."""
    head = answer(status, content_length=str(2**40), location="https://elsewhere.example/")

    def flood(_request, connection):
        connection.sendall(head)
        with suppress(OSError):
            while True:
                connection.sendall(b" " * 2**20)

    transport, _ = connect(flood, clock=lambda: 0.0)
    assert str(MAX_JSON_BYTES) in too_long(transport).reason


def test_a_body_that_unpacks_to_too_much_ends(connect, answer):
    """A small body that unpacks to more than 32 MiB is given up, too."""
    bomb = answer(body=gzip.compress(b" " * (MAX_JSON_BYTES + 1)), content_encoding="gzip")
    transport, _ = connect(lambda *_: bomb, clock=lambda: 0.0)
    assert str(MAX_JSON_BYTES) in too_long(transport).reason


def test_whoever_has_little_room_reads_less(serve, make_credentials, answer):
    """How long an answer may be is up to whoever asks; a long one is told apart from one that is cut off."""
    body = json.dumps(GOOD).encode()
    server = serve(lambda *_: answer(body=body))
    credentials = make_credentials(server.url)
    assert Transport(credentials, longest=len(body)).request("GET", PATH) == GOOD
    assert too_long(Transport(credentials, longest=len(body) - 1)).may_have_arrived
    cut = serve(lambda *_: answer(body=body, content_length=str(2**40), connection="close"))
    assert not isinstance(unreachable(Transport(make_credentials(cut.url))), DbtCloudAnswerTooLong)


def test_a_body_of_the_greatest_length(connect, answer):
    """A body of just 32 MiB is read."""
    body = b'{"data": 1}'
    transport, _ = connect(
        lambda *_: answer(body=body + b" " * (MAX_JSON_BYTES - len(body))), clock=lambda: 0.0
    )
    assert transport.request("GET", PATH) == {"data": 1}


def test_an_answer_is_not_waited_for_longer_than_the_total(make_credentials):
    """A connection's great patience is for artifacts: no other read waits longer than a call may last."""
    transport = Transport(make_credentials(timeout_seconds=3600))
    seen = []

    def look(request):
        seen.append(request.req_kwargs["timeout"])
        return (200, {}, json.dumps(GOOD))

    with responses.RequestsMock() as mocked:
        mocked.add_callback("GET", URL, look)
        transport.request("GET", PATH)
        with transport.stream(PATH) as pieces:
            list(pieces)
    assert seen == [(10.0, 60.0), (10.0, 3600)]


# --- proxies ----------------------------------------------------------------------------------------------


def test_the_connections_proxy(serve, make_credentials, forward_proxy, answer, tls, ca_bundle, token):
    """A proxy of the connection carries the request to a host that we cannot resolve ourselves."""
    server = serve(lambda *_: answer(body=json.dumps(GOOD).encode()), tls=tls)
    proxy = forward_proxy(server)
    proxies = {"https": f"http://me:hunter2@localhost:{proxy.port}"}
    transport = Transport(make_credentials(proxies=proxies, ca_bundle=ca_bundle))
    assert transport.request("GET", PATH) == GOOD
    assert [(request.method, request.target) for request in proxy.requests] == [
        ("CONNECT", "ab123.us1.dbt.com:443")
    ]
    assert "proxy-authorization" in proxy.requests[0].headers
    assert token not in repr(proxy.requests)
    assert server.requests[0].headers["authorization"] == f"Token {token}"


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_the_environments_proxy(
    serve, make_credentials, forward_proxy, answer, tls, ca_bundle, monkeypatch, name
):
    """A proxy of the environment is used."""
    server = serve(lambda *_: answer(body=json.dumps(GOOD).encode()), tls=tls)
    proxy = forward_proxy(server)
    monkeypatch.setenv(name, proxy.url)
    assert Transport(make_credentials(ca_bundle=ca_bundle)).request("GET", PATH) == GOOD
    assert len(proxy.requests) == 1


def test_plain_http_through_a_proxy(connect, make_credentials, forward_proxy, answer):
    """Plain http goes through a proxy as a whole URL."""
    _, server = connect(lambda *_: answer(body=json.dumps(GOOD).encode(), connection="close"))
    proxy = forward_proxy(server)
    transport = Transport(make_credentials("http://localhost:9", proxies={"http": proxy.url}))
    assert transport.request("GET", PATH) == GOOD
    assert proxy.requests[0].target == f"http://localhost:9{PATH}"


def test_proxy_is_down(make_credentials):
    """A proxy that is not there: the request did not arrive."""
    proxies = {"https": f"http://me:hunter2@localhost:{closed_port()}"}
    error = unreachable(Transport(make_credentials(proxies=proxies)))
    assert not error.may_have_arrived
    assert_hides(error, "hunter2")


@pytest.mark.parametrize("status", [403, 407, 502])
def test_proxy_refuses(serve, make_credentials, answer, status):
    """A proxy that opens no tunnel: the request did not arrive."""
    proxy = serve(lambda *_: answer(status))
    error = unreachable(Transport(make_credentials(proxies={"https": proxy.url})))
    assert not error.may_have_arrived
    assert str(status) in error.reason


@pytest.mark.parametrize(
    "proxy", ["http://me:hunter2@[proxy", "http://me:hun/ter2@proxy", "socks5://me:hunter2@proxy"]
)
def test_a_proxy_that_makes_no_sense(make_credentials, monkeypatch, proxy):
    """A proxy of the environment that cannot be used: the request did not arrive, no password is shown."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    error = unreachable(Transport(make_credentials()))
    assert not error.may_have_arrived
    assert_hides(error, "hunter2", "ter2")


def test_reset_after_the_request_through_a_tunnel(
    serve, make_credentials, forward_proxy, tls, ca_bundle, reset_connection
):
    """A reset behind a proxy, when the request was sent: it may have arrived, so a start is not repeated."""
    server = serve(lambda _, connection: reset_connection(connection), tls=tls)
    proxies = {"https": forward_proxy(server).url}
    error = unreachable(Transport(make_credentials(proxies=proxies, ca_bundle=ca_bundle)))
    assert len(server.requests) == 1
    assert error.may_have_arrived


def test_closed_after_the_request_through_a_proxy(serve, make_credentials):
    """A proxy that closes the connection when it has the request: it may have been passed on."""
    proxy = serve(lambda *_: None)
    error = unreachable(Transport(make_credentials("http://localhost:9", proxies={"http": proxy.url})))
    assert len(proxy.requests) == 1
    assert error.may_have_arrived


# --- redirects --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(connect, answer, method, status):
    """A redirect is an error that names the other host, and of its URL nothing else."""
    location = "https://me:hunter2@eu1.dbt.com/login?k3y=1#hunter2"
    transport, server = connect(lambda *_: answer(status, location=location))
    with pytest.raises(DbtCloudRedirected, match=r"it sends us to https://eu1.dbt.com\. Set the") as caught:
        transport.request(method, PATH)
    assert len(server.requests) == 1
    assert_hides(caught.value, "hunter2", "k3y")


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/login?k3y=1", "it sends us to another page of the same host."),
        ("", "it does not say where it sends us."),
        ("http://[k3y", "it does not say where it sends us."),
        ("http://eu1.dbt.com:8443/k3y", "it sends us to http://eu1.dbt.com:8443."),
        ("//eu1.dbt.com/k3y", "it sends us to eu1.dbt.com."),
        ("https://\xff\xfe.dbt.com/k3y", "it sends us to https://\xff\xfe.dbt.com."),
        ("mailto:k3y@dbt.com", "it does not say where it sends us."),
    ],
)
def test_odd_redirects(serve, make_credentials, location, words):
    """A redirect to nowhere in particular is still the redirect that it is."""
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode("latin-1")
    transport = Transport(make_credentials(serve(lambda *_: head).url))
    with pytest.raises(DbtCloudRedirected) as caught:
        transport.request("GET", PATH)
    assert caught.value.message == words
    assert_hides(caught.value, "k3y")


def test_an_artifacts_redirect_is_followed_once(connect, serve, answer):
    """An artifact may be in a storage, which gets its signed URL and nothing of ours."""
    storage = serve(lambda *_: answer(body=b"\x00\xffparquet"))
    location = f"http://127.0.0.1:{storage.port}/bucket/a.parquet?signature=s1gned"
    transport, server = connect(lambda *_: answer(302, location=location))
    with transport.stream(PATH, params={"step": "4"}) as pieces:
        assert b"".join(pieces) == b"\x00\xffparquet"
    assert server.requests[0].target == f"{PATH}?step=4"
    (request,) = storage.requests
    assert request.target == "/bucket/a.parquet?signature=s1gned"
    assert "authorization" not in request.headers
    assert "cookie" not in request.headers
    assert transport._credentials.token not in repr(request)


def test_an_artifacts_redirect_is_not_followed_twice(connect, serve, answer):
    """A storage that redirects, too, is not followed."""
    storage = serve(lambda *_: answer(302, location="https://third.example/?s1gned"))
    transport, _ = connect(lambda *_: answer(302, location=f"{storage.url}/?s1gned"))
    with pytest.raises(DbtCloudRedirected, match=r"third.example") as caught, transport.stream(PATH):
        pass
    assert len(storage.requests) == 1
    assert_hides(caught.value, "s1gned")


@pytest.mark.parametrize("scheme", ["http", "HTTP", "ftp", "file"])
def test_no_artifact_comes_in_clear_text(connect, serve, answer, tls, ca_bundle, scheme):
    """From https nothing leads to plain http, or to what is no http at all."""
    storage = serve(lambda *_: answer(body=b"x"))
    location = f"{scheme}://localhost:{storage.port}/?s1gned"
    transport, _ = connect(lambda *_: answer(302, location=location), tls=tls, ca_bundle=ca_bundle)
    with pytest.raises(DbtCloudRedirected) as caught, transport.stream(PATH):
        pass
    assert storage.requests == []
    assert_hides(caught.value, "s1gned")


@pytest.mark.parametrize(
    "location", ["file:///etc/s1gned", "ftp://localhost/s1gned", "http:///s1gned", "http://[s1gned"]
)
def test_an_artifact_at_no_place(connect, answer, location):
    """A redirect that leads to no web server is refused, and its URL is not told."""
    transport, _ = connect(lambda *_: answer(302, location=location))
    with pytest.raises(DbtCloudRedirected) as caught, transport.stream(PATH):
        pass
    assert_hides(caught.value, "s1gned")


def test_a_storage_that_is_down(connect, answer):
    """A storage that cannot be reached is no answer, and its signed URL is not told."""
    location = f"http://localhost:{closed_port()}/?signature=s1gned"
    transport, _ = connect(lambda *_: answer(302, location=location))
    with pytest.raises(DbtCloudUnreachable, match="refused") as caught, transport.stream(PATH):
        pass
    assert_hides(caught.value, "s1gned", transport._credentials.token)


@pytest.mark.parametrize(
    ("status", "kind"), [(300, DbtCloudRedirected), (302, DbtCloudRedirected), *STATUSES[1:]]
)
def test_an_artifact_that_is_none(connect, answer, status, kind):
    """Only a good answer is an artifact: no byte of another one is."""
    transport, _ = connect(lambda *_: answer(status, envelope(status, "No.")))
    with pytest.raises(DbtCloudApiError) as caught, transport.stream(PATH):
        pass
    assert type(caught.value) is kind


def test_an_artifact_comes_in_pieces(connect, answer):
    """An artifact is not held in memory as a whole: its first bytes are there before its last are sent."""
    go_on = threading.Event()

    def slowly(_request, connection):
        connection.sendall(answer(body=b"first", content_length="9"))
        assert go_on.wait(60)
        connection.sendall(b"last")

    transport, _ = connect(slowly)
    with transport.stream(PATH) as pieces:
        assert next(pieces)[:1] == b"f"
        go_on.set()
        assert b"".join(pieces).endswith(b"last")


# --- the token --------------------------------------------------------------------------------------------


def echoes(token):
    """All the ways in which an answer may say our token."""
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in token)
    yield 401, envelope(401, f"Invalid token: Token {token}"), {}
    yield 400, envelope(400, "Wrong.", {"authorization": [f"Token {token}"]}), {}
    yield 400, envelope(400, "ESCAPED").replace(b"ESCAPED", escaped.encode()), {}
    yield 400, json.dumps({"detail": token}).encode("utf-16"), {}
    yield 200, envelope(500, token), {}
    yield 500, f"<html>{token}</html>".encode(), {}
    yield 500, b"", {"content-type": f"text/{token}"}
    yield 302, b"", {"location": f"https://{token}@elsewhere.example/{token}"}
    yield 302, b"", {"location": f"https://{token}.example/"}
    yield 429, envelope(429, token), {"retry-after": token}


@pytest.mark.parametrize("number", range(10))
def test_an_echoed_token_is_blanked(transport, token, number):
    """A server that repeats our token in its answer does not get it into our errors."""
    status, body, headers = [*echoes(token)][number]
    with responses.RequestsMock() as mocked:
        mocked.add("GET", URL, status=status, body=body, headers=headers)
        with pytest.raises(DbtCloudError) as caught:
            transport.request("GET", PATH)
    assert_hides(caught.value, token, token.lower())


def test_an_echoed_token_is_blanked_in_a_good_answer(transport, token):
    """A run that quotes our token, in its message or its log, does not carry it into Airflow."""
    with responses.RequestsMock() as mocked:
        mocked.add("GET", URL, json={"data": {"status_message": f"Token {token}"}})
        assert transport.request("GET", PATH) == {"data": {"status_message": "Token ***"}}


def test_a_token_that_json_escapes(make_credentials):
    """A token with quotes and backslashes is blanked as JSON writes it, too."""
    token = 'dbtc_"\\\\/+=%&'
    transport = Transport(replace(make_credentials(), token=token))
    with responses.RequestsMock() as mocked:
        mocked.add("GET", URL, json={"data": {"status_message": token, "cause": f"<{token}>"}})
        assert transport.request("GET", PATH) == {"data": {"status_message": "***", "cause": "<***>"}}


def test_the_logs_have_no_token(connect, answer, token, caplog):
    """The token is in no log record, whoever writes it, at any level; nor is it in a repr."""
    caplog.set_level(logging.DEBUG)
    transport, server = connect(lambda *_: answer(body=json.dumps(GOOD).encode()))
    transport.request("GET", PATH)
    assert "GET" in caplog.text
    assert token not in caplog.text
    assert token not in server.requests[0].target
    reprs = [transport, *vars(transport).values(), transport._session(), transport._session().headers]
    assert not [item for item in map(repr, reprs) if token in item]
