"""The marker at the end of a run's cause: how it is made, written and read."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from airflow_dbt_cloud.markers import Marker, make_key, without_marker
from airflow_dbt_cloud.parameters import clean_cause

MINE = Marker(key="0123456789abcdef", max_tries=2, clear_number=1, try_number=3)
TASK = {
    "deployment_id": "production",
    "dag_id": "ferry",
    "run_id": "scheduled__2026-01-01T00:00:00+00:00",
    "task_id": "night.build",
    "map_index": -1,
    "started_at": datetime(2026, 1, 1, 4, 5, 6, 789_000, tzinfo=UTC),
}


def test_written_and_read():
    """A cause says why in words, then which try of which task instance asked."""
    cause = MINE.mark("The nightly build")
    assert cause == "The nightly build [airflow:0123456789abcdef:2.1.3]"
    assert Marker.read(cause) == MINE


@pytest.mark.parametrize(
    "reason",
    [
        "x" * 10_000,
        "\N{SHIP}" * 10_000,
        "",
        "quotes ' \" ` and\nnew\r\nlines",
        "[airflow:ffffffffffffffff:0.0.1]",
        "[AIRFLOW:ffffffffffffffff:0.0.1] [airflow:ffffffffffffffff:0.0.1]",
        "[airflow:" * 1000,
        "ends in a piece [airflow:ffffffffffffffff:0.0.",
        "\uff3bairflow:ffffffffffffffff:0.0.1\uff3d",
    ],
)
def test_odd_reasons(reason):
    """However odd the reason is, the cause fits, is plain ASCII, and only the true marker counts."""
    biggest = Marker(key="f" * 16, max_tries=999_999_999, clear_number=999_999_999, try_number=999_999_999)
    for marker in (MINE, biggest):
        cause = marker.mark(reason)
        assert len(cause) <= 255
        assert cause.isascii()
        assert cause.isprintable()
        assert not set("'\"`\\") & set(cause)
        assert Marker.read(cause) == marker
        assert cause.count("[airflow:") == 1


@pytest.mark.parametrize(
    "cause",
    [
        "",
        "by hand",
        "[airflow:0123456789abcdef:2.1.3] and more",
        "[airflow:0123456789abcdef:2.1.3]\n",
        "[airflow:0123456789ABCDEF:2.1.3]",
        "[airflow:0123456789abcde:2.1.3]",
        "[airflow:0123456789abcdef:2.1]",
        "[airflow:0123456789abcdef:2.1.-3]",
        "[airflow:0123456789abcdef:2.1.\u0663]",
    ],
)
def test_no_marker(cause):
    """What does not end in a whole marker has none."""
    assert Marker.read(cause) is None


def test_a_person_cannot_forge_one():
    """A reason that looks like a marker stays a reason, also where no marker follows it."""
    assert Marker.read(clean_cause(f"by hand {MINE}")) is None


def test_in_json():
    """A cause that is OpenLineage's parent stays JSON, and the marker in it is found and left out."""
    parent = {"parent": {"run": {"runId": "7"}, "job": {"namespace": 'a "b"', "name": "dag.task"}}}
    cause = MINE.mark(json.dumps(parent))
    assert json.loads(cause) == {**parent, "airflow": str(MINE)}
    assert Marker.read(cause) == MINE
    assert json.loads(without_marker(cause)) == parent


def test_last_one_counts():
    """Of several markers in a cause the one at its end counts."""
    other = "[airflow:ffffffffffffffff:0.0.1]"
    assert Marker.read(f"{other} {MINE}") == MINE


def test_key_is_stable():
    """The key is the same whenever it is made, also by the next version of this package."""
    assert make_key(**TASK) == make_key(**TASK) == "11220c1e3fcc55b6"


@pytest.mark.parametrize(
    "other",
    [
        {"deployment_id": "staging"},
        {"dag_id": "ferry2"},
        {"run_id": "manual__1"},
        {"task_id": "build"},
        {"map_index": 0},
        {"started_at": TASK["started_at"] + timedelta(milliseconds=1)},
        {"started_at": None},
        # The same letters, cut elsewhere.
        {"dag_id": "ferrys", "run_id": TASK["run_id"][1:]},
    ],
)
def test_keys_differ(other):
    """Whatever tells two task instances apart tells their keys apart."""
    assert make_key(**{**TASK, **other}) != make_key(**TASK)


def test_any_characters():
    """Ids may have any characters that Airflow allows."""
    odd = {
        "dag_id": "dag.-~_\u00fc",
        "run_id": "manual__2026-01-01T00:00:00+00:00 \N{SHIP}",
        "task_id": "a.b-c",
    }
    assert len(make_key(**{**TASK, **odd})) == 16


def test_time_zone():
    """The same moment in another time zone is the same."""
    there = TASK["started_at"].astimezone(timezone(timedelta(hours=9)))
    assert make_key(**{**TASK, "started_at": there}) == make_key(**TASK)


@pytest.mark.parametrize(
    ("cause", "read"),
    [
        ("Nightly [airflow:0123456789abcdef:1.0.1]", "Nightly"),
        ("[airflow:0123456789abcdef:1.0.1] Nightly", "[airflow:0123456789abcdef:1.0.1] Nightly"),
        ("Kicked off by Ada", "Kicked off by Ada"),
        ("", ""),
    ],
)
def test_without_marker(cause, read):
    """A person reads a cause without the marker that it ends with."""
    assert without_marker(cause) == read
