"""
What a large artifact and the newest of many runs cost, side by side with the official provider.

The same operators with the same parameters, against the same stub over TLS, one after the other in processes
of their own. `python benchmarks/retrieval.py` prints a table in Markdown.
"""

from __future__ import annotations

from sides import run_side, running_stub

# What is retrieved, and its size in MB.
RETRIEVALS = (("manifest.json", 500), ("telemetry.parquet", 500), ("latest", 0))
COLUMNS = ("what", "who", "requests", "memory MB", "s", "the same bytes")


def measure(what: str, megabytes: int, kind: str) -> list[str]:
    """Return the cells of one line."""
    with running_stub("retrieval_stub.py", str(megabytes)) as stub:
        figures = run_side(stub, "retrieval_task.py", kind, what, stub.url)
    name = f"{what}, {megabytes} MB" if megabytes else "newest of 5,000 runs"
    is_same = {True: "yes", False: "no"}.get(figures.get("is_same", ""), "")
    cells = [f"{figures[name]:.4g}" for name in ("memory", "seconds")]
    return [name, kind, f"{figures['requests']}", *cells, is_same]


def main() -> None:
    """Measure, and print the table."""
    print("|", " | ".join(COLUMNS), "|")
    print("|", "---|" * len(COLUMNS), sep="")
    for what, megabytes in RETRIEVALS:
        for kind in ("official", "ours"):
            print("|", " | ".join(measure(what, megabytes, kind)), "|", flush=True)


if __name__ == "__main__":
    main()
