"""A run's console in a task's log: run by run, step by step, line by line."""

import gc
import json
import logging
import tracemalloc
from datetime import UTC, datetime

import pytest

from airflow_dbt_cloud.console import LONGEST_LINE, MOST_BYTES, MOST_LINES, Console
from airflow_dbt_cloud.errors import (
    DbtCloudAnswerTooLong,
    DbtCloudNotFound,
    DbtCloudRateLimited,
    DbtCloudServerError,
    DbtCloudUnreachable,
)
from airflow_dbt_cloud.models import Run, Step

QUEUED, STARTING, RUNNING, SUCCESS, ERROR, CANCELLED = 1, 2, 3, 10, 20, 30
URL = "https://ab123.us1.dbt.com/deploy/7/projects/5/runs/7/"
TOO_LONG = DbtCloudAnswerTooLong("GET", "/runs/7/", "longer than 9 bytes", may_have_arrived=True)
UNREACHABLE = DbtCloudUnreachable("GET", "/runs/7/", "reset", may_have_arrived=True)
SERVER_ERROR = DbtCloudServerError("GET", "/runs/7/", 504, "gateway timeout")
NOT_FOUND = DbtCloudNotFound("GET", "/runs/7/", 404, "not found")
RATE_LIMITED = DbtCloudRateLimited("GET", "/runs/7/", 429, "slow down")


class Log:
    """A task's log, in one list."""

    def __init__(self):
        self.lines = []
        self.warnings = []

    def debug(self, message, *args):
        raise AssertionError(message % args)

    def info(self, message, *args):
        self.lines.append(message % args)

    def warning(self, message, *args):
        self.warnings.append(message % args)
        self.lines.append(message % args)

    def take(self):
        """Return what was logged since the last time."""
        taken, self.lines = self.lines, []
        return taken


@pytest.fixture
def log():
    """Return a task's log."""
    return Log()


@pytest.fixture
def console(log):
    """Return the console of run 7."""
    return Console(Run(id=7, status=QUEUED, href=URL), log)


def build(logs="", status=RUNNING, index=4, name="Invoke dbt with `dbt build`"):
    """Return a step of run 7."""
    return Step(id=index + 100, index=index, name=name, status=status, logs=logs)


def run(*steps, status=RUNNING):
    """Return run 7."""
    return Run(id=7, status=status, href=URL, steps=steps)


def show(console, log, *logs, **step):
    """Show step 4 with a log, again and again, and return the lines of each time, without its beginning."""
    shown = []
    for text in logs:
        console.show(run(build(text, **step)))
        shown.append([line for line in log.take() if not line.startswith("Step 4: ")])
    return shown


# Steps


def test_steps(console, log):
    """Each step is told when it begins, with its name and its place, and then what it wrote."""
    clone = Step(id=1, index=1, name="Clone git repository", status=SUCCESS, logs="Cloning\nDone\n")
    console.show(run(build("Running with dbt\n"), clone))
    assert log.take() == [
        "Step 1: Clone git repository",
        "Cloning",
        "Done",
        "Step 4: Invoke dbt with `dbt build`",
        "Running with dbt",
    ]
    console.show(run(clone, build("Running with dbt\nDone.\n", SUCCESS)))
    assert log.take() == ["Done."]


@pytest.mark.parametrize(
    ("step", "has_begun"),
    [
        (Step(id=1, index=1, name="x", status=QUEUED), False),
        (Step(id=1, index=1, name="x", status=0), False),
        (Step(id=1, index=1, name="x", status=STARTING), True),
        (Step(id=1, index=1, name="x", status=RUNNING), True),
        (Step(id=1, index=1, name="x", status=99, logs="a\n"), True),
        (Step(id=1, index=1, name="x", status=QUEUED, started_at=datetime(2026, 1, 1, tzinfo=UTC)), True),
    ],
)
def test_begin(console, log, step, has_begun):
    """A step that is only listed has not begun."""
    console.show(run(step))
    console.show(run(step))
    assert log.lines.count("Step 1: x") == has_begun


@pytest.mark.parametrize(("status", "verdict"), [(ERROR, "failed"), (CANCELLED, "was cancelled")])
def test_bad_end(console, log, status, verdict):
    """A step that ended badly is told as a warning, once, after its last line."""
    for _ in range(3):
        console.show(run(build("Done. ERROR=1", status)))
    told = f"Step 4 {verdict}: Invoke dbt with `dbt build`"
    assert log.lines == ["Step 4: Invoke dbt with `dbt build`", "Done. ERROR=1", told]
    assert log.warnings == [told]


