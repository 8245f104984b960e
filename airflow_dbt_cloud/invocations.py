"""
The steps of a run that ended, and what dbt did in each that ran it.

The results are asked for by step, because without one dbt Cloud tells only the last. They are saved some
seconds after the end, so that what is not there is asked for again; and a step that wrote none shows those
of an earlier one, which are told apart by dbt's own id of the invocation, and by its command if that does
nothing. Of a run without steps the last results are taken for those of its last command. What cannot be had
is a note in words, never an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_dbt_cloud.errors import DbtCloudApiError, DbtCloudNotFound, DbtCloudUnreachable
from airflow_dbt_cloud.fields import plain
from airflow_dbt_cloud.last_words import did_not_begin
from airflow_dbt_cloud.models import DbtCloudJobRunStatus, Step
from airflow_dbt_cloud.nodes import Results, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_dbt_cloud.client import Client
    from airflow_dbt_cloud.models import Run
    from airflow_dbt_cloud.nodes import Node

__all__ = ["Invocation", "find_last_step", "place_of", "read_invocations"]

# Seconds between two questions for what is not there yet.
PAUSE = 2.0
# The commands whose results are what they did. Of the others some write none, and `compile` and `docs` call
# a "success" what they did not build.
DOING = frozenset({"build", "clone", "retry", "run", "run-operation", "seed", "snapshot", "test"})
COMMANDS = DOING | {"compile", "deps", "docs", "list", "ls", "parse", "show", "source"}
COMMAND = re.compile(r"Invoke dbt with `(.*)`", re.DOTALL)
LONGEST_COMMAND = 100
# A node has some kilobytes, most of them its SQL. While it is read, a file takes 3.5 times its size.
MOST_BYTES = 2**27
LAST_COMMAND = "the last command"


@dataclass(frozen=True, slots=True)
class Invocation:
    """A step that ran dbt, and what dbt did in it; a step that dbt Cloud does not tell has no index."""

    step: Step
    results: Results

    @property
    def failed(self) -> tuple[Node, ...]:
        """The nodes that failed, in order."""
        return tuple(node for node in self.results.nodes if self.blames(node))

    def blames(self, node: Node) -> bool:
        """Whether a node failed; none did in a step that succeeded, whatever their status means."""
        return node.is_failed and self.step.status != DbtCloudJobRunStatus.SUCCESS


def read_invocations(
    client: Client,
    run: Run,
    *,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
    patience: float,
) -> tuple[list[Invocation], list[str]]:
    """
    Return the invocations of dbt that did something, in order, and notes on what is missing.

    :param run: has ended, and holds its steps if they can be had.
    :param sleep: takes seconds.
    :param clock: seconds that only grow.
    :param patience: seconds for all steps together. The last step is asked for first: it is the one that
        failed, if any did.
    """
    deadline = clock() + patience
    reading = _Reading(
        client.within(lambda: max(0.0, deadline - clock())), run.id, lambda: clock() >= deadline
    )
    missing = reading.ask_for(sorted(_find_doing(run), key=lambda step: step.index, reverse=True))
    while missing and clock() + PAUSE < deadline:
        sleep(PAUSE)
        missing = reading.ask_for(missing)
    notes = [f"dbt Cloud has no results of {place_of(step)}." for step in reversed(missing)]
    return list(_once_each(reading.found)), [*reading.notes, *notes]


def find_last_step(run: Run) -> Step | None:
    """Return the step in which a run ended, if it did not end well."""
    bad = [step for step in run.steps if _has_begun(step) and step.status != DbtCloudJobRunStatus.SUCCESS]
    # The docs come last, and fail a run only if a command asks for them.
    others = [step for step in bad if _verb_of(step) != "docs"]
    return next(reversed(others or bad), None)


def place_of(step: Step) -> str:
    """Return what a person calls a step: "step 4 (`dbt build`)"."""
    match = COMMAND.fullmatch(step.name)
    words = " ".join(plain(match[1] if match else step.name).split())
    name = cut(words, LONGEST_COMMAND)
    if not step.index:
        return name
    return f"step {step.index} (`{name}`)" if match else f"step {step.index} ({name})"


class _Reading:
    """What was found so far, and what was not."""

    def __init__(self, client: Client, run_id: int, is_over: Callable[[], bool]) -> None:
        self._client = client
        self._run_id = run_id
        self._is_over = is_over
        self.found: list[Invocation] = []
        self.notes: list[str] = []

    def ask_for(self, steps: Iterable[Step]) -> list[Step]:
        """Ask once for the results of each step, and return those that may have some later."""
        late, waiting = [], list(steps)
        while waiting and not self._is_over():
            step = waiting.pop(0)
            try:
                json = self._client.read_artifact(
                    self._run_id, "run_results.json", step=step.index, limit=MOST_BYTES
                )
            except DbtCloudNotFound:
                if not did_not_begin(step.logs):
                    late.append(step)
            except (DbtCloudApiError, DbtCloudUnreachable) as error:
                self.notes.append(f"The results of {place_of(step)} cannot be read. {error}")
            else:
                self._keep(Invocation(step, Results.from_json(json)))
        if waiting:
            places = ", ".join(place_of(step) for step in reversed(waiting))
            self.notes.append(f"There was no time to ask for the results of {places}.")
        return late

    def _keep(self, invocation: Invocation) -> None:
        if invocation.results == Results():
            self.notes.append(f"The results of {place_of(invocation.step)} are not what dbt writes.")
        else:
            self.found.append(invocation)


def _find_doing(run: Run) -> list[Step]:
    """Return the steps whose results are to be read; one that stands for all if none is known."""
    if not run.steps:
        last = Step(0, 0, LAST_COMMAND, run.status, started_at=run.started_at)
        return [last] if _has_begun(last) else []
    begun = (step for step in run.steps if step.index > 0 and _has_begun(step))
    return [step for step in begun if _verb_of(step) in DOING]


def _has_begun(step: Step) -> bool:
    ended = {DbtCloudJobRunStatus.SUCCESS, DbtCloudJobRunStatus.ERROR}
    return step.status in ended or step.started_at is not None


def _verb_of(step: Step) -> str:
    """Return dbt's command, which options of dbt itself may stand before."""
    match = COMMAND.fullmatch(step.name)
    return next((word for word in match[1].split() if word in COMMANDS), "") if match else ""


def _once_each(found: list[Invocation]) -> Iterator[Invocation]:
    """Yield the invocations in the order of their steps, without those of another step that one has shown."""
    seen = {""}
    for invocation in sorted(found, key=lambda invocation: invocation.step.index):
        name, command = invocation.results.invocation_id, invocation.results.command
        if (name not in seen or not name) and (command in DOING or not command):
            yield invocation
        seen.add(name)
