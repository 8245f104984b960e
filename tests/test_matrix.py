"""Tests of `release.matrix`: what it makes of the report of a combination's tests."""

import subprocess
import sys

import pytest

from release.matrix import Combination, Outcome, _count

TESTS = {
    "test_some.py": """
import pytest

def test_passes():
    pass

def test_fails():
    assert False

@pytest.fixture
def broken():
    raise ValueError

def test_has_no_fixture(broken):
    pass

def test_is_skipped():
    pytest.importorskip("no_such_boat", reason="there is no boat")
""",
    "test_others.py": """
import pytest
pytest.importorskip("no_such_boat", reason="there is no harbour")
""",
}


def test_the_report_is_pytests(tmp_path):
    """What passed, failed and was skipped for which reason is read as pytest writes it."""
    for name, text in TESTS.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "--quiet", "--junit-xml=report.xml", "--rootdir=."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    counts = _count(tmp_path / "report.xml")
    assert counts == (1, 2, {"there is no boat": 1, "there is no harbour": 1})


def test_no_report(tmp_path):
    """Tests that ended before they could report have passed nothing."""
    assert _count(tmp_path / "report.xml") == (0, 0, {})


@pytest.mark.parametrize(
    ("code", "passed", "failed", "skipped", "is_good"),
    [
        (0, 5, 0, {}, True),
        (0, 5, 0, {"there is no boat": 2}, True),
        (0, 5, 0, {"there is no harbour": 1}, False),
        (0, 5, 1, {}, False),
        (1, 5, 0, {}, False),
        (0, 0, 0, {"there is no boat": 2}, False),
    ],
)
def test_what_is_good(code, passed, failed, skipped, is_good):
    """A combination is good if tests passed, none failed, and those were skipped that need what it lacks."""
    combination = Combination("boatless", skipped=("there is no boat",))
    outcome = Outcome(combination, {"requests": "2.32.2"}, code, passed, failed, skipped, 7.0)
    assert outcome.is_good is is_good
    assert str(outcome).startswith("ok" if is_good else "FAILED")
    assert "requests 2.32.2" in str(outcome)
