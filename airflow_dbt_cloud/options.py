"""
What a platform team sets once for all DAGs: the section `[dbt_cloud]` of Airflow's configuration.

Each option is read when it is used. Its default and its description stand in the provider's metadata, where
`airflow config list --include-descriptions` finds them, too.
"""

from __future__ import annotations

from airflow.sdk import conf

from airflow_dbt_cloud.get_provider_info import CONFIG_SECTION, OPTIONS
from airflow_dbt_cloud.parameters import parse_flag, parse_number, parse_seconds

__all__ = [
    "check_interval",
    "deployment_id",
    "is_durable",
    "lost_track_after",
    "min_deferral",
    "requests_per_minute",
    "start_timeout",
]


def check_interval() -> float:
    """Return the seconds between two questions whether a run has ended, where the task does not say."""
    return _number("check_interval")


def requests_per_minute() -> float:
    """Return how many requests a triggerer may send to dbt Cloud in a minute."""
    return parse_number(_name("requests_per_minute"), _text("requests_per_minute"))


def is_durable() -> bool:
    """Whether a retry looks for the run of the try before, where the task does not say."""
    return parse_flag(_name("durable"), _text("durable"))


def deployment_id() -> str:
    """Return what tells this Airflow from others that start runs in the same account."""
    return _text("deployment_id") or conf.get("api", "base_url", fallback=None) or ""


def start_timeout() -> float:
    """Return the seconds within which a run must be looked for and started."""
    return _number("start_timeout")


def lost_track_after() -> float:
    """Return the seconds of nothing but failures to see a run after which the wait ends."""
    return _number("lost_track_after")


def min_deferral() -> float:
    """Return the seconds for which a task is deferred at least."""
    return _number("min_deferral")


def _number(option: str) -> float:
    return parse_seconds(_name(option), _text(option))


def _text(option: str) -> str:
    return str(conf.get(CONFIG_SECTION, option, fallback=OPTIONS[option]["default"]) or "").strip()


def _name(option: str) -> str:
    return f"[{CONFIG_SECTION}] {option}"
