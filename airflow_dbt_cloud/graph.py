"""
Which node of a project waits for which: the `parent_map` of dbt's `manifest.json`.

A manifest may have hundreds of megabytes, and the map stands near its end. It is looked through in pieces,
and nothing of it is kept but the map; what is longer than 64 MiB, or takes longer than five seconds, is left
alone. What is not known is empty.
"""

from __future__ import annotations

import codecs
import re
import time
from dataclasses import dataclass, field
from itertools import takewhile
from json import JSONDecoder
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from airflow_dbt_cloud.client import Client

__all__ = ["Graph", "read_graph"]

# Seconds for each piece, and for all of them.
PATIENCE = 5.0
# In characters.
LONGEST = 2**26
LONGEST_KEY = 2**6

# A quotation mark within a text is escaped, so nothing that somebody wrote into a model looks like this.
MAP = re.compile(r'"parent_map"\s*:\s*(?=\{)')
JSON = JSONDecoder()


def read_graph(
    client: Client, run_id: int, nodes: Collection[str], *, clock: Callable[[], float] = time.monotonic
) -> Graph:
    """
    Ask dbt Cloud for the graph of a run's project, and return it; an empty one if it takes too long.

    :param nodes: the unique ids of nodes that were run.
    :param clock: seconds that only grow.
    :raises DbtCloudApiError: there is no manifest.
    :raises DbtCloudUnreachable: it cannot be had.
    """
    deadline = clock() + PATIENCE
    with client.hurried(PATIENCE).stream_artifact(run_id, "manifest.json") as pieces:
        return Graph.from_pieces(takewhile(lambda _: clock() < deadline, pieces), nodes)


@dataclass(frozen=True, slots=True)
class Graph:
    """`parents` has the unique ids of what a node reads, by the node's unique id."""

    parents: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @classmethod
    def from_pieces(cls, pieces: Iterable[bytes], nodes: Collection[str]) -> Self:
        """
        Read a manifest as far as it takes.

        :param pieces: its bytes, in order.
        :param nodes: some of the project's nodes, by which its map is told from what looks like one.
        """
        wanted = frozenset(nodes)
        for found in _find(pieces):
            if not found.keys().isdisjoint(wanted):
                return cls({node: _texts(parents) for node, parents in found.items()})
        return cls()

    def find_parents(self, nodes: Collection[str], *, tests_first: bool = False) -> dict[str, set[str]]:
        """
        Return for each of these nodes the nearest ones among them that it waits for.

        dbt does the same when it runs a part of a project: what lies between two nodes and is not run itself
        (an ephemeral model, one that was not selected) still puts them in order.

        :param nodes: that can be looked into fast.
        :param tests_first: whether nodes wait for tests as well, as `dbt build` lets them.
        """
        found: dict[str, set[str]] = {}
        for start in nodes:
            ahead = [start]
            while ahead:
                node = ahead[-1]
                parents = self.parents.get(node, ())
                if node not in found:
                    # Before its parents, so that a circle comes to an end.
                    found[node] = {parent for parent in parents if parent in nodes}
                    ahead += [parent for parent in parents if parent not in nodes and parent not in found]
                else:
                    found[node].update(*(found[parent] for parent in parents if parent not in nodes))
                    ahead.pop()
        parents_of = {node: found[node] for node in nodes}
        return _with_tests(parents_of) if tests_first else parents_of


def _with_tests(parents: dict[str, set[str]]) -> dict[str, set[str]]:
    """Let a node wait for its unit tests, and for the tests of what it reads and of nothing else."""
    waits_for = {node: {*names} for node, names in parents.items()}
    tests: dict[str, list[str]] = {}
    for test, models in parents.items():
        if test.startswith("unit_test."):
            waits_for[test] = set[str]().union(*(parents[model] for model in models))
            for model in models:
                waits_for[model].add(test)
        elif test.startswith("test."):
            for model in models:
                tests.setdefault(model, []).append(test)
    for node, names in parents.items():
        if not node.startswith(("test.", "unit_test.")):
            near = {test for name in names for test in tests.get(name, ())}
            waits_for[node].update(test for test in near if parents[test] <= names)
    return waits_for


def _find(pieces: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the objects that are called `parent_map`."""
    # What of the file is in memory, from where on it is to be looked through, and how much was not whole.
    window, at, begun, tried = "", 0, False, 0
    for text in _texts_of(pieces):
        # Once for each piece, because there may be thousands of maps in one.
        window, at = window[at:] if at else window, 0
        window += text
        while True:
            if not begun:
                match = MAP.search(window, at)
                # A key may be cut in two by the end of a piece.
                at = match.end() if match else max(at, len(window) - LONGEST_KEY)
                begun, tried = match is not None, 0
            # What has not grown much since it was not whole is not whole now; an empty text is the end.
            if not begun or (text and len(window) - at < 2 * tried):
                break
            try:
                found, at = JSON.raw_decode(window, at)
            except (ValueError, RecursionError):
                tried = len(window) - at
                break
            yield found
            begun = False


def _texts_of(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield the pieces as text, and an empty one at the end; nothing after what is too long."""
    decode, length = codecs.getincrementaldecoder("utf-8")("replace").decode, 0
    for piece in pieces:
        length += len(piece)
        if length > LONGEST:
            return
        if text := decode(piece):
            yield text
    yield ""


def _texts(values: object) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str)) if isinstance(values, list) else ()
