"""The budget of requests, with a clock that only the tests move."""

import pytest

from airflow_dbt_cloud.budget import Budget


class Clock:
    """Seconds that only grow."""

    def __init__(self):
        self.now = 5000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    """Return a clock."""
    return Clock()


def test_the_first_is_free(clock):
    """Whoever comes first does not wait."""
    assert Budget(60, clock=clock).claim() == 0


def test_evenly_spread(clock):
    """Claims made together are a minute's share apart."""
    budget = Budget(120, clock=clock)
    assert [budget.claim() for _ in range(4)] == [0, 0.5, 1.0, 1.5]


def test_a_minute_holds_no_more(clock):
    """However often it is claimed, no more requests are sent in a minute than the budget says."""
    budget = Budget(500, clock=clock)
    sent = []
    while clock.now < 5180:
        clock.now += budget.claim()
        sent.append(clock.now)
    busiest = max(sum(first <= at < first + 59.99 for at in sent) for first in sent)
    assert busiest == 500


def test_nothing_is_saved_up(clock):
    """A quiet time does not allow a burst after it."""
    budget = Budget(60, clock=clock)
    budget.claim()
    clock.now += 600
    assert [budget.claim(), budget.claim(), budget.claim()] == [0, 1, 2]


def test_waiting_counts(clock):
    """The time that somebody has waited already is not waited again."""
    budget = Budget(60, clock=clock)
    budget.claim()
    clock.now += 0.75
    assert budget.claim() == pytest.approx(0.25)


def test_another_rate(clock):
    """Another rate holds from the next claim on."""
    budget = Budget(60, clock=clock)
    budget.claim()
    budget.per_minute = 120
    assert [budget.claim(), budget.claim(), budget.claim()] == [1, 1.5, 2]


def test_free(clock):
    """Whether a claim would wait can be seen without making one."""
    budget = Budget(60, clock=clock)
    assert budget.is_free
    assert budget.is_free
    budget.claim()
    assert not budget.is_free
    clock.now += budget.pace
    assert budget.is_free
