"""The console of a run, followed on an event loop whose time only the tests' own waiting moves."""

import asyncio
import logging
from datetime import UTC, datetime

import pytest

from airflow_dbt_cloud.console import Console
from airflow_dbt_cloud.errors import DbtCloudAnswerTooLong, DbtCloudServerError, DbtCloudUnauthorized
from airflow_dbt_cloud.models import Run, Step
from airflow_dbt_cloud.poller import Followed
from airflow_dbt_cloud.streaming import stream

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)
URL = "https://ab123.us1.dbt.com/deploy/42/projects/3/runs/7/"
log = logging.getLogger("task")


class Asker:
    """Asks a dbt Cloud that answers as a test says: with steps, or with what goes wrong."""

    def __init__(self, *script):
        self.script = list(script)
        self.asked = []

    async def ask(self, call):
        return call(self)

    def get_run(self, run_id, *, include_related):
        assert include_related == ("run_steps",)
        self.asked.append(run_id)
        return Run(id=run_id, status=3, href=URL, steps=tuple(self._next()))

    def get_step(self, step_id):
        self.asked.append(f"step {step_id}")
        (step,) = self._next()
        return step

    def _next(self):
        if not self.script:
            raise asyncio.CancelledError
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def step(index, logs="", status=3):
    """Return a step that has begun."""
    return Step(id=70 + index, index=index, name=f"Step {index}", status=status, logs=logs, started_at=BEGAN)


@pytest.fixture
def show(loop, caplog):
    """Return a function that streams what a dbt Cloud answers, until it has no more answers."""
    caplog.set_level(logging.INFO)

    def show(asker, followed=None, console=None):
        followed = followed or Followed(7, 10, seen_in_full=0, asked=0)
        console = console or Console(Run(id=7, status=3, href=URL), log)
        try:
            loop.run_until_complete(stream(asker, followed, console, log))
        except asyncio.CancelledError:
            return [record.getMessage() for record in caplog.records], False
        return [record.getMessage() for record in caplog.records], True

    return show


def test_the_running_step(show, loop):
    """Only the step that runs is asked for, at most every 15 s, and all when another must have begun."""
    asker = Asker(
        [step(1, "Cloned.\n", 10), step(2, "one\n")],
        [step(2, "one\ntwo\n")],
        [step(2, "one\ntwo\nthree", 10)],
        [step(1, "Cloned.\n", 10), step(2, "one\ntwo\nthree", 10), step(3, "four\n")],
        [step(3, "four\nfive\n")],
    )
    lines, _ = show(asker)
    assert asker.asked[:5] == [7, "step 72", "step 72", 7, "step 73"]
    assert lines == [
        "Step 1: Step 1",
        "Cloned.",
        "Step 2: Step 2",
        *["one", "two", "three"],
        "Step 3: Step 3",
        *["four", "five"],
    ]
    assert 6 * 15 <= loop.elapsed <= 6 * 18


def test_a_run_that_has_not_begun(show):
    """Of a run whose steps have not begun all are asked for again."""
    asker = Asker([], [Step(id=71, index=1, name="Step 1", status=1)], [step(1, "one\n")])
    show(asker)
    assert asker.asked == [7, 7, 7, "step 71"]


def test_a_run_that_is_queued(show, loop):
    """A run that waits for others writes nothing, and nothing is asked."""
    followed = Followed(7, 10, seen_in_full=0, asked=0, status=1)
    loop.call_later(3600, setattr, followed, "status", 3)
    asker = Asker([step(1, "one\n")])
    show(asker, followed)
    assert asker.asked == [7, "step 71"]
    assert loop.elapsed >= 3600


def test_trouble(show):
    """What cannot be read now is said once, and read later, among all steps."""
    trouble = DbtCloudServerError("GET", "steps/71/", 503, "no")
    asker = Asker([step(1, "one\n")], trouble, trouble, [step(1, "one\ntwo\n")], trouble)
    lines, _ = show(asker)
    warning = f"The console of dbt Cloud run 7 cannot be read now. {trouble}"
    assert lines == ["Step 1: Step 1", "one", warning, "two", warning]
    assert asker.asked == [7, "step 71", 7, 7, "step 71", 7]


def test_many_lines(show, caplog):
    """While many lines are written others have their turn."""
    console = Console(Run(id=7, status=3, href=URL), log)
    seen = []

    async def watch():
        while not console.shown["lines"]:
            seen.append(len(caplog.records))
            await asyncio.sleep(0)

    class Watched(Asker):
        async def ask(self, call):
            self.watching = asyncio.create_task(watch())
            return await super().ask(call)

    show(Watched([step(1, "x\n" * 1000)]), console=console)
    assert seen == list(range(100, 1001, 100))
    assert console.shown["lines"] == 1000


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (DbtCloudAnswerTooLong("GET", "runs/7/", "too long", may_have_arrived=True), "is too long"),
        (ZeroDivisionError("a bug"), "cannot be shown here (ZeroDivisionError('a bug'))"),
    ],
)
def test_nothing_to_be_had(show, trouble, words):
    """An answer that is too long, and a mistake of ours, end the streaming and nothing else."""
    asker = Asker(trouble)
    (line,), has_ended = show(asker)
    assert has_ended
    assert words in line
    assert URL in line


def test_a_refused_token(show):
    """A token that was rotated keeps the console from being read until the next one is there."""
    asker = Asker(DbtCloudUnauthorized("GET", "runs/7/", 401, "Invalid token."), [step(1, "one\n")])
    lines, _ = show(asker)
    assert lines[-1] == "one"


def test_cancelled_while_it_writes(loop):
    """Who is cancelled in the midst of many lines writes them all, and knows that they were shown."""
    lines = []

    class Log:
        def info(self, _, text):
            lines.append(text)
            if len(lines) == 150:
                streaming.cancel()

    console = Console(Run(id=7, status=3, href=URL), Log())
    asker = Asker([step(1, "".join(f"{number}\n" for number in range(500)))])
    streaming = loop.create_task(stream(asker, Followed(7, 10.0, 0.0, 0.0), console, log))
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(streaming)
    assert len(lines) == 501
    assert console.shown["lines"] == 500
