"""The imports of a file, written anew as planned, with their comments and their shape."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import libcst as cst

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_dbt_cloud.migrate.plan import Plan, Replacement

__all__ = ["rewrite"]

Statement = TypeVar("Statement", cst.Import, cst.ImportFrom)

# What a comment says to a tool holds for every line that comes of the one that it stands behind.
PRAGMA = re.compile(r"#\s*(noqa|type:|pylint|pragma|isort|mypy|ruff|nosec)")


def rewrite(module: cst.Module, plan: Plan) -> cst.Module:
    """Return the module as planned; nothing else of it changes."""
    new = module.visit(_Rewriting(plan))
    return cst.ensure_type(new, cst.Module)


class _Rewriting(cst.CSTTransformer):
    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._plan = plan

    def on_leave(
        self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT
    ) -> cst.CSTNodeT | cst.RemovalSentinel | cst.FlattenSentinel[cst.CSTNodeT]:
        written = self._plan.uses.get(original_node)
        if written is not None:
            return cst.parse_expression(written)  # type: ignore[return-value] # an expression for another
        return super().on_leave(original_node, updated_node)

    def leave_Import(
        self, original_node: cst.Import, updated_node: cst.Import
    ) -> cst.Import | cst.FlattenSentinel[cst.BaseSmallStatement]:
        return self._replace(updated_node, original_node.names)

    def leave_ImportFrom(
        self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom
    ) -> cst.ImportFrom | cst.FlattenSentinel[cst.BaseSmallStatement]:
        names = original_node.names
        return updated_node if isinstance(names, cst.ImportStar) else self._replace(updated_node, names)

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine | cst.FlattenSentinel[cst.SimpleStatementLine]:
        if len(original_node.body) > 1 or len(updated_node.body) == 1:
            return updated_node
        return cst.FlattenSentinel([*_split(updated_node)])

    def _replace(
        self, updated: Statement, names: Sequence[cst.ImportAlias]
    ) -> Statement | cst.FlattenSentinel[cst.BaseSmallStatement]:
        if not any(alias in self._plan.aliases for alias in names):
            return updated
        # By the module that they come from; what comes from None stays as it is.
        groups: dict[str | None, list[cst.ImportAlias]] = {}
        lasts = set()
        for alias in names:
            for new in self._plan.aliases.get(alias) or (None,):
                home = new.module if new else None
                groups.setdefault(home, []).append(_renamed(alias, new) if new else alias)
                if alias is names[-1]:
                    lasts.add(home)
        first, *others = [
            _write(updated, home, group, has_end=home in lasts) for home, group in groups.items()
        ]
        return cst.FlattenSentinel([first, *map(_without_comment, others)])


def _renamed(alias: cst.ImportAlias, new: Replacement) -> cst.ImportAlias:
    name = cst.parse_expression(new.name)
    if new.local is None:
        return alias.with_changes(name=name, asname=None)
    # `X as X`, which exports a name, stays so.
    is_same = new.local == new.name
    asname = alias.asname or (None if is_same else cst.AsName(cst.Name(new.local)))
    return alias.with_changes(name=name, asname=asname)


def _write(
    statement: cst.Import | cst.ImportFrom, home: str | None, names: list[cst.ImportAlias], *, has_end: bool
) -> cst.BaseSmallStatement:
    """Return the statement with some of its names, imported from `home`, or from where they were."""
    if isinstance(statement, cst.Import) or home == "":
        plain = [name.with_changes(comma=cst.MaybeSentinel.DEFAULT) for name in names]
        return cst.Import(names=plain, semicolon=statement.semicolon)
    if not has_end:
        names[-1] = _with_end(names[-1])
        if statement.rpar:
            statement = statement.with_changes(rpar=cst.RightParen())
    module = cst.parse_expression(home) if home else statement.module
    return statement.with_changes(module=module, names=names)


def _with_end(name: cst.ImportAlias) -> cst.ImportAlias:
    """Return a name of the middle as the last one: with its comment, and no indentation of a next one."""
    if isinstance(name.comma, cst.Comma):
        space = name.comma.whitespace_after
        if isinstance(space, cst.ParenthesizedWhitespace):
            lines = [line for line in space.empty_lines if line.comment]
            return name.with_deep_changes(space, empty_lines=lines, last_line=cst.SimpleWhitespace(""))
    return name.with_changes(comma=cst.MaybeSentinel.DEFAULT)


def _without_comment(statement: cst.BaseSmallStatement) -> cst.BaseSmallStatement:
    """Return a statement without the comment behind its parenthesis, which stands in the first one."""
    if isinstance(statement, cst.ImportFrom) and statement.lpar:
        space = statement.lpar.whitespace_after
        if isinstance(space, cst.ParenthesizedWhitespace):
            line = space.first_line.with_changes(comment=None, whitespace=cst.SimpleWhitespace(""))
            return statement.with_deep_changes(space, first_line=line, empty_lines=())
    return statement


def _split(line: cst.SimpleStatementLine) -> Iterator[cst.SimpleStatementLine]:
    """Yield a line for each of the statements; the comments stand where they stood."""
    *others, last = line.body
    comment = line.trailing_whitespace.comment
    is_for_all = comment is not None and PRAGMA.match(comment.value)
    trailing = line.trailing_whitespace if is_for_all else cst.TrailingWhitespace()
    leading = line.leading_lines
    for statement in others:
        yield cst.SimpleStatementLine([statement], leading, trailing)
        leading = ()
    yield cst.SimpleStatementLine([last], leading, line.trailing_whitespace)
