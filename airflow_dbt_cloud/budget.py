"""How many requests may be sent, and when the next one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Budget"]


class Budget:
    """
    So many requests a minute, evenly spread, for all who share it.

    :param per_minute: requests; another number holds from the next claim on.
    :param clock: seconds that only grow.
    """

    def __init__(self, per_minute: float = 500.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._next = 0.0

    @property
    def pace(self) -> float:
        """Seconds between two requests."""
        return 60.0 / self.per_minute

    @property
    def is_free(self) -> bool:
        """Whether whoever claims now does not wait."""
        return self._next <= self._clock()

    def claim(self) -> float:
        """Claim the next request, and return the seconds to wait before it."""
        now = self._clock()
        at = max(now, self._next)
        self._next = at + self.pace
        return at - now
