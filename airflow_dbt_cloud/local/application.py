"""The ASGI application: token, account, method, then the handler in a thread; and the faults on the way.

Nothing but waiting happens on the event loop. Handlers read files and the state, so they run in Starlette's
threads.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import sqlite3
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_dbt_cloud.local.api import api_routes
from airflow_dbt_cloud.local.envelope import ApiError, InvalidToken, MethodNotAllowed, NotFound, WrongAccount
from airflow_dbt_cloud.local.faults import Fault, FaultError, fault_from_json
from airflow_dbt_cloud.local.hosts import asked_host, is_loopback
from airflow_dbt_cloud.local.json_text import read_json
from airflow_dbt_cloud.local.pages import not_found, page_routes
from airflow_dbt_cloud.local.routes import Call, Match, Routes

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from airflow_dbt_cloud.local.cloud import Cloud

DEFAULT_TOKEN = "dbtc_local_token"  # noqa: S105 - it is no secret: it opens a server on this machine only
UNKNOWN_PATH = "unknown path"
LARGEST_BODY = 2**20
_LOOPBACK = ("127.", "::1", "::ffff:127.")
_SERVER_ERROR = 500
_WITHOUT_BODY = (204, 304)


class DroppableProtocol(H11Protocol):
    """HTTP that lets the application drop the connection without a byte."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Hand the connection to the application."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)

    def shutdown(self) -> None:
        """Close at once when idle: over TLS, closing politely waits for the client's goodbye."""
        super().shutdown()
        if self.transport.is_closing():
            self.transport.abort()


class Application:
    """Answers requests for one `Cloud`. Tokens are given with the names that audits show.

    :param host: the host that the server was told to listen on; a page is shown under this name as well.
    """

    def __init__(self, cloud: Cloud, tokens: dict[str, str], host: str = "localhost") -> None:
        self._cloud, self._tokens, self._host = cloud, tokens, host.lower()
        self._api, self._pages, self._local = api_routes(), page_routes(), _local_routes(self)
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        path = request.url.path
        answer = self._answer_api if path.startswith("/api/") else self._answer_local
        response = self._refusal(request) or await answer(request, path)
        if response is None:
            await _drop(scope, receive)
        else:
            await response(scope, receive, send)

    def request_counts(self) -> dict[str, int]:
        """Count the requests to the API by method and path template."""
        with self._lock:
            return dict(sorted(self._counts.items()))

    def _refusal(self, request: Request) -> Response | None:
        """Refuse a request that a page of another site may have sent, whose name suddenly means this machine.

        It can send the token that everybody knows; one's own it cannot know.
        """
        asked = asked_host(request.headers.get("host", ""))
        if DEFAULT_TOKEN not in self._tokens or is_loopback(asked) or asked == self._host:
            return None
        detail = (
            f"The default token is not for requests to the host name {asked!r}: use localhost, or start the "
            "server with a token of your own (--token)."
        )
        return JSONResponse({"detail": detail}, 403)

    async def _answer_api(self, request: Request, path: str) -> Response | None:
        match = self._api.find(path)
        with self._lock:
            self._counts[f"{request.method} {match.template if match else UNKNOWN_PATH}"] += 1
        faults = self._cloud.faults.for_request(request.method, path, self._job_id(match, request))
        for fault in faults:
            if fault.kind == "delay":
                await asyncio.sleep(fault.wait)
            elif fault.kind == "refuse":
                return None
            elif fault.kind == "status":
                return _faulty(fault)
        if (body := await _read_body(request)) is None:
            return _too_large()
        response = await run_in_threadpool(self._handle, self._authorized, self._api, match, request, body)
        await asyncio.sleep(sum(fault.wait for fault in faults if fault.kind == "delay_reply"))
        kinds = {fault.kind for fault in faults}
        if "lose_reply" in kinds:
            return None
        return await run_in_threadpool(_truncated, response) if "truncate" in kinds else response

    async def _answer_local(self, request: Request, path: str) -> Response:
        if (body := await _read_body(request)) is None:
            return _too_large()
        if (match := self._local.find(path)) is not None:
            return await run_in_threadpool(
                self._handle, self._authorized_local, self._local, match, request, body
            )
        if request.client is None or not request.client.host.startswith(_LOOPBACK):
            return PlainTextResponse("The pages are for the machine that the local server runs on.", 403)
        asked = asked_host(request.headers.get("host", ""))
        if not is_loopback(asked) and asked != self._host:
            return PlainTextResponse(f"The pages are not for the host name {asked!r}: use localhost.", 403)
        if (match := self._pages.find(path)) is None:
            return not_found()
        response = await run_in_threadpool(self._handle, lambda _: "page", self._pages, match, request, body)
        return not_found() if response.status_code == NotFound.code else response

    def _handle(
        self,
        authorize: Callable[[Request], str],
        routes: Routes,
        match: Match | None,
        request: Request,
        body: bytes,
    ) -> Response:
        try:
            actor = authorize(request)
            if match is None:
                raise NotFound
            if match.ids.get("account_id", self._cloud.folder.account.id) != self._cloud.folder.account.id:
                raise NotFound if routes is self._pages else WrongAccount
            handler = match.handlers.get("GET" if request.method == "HEAD" else request.method)
            if handler is None:
                raise MethodNotAllowed(request.method)
            base_url = str(request.base_url).rstrip("/")
            parameters = request.query_params.multi_items()
            return handler(self._cloud, Call(match.ids, parameters, body, base_url, actor, match.remainder))
        except ApiError as error:
            return error.response()
        except (OSError, sqlite3.Error) as error:
            return JSONResponse(
                {"detail": f"There was a server error: {self._cloud.store.explain(error)}"}, _SERVER_ERROR
            )

    def _authorized(self, request: Request) -> str:
        rotated = self._cloud.faults.rotated_token()
        return _actor(request, self._tokens if rotated is None else {rotated: "rotated"})

    def _authorized_local(self, request: Request) -> str:
        """Whoever rotates the token can undo it."""
        rotated = self._cloud.faults.rotated_token()
        return _actor(request, self._tokens if rotated is None else {**self._tokens, rotated: "rotated"})

    def _job_id(self, match: Match | None, request: Request) -> int | None:
        """Find the job that a request is about, for the faults' selector."""
        if match is not None and "run_id" in match.ids:
            run = self._cloud.store.find_run(match.ids["run_id"])
            return run.job.id if run else None
        text = request.query_params.get("job_definition_id", "")
        asked = int(text) if re.fullmatch(r"\d{1,18}", text) else None
        return match.ids.get("job_id", asked) if match else asked


