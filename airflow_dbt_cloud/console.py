"""
A run's console: what its steps write, shown in a task's log while it happens.

`Console` is told of the run again and again, and logs what is new: that a step begins, what it wrote since
the last time, how many nodes are done, and that a step ended badly.

* What the steps write decides nothing, and nothing odd in it raises.
* A run gets 2,000 lines and 1 MiB of the task's log, then one more line that says where the rest is. That a
  step begins or ends badly, and how many nodes are done, is shown beyond that.
* A line that was shown is not shown again, also if dbt Cloud hands out a log in another shape than before.
* No log is kept: of each step only where its log was read to, and a number for each line that was shown.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_dbt_cloud import fields
from airflow_dbt_cloud.errors import DbtCloudAnswerTooLong, DbtCloudServerError, DbtCloudUnreachable
from airflow_dbt_cloud.models import DbtCloudJobRunStatus
from airflow_dbt_cloud.nodes import cut
from airflow_dbt_cloud.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from airflow_dbt_cloud.models import Run, Step
    from airflow_dbt_cloud.waiting import Log

__all__ = ["Console", "Line"]

MOST_LINES = 2000
MOST_BYTES = 2**20
LONGEST_LINE = 2000
# As many lines as a log takes in 3 ms.
PART = 100
# What a question for a run includes anyway: who cancelled it.
ALWAYS = ("audit",)
# By how many characters before the place where it was read to a log is known again.
TAIL = 1024
# dbt's empty lines have a time.
EMPTY = re.compile(r"(?:\d\d:\d\d:\d\d)?\s*")
VERDICTS: dict[int, str] = {
    DbtCloudJobRunStatus.ERROR: "failed",
    DbtCloudJobRunStatus.CANCELLED: "was cancelled",
}


class Line(NamedTuple):
    """A line for the task's log."""

    text: str
    is_warning: bool = False


class Console:
    """
    How much of a run's console a task's log has.

    :param run: the run, as far as it is known.
    :param log: the task's log.
    :param shown: what `shown` of another console of this run was; this one goes on from there.
    """

    def __init__(self, run: Run, log: Log, *, shown: Mapping[str, Any] | None = None) -> None:
        self._run = run
        self._log = log
        shown = shown or {}
        self._room = _Room(fields.number(shown, "lines"), fields.number(shown, "bytes"))
        steps = fields.objects(shown, "steps")
        self._steps = {fields.number(step, "step"): _Shown.from_json(step) for step in steps}
        # What the log has by now, as JSON: for a console in another process.
        self.shown = self._snapshot()
        self._last_progress = ""
        self._is_given_up = False

    @property
    def wants_steps(self) -> bool:
        """Whether another look at the run's steps can tell anything."""
        has_progress = any(shown.progress.total for shown in self._steps.values())
        return not self._is_given_up and (has_progress or not self._room.is_full)

    def look(self, get_run: Callable[[Iterable[str]], Run]) -> Run:
        """
        Ask for the run, show what is new, and return the run without its steps: their logs are not kept.

        The steps do not keep the run from being seen: what was not answered well is asked for again without
        them, and if it was too long, from then on.

        :param get_run: returns the run with what it shall include, or raises what went wrong.
        """
        if not self.wants_steps:
            return get_run(ALWAYS)
        try:
            run = get_run((*ALWAYS, "run_steps"))
        except DbtCloudAnswerTooLong:
            self.give_up("is too long to be followed here")
            return get_run(ALWAYS)
        except (DbtCloudServerError, DbtCloudUnreachable):
            # They may be too much for dbt Cloud, or for what stands before it.
            return get_run(ALWAYS)
        self.show(run)
        return replace(run, steps=())

    def show(self, run: Run) -> None:
        """Log what is new of a run that comes with its steps, or with some of them."""
        try:
            self.write(self.read(run))
        except Exception as error:  # noqa: BLE001 - no log may decide what becomes of a task
            self.give_up(f"cannot be shown here ({error!r})")

    def read(self, run: Run) -> list[Line]:
        """Return what is new of a run, for whoever writes it later, but before he reads the next one."""
        self._run = replace(run, steps=(), href=run.href or self._run.href)
        steps = sorted(run.steps, key=lambda step: step.index)
        return [*(line for step in steps for line in self._read_step(step)), *self._read_progress()]

    def write(self, lines: Iterable[Line]) -> None:
        """Log what was read."""
        for _ in self.write_by_parts(lines):
            pass

    def write_by_parts(self, lines: Iterable[Line]) -> Iterator[None]:
        """Log what was read, for whoever has something else to do now and then; whole at the end."""
        for number, line in enumerate(lines, 1):
            (self._log.warning if line.is_warning else self._log.info)("%s", line.text)
            if number % PART == 0:
                yield
        self.shown = self._snapshot()

    def give_up(self, why: str) -> None:
        """Say, once, why the steps are not looked at any more, and where they can be seen."""
        if not self._is_given_up:
            self._is_given_up = True
            self._log.warning(
                "The console log of dbt Cloud run %s %s; see %s", self._run.id, why, self._place
            )

    def _snapshot(self) -> dict[str, Any]:
        steps = [{"step": key, **shown.to_json()} for key, shown in self._steps.items()]
        return {"lines": self._room.lines, "bytes": self._room.bytes, "steps": steps}

    @property
    def _place(self) -> str:
        return self._run.href or "dbt Cloud"

    def _read_step(self, step: Step) -> Iterator[Line]:
        shown = self._steps.setdefault(step.id or step.index, _Shown())
        name = cut(_as_seen(step.name), LONGEST_LINE)
        if not shown.has_begun and _has_begun(step):
            shown.has_begun = True
            yield Line(f"Step {step.index}: {name}")
        was_full = self._room.is_full
        for text in shown.read(step, self._room):
            yield Line(text)
        if self._room.is_full and not was_full:
            bounds = f"{MOST_LINES:,} lines or {MOST_BYTES // 2**20} MiB"
            yield Line(f"The console log is longer than {bounds}; for the rest see {self._place}")
        if step.is_terminal and not shown.has_ended:
            shown.has_ended = True
            if verdict := VERDICTS.get(step.status):
                yield Line(f"Step {step.index} {verdict}: {name}", is_warning=True)

    def _read_progress(self) -> Iterator[Line]:
        # Of a run that has ended there are better things to tell.
        if self._run.is_terminal:
            return
        for shown in reversed(self._steps.values()):
            if shown.progress.total:
                sentence = f"dbt Cloud run {self._run.id}: {shown.progress}."
                if sentence != self._last_progress:
                    self._last_progress = sentence
                    yield Line(sentence)
                return


