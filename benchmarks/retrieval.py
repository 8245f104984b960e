"""
What a large artifact and the newest of many runs cost, side by side with the official provider.

The same operators with the same parameters, against the same stub over TLS, one after the other in processes
of their own. `python benchmarks/retrieval.py` prints a table in Markdown; with `--save` it also writes
`results/retrieval.json`.
"""

from __future__ import annotations

import argparse

from findings import Row, record
from sides import run_side, running_stub

# What is retrieved, and its size in MB.
RETRIEVALS = (("manifest.json", 500), ("telemetry.parquet", 500), ("latest", 0))
COLUMNS = ("what", "who", "requests", "memory MB", "s", "the same bytes")


def measure(what: str, megabytes: int, kind: str) -> Row:
    """Return one line."""
    with running_stub("retrieval_stub.py", str(megabytes)) as stub:
        figures = run_side(stub, "retrieval_task.py", kind, what, stub.url)
    name = f"{what}, {megabytes} MB" if megabytes else "newest of 5,000 runs"
    named = ("requests", "memory", "seconds", "is_same")
    cells = (name, kind, *(figures.get(figure) for figure in named))
    return dict(zip(COLUMNS, cells, strict=True))


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    rows = (measure(*retrieval, kind) for retrieval in RETRIEVALS for kind in ("official", "ours"))
    record("retrieval", COLUMNS, rows, save=options.save)


if __name__ == "__main__":
    main()
