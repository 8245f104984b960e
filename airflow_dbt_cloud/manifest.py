"""
The little that is read of dbt's `manifest.json`: the adapter, and where some nodes' relations are.

A manifest may have hundreds of megabytes, and describes all that a project holds; it is never in memory as a
whole. It is looked through in pieces, from its beginning, where dbt writes the metadata and then the nodes,
and only until all that is wanted was seen. What it does not tell is empty.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from json import JSONDecoder
from typing import TYPE_CHECKING, Any, Self

from airflow_dbt_cloud.fields import text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

__all__ = ["Manifest"]

# In characters. The metadata come first, and hold environment variables at worst.
HEAD = 2**18
# Of a whole manifest, of which nobody has seen one so long; and of what it says of one node.
LONGEST = 2**29
LONGEST_NODE = 2**20
LONGEST_KEY = 2**10
# How many nodes longer than that are stepped over: each is read in vain first.
MOST_TOO_LONG = 20

# A quotation mark within a text is escaped, so nothing that somebody wrote into a model looks like this.
KEY = re.compile(r'"(metadata|(?:model|seed|snapshot)\.[^"\\]+)"\s*:\s*(?=\{)')
JSON = JSONDecoder()


@dataclass(frozen=True, slots=True)
class Manifest:
    """
    What was wanted of a manifest.

    `adapter` is dbt's word for the kind of warehouse, `snowflake`; `relations` has the names of relations by
    their nodes' unique ids, as dbt writes them, quotes and all.
    """

    adapter: str = ""
    relations: dict[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def from_pieces(cls, pieces: Iterable[bytes], nodes: Collection[str] = ()) -> Self:
        """
        Read a manifest as far as it takes.

        :param pieces: its bytes, in order.
        :param nodes: the unique ids of the models, seeds and snapshots whose relations are wanted; if there
            are none, no more is read than the beginning.
        """
        adapter, relations = "", dict[str, str]()
        for key, value in _find(pieces, {"metadata", *nodes}, LONGEST if nodes else HEAD):
            if key != "metadata":
                relations[key] = text(value, "relation_name")
            elif not adapter:
                adapter = text(value, "adapter_type")
            if adapter and len(relations) == len(set(nodes)):
                break
        return cls(adapter, relations)


def _find(pieces: Iterable[bytes], keys: Collection[str], limit: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects under these keys, wherever they are, out of the first so many characters."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    # What of the file is in memory, from where on it is to be looked through, and how much came before it.
    window, at, gone, too_long = "", 0, 0, 0
    for piece in pieces:
        window, at, gone = window[at:] + decode(piece), 0, gone + at
        while match := KEY.search(window, at):
            at = match.start()
            if match[1] in keys:
                try:
                    value, _ = JSON.raw_decode(window, match.end())
                except (ValueError, RecursionError):
                    if len(window) - at < LONGEST_NODE:
                        break
                    too_long += 1
                    if too_long > MOST_TOO_LONG:
                        return
                else:
                    yield match[1], value
            at = match.end()
        else:
            # A key may be cut in two by the end of a piece.
            at = max(at, len(window) - LONGEST_KEY)
        if gone + len(window) >= limit:
            return
