"""
How far a dbt command is, as its console says: `12 of 40 OK created sql view model …`.

dbt Core numbers the nodes of a command as they begin (START) and says the number again as they end, whatever
the version from 1.5 on. A console that speaks otherwise, such as Fusion's, has no progress.
"""

from __future__ import annotations

import re

from airflow_dbt_cloud import fields

__all__ = ["Progress"]

# After the time, and what a debug log puts between: level and thread. Hooks are numbered, too, by themselves;
# batches of a microbatch model begin with "Batch".
NODE = re.compile(
    r"(?:[\d:.]{8,} +)?(?:\[[^\]]{1,40}\]:? *)*"
    r"(?P<index>\d{1,6}) of (?P<total>\d{1,6}) (?P<word>[A-Z][A-Z-]+) (?!hook: ).*\]"
)
BEGINS = "START"
FAILED = frozenset({"ERROR", "FAIL", "PARTIALLY"})


class Progress:
    """
    How many nodes of a command have ended, and how many of them badly.

    Told the same line twice, it counts it once.
    """

    # Sets of small numbers, as bits: 20,000 nodes are 2.5 kB.
    __slots__ = ("_ended", "_failed", "total")

    def __init__(self) -> None:
        self.total = 0
        self._ended = 0
        self._failed = 0

    def __str__(self) -> str:
        """Say it as in "12 of 40 nodes, 1 error"."""
        failed = self._failed.bit_count()
        errors = f", {failed} error{'s' if failed > 1 else ''}" if failed else ""
        return f"{self._ended.bit_count()} of {self.total} nodes{errors}"

    def see(self, line: str) -> None:
        """Take note of a line of the console, if it says anything about a node."""
        if " of " not in line or (match := NODE.match(fields.plain(line).strip())) is None:
            return
        index, total, word = int(match["index"]), int(match["total"]), match["word"]
        if not 1 <= index <= total:
            return
        if total != self.total:
            self.total, self._ended, self._failed = total, 0, 0
        if word != BEGINS:
            self._ended |= 1 << index
        if word in FAILED:
            self._failed |= 1 << index
