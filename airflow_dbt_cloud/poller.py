"""
One poll loop for all the runs that a triggerer waits for and reaches in the same way.

A hundred runs are one request. A run that goes on is 3 kB of news that nothing happened, so dbt Cloud is
asked for those that have ended, and once a minute for all, to see their states and to notice one that is
gone.

Invariants, true whenever the event loop is free to do something else:

* A run is in the table exactly while somebody follows it.
* The loop's task lives exactly while the table is not empty; if it dies otherwise, everybody is told.
* Whoever follows a run is told once: the run when it has ended, or why it cannot be followed.
* A run in the table is in the heap of runs to ask for at the time when it is due, or in a question that is on
  its way. What else the heap holds is out of date, and dropped when its time comes.

The tick is the retry: a failed question changes what `Followed.error` says, and is asked again when the runs
are due. Only a 429 stops everything for as long as dbt Cloud wants.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import logging
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from airflow_dbt_cloud.async_client import MOST_AT_ONCE, MOST_BESIDE
from airflow_dbt_cloud.errors import (
    DbtCloudAnswerTooLong,
    DbtCloudApiError,
    DbtCloudConfigurationError,
    DbtCloudError,
    DbtCloudInvalidRequest,
    DbtCloudRateLimited,
    DbtCloudUnreachable,
)
from airflow_dbt_cloud.models import TERMINAL
from airflow_dbt_cloud.retries import pause_after

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from contextlib import AbstractContextManager

    from airflow_dbt_cloud.async_client import AsyncClient
    from airflow_dbt_cloud.budget import Budget
    from airflow_dbt_cloud.client import Client
    from airflow_dbt_cloud.models import Run

__all__ = ["Followed", "Poller"]

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

BATCH = 100
FULL_LOOK_INTERVAL = 60.0
SINGLY_FOR = 3600.0
JITTER = (0.85, 1.0)
NEVER = float("inf")


@dataclass(slots=True, eq=False)
class Followed:
    """
    A run that somebody follows.

    `outcome` is the run when it has ended, or why it cannot be followed any more. Until then, `status` is how
    it was when all runs were last asked for, 0 before that, and `error` why the last question failed, None if
    it did not. `asked` is when that question was sent. `is_missing` means that it
    could not be seen by itself when it was asked for last, because no list showed it. Times are the loop's.
    """

    id: int
    interval: float
    seen_in_full: float
    asked: float
    due: float = NEVER
    hurried: float = NEVER
    followers: int = 0
    is_missing: bool = False
    status: int = 0
    error: DbtCloudError | None = field(default=None, repr=False)
    outcome: Run | Exception | None = field(default=None, repr=False)
    waiting: list[asyncio.Future[None]] = field(default_factory=list, repr=False)

    async def wait(self, seconds: float) -> Run | None:
        """
        Return the run once it has ended, or None after some seconds, or sooner if it was hurried.

        :raises DbtCloudConfigurationError: the run cannot be followed any more: the connection leads
            elsewhere.
        :raises Exception: likewise, because of a slip of ours; it is in the triggerer's log.
        """
        if self.outcome is None:
            # Of each who waits his own: cancelling one must not cancel what others wait for.
            loop = asyncio.get_running_loop()
            woken = loop.create_future()
            timer = loop.call_later(seconds, _wake, woken)
            self.waiting.append(woken)
            try:
                await woken
            finally:
                timer.cancel()
                self.waiting.remove(woken)
        if isinstance(self.outcome, Exception):
            raise self.outcome.with_traceback(None)
        return self.outcome

    def end(self, outcome: Run | Exception) -> None:
        """Tell whoever waits how it ended, unless that is known."""
        if self.outcome is None:
            self.outcome = outcome
            self.wake()

    def wake(self) -> None:
        """Wake whoever waits."""
        for woken in self.waiting:
            _wake(woken)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


class Poller:
    """
    Follows runs of one account that are reached in the same way. All of it belongs to one event loop.

    :param client: asks dbt Cloud.
    :param budget: the requests that may be sent, shared with other pollers.

    `requests` and `rate_limited` count what it has sent so far, and how much of that was answered 429.
    """

    def __init__(self, client: AsyncClient, *, budget: Budget) -> None:
        self._client = client
        self._budget = budget
        self.requests = 0
        self.rate_limited = 0
        self._table: dict[int, Followed] = {}
        self._due: list[tuple[float, int]] = []
        self._task: asyncio.Task[None] | None = None
        self._changed: asyncio.Future[None] | None = None
        self._turns = asyncio.Semaphore(MOST_BESIDE)
        self._paused_until = 0.0
        self._singly_until = 0.0

    @property
    def client(self) -> AsyncClient:
        """What asks dbt Cloud, for questions about one run."""
        return self._client

    @property
    def followed(self) -> Collection[Followed]:
        """The runs that somebody follows."""
        return self._table.values()

    def follow(self, run_id: int, interval: float) -> AbstractContextManager[Followed]:
        """
        Follow a run for as long as the context lasts.

        :param interval: seconds between two questions; of several followers the shortest counts.
        """
        return _Following(self, run_id, interval)

    def join(self, run_id: int, interval: float) -> Followed:
        """Begin to follow a run; `leave` must follow."""
        followed = self._table.get(run_id)
        if followed is None:
            now = asyncio.get_running_loop().time()
            followed = self._table[run_id] = Followed(run_id, interval, seen_in_full=now, asked=now)
            # Anywhere in the interval, so that runs that were started together are not asked for together.
            self._schedule([followed], spread=(0.1, 1.0))
        followed.interval = min(followed.interval, interval)
        followed.followers += 1
        self._run()
        return followed

    def leave(self, followed: Followed) -> None:
        """Follow a run no longer."""
        followed.followers -= 1
        if not followed.followers and self._table.get(followed.id) is followed:
            del self._table[followed.id]
            if not self._table:
                self._wake()

    def hurry(self, followed: Followed) -> None:
        """Ask for a run now, with those that are due, and wake whoever waits for it when that is answered."""
        followed.hurried = asyncio.get_running_loop().time()
        self._put(followed, followed.hurried)

    async def ask(self, call: Callable[[Client], Answer]) -> Answer:
        """
        Return what a call of the client returns: a question that can wait, in its turn.

        It is sent when no run needs the budget, so that no run is asked for later because of it.

        :raises DbtCloudError: whatever the call raises; after a 429 nobody asks until dbt Cloud wants it.
        """
        async with self._turns:
            while not self._has_time():  # noqa: ASYNC110 - it is the time that is waited for
                await asyncio.sleep(self._budget.pace)
            self._budget.claim()
            self.requests += 1
            try:
                return await self._client.ask(call)
            except DbtCloudRateLimited as error:
                self._pause(error)
                raise

    def _has_time(self) -> bool:
        now, first = asyncio.get_running_loop().time(), self._first()
        is_due_soon = first is not None and first.due <= now + self._budget.pace
        return self._budget.is_free and not self._is_paused and not is_due_soon

    @property
    def _is_paused(self) -> bool:
        return self._paused_until > asyncio.get_running_loop().time()

    def _run(self) -> None:
        if self._task is None:
            # In an empty context, else its log lines would land in the log of the task that came first.
            self._task = asyncio.get_running_loop().create_task(
                self._poll(), name="dbt-cloud-poller", context=contextvars.Context()
            )

    async def _poll(self) -> None:
        questions: set[asyncio.Task[None]] = set()
        try:
            while await self._until_due():
                if len(questions) == MOST_AT_ONCE:
                    await asyncio.wait(questions, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(self._budget.claim())
                # Taken last: meanwhile further runs may have become due, and the request takes a hundred.
                if batch := self._take():
                    question = asyncio.create_task(self._question(batch), name="dbt-cloud-question")
                    questions.add(question)
                    question.add_done_callback(questions.discard)
        except Exception as error:
            log.exception("The poller of dbt Cloud runs broke down.")
            self._tell(list(self._table.values()), error)
        finally:
            # No await from the check of the table to here: who follows a run now starts a new task.
            self._task = self._changed = None
            self._due.clear()
            for question in questions:
                question.cancel()

    async def _until_due(self) -> bool:
        """Sleep until a run is due, and return True; or False as soon as nobody follows any."""
        loop = asyncio.get_running_loop()
        while self._table:
            first = self._first()
            due = NEVER if first is None else max(first.due, self._paused_until)
            if due <= loop.time():
                return True
            self._changed = loop.create_future()
            await asyncio.wait({self._changed}, timeout=None if due == NEVER else due - loop.time())
        return False

    def _wake(self) -> None:
        if self._changed is not None:
            _wake(self._changed)

    def _first(self) -> Followed | None:
        """Return the run that is due first."""
        while self._due:
            due, run_id = self._due[0]
            followed = self._table.get(run_id)
            if followed is not None and followed.due == due and followed.outcome is None:
                return followed
            heapq.heappop(self._due)
        return None

    def _take(self) -> list[Followed]:
        """Take the runs to ask for: nothing unless one is due, else that and those due next."""
        now = asyncio.get_running_loop().time()
        batch: list[Followed] = []
        size = 1 if now < self._singly_until else BATCH
        while len(batch) < size and (first := self._first()) and (batch or first.due <= now):
            heapq.heappop(self._due)
            first.due = NEVER
            batch.append(first)
        return batch

    def _schedule(self, batch: Sequence[Followed], spread: tuple[float, float] = JITTER) -> None:
        # One number for the whole batch: runs that are asked for together stay together.
        now, share = asyncio.get_running_loop().time(), random.uniform(*spread)
        for followed in batch:
            # Unless it was hurried meanwhile.
            if followed.due == NEVER:
                self._put(followed, now + followed.interval * share)

    def _put(self, followed: Followed, due: float) -> None:
        followed.due = due
        heapq.heappush(self._due, (due, followed.id))
        if self._due[0] == (due, followed.id):
            self._wake()

    async def _question(self, batch: list[Followed]) -> None:
        sent = asyncio.get_running_loop().time()
        try:
            await self._look(batch)
        except DbtCloudConfigurationError as error:
            self._tell(list(self._table.values()), error)
        except (DbtCloudApiError, DbtCloudUnreachable) as error:
            for followed in batch:
                followed.error, followed.asked = error, sent
            if isinstance(error, DbtCloudRateLimited):
                self._pause(error)
        except _BatchRefused as refusal:
            self._go_singly(refusal)
            self._schedule(batch, (0.0, 0.0))
            return
        except Exception as error:
            log.exception("A question for dbt Cloud runs broke down.")
            self._tell(batch, error)
        self._schedule(batch)
        for followed in batch:
            if followed.hurried <= sent:
                followed.hurried = NEVER
                followed.wake()

    def _pause(self, error: DbtCloudRateLimited) -> None:
        self.rate_limited += 1
        # Of several answers that were on their way the most patient one counts.
        until = asyncio.get_running_loop().time() + pause_after(error, 1)
        self._paused_until = max(self._paused_until, until)
        log.warning("%s Nothing is asked until dbt Cloud wants it again.", error)

    async def _look(self, batch: list[Followed]) -> None:
        """Ask how the runs are, and take note."""
        now = asyncio.get_running_loop().time()
        # More than one, if it set out just when another one was refused.
        if now < self._singly_until and len(batch) == 1:
            await self._look_at(batch[0])
            return
        is_full = any(now - followed.seen_in_full >= FULL_LOOK_INTERVAL for followed in batch)
        seen = await self._list([followed.id for followed in batch], is_full=is_full)
        for followed in batch:
            if followed.id in seen:
                self._saw(followed, seen[followed.id], now)
            elif not is_full and not followed.is_missing:
                # It goes on; or it is gone, which only a full look can tell.
                followed.error, followed.asked = None, now
        # While nothing may be asked, what no list shows waits for the next full look.
        if is_full and not self._is_paused:
            for followed in batch:
                followed.seen_in_full = now
            await self._look_at_each([followed for followed in batch if followed.id not in seen])

    async def _look_at_each(self, missing: list[Followed]) -> None:
        """Ask for runs that no list shows, one by one, until it is not the trouble of one run alone."""
        for number, followed in enumerate(missing):
            await asyncio.sleep(self._budget.claim())
            await self._look_at(followed)
            error = followed.error
            is_its_own = isinstance(error, DbtCloudAnswerTooLong)
            if isinstance(error, DbtCloudRateLimited | DbtCloudUnreachable) and not is_its_own:
                for other in missing[number + 1 :]:
                    other.error, other.asked, other.is_missing = error, followed.asked, True
                return

    async def _look_at(self, followed: Followed) -> None:
        """Ask how one run is, and take note of what goes wrong, too."""
        now = asyncio.get_running_loop().time()
        self.requests += 1
        try:
            self._saw(followed, await self._client.get_run(followed.id), now)
        except (DbtCloudApiError, DbtCloudUnreachable) as error:
            followed.error, followed.asked, followed.is_missing = error, now, True
            if isinstance(error, DbtCloudRateLimited):
                self._pause(error)

    async def _list(self, ids: list[int], *, is_full: bool) -> dict[int, Run]:
        self.requests += 1
        try:
            runs = await self._client.list_runs(ids, statuses=() if is_full else sorted(TERMINAL))
        except DbtCloudInvalidRequest as error:
            raise _BatchRefused(str(error)) from error
        seen = {run.id: run for run in runs}
        if strangers := seen.keys() - set(ids):
            msg = f"dbt Cloud answers with runs that were not asked for, such as {min(strangers)}."
            raise _BatchRefused(msg)
        return seen

    def _saw(self, followed: Followed, run: Run, now: float) -> None:
        followed.status, followed.error, followed.asked, followed.is_missing = run.status, None, now, False
        if run.is_terminal:
            followed.end(run)

    def _tell(self, batch: Sequence[Followed], error: Exception) -> None:
        for followed in batch:
            followed.end(error)

    def _go_singly(self, refusal: _BatchRefused) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._singly_until:
            log.warning("%s Each run is asked for by itself; a batch is tried again in an hour.", refusal)
        self._singly_until = now + SINGLY_FOR


@dataclass(slots=True, eq=False)
class _Following:
    """The context of somebody who follows a run; a generator's would weigh half a kilobyte."""

    poller: Poller
    run_id: int
    interval: float
    followed: Followed | None = None

    def __enter__(self) -> Followed:
        self.followed = self.poller.join(self.run_id, self.interval)
        return self.followed

    def __exit__(self, *_: object) -> None:
        if self.followed is not None:
            self.poller.leave(self.followed)


class _BatchRefused(Exception):
    """dbt Cloud does not answer questions for many runs at once as we expect it."""
