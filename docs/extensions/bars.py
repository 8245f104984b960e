"""
The directive `{bars}`: a bar chart of what a benchmark has found, as SVG in the page.

    ```{bars} deferred_runs
    :title: Requests that were sent
    :value: requests
    :by: runs
    :only: 100, 1000
    :where: trouble=both
    ```

draws for each value of the column `by` (of those named in `only`, if there is such an option) a bar for
each `who`, all to one scale; `where` picks rows by another column. The colours are the page's, so that it can
be read in its light and in its dark form.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, ClassVar

import findings
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

WIDTH, LEFT, RIGHT, BAR, GAP = 520, 110, 60, 20, 10


class Bars(SphinxDirective):
    """A bar chart of one figure."""

    required_arguments = 1
    has_content = False
    option_spec: ClassVar[dict[str, Any]] = {
        "title": directives.unchanged_required,
        "value": directives.unchanged_required,
        "by": directives.unchanged_required,
        "only": directives.unchanged,
        "where": directives.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        """Draw it."""
        name, value, by = self.arguments[0], self.options["value"], self.options["by"]
        self.env.note_dependency(str(findings.HERE / "results" / f"{name}.json"))
        only = [part.strip() for part in self.options.get("only", "").split(",") if part.strip()]
        where = dict(part.strip().split("=") for part in self.options.get("where", "").split(",") if part)
        rows = [
            row
            for row in findings.read(name)["rows"]
            if row.get(value) is not None
            and (not only or str(row[by]) in only)
            and all(str(row[column]) == wanted for column, wanted in where.items())
        ]
        if not rows:
            raise self.error(f"{name} has no row with {self.options}.")
        drawn = draw(rows, value, by, self.options["title"])
        return [nodes.raw("", drawn, format="html")]


def draw(rows: list[dict[str, Any]], value: str, by: str, title: str) -> str:
    """Return the chart as HTML: a group of bars for each value of `by`."""
    most = max(float(row[value]) for row in rows) or 1.0
    parts, y, group = [], 0, None
    for row in rows:
        if row[by] != group:
            y += GAP if group is not None else 0
            group = row[by]
            label = f"{findings.shown(group)} {by}" if isinstance(group, int) else str(group)
            parts.append(f'<text class="group" x="0" y="{y + 14}">{escape(label)}</text>')
            y += BAR
        width = max(1.0, (WIDTH - LEFT - RIGHT) * float(row[value]) / most)
        who = escape(row["who"])
        kind = who.split("+")[0]
        parts += [
            f'<text class="who" x="{LEFT - 8}" y="{y + 14}">{who}</text>',
            f'<rect class="{kind}" x="{LEFT}" y="{y + 3}" width="{width:.1f}" height="{BAR - 6}"/>',
            f'<text x="{LEFT + width + 6:.1f}" y="{y + 14}">{findings.shown(row[value])}</text>',
        ]
        y += BAR
    drawn = "".join(parts)
    caption = escape(title)
    return (
        f'<figure class="bars"><figcaption>{caption}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {y}" role="img" aria-label="{caption}">{drawn}</svg></figure>'
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx of the directive."""
    app.add_directive("bars", Bars)
    return {"parallel_read_safe": True}
