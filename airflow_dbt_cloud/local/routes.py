"""Paths, and who answers them. A path counts with and without its last slash."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.responses import Response

    from airflow_dbt_cloud.local.cloud import Cloud

    Handler = Callable[["Cloud", "Call"], Response]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read."""

    ids: dict[str, int]
    parameters: list[tuple[str, str]]
    body: bytes
    base_url: str
    actor: str
    remainder: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """Where a path leads: the template, the ids in it, and a handler for each method."""

    template: str
    ids: dict[str, int]
    remainder: str
    handlers: dict[str, Handler]


@dataclass(slots=True)
class Routes:
    """A table of path templates. `{x_id}` stands for a number, `{remainder}` for all that is left."""

    _handlers: dict[str, dict[str, Handler]] = field(default_factory=dict)
    _patterns: list[tuple[re.Pattern[str], str]] = field(default_factory=list)

    def add(self, method: str, template: str, handler: Handler) -> None:
        """Let a handler answer a method of a template."""
        if template not in self._handlers:
            pattern = re.sub(r"\\\{(\w+_id)\\\}", r"(?P<\1>\\d{1,18})", re.escape(template.rstrip("/")))
            pattern = pattern.replace(r"\{remainder\}", "(?P<remainder>.+)")
            self._patterns.append((re.compile(pattern), template))
        self._handlers.setdefault(template, {})[method] = handler

    def find(self, path: str) -> Match | None:
        """Find where a path leads."""
        stripped = path.removesuffix("/")
        for pattern, template in self._patterns:
            if (found := pattern.fullmatch(stripped)) is not None:
                groups = found.groupdict()
                remainder = groups.pop("remainder", "")
                ids = {name: int(value) for name, value in groups.items()}
                return Match(template, ids, remainder, self._handlers[template])
        return None

    def templates(self) -> Iterable[str]:
        """All templates."""
        return self._handlers
