"""Directives that show facts of the package where it keeps them: `{options}`, `{local-options}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from airflow_dbt_cloud.get_provider_info import OPTIONS
from airflow_dbt_cloud.local import command_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from sphinx.application import Sphinx


class Options(SphinxDirective):
    """The options of the section `[dbt_cloud]`, as Airflow is told of them."""

    def run(self) -> list[nodes.Node]:
        """Make the table."""
        rows = (
            (f"`{name}`", f"`{option['default']}`" if option["default"] else "empty", option["description"])
            for name, option in OPTIONS.items()
        )
        return _table(self, ("option", "default", "what it says"), rows)


class LocalOptions(SphinxDirective):
    """The local server's command line, as its parser has it."""

    def run(self) -> list[nodes.Node]:
        """Make the table."""
        actions = command_line.make_parser()._actions  # noqa: SLF001 - argparse has no other way
        rows = ((f"`{_form(action)}`", _help(action)) for action in actions if action.dest != "help")
        return _table(self, ("option", "what it says"), rows)


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx of the directives."""
    app.add_directive("options", Options)
    app.add_directive("local-options", LocalOptions)
    return {"parallel_read_safe": True}


def _form(action: argparse.Action) -> str:
    value = action.metavar or action.dest.upper()
    return f"{action.option_strings[-1]} {value}"


def _help(action: argparse.Action) -> str:
    said = (action.help or "") % {**vars(action)}
    return f"{said[:1].upper()}{said[1:]}."


def _table(
    directive: SphinxDirective, head: Iterable[str], rows: Iterable[Iterable[str]]
) -> list[nodes.Node]:
    head = list(head)
    lines = [head, ["---"] * len(head), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    text = StringList([f"| {' | '.join(line)} |" for line in lines], source=directive.get_source_info()[0])
    node = nodes.container()
    directive.state.nested_parse(text, directive.content_offset, node)
    return node.children
