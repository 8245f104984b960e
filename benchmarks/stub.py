"""
A dbt Cloud over TLS that answers how runs are, and counts: requests and connections.

Run `n` (from 1) ends `length(n)` seconds after the time that `GET /start?at=…` names, in seconds of the
machine's monotonic clock, so that whoever asks can tell how late it learned of an end.

`python benchmarks/stub.py CERTIFICATE KEY` prints its port.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from random import Random
from time import monotonic
from urllib.parse import parse_qs, urlsplit

# A row of dbt Cloud's list of runs has about this many bytes.
PADDING = "x" * 2800


def length(run_id: int) -> float:
    """Return how many seconds a run lasts: 5 to 35."""
    return Random(run_id).uniform(5, 35)


class Stub:
    """Counts, and knows when the runs began."""

    def __init__(self) -> None:
        self.began = float("inf")
        self.requests = 0
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self.reply(head.split(b" ", 2)[1].decode(), writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def reply(self, target: str, writer: asyncio.StreamWriter) -> None:
        """Write the answer to a path and its query."""
        body = json.dumps(self.answer(target)).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )

    def answer(self, target: str) -> object:
        """Return the JSON that a path and its query are answered with."""
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/start":
            self.began, self.requests, self.connections = float(query["at"]), 0, 0
            return {}
        if url.path == "/counts":
            # This very question is none of theirs.
            return {"requests": self.requests, "connections": self.connections - 1}
        self.requests += 1
        return {"status": {"code": 200, "is_success": True}, "data": self.data(url.path, query)}

    def data(self, path: str, query: dict[str, str]) -> object:
        """Return a run, or those of a list that are asked for."""
        last = path.rstrip("/").rpartition("/")[2]
        if last.isdigit():
            return self.row(int(last))
        wanted = set(json.loads(query.get("status__in", "[3, 10]")))
        rows = (self.row(run_id) for run_id in json.loads(query["pk__in"]))
        return [row for row in rows if row["status"] in wanted]

    def row(self, run_id: int) -> dict[str, object]:
        """Return a run as dbt Cloud shows it."""
        status = 10 if monotonic() >= self.began + length(run_id) else 3
        return {"id": run_id, "status": status, "href": "https://h/", "status_message": None, "pad": PADDING}


async def main(stub: Stub, certificate: str, key: str) -> None:
    """Serve until killed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0, ssl=context, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Stub(), *sys.argv[1:]))
