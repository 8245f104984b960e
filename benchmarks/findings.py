"""
What a benchmark found: a table on the screen as its rows come, and a file that documents are made from.

`python benchmarks/findings.py` writes the tables of `benchmarks/README.md` anew from `benchmarks/results/`.
A test holds the two together.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Row: TypeAlias = dict[str, Any]

HERE = Path(__file__).parent
README = HERE / "README.md"
# The part of the README that a file fills, by the file's name.
PART = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def record(name: str, columns: Iterable[str], rows: Iterable[Row], *, save: bool) -> None:
    """
    Print the rows as they come; with `save`, write them to `results/<name>.json` when all are there.

    :param columns: keys of the rows, in the table's order; a row may lack some.
    """
    columns = list(columns)
    found, loads = [], []
    print(_head(columns))
    loads.append(os.getloadavg()[0])
    for row in rows:
        found.append(row)
        loads.append(os.getloadavg()[0])
        print(_line(columns, row), flush=True)
    if save:
        findings = {
            "command": shlex.join(["python", f"benchmarks/{name}.py", *sys.argv[1:]]),
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "machine": _machine(),
            "load": {"lowest": min(loads), "highest": max(loads)},
            "columns": columns,
            "rows": found,
        }
        file = HERE / "results" / f"{name}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(_pretty(findings))


def read(name: str) -> dict[str, Any]:
    """Read what a benchmark has saved."""
    return dict(json.loads((HERE / "results" / f"{name}.json").read_text()))


def to_markdown(findings: dict[str, Any]) -> str:
    """Write where and when it was measured, and the table."""
    machine, load = findings["machine"], findings["load"]
    return "\n".join(
        [
            (
                f"Measured on {findings['date']} by `{findings['command']}`, on {machine['cores']} cores "
                f"({machine['processor']}), {machine['system']}, Python {machine['python']}, "
                f"Airflow {machine['airflow']}. The machine's load was {load['lowest']:.1f} to "
                f"{load['highest']:.1f} meanwhile."
            ),
            "",
            _head(findings["columns"]),
            *(_line(findings["columns"], row) for row in findings["rows"]),
            "",
        ]
    )


def fill(text: str) -> str:
    """Put the tables into a Markdown text that has marks for them."""
    return PART.sub(lambda part: f"{part[1]}{to_markdown(read(part[2]))}{part[3]}", text)


def shown(value: object) -> str:
    """Write a cell: three digits of a number are enough, and two behind the point."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return (
            f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"
        )
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)


def _head(columns: list[str]) -> str:
    ruler = ("---:" if column not in {"who", "what", "trouble", "waits"} else "---" for column in columns)
    return f"| {' | '.join(columns)} |\n|{'|'.join(ruler)}|"


def _line(columns: list[str], row: Row) -> str:
    return f"| {' | '.join(shown(row.get(column)) for column in columns)} |"


def _machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else []
    return {
        "cores": os.cpu_count(),
        "processor": models[0] if models else platform.machine(),
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "python": platform.python_version(),
        "airflow": version("apache-airflow"),
    }


def _pretty(findings: dict[str, Any]) -> str:
    """Write JSON with a row to a line."""
    head = json.dumps({**findings, "rows": []}, indent=2)
    rows = ",\n".join(f"    {json.dumps(row)}" for row in findings["rows"])
    return head.replace('"rows": []', f'"rows": [\n{rows}\n  ]') + "\n"


if __name__ == "__main__":
    README.write_text(fill(README.read_text()))
