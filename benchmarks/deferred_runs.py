"""
What deferred runs cost, side by side with apache-airflow-providers-dbt-cloud.

The same load, runs that last 5 to 35 s and are asked for every 10 s, against the same stub over TLS, one
after the other in processes of their own. `python benchmarks/deferred_runs.py [RUNS …]` prints a table in
Markdown.
"""

from __future__ import annotations

import sys

from sides import run_side, running_stub

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


def main(sizes: list[int]) -> None:
    """Measure, and print the table."""
    with running_stub("stub.py") as stub:
        print("| runs | who |", " | ".join(FIGURES.values()), "|")
        print("|---|---|", "---|" * len(FIGURES), sep="")
        for runs in sizes:
            kinds = ("official", "ours", "idle") if runs <= 1000 else ("ours", "idle")
            for kind in kinds:
                figures = run_side(stub, "waiters.py", kind, str(runs), str(INTERVAL), stub.url)
                assert figures["events"] == runs
                cells = (f"{figures[name]:.4g}" if name in figures else "" for name in FIGURES)
                print(f"| {runs:,} | {kind} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [100, 1000, 10_000])
