"""
One request to dbt Cloud: the only module that knows `requests`.

A request ends in one of three ways: the JSON of dbt Cloud's envelope (or the bytes of an artifact), a
`DbtCloudApiError` (an answer that we dislike; `answers` says which), or `DbtCloudUnreachable` (no answer).
Nothing is repeated here.

What `requests` would do by itself is switched off: `.netrc` does not replace our token (explicit `auth`),
cookies are refused, redirects are not followed, `REQUESTS_CA_BUNDLE` does not beat the connection's
`ca_bundle` (`verify` goes with each request). The token is in no message: it is blanked out of whatever the
other side sent back.
"""

from __future__ import annotations

import ssl
import threading
import time
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.auth import AuthBase

from airflow_dbt_cloud import __version__
from airflow_dbt_cloud.answers import MAX_WORDS, error_of, judge
from airflow_dbt_cloud.errors import DbtCloudAnswerTooLong, DbtCloudUnreachable
from airflow_dbt_cloud.fields import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_dbt_cloud.credentials import Credentials

__all__ = ["Transport"]

CONNECT_TIMEOUT = 10.0
# `requests` bounds each read, not their sum: a body that trickles would last for ever.
TOTAL_TIMEOUT = 60.0
MAX_JSON_BYTES = 32 * 2**20
PIECE_BYTES = 2**16


# What can only happen before the request is sent: the name, the socket, the server's certificate. Other TLS
# errors may also come when it is on its way, and count as such; so does urllib3's `ProxyError`, which is also
# what it makes of a reset after the request.
CONNECTING = (
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.LocationValueError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    ssl.SSLCertVerificationError,
)
# What a handshake with a server of plain http ends in.
NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}
# What `http.client` says, with a plain `OSError`, if a proxy opens no tunnel.
NO_TUNNEL = "Tunnel connection failed"


