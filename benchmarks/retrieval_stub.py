"""
A dbt Cloud over TLS with large artifacts, and a job that has many runs.

`GET …/artifacts/manifest.json` answers with JSON, and any other artifact with bytes that are no text, of so
many MB as the stub is told. `GET …/runs/` lists 5,000 runs. `GET /counts` tells how many requests there were
since `GET /start?at=0`, and the SHA-256 of the last artifact.

`python benchmarks/retrieval_stub.py CERTIFICATE KEY MEGABYTES` prints its port.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from stub import Stub, main

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = 5000
NO_TEXT = bytes(range(256)) * 256
# A model as a manifest has it, roughly.
NODE = {
    "unique_id": "model.ferry.{}",
    "resource_type": "model",
    "depends_on": {"macros": ["macro.dbt.run_query"], "nodes": ["model.ferry.a", "source.ferry.b"]},
    "config": {"materialized": "table", "enabled": True, "tags": ["nightly"], "meta": {}},
    "columns": {name: {"name": name, "description": "", "tags": []} for name in ("id", "port", "at")},
    "raw_code": "select * from {{ ref('a') }} join {{ source('ferry', 'b') }} using (id)\n" * 20,
}


class Retrieval(Stub):
    """Serves artifacts and lists of runs."""

    def __init__(self, megabytes: int) -> None:
        super().__init__()
        self.size = megabytes * 10**6
        self.digest = ""

    async def reply(self, target: str, writer: asyncio.StreamWriter) -> None:
        """Write the answer to a path and its query."""
        path = urlsplit(target).path
        if "/artifacts/" not in path:
            await super().reply(target, writer)
            return
        self.requests += 1
        is_json = path.endswith(".json")
        pieces = manifest if is_json else binary
        kind = "application/json" if is_json else "application/x-parquet"
        length = sum(map(len, pieces(self.size)))
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode())
        digest = hashlib.sha256()
        for piece in pieces(self.size):
            digest.update(piece)
            writer.write(piece)
            await writer.drain()
        self.digest = digest.hexdigest()

    def answer(self, target: str) -> object:
        """Return the JSON that a path and its query are answered with."""
        url = urlsplit(target)
        if url.path == "/counts":
            return {"requests": self.requests, "digest": self.digest}
        envelope = super().answer(target)
        if not url.path.endswith("/runs/"):
            return envelope
        assert isinstance(envelope, dict)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        extra = {
            "filters": {"limit": int(query.get("limit", 100)), "offset": int(query.get("offset", 0))},
            "pagination": {"count": len(envelope["data"]), "total_count": RUNS},
        }
        return {**envelope, "extra": extra}

    def data(self, path: str, query: dict[str, str]) -> object:
        """Return a page of the runs, whichever way round."""
        assert path.endswith("/runs/")
        ids = range(1, RUNS + 1)
        ordered = ids[::-1] if query.get("order_by", "id").startswith("-") else ids
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", 100))
        return [self.row(run_id) for run_id in ordered[offset : offset + limit]]


def manifest(size: int) -> Iterator[bytes]:
    """Yield the pieces of some JSON with many models in it."""
    node = json.dumps(NODE)
    yield b'{"nodes": {'
    for number in range(size // len(node)):
        name = f"{number:012}"
        yield f'{", " if number else ""}"model.ferry.{name}": {node.replace("{}", name, 1)}'.encode()
    yield b"}}"


def binary(size: int) -> Iterator[bytes]:
    """Yield the pieces of something that is no text."""
    for _ in range(size // len(NO_TEXT)):
        yield NO_TEXT


if __name__ == "__main__":
    _, certificate, key, megabytes = sys.argv
    asyncio.run(main(Retrieval(int(megabytes)), certificate, key))
