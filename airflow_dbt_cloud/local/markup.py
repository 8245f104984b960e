"""HTML for the pages: everything that comes from outside is escaped here, and only here.

A page is one answer with its style and script inside. Its policy allows that one script and no other, so
even a hole in the escaping would run nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse

from airflow_dbt_cloud.local.times import clock_duration, humanized_duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_dbt_cloud.local.records import Status

_STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
_SCRIPT = (Path(__file__).parent / "page.js").read_text(encoding="utf-8")
_ANSI_COLORS = {"31": "red", "32": "green", "33": "yellow", "34": "blue", "36": "cyan", "90": "gray"}
_ANSI = re.compile(r"\x1b\[([0-9;]*)m")
_OTHER_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src {_digest(_SCRIPT)}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def document(
    title: str, trail: Iterable[str], content: str, *, refresh: str, code: int = 200
) -> HTMLResponse:
    """Make a whole page; `trail` is HTML, `refresh` is how often it asks for news: going, idle or never."""
    return HTMLResponse(
        "<!doctype html>"
        '<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><style>{_STYLE}</style></head>'
        f'<body data-refresh="{refresh}"><header>{"".join(trail)}</header><main>{content}</main>'
        f"<script>{_SCRIPT}</script></body></html>",
        code,
        PAGE_HEADERS,
    )


def link(path: str, text: str) -> str:
    """Make a link within the server."""
    return f'<a href="{escape(path)}">{escape(text)}</a>'


def badge(status: Status) -> str:
    """Make a coloured word for a status."""
    return f'<span class="badge {status.humanized}">{status.humanized}</span>'


def facts(entries: Iterable[tuple[str, str, bool]]) -> str:
    """Make a card of names and values; values are HTML, and some are wide. Empty ones are left out."""
    rows = (
        f"<div{' class=wide' if is_wide else ''}><dt>{escape(name)}</dt><dd>{value}</dd></div>"
        for name, value, is_wide in entries
        if value
    )
    return f'<div class="card"><dl>{"".join(rows)}</dl></div>'


def table(head: Iterable[str], rows: list[str], if_empty: str) -> str:
    """Make a card with a table; cells are HTML."""
    if not rows:
        return f'<div class="card"><p class="empty">{escape(if_empty)}</p></div>'
    return (
        f'<div class="card scroll"><table><thead><tr>{"".join(head)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def log_html(text: str) -> str:
    """Make HTML of a log: escaped, with dbt's colours as classes, other control characters left out."""
    parts, is_open, position = [], False, 0
    for code in _ANSI.finditer(text):
        parts.append(_plain(text[position : code.start()]))
        position = code.end()
        if is_open:
            parts.append("</span>")
        color = next((_ANSI_COLORS[each] for each in code[1].split(";") if each in _ANSI_COLORS), None)
        is_open = color is not None
        if is_open:
            parts.append(f'<span style="color:var(--{color})">')
    parts.append(_plain(text[position:]))
    return "".join(parts) + ("</span>" if is_open else "")


def ago(now: float, moment: float) -> str:
    """Say how long ago something was."""
    return f"{humanized_duration(now - moment)} ago" if now - moment >= 1 else "just now"


def took(start: float | None, end: float) -> str:
    """Say how long something took, if it began."""
    return "" if start is None else clock_duration(end - start)


def _plain(text: str) -> str:
    return escape(_OTHER_CONTROLS.sub("", text))
