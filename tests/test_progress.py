"""How far a dbt command is, as its console says."""

import pytest

from airflow_dbt_cloud.progress import Progress


def progress(*lines):
    """Return the progress that some lines make."""
    progress = Progress()
    for line in lines:
        progress.see(line)
    return progress


def test_nothing_said():
    """A console that numbers nothing has no progress."""
    assert progress("", "Running with dbt=1.11.16", "Found 18 models, 58 data tests").total == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("12:00:01  3 of 21 START sql view model analytics.stg_payments ... [RUN]", "0 of 21 nodes"),
        (
            "12:00:01  3 of 21 OK created sql view model analytics.stg_payments ... [OK in 0.10s]",
            "1 of 21 nodes",
        ),
        ("\x1b[0m12:00:01  3 of 21 PASS unique_id ... [\x1b[32mPASS\x1b[0m in 0.29s]\r", "1 of 21 nodes"),
        ("12:00:01 3 of 21 OK loaded seed file a.fares ... [INSERT 7 in 0.62s]", "1 of 21 nodes"),
        ("12:00:01  3 of 21 OK snapshotted a.fares_history ... [SELECT 7 in 0.62s]", "1 of 21 nodes"),
        ("12:00:01  3 of 21 WARN 7 not_null_id ... [WARN 7 in 0.05s]", "1 of 21 nodes"),
        ("12:00:01  3 of 21 SKIP relation analytics.route_margin ... [SKIP]", "1 of 21 nodes"),
        ("12:00:01  3 of 21 SKIP relation a.b due to ephemeral model error [ERROR SKIP]", "1 of 21 nodes"),
        ("12:00:01  3 of 21 NO-OP exposure briefing ... [NO-OP in 0.00s]", "1 of 21 nodes"),
        ("12:00:01  3 of 21 REUSED model of tomorrow ... [REUSED]", "1 of 21 nodes"),
        ("12:00:01  3 of 21 PASS freshness of landing.sailings ... [PASS in 0.01s]", "1 of 21 nodes"),
        (
            "12:00:01  3 of 21 ERROR creating sql table model a.dues ... [ERROR in 0.1s]",
            "1 of 21 nodes, 1 error",
        ),
        ("12:00:01  3 of 21 FAIL 3 unique_id ... [FAIL 3 in 0.02s]", "1 of 21 nodes, 1 error"),
        (
            "12:00:01  3 of 21 ERROR STALE freshness of a.b ... [ERROR STALE in 0.1s]",
            "1 of 21 nodes, 1 error",
        ),
        (
            "12:00:01  3 of 21 PARTIALLY created a.b ... [PARTIAL SUCCESS (2/3) in 1.1s]",
            "1 of 21 nodes, 1 error",
        ),
        (
            "12:00:01.123456 [error] [Thread-1 (]: 3 of 21 FAIL 3 x ... [FAIL 3 in 0.02s]",
            "1 of 21 nodes, 1 error",
        ),
        ("3 of 21 ERROR loading seed file a.b ... [ERROR in 0.1s]", "1 of 21 nodes, 1 error"),
    ],
)
def test_lines(line, said):
    """Every word that dbt Core has for the end of a node counts, with and without colours."""
    assert str(progress(line)) == said


@pytest.mark.parametrize(
    "line",
    [
        "12:00:01  1 of 2 START hook: ferry_line.on-run-start.0 ... [RUN]",
        "12:00:01  1 of 2 OK hook: ferry_line.on-run-start.0 ... [OK in 0.00s]",
        "12:00:01  1 of 2 ERROR hook: ferry_line.on-run-end.1 ... [ERROR in 0.00s]",
        "12:00:01  Batch 1 of 3 OK created batch 2024-01-01 of a.b ... [OK in 0.1s]",
        "12:00:01  CANCEL query model.ferry.dues ... [CANCEL]",
        "12:00:01  0 of 21 OK created nothing ... [OK]",
        "12:00:01  22 of 21 OK created too much ... [OK]",
        "12:00:01  1 of 0 OK created nothing ... [OK]",
        "12:00:01  9999999 of 9999999 OK created ... [OK]",
        "12:00:01  1 of 3 files loaded by a macro [OK]",
        "12:00:01  1 of 3 OK said a macro",
        "Succeeded [  0.12s] model analytics.stg_payments (view) 1 of 3",
        '{"info": {"msg": "1 of 3 OK created sql view model a.b [OK in 0.1s]"}}',
        " of " * 10_000,
        "1 of 3 OK " + "[" * 100_000,
        "[" * 100_000 + " of ",
    ],
    ids=lambda line: line[:40],
)
def test_other_lines(line):
    """Hooks and batches have numbers of their own, and what only looks alike has none."""
    assert progress(line).total == 0


def test_nodes_are_counted_as_they_end():
    """Nodes end in another order than they begin in, and it is the ends that count."""
    lines = [f"12:00:01  {index} of 40 START test t{index} ... [RUN]" for index in range(1, 21)]
    lines += [f"12:00:02  {index} of 40 PASS t{index} ... [PASS in 0.1s]" for index in range(9, 20)]
    lines += [
        "12:00:03  3 of 40 ERROR t3 ... [ERROR in 0.1s]",
        "12:00:03  1 of 40 FAIL 1 t1 ... [FAIL 1 in 0.1s]",
    ]
    assert str(progress(*lines)) == "13 of 40 nodes, 2 errors"


def test_told_twice():
    """A line that comes again, as when a log is handed out anew, counts once."""
    line = "12:00:01  3 of 21 FAIL 3 unique_id ... [FAIL 3 in 0.02s]"
    assert str(progress(line, line)) == "1 of 21 nodes, 1 error"


def test_another_command():
    """Another total is another command, which begins at nothing."""
    first = "12:00:01  1 of 2 FAIL 1 unique_id ... [FAIL 1 in 0.02s]"
    assert str(progress(first, "12:00:02  1 of 5 START test t ... [RUN]")) == "0 of 5 nodes"


def test_many_nodes():
    """Twenty thousand nodes are counted in the room of a few kilobytes."""
    counted = progress(*(f"{index} of 20000 OK created x [OK in 0.1s]" for index in range(1, 20_001)))
    assert str(counted) == "20000 of 20000 nodes"
    assert counted._ended.bit_length() <= 20_001
