"""
A few threads for calls that block, kept away from the event loop and from everybody else's threads.

The loop's own executor is shared by all triggers of a triggerer, down to their DNS look-ups, and closing the
loop waits for it. These threads are daemons: a process that ends does not wait for a slow answer.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Threads"]

Result = TypeVar("Result")


class Threads:
    """
    Run calls in daemon threads, started when they are needed.

    :param most: how many at most; further calls wait for their turn.
    :param name: what the threads are called.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._started = 0

    async def run(self, call: Callable[[], Result]) -> Result:
        """Return what `call` returns, or raise what it raises. A call that has begun is not interrupted."""
        future: Future[Result] = Future()
        self._calls.put((call, future))
        if not self._idle.acquire(blocking=False) and self._started < self._most:
            self._started += 1
            threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while True:
            call, future = self._calls.get()
            tell: Callable[[], None] | None = None
            if future.set_running_or_notify_cancel():
                try:
                    tell = partial(future.set_result, call())
                except BaseException as error:  # noqa: BLE001 - whoever waits for the call gets it
                    tell = partial(future.set_exception, error)
            # Idle before anybody is told, so that the next call need not start another thread.
            self._idle.release()
            if tell is not None:
                tell()
            del call, future, tell
