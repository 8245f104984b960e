"""
What a try does about the runs that earlier tries of its task have left: the table, and nothing else.

=======================================================  ====================================================
what is found                                            what happens
=======================================================  ====================================================
nothing of ours                                          start
a marker of a later try, or of a newer clear             give way: start nothing
going, same MAX                                          take it up; of several the oldest, cancel the others
going, other MAX: the task was cleared                   cancel unless `cancel_on_kill` is off, then start
none going; the newest is Success, same MAX and CLEAR    take it up as finished
none going; the newest is Success otherwise: cleared     start
none going; the newest is Error, same MAX                start, or retry it if that is wanted and possible
none going; the newest is Error, other MAX: cleared      start
none going; the newest is Cancelled                      start
=======================================================  ====================================================

*Ours* are the runs with the key of our marker, and the retries of those, whoever asked for them. A retry has
no marker of its own and counts for the try whose run it does again. Only runs with a marker are ever
cancelled.

Pure: values in, a decision out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_dbt_cloud.markers import Marker
from airflow_dbt_cloud.models import DbtCloudJobRunStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_dbt_cloud.models import Run

__all__ = ["GiveWay", "Left", "Retry", "Start", "TakeUp", "decide", "find_ours"]


@dataclass(frozen=True, slots=True)
class Start:
    """
    Start a run.

    :param why: in words for the task's log, as for the other decisions.
    :param cancel: runs to cancel first.
    """

    why: str
    cancel: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True)
class TakeUp:
    """Follow a run that an earlier try has left; `cancel` are further ones, which should not be."""

    run: Run
    why: str
    cancel: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True)
class Retry:
    """Let dbt Cloud do again what failed in a run of an earlier try."""

    run: Run
    why: str


@dataclass(frozen=True, slots=True)
class GiveWay:
    """Start nothing: a later try follows a run already."""

    run: Run
    why: str


@dataclass(frozen=True, slots=True)
class Left:
    """A run that a try of our task has left; `marker` says which try."""

    run: Run
    marker: Marker

    @property
    def is_marked(self) -> bool:
        """Whether the run bears the marker itself, and is not a retry of one that does."""
        return self.run.retrying_run_id is None


def find_ours(runs: Iterable[Run], key: str) -> list[Left]:
    """
    Return the runs of a task instance, oldest first.

    :param runs: of the task's job, each with its cause.
    """
    ours: dict[int, Left] = {}
    for run in sorted(runs, key=lambda run: run.id):
        retried = ours.get(run.retrying_run_id or 0)
        marker = retried.marker if retried else Marker.read(run.cause)
        if marker is not None and marker.key == key:
            ours[run.id] = Left(run, marker)
    return list(ours.values())


def decide(
    mine: Marker, ours: Sequence[Left], *, retry_from_failure: bool = False, cancel_on_kill: bool = True
) -> Start | TakeUp | Retry | GiveWay:
    """
    Return what the try with the marker `mine` does.

    :param ours: see `find_ours`.
    :param retry_from_failure: whether a failed run is retried where dbt Cloud can, rather than started anew.
    :param cancel_on_kill: whether the run of a cleared task is cancelled.
    """
    going = [left for left in ours if not left.run.is_terminal]
    same_going = [left for left in going if left.marker.max_tries == mine.max_tries]

    if not ours:
        return Start("no earlier try has left a run")

    for left in ours:
        if left.marker.is_later_than(mine):
            return GiveWay(
                left.run, f"try {left.marker.try_number} of the task has started run {left.run.id}"
            )

    if same_going:
        oldest, *_ = same_going
        # Those of another MAX are what a clear has left, and may go on if the author wants that.
        doomed = going if cancel_on_kill else same_going
        others = tuple(left.run for left in doomed if left is not oldest and left.is_marked)
        return TakeUp(oldest.run, f"started by try {oldest.marker.try_number}", others)

    if going:
        marked = tuple(left.run for left in going if left.is_marked and cancel_on_kill)
        return Start("the task was cleared", marked)

    return _decide_after(ours[-1], mine, retry_from_failure=retry_from_failure)


def _decide_after(newest: Left, mine: Marker, *, retry_from_failure: bool) -> Start | TakeUp | Retry:
    """Return what to do when every run of the task has ended."""
    run = newest.run
    match run.status:
        case DbtCloudJobRunStatus.SUCCESS if _are_of_the_same_clear(newest.marker, mine):
            return TakeUp(run, f"started by try {newest.marker.try_number}")
        case DbtCloudJobRunStatus.SUCCESS:
            return Start(f"run {run.id} succeeded, and the task was cleared")
        case DbtCloudJobRunStatus.ERROR if newest.marker.max_tries != mine.max_tries:
            return Start(f"run {run.id} failed, and the task was cleared")
        case DbtCloudJobRunStatus.ERROR if retry_from_failure:
            return _retry(run)
        case DbtCloudJobRunStatus.ERROR:
            return Start(f"run {run.id} failed")
        case _:
            return Start(f"run {run.id} was cancelled")


def _retry(run: Run) -> Start | Retry:
    if run.can_retry:
        return Retry(run, "only what failed and what came after it runs again")
    reason = run.retry_not_supported_reason or "it gives no reason"
    return Start(f"run {run.id} failed, and dbt Cloud cannot retry it from its failure ({reason})")


def _are_of_the_same_clear(one: Marker, other: Marker) -> bool:
    return (one.max_tries, one.clear_number) == (other.max_tries, other.clear_number)
