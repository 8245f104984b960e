"""Every row of the table: what a try does about the runs that earlier tries have left."""

import pytest

from airflow_dbt_cloud.decisions import GiveWay, Retry, Start, TakeUp, decide, find_ours
from airflow_dbt_cloud.markers import Marker
from airflow_dbt_cloud.models import Run

KEY = "0123456789abcdef"
QUEUED, STARTING, RUNNING, SUCCESS, ERROR, CANCELLED, UNKNOWN = 1, 2, 3, 10, 20, 30, 7
GOING = [QUEUED, STARTING, RUNNING, UNKNOWN]


def marker(max_tries=2, clear=0, try_number=1, key=KEY):
    """Return a marker."""
    return Marker(key=key, max_tries=max_tries, clear_number=clear, try_number=try_number)


def left(number, status, by=None, **fields):
    """Return a run as a try has left it; by the first try of two retries, unless another one is named."""
    return Run(id=number, status=status, cause=(by or marker()).mark("nightly"), **fields)


def decision(*runs, mine=None, **wishes):
    """Return what the second try does."""
    return decide(mine or marker(try_number=2), find_ours(runs, KEY), **wishes)


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [Run(id=1, status=RUNNING, cause="by hand")],
        [Run(id=1, status=RUNNING)],
        [left(1, RUNNING, marker(key="f" * 16))],
        [Run(id=1, status=RUNNING, cause=f"{marker()} quoted by a person")],
        [left(1, RUNNING, marker(key="f" * 16)), Run(id=2, status=RUNNING, retrying_run_id=1)],
        [Run(id=2, status=RUNNING, retrying_run_id=1, cause="a retry of a run that is not there")],
    ],
)
def test_nothing_of_ours(runs):
    """Without a run of this task instance a run is started, and nobody else's is touched."""
    assert decision(*runs) == Start("no earlier try has left a run")


@pytest.mark.parametrize("status", [*GOING, SUCCESS, ERROR, CANCELLED])
@pytest.mark.parametrize("later", [marker(try_number=3), marker(clear=1, try_number=1), marker(5, 1, 3)])
def test_superseded(status, later):
    """A later try or a newer clear has left a run already: nothing is started, and nothing is cancelled."""
    other = left(1, RUNNING)
    newer = left(2, status, later)
    assert decision(other, newer) == GiveWay(newer, f"try {later.try_number} of the task has started run 2")


@pytest.mark.parametrize("status", GOING)
def test_going(status):
    """A run that goes is taken up."""
    run = left(1, status)
    assert decision(run) == TakeUp(run, "started by try 1")


def test_going_after_others_ended():
    """A run that goes is taken up whatever became of those before and after it."""
    going = left(2, RUNNING, marker(try_number=2))
    runs = [left(1, ERROR), going, left(3, SUCCESS, marker(try_number=2))]
    assert decision(*runs, mine=marker(try_number=3)) == TakeUp(going, "started by try 2")


def test_going_after_a_clear_that_shows_only_in_its_number():
    """The run of a task whose worker was lost is taken up, also if something was cleared meanwhile."""
    run = left(1, RUNNING, marker(clear=0))
    assert decision(run, mine=marker(clear=1, try_number=2)) == TakeUp(run, "started by try 1")


def test_several_going():
    """Of several runs the oldest is taken up, and the others with our marker are cancelled."""
    runs = [left(3, QUEUED), left(1, RUNNING), left(2, QUEUED), Run(id=4, status=QUEUED, cause="by hand")]
    taken = decision(*runs)
    assert taken == TakeUp(runs[1], "started by try 1", (runs[2], runs[0]))


def test_others_of_another_clear():
    """What goes from before a clear is cancelled, too, when a run from after it is taken up."""
    old, new = left(1, RUNNING), left(2, QUEUED, marker(5, 1, 3))
    assert decision(old, new, mine=marker(5, 1, 4)) == TakeUp(new, "started by try 3", (old,))


@pytest.mark.parametrize("status", GOING)
def test_cleared_while_going(status):
    """After a clear the run that goes is cancelled, and another one is started."""
    run = left(1, status)
    assert decision(run, mine=marker(3, 1, 2)) == Start("the task was cleared", (run,))
    assert decision(run, mine=marker(3, 1, 2), cancel_on_kill=False) == Start("the task was cleared")


