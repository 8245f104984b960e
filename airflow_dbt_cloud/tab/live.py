"""
Runs that go, for everybody who looks at them: dbt Cloud is asked as rarely as for one.

Invariants: for each run there is one question at a time, and five seconds between the starts of two; two
questions at a time in this process. Nobody waits long: who asks meanwhile gets what was seen last, with its
time. A run that nobody has asked for in a minute is forgotten.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError

from airflow_dbt_cloud.errors import DbtCloudError
from airflow_dbt_cloud.tab.sight import Unseen, look
from airflow_dbt_cloud.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_dbt_cloud.tab.sight import Sight, Subject

__all__ = ["VERSION", "Live", "unseen"]

VERSION = 1
# Seconds between two questions for the same run.
INTERVAL = 5.0
MOST_QUESTIONS = 2
# How long somebody waits who sees nothing yet, and who can be shown what was seen last.
FIRST_PATIENCE = 8.0
PATIENCE = 1.5
# The age from which on what was seen is called old.
OLD = 3 * INTERVAL
FORGET_AFTER = 60.0
MOST_VIEWS = 100
NOT_YET = "dbt Cloud has not answered yet."
# What may go wrong on the way to dbt Cloud, or to the connection.
TROUBLE = (Unseen, DbtCloudError, AirflowException, AirflowRuntimeError)

log = logging.getLogger(__name__)


class Look(Protocol):
    """What looks at a run; it blocks."""

    def __call__(self, subject: Subject, *, is_known: bool) -> Sight: ...


@dataclass(slots=True)
class View:
    """
    What is known of a run that somebody looks at.

    `asked_at` is when somebody did last, `looked_at` when dbt Cloud was asked, `seen_at` when it answered.
    """

    asked_at: float = 0.0
    looked_at: float = float("-inf")
    seen_at: float = float("-inf")
    sight: Sight | None = None
    trouble: str = ""
    looking: asyncio.Task[None] | None = None

    def to_json(self, now: float) -> dict[str, Any]:
        """Return the answer for a browser."""
        sight = self.sight
        if sight is None:
            return unseen(self.trouble or NOT_YET)
        return {
            "version": VERSION,
            "run": sight.run,
            "seen_at": sight.seen_at.isoformat(),
            "is_stale": bool(self.trouble) or now - self.seen_at >= OLD,
            "console": sight.console,
            "message": self.trouble or sight.note,
        }


def unseen(why: str) -> dict[str, Any]:
    """Return the answer for a browser where there is nothing to see."""
    return {
        "version": VERSION,
        "run": None,
        "seen_at": None,
        "is_stale": False,
        "console": "",
        "message": why,
    }


class Live:
    """
    What is seen of runs that go. Belongs to one event loop.

    :param look: looks at a run.
    :param threads: where it does.
    :param clock: seconds that only grow.
    """

    def __init__(
        self,
        look: Look = look,
        *,
        threads: Threads | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._clock = clock
        self._threads = threads or Threads(MOST_QUESTIONS, "dbt-cloud-tab")
        self._views: dict[Subject, View] = {}

    async def see(self, subject: Subject) -> dict[str, Any]:
        """Return how a run is, for a browser."""
        now = self._clock()
        view = self._views.pop(subject, None) or View()
        # At the end, so that the first ones are those that nobody has asked for.
        self._views[subject] = view
        view.asked_at = now
        self._forget(now)
        if view.looking is None and now - view.looked_at >= INTERVAL:
            view.looked_at = now
            view.looking = asyncio.create_task(
                self._refresh(subject, view), name=f"dbt-cloud-look-{subject.run_id}"
            )
        if view.looking is not None:
            # Whoever goes away does not end what others wait for.
            await asyncio.wait({view.looking}, timeout=FIRST_PATIENCE if view.sight is None else PATIENCE)
        return view.to_json(self._clock())

    async def _refresh(self, subject: Subject, view: View) -> None:
        is_known = view.sight is not None
        try:
            view.sight = await self._threads.run(lambda: self._look(subject, is_known=is_known))
            view.seen_at, view.trouble = self._clock(), ""
        except TROUBLE as error:
            view.trouble = str(error)
        except Exception:
            # In a task of its own nobody would hear of a slip of ours, and whoever watches would wait on.
            log.exception("Looking at dbt Cloud run %s failed.", subject.run_id)
            view.trouble = "The run cannot be shown; the log of Airflow's API server says why."
        finally:
            view.looking = None

    def _forget(self, now: float) -> None:
        for subject, view in [*self._views.items()]:
            if now - view.asked_at < FORGET_AFTER and len(self._views) <= MOST_VIEWS:
                return
            # Who is being asked about is not asked about twice.
            if view.looking is None:
                del self._views[subject]
