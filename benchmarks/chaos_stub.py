"""
A dbt Cloud over TLS whose runs all succeed, and that does not always say so.

Runs last 2 to 5 s. A start is always carried out, but its reply may get lost: the connection is reset, or a
gateway answers 502. Any other request may be answered by a 5xx, a 429 (`Retry-After: 1`) or a reset, and has
no effect then. What happens to a request depends on the seed, on what it is about and on how many there were
about it before, and not on the order in which threads come: a task is known by the `task_7` in the run's
cause.

`python benchmarks/chaos_stub.py CERTIFICATE KEY RATES` prints its port. RATES are JSON: `seed`, and from 0 to
1 `lost`, `errors`, `limited` and `resets`. `GET /seen` tells what there was: the runs, the requests, the
faults.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import struct
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

ACCOUNT = "/api/v2/accounts/42/"
SUCCESS, CANCELLED, RUNNING = 10, 30, 3
PAGE = b"<html><h1>Bad gateway</h1></html>"
# Answers that are none of dbt Cloud's; RESET is no answer at all.
ERRORS = [(500, PAGE), (502, PAGE), (503, PAGE)]
RESET = (0, b"")

Answer = tuple[int, bytes]


@dataclass
class Run:
    """A run, which ends well by itself unless it is cancelled."""

    id: int
    job: int
    cause: str
    created: datetime
    finished: datetime
    is_cancelled: bool = False

    @property
    def task(self) -> str:
        """The task that the run was started for."""
        named = re.search(r"task_\d+", self.cause)
        return named.group() if named else ""

    @property
    def status(self) -> int:
        """How the run is, as a number of dbt Cloud's."""
        if self.is_cancelled:
            return CANCELLED
        return SUCCESS if datetime.now(UTC) >= self.finished else RUNNING

    def row(self, related: str = "") -> dict[str, object]:
        """Return the run as dbt Cloud shows it."""
        row = {
            "id": self.id,
            "account_id": 42,
            "project_id": 1,
            "job_definition_id": self.job,
            "status": self.status,
            "status_message": None,
            "href": f"https://127.0.0.1/deploy/42/projects/1/runs/{self.id}/",
            "created_at": str(self.created),
            "finished_at": None if self.status == RUNNING else str(self.finished),
        }
        return {**row, "trigger": {"cause": self.cause}} if "trigger" in related.split(",") else row


class Stub:
    """Keeps the runs, and counts the requests and what became of them."""

    def __init__(self, *, seed: int, lost: float, errors: float, limited: float, resets: float) -> None:
        self.seed = seed
        self.lost = lost
        self.rates = {"errors": errors, "limited": limited, "resets": resets}
        self.runs: dict[int, Run] = {}
        self.asked: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                length = re.search(r"(?i)^content-length: *(\d+)", head, re.MULTILINE)
                body = await reader.readexactly(int(length[1])) if length else b""
                method, target, _ = head.split(" ", 2)
                status, content = self.answer(method, target, body)
                if (status, content) == RESET:
                    connection = writer.get_extra_info("socket")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                    return
                kind = "text/html" if content is PAGE else "application/json"
                more = "Retry-After: 1\r\n" if status == 429 else ""
                writer.write(
                    f"HTTP/1.1 {status} Whatever\r\nContent-Type: {kind}\r\n{more}"
                    f"Content-Length: {len(content)}\r\n\r\n".encode()
                    + content
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        """Return the status and the content of an answer."""
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/seen":
            return 200, json.dumps(self.seen()).encode()
        path = url.path.removeprefix(ACCOUNT).strip("/").split("/")
        match method, path:
            case "POST", ["jobs", job, "run"]:
                return self.start(int(job), json.loads(body)["cause"])
            case "POST", ["runs", run_id, "cancel"] if run := self.runs.get(int(run_id)):
                return self.fault(f"cancel {run.task}") or self.cancel(run)
            case "GET", ["runs", run_id] if run := self.runs.get(int(run_id)):
                return self.fault(run.task) or envelope(run.row(query.get("include_related", "")))
            case "GET", ["runs"]:
                return self.fault(f"list {query.get('job_definition_id')}") or envelope(self.list(query))
        return envelope(None, 404)

    def start(self, job: int, cause: str) -> Answer:
        """Start a run, and maybe lose the reply."""
        now = datetime.now(UTC)
        run = Run(len(self.runs) + 1, job, cause, now, now)
        chance = self.chance(f"start {run.task}")
        run.finished += timedelta(seconds=chance.uniform(2, 5))
        self.runs[run.id] = run
        if chance.random() < self.lost:
            self.faults["lost"] += 1
            return chance.choice([RESET, (502, PAGE)])
        return envelope(run.row("trigger"))

    def cancel(self, run: Run) -> Answer:
        """Cancel a run, if it goes."""
        run.is_cancelled = run.status in {RUNNING, CANCELLED}
        return envelope(run.row())

    def list(self, query: dict[str, str]) -> list[dict[str, object]]:
        """Return the runs that dbt Cloud's filters let through."""
        rows = [run for run in self.runs.values() if all(wanted(run) for wanted in _filters(query))]
        rows.sort(key=lambda run: run.id, reverse=query.get("order_by", "").startswith("-"))
        begin = int(query.get("offset", 0))
        page = rows[begin : begin + int(query.get("limit", 100))]
        return [run.row(query.get("include_related", "")) for run in page]

    def fault(self, about: str) -> Answer | None:
        """Return what a request is answered with instead of the truth, if it is its turn."""
        chance = self.chance(about)
        number = chance.random()
        for kind, rate in self.rates.items():
            if number < rate:
                self.faults[kind] += 1
                if kind == "errors":
                    return chance.choice(ERRORS)
                return RESET if kind == "resets" else envelope(None, 429)
            number -= rate
        return None

    def chance(self, about: str) -> Random:
        """Return what decides about the next request of its kind; the same in every run of the benchmark."""
        self.asked[about] += 1
        return Random(f"{self.seed} {about} {self.asked[about]}")

    def seen(self) -> dict[str, Any]:
        """Return what there was."""
        runs = [{"task": run.task, "is_cancelled": run.is_cancelled} for run in self.runs.values()]
        return {"runs": runs, "requests": self.asked.total(), "faults": self.faults}


def _filters(query: dict[str, str]) -> list[Callable[[Run], bool]]:
    known = {name: json.loads(query[name]) for name in query if name.endswith(("_id", "__in", "__range"))}
    filters: dict[str, Callable[[Run, Any], bool]] = {
        "job_definition_id": lambda run, job: run.job == job,
        "status__in": lambda run, statuses: run.status in statuses,
        "pk__in": lambda run, ids: run.id in ids,
        "created_at__range": lambda run, times: (
            times[0] <= run.created.replace(tzinfo=None).isoformat() <= times[1]
        ),
    }
    return [lambda run, name=name: filters[name](run, known[name]) for name in known]


def envelope(item: object, status: int = 200) -> Answer:
    """Wrap an answer as dbt Cloud does."""
    said = {"code": status, "is_success": status < 400, "user_message": ""}
    return status, json.dumps({"status": said, "data": item}).encode()


async def main(certificate: str, key: str, rates: str) -> None:
    """Serve until killed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    stub = Stub(**json.loads(rates))
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0, ssl=context, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
