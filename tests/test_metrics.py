"""The numbers that Airflow sends for us."""

import pytest

from airflow_dbt_cloud import metrics


class Stats:
    """Airflow's way to send numbers, which remembers them."""

    def __init__(self):
        self.sent = []
        self.error = None

    def incr(self, name, count=1):
        self._send("incr", name, count)

    def gauge(self, name, value):
        self._send("gauge", name, value)

    def _send(self, *number):
        if self.error is not None:
            raise self.error
        self.sent.append(number)


@pytest.fixture
def stats(monkeypatch):
    """Stand in for Airflow's stats."""
    stats = Stats()
    monkeypatch.setattr("airflow.sdk.observability.stats.Stats", stats)
    return stats


def test_numbers_are_airflows(stats):
    """Counters and gauges go where those of Airflow go."""
    metrics.count(metrics.RUNS_STARTED)
    metrics.gauge(metrics.RUNS_WAITING, 7)
    assert stats.sent == [("incr", "dbt_cloud.runs_started", 1), ("gauge", "dbt_cloud.runs_waiting", 7)]


def test_every_number_is_described():
    """The module's table has each name, and no other."""
    names = [getattr(metrics, name) for name in metrics.__all__ if name.isupper()]
    in_table = [line.split()[0].strip("`") for line in metrics.__doc__.splitlines() if line.startswith("`")]
    assert sorted(in_table) == sorted(names)


def test_a_number_is_not_worth_a_task(stats):
    """Where numbers cannot be sent, whoever counts notices nothing."""
    stats.error = OSError("no such host as statsd")
    metrics.count(metrics.RUNS_STARTED)
    metrics.gauge(metrics.RUNS_WAITING, 7)


def test_airflow_without_metrics():
    """Airflow as it comes takes numbers, and sends none."""
    metrics.count(metrics.RUNS_STARTED)
    metrics.gauge(metrics.RUNS_WAITING, 7)
