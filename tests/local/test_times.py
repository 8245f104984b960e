"""Tests of `airflow_dbt_cloud.local.times`."""

import pytest

from airflow_dbt_cloud.local.times import clock_duration, humanized_duration, iso_time, run_time, zulu_time

MOMENT = 1716806536.179903


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 minutes"),
        (0.9, "0 minutes"),
        (1, "1 second"),
        (28, "28 seconds"),
        (110, "1 minute, 50 seconds"),
        (3408, "56 minutes, 48 seconds"),
        (86436, "1 day"),
        (17 * 86400, "2 weeks, 3 days"),
        (-5, "0 minutes"),
    ],
)
def test_humanized_durations(seconds, expected):
    """A duration in words has the largest unit and, unless it is zero, the next one."""
    assert humanized_duration(seconds) == expected


def test_clock_durations():
    """Hours may exceed 24."""
    assert clock_duration(86436) == "24:00:36"
    assert clock_duration(51.9) == "00:00:51"


def test_times():
    """Run times have a blank, job times a T, and a job inside a run ends in Z."""
    assert run_time(MOMENT) == "2024-05-27 10:42:16.179903+00:00"
    assert run_time(None) is None
    assert iso_time(MOMENT) == "2024-05-27T10:42:16.179903+00:00"
    assert zulu_time(MOMENT) == "2024-05-27T10:42:16.179903Z"
