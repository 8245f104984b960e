"""
What deferred runs cost, side by side with apache-airflow-providers-dbt-cloud.

The same load, runs that last 5 to 35 s and are asked for every 10 s, against the same stub over TLS, one
after the other in processes of their own. `python benchmarks/deferred_runs.py [RUNS …]` prints a table in
Markdown; with `--save` it also writes `results/deferred_runs.json`.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from findings import Row, record
from sides import run_side, running_stub

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERVAL = 10
FIGURES = {
    "requests": "requests",
    "connections": "connections",
    "cpu": "CPU s",
    "memory": "memory MB",
    "stall p99": "stall p99 ms",
    "stall max": "stall max ms",
    "delay": "delay s, mean",
}


def measure(sizes: list[int]) -> Iterator[Row]:
    """Measure each size with each side."""
    with running_stub("stub.py") as stub:
        for runs in sizes:
            kinds = ("official", "ours", "idle") if runs <= 1000 else ("ours", "idle")
            for kind in kinds:
                figures = run_side(stub, "waiters.py", kind, str(runs), str(INTERVAL), stub.url)
                assert figures["events"] == runs
                named = {title: figures[name] for name, title in FIGURES.items() if name in figures}
                yield {"runs": runs, "who": kind, **named}


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=int, nargs="*", default=[100, 1000, 10_000])
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    record("deferred_runs", ["runs", "who", *FIGURES.values()], measure(options.runs), save=options.save)


if __name__ == "__main__":
    main()
