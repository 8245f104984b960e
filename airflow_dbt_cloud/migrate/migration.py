"""One file's migration: from bytes to bytes, and what a person has to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from airflow_dbt_cloud.migrate.inspection import CHANGE, Remark, inspect
from airflow_dbt_cloud.migrate.plan import make_plan
from airflow_dbt_cloud.migrate.rewriting import rewrite

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Finding", "Migration", "MigrationError", "migrate"]


class MigrationError(Exception):
    """A file that cannot be read as Python, or not be written without changing what is none of ours."""


class Finding(NamedTuple):
    """What needs a human eye: the line, from 1; `change` or `look`; and a sentence on what to do."""

    line: int
    kind: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Migration:
    """
    What becomes of a file.

    :param source: what it holds.
    :param result: what it is to hold.
    """

    source: bytes
    result: bytes
    findings: tuple[Finding, ...] = ()

    @property
    def is_pending(self) -> bool:
        """Whether there is something to write."""
        return self.source != self.result

    @property
    def findings_in_result(self) -> tuple[Finding, ...]:
        """The findings, with the lines that the places have in the result."""
        blocks = _match(*(text.split(b"\n") for text in (self.source, self.result)))
        moves = [(begin, new_begin - begin) for _, begin, _, new_begin, _ in blocks]
        return tuple(
            found._replace(line=found.line + max(move for move in moves if move[0] < found.line)[1])
            for found in self.findings
        )


def migrate(source: bytes) -> Migration:
    """
    Return what becomes of a file.

    :raises MigrationError: it cannot be told; says where and why.
    """
    # Most files are done with here: no name of the official provider can be reached otherwise.
    if b"airflow.providers" not in source or b"dbt" not in source:
        return Migration(source, source)
    try:
        module = cst.parse_module(source)
    except cst.ParserSyntaxError as error:
        msg = f"line {error.editor_line}: this is no Python that can be read"
        raise MigrationError(msg) from error
    except (UnicodeDecodeError, LookupError, SyntaxError) as error:
        msg = f"the file's text cannot be decoded: {error}"
        raise MigrationError(msg) from error
    try:
        return _migrate(source, module)
    except RecursionError:
        msg = "it is nested too deeply to be understood"
        raise MigrationError(msg) from None


def _migrate(source: bytes, module: cst.Module) -> Migration:
    wrapper = MetadataWrapper(module)
    plan = make_plan(wrapper)
    problems = [Remark(node, CHANGE, sentence) for node, sentence in plan.problems]
    result = rewrite(wrapper.module, plan).bytes if plan.aliases else module.bytes
    return Migration(
        source,
        _with_untouched_lines(source, module.bytes, result),
        _locate(wrapper, [*problems, *inspect(wrapper)]),
    )


def _locate(wrapper: MetadataWrapper, remarks: list[Remark]) -> tuple[Finding, ...]:
    positions = wrapper.resolve(PositionProvider)
    found = {Finding(positions[node].start.line, kind, sentence) for node, kind, sentence in remarks}
    return tuple(sorted(found))


def _with_untouched_lines(source: bytes, written: bytes, result: bytes) -> bytes:
    """
    Return the result, but with the source's own bytes in each line that did not change.

    The parser does not keep some odd white space: `written` is the source as it would write it.
    """
    if written == source:
        return result
    ours, theirs, new = (text.split(b"\n") for text in (source, written, result))
    lines: list[bytes] = []
    for tag, begin, end, new_begin, new_end in _match(theirs, new):
        is_same = tag == "equal"
        if len(ours) != len(theirs) or not (is_same or ours[begin:end] == theirs[begin:end]):
            msg = "its white space is so odd that it cannot be rewritten without changing other lines"
            raise MigrationError(msg)
        lines += ours[begin:end] if is_same else new[new_begin:new_end]
    return b"\n".join(lines)


def _match(old: list[bytes], new: list[bytes]) -> Sequence[tuple[str, int, int, int, int]]:
    return SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