def test_good_end(console, log):
    """A step that ended well is told by the next one."""
    console.show(run(build("Done.\n", SUCCESS)))
    assert log.take() == ["Step 4: Invoke dbt with `dbt build`", "Done."]


def test_steps_one_by_one(console, log):
    """A step may be shown alone; the others are as they were."""
    console.show(run(build("a\n", SUCCESS, index=3), build("x\n")))
    log.take()
    console.show(run(build("x\ny\n")))
    console.show(run(build("a\n", SUCCESS, index=3), build("x\ny\nz\n")))
    assert log.take() == ["y", "z"]


def test_steps_without_ids(console, log):
    """Steps whose ids are missing are told apart by their places."""
    steps = [Step(id=0, index=index, name=f"s{index}", status=RUNNING, logs="a\n") for index in (1, 2)]
    console.show(run(*steps))
    assert log.take() == ["Step 1: s1", "a", "Step 2: s2", "a"]


def test_no_steps(console, log):
    """A run without steps tells nothing."""
    console.show(run())
    assert log.take() == []


# Lines


def test_new_lines(console, log):
    """Each time only what was written since the last time is shown."""
    assert show(console, log, "", "a\n", "a\n", "a\nb\nc\n", "a\nb\nc\nc\n") == [
        [],
        ["a"],
        [],
        ["b", "c"],
        ["c"],
    ]


def test_unfinished_line(console, log):
    """A line that is being written is held back until it is whole."""
    assert show(console, log, "a\nhal", "a\nhalf a li", "a\nhalf a line\nb") == [["a"], [], ["half a line"]]


def test_last_line(console, log):
    """When a step has ended its last line is whole, with or without a line break; more may come late."""
    assert show(console, log, "a\nb") == [["a"]]
    assert show(console, log, "a\nb", "a\nb", "a\nb\nlate\n", status=SUCCESS) == [["b"], [], ["late"]]


