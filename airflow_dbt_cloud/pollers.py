"""
The pollers of an event loop: one for each way to an account, under one budget, reporting together.

The registry holds on to no event loop: a loop that is gone takes its pollers with it.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_dbt_cloud.async_client import AsyncClient
from airflow_dbt_cloud.budget import Budget
from airflow_dbt_cloud.poller import Poller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_dbt_cloud.credentials import Credentials

__all__ = ["Figures", "get_poller"]

# As often as statsd flushes.
REPORT_INTERVAL = 10.0


@dataclass(frozen=True, slots=True)
class Figures:
    """
    How all pollers of an event loop fare.

    `oldest_poll_age` is in seconds; `requests` and `rate_limited` are those since the last time.
    """

    runs_waiting: int
    oldest_poll_age: float
    requests: int
    rate_limited: int


def get_poller(
    key: Hashable,
    connect: Callable[[], Awaitable[Credentials]],
    *,
    requests_per_minute: Callable[[], float],
    report: Callable[[Figures], None] | None = None,
) -> Poller:
    """
    Return the running loop's poller for `key`, made at the first call.

    :param key: names the account and how to reach it.
    :param connect: see `AsyncClient`; must hold on to nobody who may go.
    :param requests_per_minute: returns what all pollers of the loop may send together; asked for each poller.
    :param report: told every ten seconds how they fare, while somebody follows a run; the loop's first one.
    """
    loop = asyncio.get_running_loop()
    pollers = _registry.get(loop)
    if pollers is None:
        pollers = _registry[loop] = _Pollers(report)
    if key not in pollers:
        pollers.budget.per_minute = requests_per_minute()
        pollers[key] = Poller(AsyncClient(connect), budget=pollers.budget)
    pollers.keep_reporting()
    return pollers[key]


class _Pollers(dict[Hashable, Poller]):
    """The pollers of one event loop, by how they reach their account, and what they have in common."""

    def __init__(self, report: Callable[[Figures], None] | None) -> None:
        super().__init__()
        # The loop's clock, as for all that is due; asked for late: the registry must not hold the loop.
        self.budget = Budget(clock=lambda: asyncio.get_running_loop().time())
        self._report = report
        self._is_reporting = False
        self._requests = self._rate_limited = 0

    def keep_reporting(self) -> None:
        """Report from now on, until nobody follows a run."""
        if self._report is not None and not self._is_reporting:
            self._is_reporting = True
            loop = asyncio.get_running_loop()
            loop.call_later(REPORT_INTERVAL, self._report_once, context=contextvars.Context())

    def _report_once(self) -> None:
        figures = self._figures(asyncio.get_running_loop().time())
        self._is_reporting = False
        if figures.runs_waiting:
            self.keep_reporting()
        if self._report is not None:
            self._report(figures)

    def _figures(self, now: float) -> Figures:
        asked = [followed.asked for poller in self.values() for followed in poller.followed]
        requests = sum(poller.requests for poller in self.values())
        limited = sum(poller.rate_limited for poller in self.values())
        new = requests - self._requests, limited - self._rate_limited
        self._requests, self._rate_limited = requests, limited
        return Figures(len(asked), now - min(asked, default=now), *new)


_registry: WeakKeyDictionary[asyncio.AbstractEventLoop, _Pollers] = WeakKeyDictionary()
