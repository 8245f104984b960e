"""
What a run that has ended did: for the task's log, for XCom, and for the error that the task ends with.

All of it is best effort and bounded in time: what cannot be fetched by then, or understood, is missing from
the report, which says so in its notes, and never hides how the run ended.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow_dbt_cloud.errors import DbtCloudCompilationFailed, DbtCloudRunFailed, DbtCloudTestsFailed
from airflow_dbt_cloud.fields import plain
from airflow_dbt_cloud.invocations import find_last_step, place_of, read_invocations
from airflow_dbt_cloud.last_words import last_words
from airflow_dbt_cloud.markers import without_marker
from airflow_dbt_cloud.models import DbtCloudJobRunStatus
from airflow_dbt_cloud.nodes import count_by_status, cut
from airflow_dbt_cloud.table import Row, lay_out

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from airflow_dbt_cloud.client import Client
    from airflow_dbt_cloud.invocations import Invocation
    from airflow_dbt_cloud.models import Run, Step
    from airflow_dbt_cloud.nodes import Node

__all__ = ["SUMMARY", "Report", "read_report"]

# The XCom with the summary.
SUMMARY = "dbt_cloud_run"

# Seconds in which to read all results; dbt Cloud saves them some seconds after the run's end.
PATIENCE = 20.0

# How dbt begins what it says of a project that it cannot read.
COMPILING = ("Compilation Error", "Parsing Error")
MOST_BLAMED = 5

# What a reader of the XCom has to know before he reads the rest.
VERSION = 1
MOST_STEPS = 100
MOST_FAILED = 50
MOST_SLOW = 20
MOST_NOTES = 10
LONGEST_WORDS = 250
LONGEST_MESSAGE = 1000


def read_report(
    client: Client,
    run: Run,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    patience: float = PATIENCE,
) -> Report:
    """
    Ask dbt Cloud what a run did.

    :param run: has ended, and holds its steps, its cause and who cancelled it (`include_related` run_steps,
        trigger and audit). If it holds no steps, the report is of its last command.
    :param sleep: takes seconds.
    :param clock: seconds that only grow.
    :param patience: seconds for all steps together. What is not read by then is missing; the last step is
        asked for first.
    """
    invocations, notes = read_invocations(client, run, sleep=sleep, clock=clock, patience=patience)
    if not run.steps:
        known = " Only the nodes of its last command are known." if invocations else ""
        notes.append(f"dbt Cloud tells no steps of the run.{known}")
    return Report(run, tuple(invocations), tuple(notes))


@dataclass(frozen=True, slots=True)
class Report:
    """
    What is known of a run, mostly of one that has ended.

    `invocations` are those whose results could be read, each once; `notes` say in a sentence each what could
    not be. A node that two steps ran is there twice, in the table as well.
    """

    run: Run
    invocations: tuple[Invocation, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, in the order of the steps, and as they ended."""
        return tuple(chain.from_iterable(invocation.results.nodes for invocation in self.invocations))

    @property
    def rows(self) -> list[Row]:
        """The same, each with the step that ran it, and whether that failed because of it."""
        return [
            Row(node, invocation.step.index, invocation.blames(node))
            for invocation in self.invocations
            for node in invocation.results.nodes
        ]

    @property
    def failed(self) -> tuple[Node, ...]:
        """The nodes that failed, in the same order."""
        return tuple(chain.from_iterable(invocation.failed for invocation in self.invocations))

    @property
    def counts(self) -> dict[str, int]:
        """How many nodes there are of each status, the failed first; of twenty statuses at most."""
        return count_by_status(self.nodes)

    @property
    def failure(self) -> type[DbtCloudRunFailed]:
        """What kind of failure it is if dbt Cloud says Error."""
        failed, step = self.failed, find_last_step(self.run)
        if failed and all(node.is_test and node.status == "fail" for node in failed):
            return DbtCloudTestsFailed
        said = [node.message for node in failed] or [last_words(step.logs) if step else ""]
        if all(message.startswith(COMPILING) for message in said):
            return DbtCloudCompilationFailed
        return DbtCloudRunFailed

    @property
    def explanation(self) -> str:
        """
        Why the run did not succeed, for the error that the task ends with.

        The step, and what the nodes say that failed in it, five at most; or what dbt said when no node ran.
        Empty if nothing is known, or if there is nothing to explain.
        """
        if self.run.is_success:
            return ""
        for invocation in reversed(self.invocations):
            if invocation.failed:
                return "\n".join(_blame(invocation))
        step = find_last_step(self.run)
        if step is None:
            return ""
        place = place_of(step)
        if self.run.status == DbtCloudJobRunStatus.CANCELLED:
            ended = sum(not node.is_skipped for node in self.nodes)
            return f"It was in {place}" + (f". Nodes that had ended: {ended}" if ended else "")
        said = last_words(step.logs) or cut(plain(self.run.status_message), LONGEST_MESSAGE)
        return f"{place} ended with:\n{said}" if said else f"{place} failed"

    @property
    def slowest(self) -> list[Node]:
        """The nodes that took longest, twenty at most, the slowest first."""
        nodes = (node for node in self.nodes if node.seconds and not node.is_skipped)
        return sorted(nodes, key=lambda node: -node.seconds)[:MOST_SLOW]

    def table(self) -> list[str]:
        """Return lines for a task's log, a table of the nodes; none if there are no nodes."""
        return lay_out(self.rows)

    def summary(self) -> dict[str, Any]:
        """Return what is known, for XCom: JSON's types only, and 300,000 characters at most."""
        run, failed = self.run, self.failed
        versions = (invocation.results.dbt_version for invocation in self.invocations)
        return {
            "version": VERSION,
            "run_id": run.id,
            "job_id": run.job_id,
            "account_id": run.account_id,
            "project_id": run.project_id,
            "environment_id": run.environment_id,
            "url": cut(plain(run.href), LONGEST_MESSAGE),
            "status": run.status_name,
            "status_message": cut(plain(run.status_message), LONGEST_MESSAGE),
            # Who or what started it.
            "cause": cut(plain(without_marker(run.cause)), LONGEST_WORDS),
            "created_at": _written(run.created_at),
            "started_at": _written(run.started_at),
            "finished_at": _written(run.finished_at),
            "duration": run.duration.total_seconds(),
            "git_branch": cut(plain(run.git_branch), LONGEST_WORDS),
            "git_sha": cut(plain(run.git_sha), LONGEST_WORDS),
            # Which one ran, where dbt Cloud may say "latest".
            "dbt_version": cut(plain(next(filter(None, versions), run.dbt_version)), LONGEST_WORDS),
            "steps": [_step(step) for step in run.steps[:MOST_STEPS]],
            "nodes": self.counts,
            "failed_count": len(failed),
            "failed": [_node(node) for node in failed[:MOST_FAILED]],
            "slowest": [
                {"unique_id": cut(node.unique_id, LONGEST_WORDS), "seconds": round(node.seconds, 3)}
                for node in self.slowest
            ],
            # What of all this is missing.
            "notes": [cut(plain(note), LONGEST_MESSAGE) for note in self.notes[:MOST_NOTES]],
        }