def test_empty_lines(console, log):
    """Lines without a word, such as dbt's that have only a time, are left out."""
    assert show(console, log, "\n \n\x1b[0m12:00:01  \n12:00:01  a\n\n12:00:01\n") == [["12:00:01  a"]]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[0m12:00:01  1 of 2 [\x1b[32mOK\x1b[0m in 0.1s]", "12:00:01  1 of 2 [OK in 0.1s]"),
        ("\x1b[38;5;196mred\x1b[m \x1b[1;4mbold\x1b[0K", "red bold"),
        ("\x1b]8;;https://evil.example/\x07link\x1b]8;;\x1b\\ \x1b]0;title\x07", "link"),
        ("be\x07ll\x08 \x00null\x7f\x9b", "bell null"),
        ("tabs\tstay  ", "tabs\tstay"),
        ("windows\r", "windows"),
        ("Receiving: 0%\rReceiving: 50%\rReceiving: 100%, done.", "Receiving: 100%, done."),
        ("Receiving: 100%\x1b[K\r\x1b[0m", "Receiving: 100%"),
        ("half a letter: \ud83d", "half a letter: ?"),
        ("two\u2028lines", "twolines"),
        ("\u202eesrever", "esrever"),
        ("100 % of %s and %(x)s {}", "100 % of %s and %(x)s {}"),
    ],
)
def test_what_a_terminal_shows(console, log, raw, shown):
    """Colours and control characters are left out, and of a line that was overwritten the last shows."""
    assert show(console, log, raw + "\n") == [[shown]]


def test_odd_name(console, log):
    """The name of a step is cleaned and cut like any line."""
    console.show(run(build(name="dbt \x1b[31mbuild\x1b[0m\n" + "x" * 9999)))
    (line,) = log.take()
    assert line.startswith("Step 4: dbt build")
    assert len(line) <= LONGEST_LINE + 10


def test_long_lines(console, log):
    """A line is cut after 2,000 characters."""
    ((whole, cut),) = show(console, log, "x" * LONGEST_LINE + "\n" + "y" * (LONGEST_LINE + 1) + "\n")
    assert whole == "x" * LONGEST_LINE
    assert cut == "y" * (LONGEST_LINE - 1) + "…"


# Another shape


COLOURED = "\x1b[0m12:00:01  a\r\n\x1b[0m12:00:01  b\r\n"
PLAIN = "12:00:01  a\n12:00:01  b\n"


def test_handed_out_in_another_shape(console, log):
    """A log that comes without its colours all at once repeats nothing."""
    assert show(console, log, COLOURED, PLAIN, PLAIN + "c\n", COLOURED + "c\r\nd\r\n") == [
        ["12:00:01  a", "12:00:01  b"],
        [],
        ["c"],
        ["d"],
    ]


def test_cut_off_at_its_beginning(console, log):
    """A log that loses its first lines repeats nothing, and its new lines are shown."""
    lines = [f"line {number}" for number in range(1000)]
    windows = ["\n".join(lines[at : at + 300]) + "\n" for at in (0, 100, 250, 900)]
    shown = show(console, log, *windows)
    assert shown == [lines[:300], lines[300:400], lines[400:550], lines[900:1000]]


def test_in_another_order(console, log):
    """Lines of several threads may change their places when the log is put away."""
    assert show(console, log, "a\nb\nc\n", "b\na\nc\nd\n") == [["a", "b", "c"], ["d"]]


def test_lines_that_are_alike(console, log):
    """Lines that are alike are told as often as they were written."""
    assert show(console, log, "x\nx\n", "y\nx\nx\nx\n") == [["x", "x"], ["y", "x"]]


def test_an_older_copy(console, log):
    """A log that is shorter for a while, or gone, does not start anew."""
    older = ["a\nb\nc\n", "a\n", "", "a\nb\n", "a\nb\nc\nd\n"]
    assert show(console, log, *older) == [["a", "b", "c"], [], [], [], ["d"]]


def test_another_log(console, log):
    """What is another log altogether is shown."""
    assert show(console, log, "a\nb\n", "c\nd\ne\n") == [["a", "b"], ["c", "d", "e"]]


# Bounds


def test_most_lines(console, log):
    """After 2,000 lines of all steps together one line says where the rest is; steps are told as before."""
    half = "".join(f"{number}\n" for number in range(MOST_LINES // 2))
    console.show(run(build(half, SUCCESS, index=1), build(half, index=2)))
    assert len(log.take()) == MOST_LINES + 2
    for more in ("one\n", "one\ntwo\n", "something else\n"):
        console.show(run(build(half + more, index=2)))
    assert log.take() == [f"The console log is longer than 2,000 lines or 1 MiB; for the rest see {URL}"]
    console.show(run(build(half, ERROR, index=2), build("a\n", index=3)))
    assert [line.partition(":")[0] for line in log.take()] == ["Step 2 failed", "Step 3"]


def test_most_bytes(console, log):
    """Lines of a mebibyte together are enough, too, counted as they are written into a file."""
    text = "".join(f"{number:06}{'ü' * (LONGEST_LINE - 6)}\n" for number in range(1000))
    ((*lines, pointer),) = show(console, log, text)
    assert sum(len(line.encode()) + 1 for line in lines) in range(MOST_BYTES - 4000, MOST_BYTES + 1)
    assert "longer than" in pointer


def test_just_room_enough(console, log):
    """A log that just fits needs no pointer."""
    show(console, log, "x\n" * MOST_LINES)
    assert not [line for line in log.lines if "longer than" in line]


@pytest.mark.parametrize(
    "line", ["12:00:01  1 of 2 OK created x [OK in 0.1s]\n", "x" * 100 + "\n", "x" * 10**6]
)
def test_a_huge_log(console, log, line):
    """A huge log costs no more memory than its bound, however often and in whatever shape it comes."""
    huge = line * (10**7 // len(line))
    changed = huge[1:]
    gc.collect()
    tracemalloc.start()
    try:
        for text in (huge, changed):
            console.show(run(build(text)))
        _, peak = tracemalloc.get_traced_memory()
        log.lines.clear()
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * 2**20
    assert kept < 2**20


# Progress


def nodes(ended, failed=0, of=40):
    """Return the lines of so many nodes."""
    lines = [f"12:00:01  {index} of {of} START test t{index} ... [RUN]\n" for index in range(1, ended + 2)]
    for index in range(1, ended + 1):
        word = "FAIL 1" if index <= failed else "PASS"
        lines.append(f"12:00:02  {index} of {of} {word} t{index} ... [{word} in 0.1s]\n")
    return "".join(lines)


def progress(log):
    """Return what was told of the progress since the last time."""
    return [line for line in log.take() if line.startswith("dbt Cloud run 7: ")]


def test_progress(console, log):
    """How many nodes have ended is told after their lines, if it is news."""
    console.show(run(build(nodes(0))))
    assert log.take()[-1] == "dbt Cloud run 7: 0 of 40 nodes."
    console.show(run(build(nodes(12, failed=1))))
    assert log.take()[-1] == "dbt Cloud run 7: 12 of 40 nodes, 1 error."
    console.show(run(build(nodes(12, failed=1))))
    assert progress(log) == []
    console.show(run(build(nodes(13, failed=2))))
    assert progress(log) == ["dbt Cloud run 7: 13 of 40 nodes, 2 errors."]


def test_progress_of_the_last_step(console, log):
    """It is told of the last step that has nodes, once for all steps that are shown together."""
    seed = build(nodes(3, of=3), SUCCESS, index=4)
    console.show(run(seed, build(nodes(5), SUCCESS, index=5), build("Building catalog\n", index=6)))
    assert progress(log) == ["dbt Cloud run 7: 5 of 40 nodes."]


def test_progress_beyond_the_bound(console, log):
    """It is told also when there is no room for lines any more."""
    filler = "x\n" * (MOST_LINES + 1)
    console.show(run(build(filler + nodes(2))))
    assert progress(log) == ["dbt Cloud run 7: 2 of 40 nodes."]
    console.show(run(build(filler + nodes(2) + nodes(9)[-60:])))
    assert progress(log) == ["dbt Cloud run 7: 3 of 40 nodes."]
    assert console.wants_steps


def test_no_progress_of_a_run_that_has_ended(console, log):
    """When the run has ended the progress is no news."""
    console.show(run(build(nodes(12), ERROR), status=ERROR))
    assert progress(log) == []


def test_nothing_left_to_tell(console, log):
    """When there is no room and nothing to count, the steps need not be asked for."""
    assert console.wants_steps
    show(console, log, "Succeeded [0.1s] model a.b\n" * (MOST_LINES + 1))
    assert not console.wants_steps


# Another process


def test_gone_on_with(console, log):
    """Another console goes on where the first one was, as told by JSON."""
    clone = build("Cloning\n", SUCCESS, index=1)
    console.show(run(clone, build("a\nb\nhal")))
    log.take()
    shown = json.loads(json.dumps(console.shown))
    Console(run(), log, shown=shown).show(run(clone, build("a\nb\nhalf\nc", SUCCESS), status=SUCCESS))
    assert log.take() == ["half", "c"]


def test_gone_on_with_in_another_shape(console, log):
    """If the log has another shape by then, as many lines are left out as were shown."""
    show(console, log, COLOURED)
    Console(run(), log, shown=console.shown).show(run(build(PLAIN + "c\nd\n", ERROR), status=ERROR))
    assert log.take() == ["c", "d", "Step 4 failed: Invoke dbt with `dbt build`"]


def test_gone_on_with_in_the_same_room(console, log):
    """All consoles of a run share its bound, and the pointer."""
    show(console, log, "x\n" * MOST_LINES)
    second = Console(run(), log, shown=console.shown)
    assert show(second, log, "x\n" * (MOST_LINES + 5)) == [
        [f"The console log is longer than 2,000 lines or 1 MiB; for the rest see {URL}"]
    ]
    assert show(Console(run(), log, shown=second.shown), log, "x\n" * (MOST_LINES + 9)) == [[]]


@pytest.mark.parametrize(
    "shown",
    [
        None,
        {},
        {"lines": "many", "steps": "none"},
        {"steps": [None, 1, {}, {"step": 104, "position": "far"}]},
    ],
)
def test_gone_on_with_nothing(log, shown):
    """What cannot be read counts as nothing shown: a fresh console shows all of a run that has ended."""
    Console(run(), log, shown=shown).show(run(build("a\nb\n", SUCCESS), status=SUCCESS))
    assert log.take() == ["Step 4: Invoke dbt with `dbt build`", "a", "b"]


def test_read_but_not_written(console, log):
    """What was read counts as shown when it has been written: who goes on elsewhere shows it else."""
    console.show(run(build("a\n")))
    lines = console.read(run(build("a\nb\nc\n")))
    log.take()
    Console(run(), log, shown=console.shown).show(run(build("a\nb\nc\n")))
    assert log.take() == ["b", "c"]
    console.write(lines)
    Console(run(), log, shown=console.shown).show(run(build("a\nb\nc\nd\n")))
    assert log.take() == ["b", "c", "d"]


def test_small(console, log):
    """What goes from one process to the other does not grow with the log."""
    show(console, log, "".join(f"{number}\n" for number in range(5000)))
    assert len(json.dumps(console.shown)) < 300


# Asking


class Cloud:
    """dbt Cloud: answers with a run, or with what a script says for the questions with and without steps."""

    def __init__(self, *with_steps, without=()):
        self.asked = []
        self._with = list(with_steps)
        self._without = list(without)

    def __call__(self, related):
        self.asked.append(",".join(related))
        script = self._with if "run_steps" in related else self._without
        answer = script.pop(0) if script else run(build("a\n")) if script is self._with else run()
        if isinstance(answer, Exception):
            raise answer
        return answer


def look(console, cloud, times):
    """Look some times, whatever comes."""
    seen = []
    for _ in range(times):
        try:
            seen.append(console.look(cloud).status)
        except (DbtCloudUnreachable, DbtCloudServerError, DbtCloudNotFound, DbtCloudRateLimited):
            seen.append(None)
    return seen


WITH, WITHOUT = "audit,run_steps", "audit"


def test_look(console, log):
    """One question tells the run and its steps; the run comes back without them: nobody keeps a log."""
    cloud = Cloud()
    seen = console.look(cloud)
    assert (seen.status, seen.steps, seen.href) == (RUNNING, (), URL)
    assert cloud.asked == [WITH]
    assert log.take() == ["Step 4: Invoke dbt with `dbt build`", "a"]


def test_too_long(console, log):
    """An answer that is too long is asked for again at once without the steps, and never with them again."""
    cloud = Cloud(run(build("a\n")), TOO_LONG)
    assert look(console, cloud, 4) == [RUNNING] * 4
    assert cloud.asked == [WITH, WITH, WITHOUT, WITHOUT, WITHOUT]
    assert log.warnings == [f"The console log of dbt Cloud run 7 is too long to be followed here; see {URL}"]


def test_too_long_and_then_trouble(console, log):
    """If the second question fails that is what is told, and steps are not asked for again all the same."""
    cloud = Cloud(TOO_LONG, without=[SERVER_ERROR])
    assert look(console, cloud, 2) == [None, RUNNING]
    assert cloud.asked == [WITH, WITHOUT, WITHOUT]
    assert len(log.warnings) == 1


@pytest.mark.parametrize("trouble", [UNREACHABLE, SERVER_ERROR], ids=repr)
def test_trouble(console, log, trouble):
    """A question that failed is asked again at once without steps: no log keeps the run out of sight."""
    cloud = Cloud(trouble)
    assert look(console, cloud, 2) == [RUNNING, RUNNING]
    assert cloud.asked == [WITH, WITHOUT, WITH]
    assert log.warnings == []


@pytest.mark.parametrize("trouble", [NOT_FOUND, RATE_LIMITED], ids=repr)
def test_an_answer_that_counts(console, trouble):
    """What dbt Cloud says of the run itself is not asked again."""
    cloud = Cloud(trouble)
    assert look(console, cloud, 2) == [None, RUNNING]
    assert cloud.asked == [WITH, WITH]


def test_trouble_with_everything(console, log):
    """While nothing is answered it is the run that cannot be seen."""
    cloud = Cloud(*[SERVER_ERROR] * 50, without=[SERVER_ERROR] * 50)
    assert look(console, cloud, 52) == [None] * 50 + [RUNNING] * 2
    assert log.warnings == []


def test_nothing_left_to_ask_for(console, log):
    """When the steps can tell nothing any more they are not asked for."""
    cloud = Cloud(run(build("x\n" * (MOST_LINES + 1))))
    look(console, cloud, 3)
    assert cloud.asked == [WITH, WITHOUT, WITHOUT]
    assert log.warnings == []


def test_a_bug(log):
    """Whatever goes wrong while a log is shown is a warning, and the run is seen all the same."""

    class Odd(Step):
        @property
        def logs(self):
            raise ZeroDivisionError

    console = Console(run(), log)
    odd = run(Odd.__new__(Odd))
    assert look(console, Cloud(odd, odd), 2) == [RUNNING, RUNNING]
    (warning,) = log.warnings
    assert "cannot be shown here" in warning


def test_pythons_own_log(caplog):
    """The log may be one of Python's own."""
    caplog.set_level(logging.INFO)
    Console(run(), logging.getLogger("task")).show(run(build("100 %\n", ERROR)))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "Step 4: Invoke dbt with `dbt build`"),
        ("INFO", "100 %"),
        ("WARNING", "Step 4 failed: Invoke dbt with `dbt build`"),
    ]