class Transport:
    """
    Sends requests to one account's host, over one kept-alive session for each thread.

    :param credentials: where to send to, and the token.
    :param clock: seconds that only grow, for the bound on a whole call.
    :param longest: how many bytes of JSON are read of one answer.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        clock: Callable[[], float] = time.monotonic,
        longest: int = MAX_JSON_BYTES,
    ) -> None:
        self._credentials = credentials
        self._auth = _Token(credentials.token)
        self._clock = clock
        self._longest = longest
        self._sessions = threading.local()

    def __repr__(self) -> str:
        return f"<Transport to {self._credentials.base_url}>"

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """
        Send a request and return the envelope of the answer: `{"status": …, "data": …, "extra": …}`.

        A body that is not complete after 60 s, or longer than `longest` (32 MiB by default), is given up; the
        last read may last as long as `timeout_seconds` allows.

        :raises DbtCloudApiError: an answer that we dislike.
        :raises DbtCloudAnswerTooLong: an answer that is given up for its length.
        :raises DbtCloudUnreachable: no answer, or none that is whole.
        """
        deadline = self._clock() + TOTAL_TIMEOUT
        patience = min(TOTAL_TIMEOUT, self._credentials.timeout_seconds)
        with self._answer(method, path, params=params, body=body, patience=patience) as response:
            content = self._read(response, method, path, deadline)
            # Blanked twice, because JSON knows many ways to write the same letters.
            blanked = self._credentials.blank(content)
            headers, secret = response.headers, self._credentials.token
            return judge(method, path, response.status_code, headers, blanked, secret=secret)

    @contextmanager
    def stream(self, path: str, *, params: Mapping[str, str] | None = None) -> Iterator[Iterator[bytes]]:
        """
        Yield the bytes of an answer in pieces, as they arrive.

        The answer may be one redirect, to a storage's signed URL: it is followed without our token.

        :raises DbtCloudApiError: an answer that we dislike.
        :raises DbtCloudUnreachable: no answer, also in the midst of the bytes.
        """
        with self._answer("GET", path, params=params) as response:
            if storage := self._storage(response):
                with self._answer("GET", path, url=storage, auth=_Nobody()) as stored:
                    yield self._pieces_of(stored, path)
            else:
                yield self._pieces_of(response, path)

    def _storage(self, response: requests.Response) -> str:
        """Return where an answer leads to; nothing if it leads nowhere, or to where we do not go."""
        if not response.is_redirect:
            return ""
        schemes = {"https"} if self._credentials.base_url.startswith("https:") else {"http", "https"}
        try:
            url = urljoin(response.url, response.headers["location"])
            place = urlsplit(url)
            is_place = place.scheme in schemes and place.hostname and place.port != 0
        except ValueError:
            return ""
        return url if is_place else ""

    def _pieces_of(self, response: requests.Response, path: str) -> Iterator[bytes]:
        if 200 <= response.status_code < 300:
            return self._pieces(response, "GET", path)
        content = self._credentials.blank(self._read(response, "GET", path, self._clock() + TOTAL_TIMEOUT))
        status, secret = response.status_code, self._credentials.token
        raise error_of("GET", path, status, response.headers, content, secret=secret)

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        *,
        url: str = "",
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        auth: AuthBase | None = None,
        patience: float | None = None,
    ) -> Iterator[requests.Response]:
        patience = patience or self._credentials.timeout_seconds
        try:
            response = self._session().request(
                method,
                url or self._credentials.base_url + path,
                params=params,
                json=body,
                auth=auth or self._auth,
                timeout=(min(CONNECT_TIMEOUT, patience), patience),
                proxies=dict(self._credentials.proxies),
                verify=self._credentials.ca_bundle or True,
                allow_redirects=False,
                stream=True,
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = self._unreachable(method, path, error)
        else:
            with response:
                yield response
            return
        # Out here, because the exception of `requests` holds the request, and that our token: it must not be
        # the context of ours.
        raise failure

    def _read(self, response: requests.Response, method: str, path: str, deadline: float) -> bytes:
        content = bytearray()
        for piece in self._pieces(response, method, path):
            content += piece
            if len(content) > self._longest:
                reason = f"the answer is longer than {self._longest} bytes"
                raise DbtCloudAnswerTooLong(method, path, reason, may_have_arrived=True)
            if self._clock() > deadline:
                reason = f"the answer was not complete after {TOTAL_TIMEOUT:.0f} s"
                raise DbtCloudUnreachable(method, path, reason, may_have_arrived=True)
        return bytes(content)

    def _pieces(self, response: requests.Response, method: str, path: str) -> Iterator[bytes]:
        while True:
            try:
                # read1 returns what one read of the socket brought; read would wait for a piece to be full.
                piece = response.raw.read1(PIECE_BYTES, decode_content=True)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                failure = self._unreachable(method, path, error)
                break
            if not piece:
                return
            yield piece
        raise failure

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._sessions, "session", None)
        if session is None:
            session = self._sessions.session = _Session()
            session.headers["User-Agent"] = f"airflow-dbt-cloud/{__version__}"
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return session

    def _unreachable(self, method: str, path: str, error: Exception) -> DbtCloudUnreachable:
        *_, root = layers = list(_layers(error))
        # A proxy's URL, which may hold a password, is quoted if it cannot be understood.
        words = plain(f"{type(root).__name__}: {root}").split()
        text = " ".join(map(_without_user, words)).replace(self._credentials.token, "***")[:MAX_WORDS]
        has_no_tunnel = type(root) is OSError and str(root).startswith(NO_TUNNEL)
        has_no_tls = isinstance(root, ssl.SSLError) and root.reason in NO_TLS
        if has_no_tls:
            place = self._credentials.base_url
            text += f". {place} does not speak TLS; if plain http is meant, write http:// before the host"
        is_connecting = has_no_tunnel or has_no_tls or any(isinstance(layer, CONNECTING) for layer in layers)
        return DbtCloudUnreachable(method, path, text, may_have_arrived=not is_connecting)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """
        See no redirect.

        Where it sees one, `requests` reads the body of the answer whatever its length, also if redirects are
        not followed, and breaks on a place that is no URL.
        """


class _Token(AuthBase):
    def __init__(self, token: str) -> None:
        self._header = f"Token {token}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request


class _Nobody(AuthBase):
    """No authorization at all, not even what `.netrc` has for the host."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _without_user(word: str) -> str:
    # No regular expression: on 64 kB of slashes, which a server may send as its status, one takes 16 s.
    scheme, slashes, rest = word.partition("//")
    _, at, place = rest.rpartition("@")
    return f"{scheme}{slashes}***@{place}" if at else word


def _layers(error: BaseException) -> Iterator[BaseException]:
    """Unpack the exceptions that `requests` and urllib3 wrap around each other, outermost first."""
    inner: BaseException | None = error
    while inner is not None:
        yield inner
        wrapped = (getattr(inner, "reason", None), *inner.args)
        inner = next((item for item in wrapped if isinstance(item, BaseException)), None)
