"""
Find links of a built site that lead nowhere: `python docs/extensions/dead_links.py docs/_build/html`.

Looked at are all `href` and `src` that lead to a page, a file or an anchor of the site itself; nothing is
fetched.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator


class Page(HTMLParser):
    """What a page links to, and what of it can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of a tag's links and anchors."""
        for name, value in attrs:
            if name in {"href", "src"} and value:
                self.links.add(value)
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value or "")


def find_dead_links(site: Path) -> Iterator[str]:
    """Name each page with each of its links that leads nowhere."""
    pages = {file.resolve(): Page(file.read_text()) for file in sorted(site.rglob("*.html"))}
    for file, page in pages.items():
        for link in sorted(page.links):
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            path, anchor = urldefrag(link)
            target = (file.parent / unquote(urlsplit(path).path)).resolve() if path else file
            target = target / "index.html" if target.is_dir() else target
            is_there = target.is_file() and target.is_relative_to(site.resolve())
            if not is_there or (target in pages and unquote(anchor) not in pages[target].anchors):
                yield f"{file.relative_to(site.resolve())}: {link}"


if __name__ == "__main__":
    dead = list(find_dead_links(Path(sys.argv[1])))
    if dead:
        sys.exit("Links that lead nowhere:\n" + "\n".join(dead))
