"""Last words: what is found at the end of logs that real dbt, git and others wrote."""

import pytest

from airflow_dbt_cloud.last_words import did_not_begin, last_words

# As dbt Core 1.11 wrote them, with colours.
NO_SUCH_MODEL = """\
\x1b[0m00:34:51  Running with dbt=1.11.16
\x1b[0m00:34:53  Unable to do partial parsing because saved manifest not found. Starting full parse.
\x1b[0m00:34:59  Encountered an error:
Compilation Error
  Model 'model.harbour.bad' (models/bad.sql) depends on a node named 'nowhere' which was not found
"""
NO_WAREHOUSE = """\
\x1b[0m00:37:14  Finished running  in 0 hours 0 minutes and 0.32 seconds (0.32s).
\x1b[0m00:37:14  Encountered an error:
IO Error: Cannot open file "/nowhere/x.duckdb": No such file or directory
\x1b[0m00:37:14  Traceback (most recent call last):
  File "connections.py", line 110, in exception_handler
    yield
_duckdb.IOException: IO Error: Cannot open file "/nowhere/x.duckdb": No such file or directory
"""
NO_SUCH_OPTION = """\
Usage: dbt build [OPTIONS]
Try 'dbt build --help' for help.

Error: No such option '--nonsense'. Did you mean '--no-defer'?
"""
SUMMED_UP = """\
\x1b[0m00:18:32  \x1b[31mCompleted with 1 error, 0 partial successes, and 1 warning:\x1b[0m
\x1b[0m00:18:32  
\x1b[0m00:18:32  \x1b[31mFailure in model port_dues (models/port_dues.sql)\x1b[0m
\x1b[0m00:18:32    Runtime Error in model port_dues (models/port_dues.sql)
  Conversion Error: Could not convert string "to be agreed" to DECIMAL(9,2)
\x1b[0m00:18:32  
\x1b[0m00:18:32  Done. PASS=7 WARN=1 ERROR=1 SKIP=3 NO-OP=0 TOTAL=12
"""  # noqa: W291
# As git writes it.
NO_REPOSITORY = """\
Cloning into '/usr/src/develop/jobs/7'...
remote: Repository not found.
fatal: repository 'https://github.com/ferry/line.git/' not found
"""


NO_SUCH_MODEL_WORDS = """\
Compilation Error
  Model 'model.harbour.bad' (models/bad.sql) depends on a node named 'nowhere' which was not found"""
SUMMED_UP_WORDS = """\
Completed with 1 error, 0 partial successes, and 1 warning:
Failure in model port_dues (models/port_dues.sql)
Runtime Error in model port_dues (models/port_dues.sql)
  Conversion Error: Could not convert string "to be agreed" to DECIMAL(9,2)"""
AGAIN = "00:00:01  Encountered an error:\n"


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (NO_SUCH_MODEL, NO_SUCH_MODEL_WORDS),
        (NO_WAREHOUSE, 'IO Error: Cannot open file "/nowhere/x.duckdb": No such file or directory'),
        (NO_SUCH_OPTION, "Error: No such option '--nonsense'. Did you mean '--no-defer'?"),
        (SUMMED_UP, SUMMED_UP_WORDS),
        (NO_REPOSITORY, "fatal: repository 'https://github.com/ferry/line.git/' not found"),
        ("\x1b[31merror:\x1b[0m no such file\n  --> a.sql:1\n", "error: no such file\n  --> a.sql:1"),
        ("one\ntwo\n\nthree\nfour\n", "two\nthree\nfour"),
        (f"{AGAIN}first\n{AGAIN}last\n", "last"),
        (AGAIN, ""),
        ("", ""),
        ("\n\n", ""),
    ],
)
def test_last_words(log, words):
    """What went wrong is found, whoever says it, and nothing of what comes before or after it."""
    assert last_words(log) == words


def test_a_long_log_is_read_from_its_end():
    """Of a log of megabytes, in one line or many, little is read and little is said."""
    for log in (
        "x" * 2**23,
        "an error\n" * 2**20,
        "Error: x\n" * 2**20,
        "00:00:01  Encountered an error:\n" * 2**18,
    ):
        assert len(last_words(log)) <= 2020
        assert last_words(log).count("\n") <= 10
    assert last_words("Error: an old one\n" + "so it goes\n" * 2**20) == "so it goes\nso it goes\nso it goes"


def test_a_long_message_is_cut():
    """A message of many lines is cut, and one can see it."""
    said = last_words(
        "00:00:01  Encountered an error:\n" + "\n".join(f"  line {number}" for number in range(99))
    )
    assert said.split("\n") == [*(f"line {number}" for number in range(10)), "…"]


def test_did_not_begin():
    """That dbt ran no node is known if it says so itself."""
    assert did_not_begin(NO_SUCH_MODEL)
    assert not did_not_begin(SUMMED_UP)
    assert not did_not_begin("")