def _local_routes(application: Application) -> Routes:
    routes = Routes()
    routes.add("GET", "/local/requests/", lambda _, __: JSONResponse(application.request_counts()))
    routes.add("GET", "/local/faults/", lambda cloud, _: JSONResponse(cloud.faults.in_force()))
    routes.add("POST", "/local/faults/", _add_fault)
    routes.add("DELETE", "/local/faults/", _clear_faults)
    return routes


def _add_fault(cloud: Cloud, call: Call) -> Response:
    try:
        fault = fault_from_json(read_json(call.body))
    except FaultError as error:
        return JSONResponse({"detail": str(error)}, 400)
    except ValueError as error:
        return JSONResponse({"detail": f"The body is not JSON: {error}"}, 400)
    return JSONResponse(cloud.faults.add(fault), 201)


def _clear_faults(cloud: Cloud, _: Call) -> Response:
    cloud.faults.clear()
    return Response(status_code=204)


async def _read_body(request: Request) -> bytes | None:
    """Read a body, whoever sends it; give nothing if it is larger than any that is meant."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_BODY:
            return None
    return bytes(body)


def _too_large() -> Response:
    return JSONResponse({"detail": f"The body has more than {LARGEST_BODY} bytes."}, 413)


def _actor(request: Request, tokens: dict[str, str]) -> str:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() in ("token", "bearer"):
        for token, name in tokens.items():
            if hmac.compare_digest(token.encode(), given.strip().encode()):
                return name
    raise InvalidToken


def _faulty(fault: Fault) -> Response:
    headers = {}
    if fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    if fault.location is not None:
        headers["Location"] = fault.location
    if fault.body == "empty" or fault.code in _WITHOUT_BODY:
        return Response(status_code=fault.code, headers=headers)
    if fault.body == "html":
        return HTMLResponse(f"<html><body><h1>{fault.code}</h1></body></html>", fault.code, headers)
    status: dict[str, Any] = {
        "code": fault.code,
        "is_success": False,
        "user_message": "A fault that was asked for.",
        "developer_message": "",
    }
    return JSONResponse({"status": status, "data": None}, fault.code, headers)


def _truncated(response: Response) -> Response:
    content = Path(response.path).read_bytes() if isinstance(response, FileResponse) else bytes(response.body)
    return Response(content[: len(content) // 2], response.status_code, media_type=response.media_type)


async def _drop(scope: Scope, receive: Receive) -> None:
    """Close the connection, and wait until it is closed: else the server would answer 500."""
    scope["state"]["transport"].abort()
    while (await receive())["type"] != "http.disconnect":
        pass
