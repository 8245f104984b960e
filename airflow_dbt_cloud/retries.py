"""
Whether and when a request is sent again.

=====================================  ==============  ==================
what happened                          safe to repeat  starts a run
=====================================  ==============  ==================
no answer, and it did not arrive       again           again
no answer, and it may have arrived     again           never
more of an answer than is read         never           never
429                                    again           again
408, 5xx, a 2xx that is not JSON        again           never
refused because the queue is full      never           again
every other 3xx and 4xx                never           never
=====================================  ==============  ==================

Safe to repeat are GET and the cancel of a run. "Again" is bounded by time; between two tries lies a random
part of a delay that doubles (full jitter), or what `Retry-After` asks if that is more. A 429 without it is
the start of dbt Cloud's cooldown of five minutes: 30 to 300 s. A wait that would end beyond the bound is not
begun.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_any, stop_before_delay

from airflow_dbt_cloud.errors import (
    DbtCloudAnswerTooLong,
    DbtCloudError,
    DbtCloudInvalidRequest,
    DbtCloudRateLimited,
    DbtCloudServerError,
    DbtCloudUnreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

__all__ = [
    "CALL_BOUND",
    "COOLDOWN",
    "START_BOUND",
    "Retries",
    "is_full_queue",
    "is_repeatable",
    "may_have_taken_effect",
    "pause_after",
]

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

CALL_BOUND = 120.0
# dbt Cloud's cooldown is 5 minutes, and a whole platform starts at midnight.
START_BOUND = 900.0
LONGEST_DELAY = 30.0
# Seconds, at least and at most.
COOLDOWN = (30.0, 300.0)


@dataclass(frozen=True, slots=True)
class Retries:
    """
    How patient a client is.

    :param limit: how often a request is sent at most; None = bounded by time only; 1 = never again.
    :param delay: seconds before the second try, doubled for each further one, up to 30; a random part of it
        is slept.
    :param sleep: takes seconds.
    :param left: tells how many seconds there are for all tries of a request and the waits between them, asked
        when it is first sent; None = as many as each request has.
    """

    limit: int | None = None
    delay: float = 1.0
    sleep: Callable[[float], None] = time.sleep
    left: Callable[[], float] | None = None

    def call(self, request: Callable[[], Answer], *, is_safe: bool, bound: float) -> Answer:
        """
        Return what `request` returns, asked again as the table says.

        :param is_safe: whether a second one does no harm if the first one took effect.
        :param bound: seconds for all tries and the waits between them, unless `left` says it.
        :raises DbtCloudError: that of the last try.
        """
        retrying = Retrying(
            retry=retry_if_exception(lambda error: is_repeatable(error, is_safe=is_safe)),
            wait=self._wait,
            stop=stop_any(
                stop_before_delay(bound if self.left is None else self.left()),
                stop_after_attempt(sys.maxsize if self.limit is None else self.limit),
            ),
            sleep=self.sleep,
            before_sleep=_log,
            reraise=True,
        )
        try:
            return retrying(request)
        except DbtCloudError as error:
            # The frames below are tenacity's and the transport's: sixty lines that bury the sentence.
            raise error.with_traceback(None) from error.__cause__

    def _wait(self, state: RetryCallState) -> float:
        return pause_after(_error(state), state.attempt_number, delay=self.delay)


def is_repeatable(error: BaseException, *, is_safe: bool) -> bool:
    """Whether the request that ended in `error` may be sent again."""
    if isinstance(error, DbtCloudAnswerTooLong):
        return False
    if isinstance(error, DbtCloudUnreachable):
        return is_safe or not error.may_have_arrived
    if isinstance(error, DbtCloudServerError):
        return is_safe
    return isinstance(error, DbtCloudRateLimited) or (not is_safe and is_full_queue(error))


def may_have_taken_effect(error: BaseException) -> bool:
    """Whether the request that ended in `error` may have done what it asked for all the same."""
    if isinstance(error, DbtCloudUnreachable):
        return error.may_have_arrived
    return isinstance(error, DbtCloudServerError)


def is_full_queue(error: BaseException) -> bool:
    """
    Whether dbt Cloud refuses a start because too many runs wait (the account's `queue_limit`).

    An assumption: what it says then is not public. A refusal that says "queue" and "full" or "limit" is taken
    for it; any other one is none.
    """
    if not isinstance(error, DbtCloudInvalidRequest):
        return False
    words = error.message.lower()
    return "queue" in words and ("full" in words or "limit" in words)


def pause_after(error: BaseException | None, attempt: int, *, delay: float = 1.0) -> float:
    """
    Return how many seconds to wait after the try number `attempt` (from 1) ended in `error`.

    :param delay: the longest wait after the first try, where dbt Cloud does not ask for one.
    """
    asked = error.retry_after if isinstance(error, DbtCloudRateLimited | DbtCloudServerError) else None
    if isinstance(error, DbtCloudRateLimited) and asked is None:
        return random.uniform(*COOLDOWN)
    jitter = random.uniform(0, min(LONGEST_DELAY, delay * 2.0 ** min(attempt - 1, 16)))
    # Never less than the jitter: a `Retry-After` of 0 would let us ask as fast as we can.
    return max(asked or 0.0, jitter)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _log(state: RetryCallState) -> None:
    log.warning("%s Asking again in %.1f s.", _error(state), state.upcoming_sleep)