@dataclass(slots=True)
class _Room:
    """How much of the task's log was taken."""

    lines: int = 0
    bytes: int = 0

    @property
    def is_full(self) -> bool:
        """Whether there was more to show than there is room."""
        return self.lines > MOST_LINES or self.bytes > MOST_BYTES

    def take(self, text: str) -> bool:
        """Take the room for a line, and return whether there was any."""
        self.lines += 1
        self.bytes += len(text.encode()) + 1
        return not self.is_full


@dataclass(slots=True)
class _Shown:
    """
    What was shown of a step.

    Its log was read up to `position`; `tail` stands for what it ended in there. `count` lines of it were
    shown; `lines` has numbers that stand for them, but for those that another process showed.
    """

    position: int = 0
    tail: str = ""
    count: int = 0
    has_begun: bool = False
    has_ended: bool = False
    lines: Counter[int] = field(default_factory=Counter)
    progress: Progress = field(default_factory=Progress)

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> _Shown:
        """Read what `to_json` wrote."""
        return cls(
            position=fields.number(json, "position"),
            tail=fields.text(json, "tail"),
            count=fields.number(json, "count"),
            has_begun=json.get("has_begun") is True,
            has_ended=json.get("has_ended") is True,
        )

    def to_json(self) -> dict[str, Any]:
        """Return what another process needs to go on."""
        names = ("position", "tail", "count", "has_begun", "has_ended")
        return {name: getattr(self, name) for name in names}

    def read(self, step: Step, room: _Room) -> Iterator[str]:
        """Yield what is new in a step's log, line by line as a terminal shows it, while there is room."""
        log, before = step.logs, self.count
        # A line that is still being written waits.
        end = len(log) if step.is_terminal else log.rfind("\n") + 1
        has_grown = self.position == 0 or _tail(log, self.position) == self.tail
        is_new = _anything if has_grown else self._recall()
        for raw in _split(log, self.position if has_grown else 0, end):
            self.progress.see(raw)
            if not room.is_full:
                text = cut(_as_seen(raw), LONGEST_LINE)
                if not EMPTY.fullmatch(text) and is_new(hash(text)) and room.take(text):
                    self.count += 1
                    self.lines[hash(text)] += 1
                    yield text
        # An older copy of the log, which tells nothing new, does not set us back.
        if end >= self.position or self.count > before:
            self.position, self.tail = end, _tail(log, end)

    def _recall(self) -> Callable[[int], bool]:
        """Return what tells lines that are new from those that were shown, each as often as it was."""
        known = self.lines.copy()
        of_others = self.count - known.total()

        def is_new(line: int) -> bool:
            nonlocal of_others
            if known[line] > 0:
                known[line] -= 1
                return False
            of_others -= 1
            return of_others < 0

        return is_new


def _anything(_line: int) -> bool:
    return True


def _tail(log: str, position: int) -> str:
    if position > len(log):
        return "shorter"
    tail = log[max(0, position - TAIL) : position]
    return blake2b(tail.encode(errors="replace"), digest_size=8).hexdigest()


def _split(log: str, start: int, end: int) -> Iterator[str]:
    # One by one: the lines of a long log weigh several times what it does.
    while start < end:
        stop = log.find("\n", start, end)
        if stop < 0:
            stop = end
        yield log[start:stop]
        start = stop + 1


def _as_seen(raw: str) -> str:
    """Return what a terminal shows of a line in the end: what follows a carriage return covers the rest."""
    segments = (fields.plain(segment).rstrip() for segment in reversed(raw.split("\r")))
    return next(filter(None, segments), "")


def _has_begun(step: Step) -> bool:
    is_going = step.status in {DbtCloudJobRunStatus.STARTING, DbtCloudJobRunStatus.RUNNING}
    return is_going or bool(step.started_at or step.logs)