def _step(step: Step) -> dict[str, Any]:
    seconds = None
    if step.started_at and step.finished_at:
        seconds = (step.finished_at - step.started_at).total_seconds()
    return {
        "index": step.index,
        "name": cut(plain(step.name), LONGEST_WORDS),
        "status": step.status_name,
        "started_at": _written(step.started_at),
        "finished_at": _written(step.finished_at),
        "seconds": seconds,
    }


def _blame(invocation: Invocation) -> list[str]:
    nodes, failed = invocation.results.nodes, invocation.failed
    skipped = sum(node.is_skipped for node in nodes)
    consequence = f", {skipped} {'was' if skipped == 1 else 'were'} skipped" if skipped else ""
    more = len(failed) - MOST_BLAMED
    return [
        f"{len(failed)} of {len(nodes)} nodes failed in {place_of(invocation.step)}{consequence}:",
        *(f"- {_complaint(node)}" for node in failed[:MOST_BLAMED]),
        *([f"- and {more} more"] if more > 0 else []),
    ]


def _complaint(node: Node) -> str:
    """Return what a node says, in one line that names it."""
    said, name = node.first_line, cut(node.name, LONGEST_WORDS)
    if name and name in said:
        return said
    return f"{cut(node.resource_type, LONGEST_WORDS)} {name}: {said or cut(node.status, LONGEST_WORDS)}"


def _node(node: Node) -> dict[str, Any]:
    return {
        "unique_id": cut(node.unique_id, LONGEST_WORDS),
        "status": cut(node.status, LONGEST_WORDS),
        "message": cut(node.message, LONGEST_MESSAGE),
        "relation": cut(node.relation_name, LONGEST_WORDS),
    }


def _written(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
