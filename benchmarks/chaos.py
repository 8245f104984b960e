"""
What becomes of tasks when dbt Cloud does not answer well, side by side with the official provider.

Every run succeeds. A task that fails all the same does so spuriously, and one that has more than one run did
its work twice. `python benchmarks/chaos.py [--seed 1] [--tasks 200]` prints a table in Markdown, and
to stderr why tries failed; with `--save` it also writes `results/chaos.json`.
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
import urllib.request
from dataclasses import dataclass
from typing import Any

from findings import Row, record
from sides import Stub, run_side, running_stub

KINDS = ("official", "official+retries", "ours")
NO_FAULTS = {"errors": 0.0, "limited": 0.0, "resets": 0.0}
FAULTS = {"errors": 0.03, "limited": 0.02, "resets": 0.01}


@dataclass(frozen=True)
class Trouble:
    """One line of the table for each side."""

    name: str
    way: str
    tries: int
    lost: float
    faults: dict[str, float]


TROUBLES = (
    Trouble("faults", "sync", 1, 0.0, FAULTS),
    Trouble("faults", "deferred", 1, 0.0, FAULTS),
    Trouble("lost replies", "sync", 3, 0.1, NO_FAULTS),
    Trouble("both", "sync", 3, 0.1, FAULTS),
    Trouble("both", "deferred", 3, 0.1, FAULTS),
)
COLUMNS = (
    "trouble",
    "tries",
    "waits",
    "who",
    "requests",
    "faults",
    "lost replies",
    "dbt runs",
    "tasks with 2 or more",
    "tasks green",
    "red though a run succeeded",
)


def measure(trouble: Trouble, kind: str, tasks: int, seed: int) -> Row:
    """Return one line."""
    rates = {"seed": seed, "lost": trouble.lost, **trouble.faults}
    with running_stub("chaos_stub.py", json.dumps(rates)) as stub:
        ended = run_side(stub, "chaos_tasks.py", kind, str(tasks), str(trouble.tries), trouble.way)
        seen = get_seen(stub)
    for what, times in ended["failures"]:
        print(f"{trouble.name}, {trouble.way}, {kind}: {times} x {what}", file=sys.stderr)
    runs = [run["task"] for run in seen["runs"]]
    assert set(runs) == {f"task_{number}" for number in range(tasks)}, "not every task has started a run"
    succeeded = {run["task"] for run in seen["runs"] if not run["is_cancelled"]}
    lost = seen["faults"].pop("lost", 0)
    cells = (
        trouble.name,
        trouble.tries,
        trouble.way,
        kind,
        seen["requests"],
        sum(seen["faults"].values()),
        lost,
        len(runs),
        sum(runs.count(task) > 1 for task in set(runs)),
        tasks - len(ended["red"]),
        len(succeeded.intersection(ended["red"])),
    )
    return dict(zip(COLUMNS, cells, strict=True))


def get_seen(stub: Stub) -> dict[str, Any]:
    """Ask the stub what there was."""
    context = ssl.create_default_context(cafile=str(stub.authority))
    return dict(json.load(urllib.request.urlopen(f"{stub.url}/seen", context=context)))


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    rows = (measure(trouble, kind, options.tasks, options.seed) for trouble in TROUBLES for kind in KINDS)
    record("chaos", COLUMNS, rows, save=options.save)


if __name__ == "__main__":
    main()
