"""
The numbers that a platform team watches, sent the way Airflow sends its own.

================================  =======  ==============================================================
name                              kind     what it tells
================================  =======  ==============================================================
`dbt_cloud.runs_started`          counter  runs that tasks started
`dbt_cloud.runs_resumed`          counter  runs that a retry took up instead of starting another
`dbt_cloud.attempts_superseded`   counter  tries that gave way to a later try of the same task
`dbt_cloud.runs_cancelled`        counter  runs that tasks and triggers cancelled
`dbt_cloud.requests`              counter  requests that a triggerer sent for runs and consoles
`dbt_cloud.rate_limited`          counter  those of them that were answered 429
`dbt_cloud.runs_waiting`          gauge    runs that a triggerer waits for
`dbt_cloud.oldest_poll_age`       gauge    seconds since it asked for that run for which this is longest ago
================================  =======  ==============================================================

A number that cannot be sent is lost, and disturbs nobody.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_dbt_cloud.pollers import Figures

__all__ = [
    "ATTEMPTS_SUPERSEDED",
    "OLDEST_POLL_AGE",
    "RATE_LIMITED",
    "REQUESTS",
    "RUNS_CANCELLED",
    "RUNS_RESUMED",
    "RUNS_STARTED",
    "RUNS_WAITING",
    "count",
    "gauge",
    "report",
]

log = logging.getLogger(__name__)

RUNS_STARTED = "dbt_cloud.runs_started"
RUNS_RESUMED = "dbt_cloud.runs_resumed"
ATTEMPTS_SUPERSEDED = "dbt_cloud.attempts_superseded"
RUNS_CANCELLED = "dbt_cloud.runs_cancelled"
REQUESTS = "dbt_cloud.requests"
RATE_LIMITED = "dbt_cloud.rate_limited"
RUNS_WAITING = "dbt_cloud.runs_waiting"
OLDEST_POLL_AGE = "dbt_cloud.oldest_poll_age"


def report(figures: Figures) -> None:
    """Send how the pollers of a triggerer fare."""
    gauge(RUNS_WAITING, figures.runs_waiting)
    gauge(OLDEST_POLL_AGE, figures.oldest_poll_age)
    for name, times in ((REQUESTS, figures.requests), (RATE_LIMITED, figures.rate_limited)):
        if times:
            count(name, times)


def count(name: str, times: int = 1) -> None:
    """Add to a counter."""
    try:
        # Here, so that a DAG file which only declares tasks does not pay for it.
        from airflow.sdk.observability.stats import Stats

        Stats.incr(name, times)
    except Exception as error:  # noqa: BLE001 - a number is not worth a task
        log.debug("The metric %s is lost: %s", name, error)


def gauge(name: str, value: float) -> None:
    """Set a gauge."""
    try:
        from airflow.sdk.observability.stats import Stats

        Stats.gauge(name, value)
    except Exception as error:  # noqa: BLE001 - a number is not worth a task
        log.debug("The metric %s is lost: %s", name, error)
