"""
The numbers that a platform team watches, sent the way Airflow sends its own.

================================  =======  ==============================================================
name                              kind     what it tells
================================  =======  ==============================================================
`dbt_cloud.runs_started`          counter  runs that tasks started
`dbt_cloud.runs_resumed`          counter  runs that a retry took up instead of starting another
`dbt_cloud.attempts_superseded`   counter  tries that gave way to a later try of the same task
`dbt_cloud.runs_cancelled`        counter  runs that were cancelled with their task
`dbt_cloud.requests`              counter  requests that the poller of a triggerer sent
`dbt_cloud.rate_limited`          counter  those of them that were answered 429
`dbt_cloud.runs_waiting`          gauge    runs that a triggerer waits for in one account
`dbt_cloud.oldest_poll_age`       gauge    seconds since an answer, for the run of them without one longest
================================  =======  ==============================================================

A number that cannot be sent is lost, and disturbs nobody.
"""

from __future__ import annotations

import logging

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


def count(name: str) -> None:
    """Add one to a counter."""
    try:
        # Here, so that a DAG file which only declares tasks does not pay for it.
        from airflow.sdk.observability.stats import Stats

        Stats.incr(name)
    except Exception as error:  # noqa: BLE001 - a number is not worth a task
        log.debug("The metric %s is lost: %s", name, error)


def gauge(name: str, value: float) -> None:
    """Set a gauge."""
    try:
        from airflow.sdk.observability.stats import Stats

        Stats.gauge(name, value)
    except Exception as error:  # noqa: BLE001 - a number is not worth a task
        log.debug("The metric %s is lost: %s", name, error)