def test_success():
    """A run that succeeded while nobody watched is taken up as finished."""
    run = left(1, SUCCESS)
    assert decision(run) == TakeUp(run, "started by try 1")


@pytest.mark.parametrize("mine", [marker(3, 1, 2), marker(2, 1, 2), marker(3, 0, 2)])
def test_cleared_after_success(mine):
    """A success from before a clear is none of the cleared task's."""
    assert decision(left(1, SUCCESS), mine=mine) == Start("run 1 succeeded, and the task was cleared")


def test_error():
    """A failed run is followed by another one."""
    assert decision(left(1, ERROR, can_retry=True)) == Start("run 1 failed")


def test_error_is_retried():
    """A failed run is retried if that is wanted and dbt Cloud can."""
    run = left(1, ERROR, can_retry=True)
    assert decision(run, retry_from_failure=True) == Retry(
        run, "only what failed and what came after it runs again"
    )


@pytest.mark.parametrize(
    ("reason", "said"), [("RETRY_NOT_LATEST_RUN", "RETRY_NOT_LATEST_RUN"), ("", "it gives no reason")]
)
def test_error_that_cannot_be_retried(reason, said):
    """A failed run that dbt Cloud cannot retry is followed by a full one, and it is said why."""
    run = left(1, ERROR, retry_not_supported_reason=reason)
    why = f"run 1 failed, and dbt Cloud cannot retry it from its failure ({said})"
    assert decision(run, retry_from_failure=True) == Start(why)


@pytest.mark.parametrize("retry_from_failure", [True, False])
def test_cancelled(retry_from_failure):
    """A cancelled run is followed by another one; dbt Cloud retries only failures."""
    run = left(1, CANCELLED, can_retry=True)
    assert decision(run, retry_from_failure=retry_from_failure) == Start("run 1 was cancelled")


def test_newest_counts():
    """When all have ended, the newest one counts, in whatever order they come."""
    runs = [left(3, ERROR, marker(try_number=2)), left(1, SUCCESS), left(2, CANCELLED)]
    assert decision(*runs, mine=marker(try_number=3)) == Start("run 3 failed")


def test_retries_are_ours():
    """A retry counts for the try whose run it does again, and a retry of a retry, too."""
    runs = [
        left(1, ERROR),
        Run(id=2, status=ERROR, retrying_run_id=1, cause="resumed"),
        Run(id=3, status=RUNNING, retrying_run_id=2, cause="resumed"),
    ]
    assert decision(*runs) == TakeUp(runs[2], "started by try 1")


def test_retries_are_never_cancelled():
    """A retry may be a person's: it is taken up or left alone."""
    first, retry = left(1, RUNNING), Run(id=2, status=QUEUED, retrying_run_id=1)
    assert decision(first, retry) == TakeUp(first, "started by try 1")
    ended = left(1, ERROR)
    assert decision(ended, retry, mine=marker(3, 1, 2)) == Start("the task was cleared")


def test_a_retry_that_copies_its_cause():
    """A retry that bears the marker of the run that it does again is no run that this task started."""
    ended, retry = left(1, ERROR), left(2, QUEUED, retrying_run_id=1)
    assert decision(ended, retry, mine=marker(3, 1, 2)) == Start("the task was cleared")


def test_others_of_another_clear_that_shall_go_on():
    """What a clear has left goes on with cancel_on_kill=False; a double is cancelled all the same."""
    old, new, double = left(1, RUNNING), left(2, QUEUED, marker(5, 1, 3)), left(3, QUEUED, marker(5, 1, 3))
    taken = decision(old, new, double, mine=marker(5, 1, 4), cancel_on_kill=False)
    assert taken == TakeUp(new, "started by try 3", (double,))


def test_cleared_after_an_error():
    """A task that is cleared starts anew, also if its failed run could be retried from its failure."""
    run = left(1, ERROR, can_retry=True)
    assert decision(run, mine=marker(3, 1, 2), retry_from_failure=True) == Start(
        "run 1 failed, and the task was cleared"
    )
