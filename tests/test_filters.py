"""What lists can be filtered by."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pendulum
import pytest

from airflow_dbt_cloud.errors import DbtCloudConfigurationError
from airflow_dbt_cloud.filters import encode_filter, parse_status, read_filters


def test_ids_as_text():
    """Ids that templates made strings of become numbers, one by one and in lists and sets."""
    given = {"job_definition_id": "5", "pk__in": ("1", 2), "status__in": {10}, "order_by": "-id"}
    expected = {"job_definition_id": 5, "pk__in": [1, 2], "status__in": [10], "order_by": "-id"}
    assert read_filters(given, "runs") == expected


def test_texts_stay():
    """Texts are left alone, also those that look like numbers."""
    given = {"dbt_version__in": ["1.11", "latest"], "name__icontains": "7"}
    assert read_filters(given, "jobs") == given


def test_lists_as_text():
    """A list that a template wrote out as text is a list again, whoever wrote it."""
    given = {"pk__in": "[1, '2']", "status__in": '["success", 20]', "project_id__in": " (3,) "}
    assert read_filters(given, "runs") == {"pk__in": [1, 2], "status__in": [10, 20], "project_id__in": [3]}


def test_flags_as_text():
    """A flag that a template wrote out as text is a flag again."""
    assert read_filters({"triggers_schedule": "False"}, "jobs") == {"triggers_schedule": False}


def test_not_given():
    """A filter that is None does not filter."""
    names = ["job_definition_id", "status__in", "created_at__range", "has_docs_generated", "order_by"]
    assert read_filters(dict.fromkeys(names), "runs") == {}


@pytest.mark.parametrize(
    ("value", "status"),
    [("success", 10), (" Error ", 20), ("QUEUED", 1), (30, 30), ("3", 3), (7, 7), ("77", 77)],
)
def test_statuses(value, status):
    """A status is a name or a number, also one that is new to us."""
    assert parse_status("status_filter", value) == status
    assert read_filters({"status": value, "status__in": [value]}, "runs") == {
        "status": status,
        "status__in": [status],
    }


@pytest.mark.parametrize("value", ["failed", "", 0, -1, True, None, 1.5, []], ids=repr)
def test_bad_statuses(value):
    """A status that is neither is refused, and the message lists the names."""
    with pytest.raises(DbtCloudConfigurationError, match=r"^status_filter must be .* queued, starting"):
        parse_status("status_filter", value)


NOON = datetime(2026, 5, 27, 12, tzinfo=timezone(timedelta(hours=2)))
NOON_TEXT = "2026-05-27T10:00:00.000000"


@pytest.mark.parametrize(
    "moment",
    [
        NOON,
        pendulum.instance(NOON),
        str(NOON),
        str(pendulum.instance(NOON)),
        NOON.isoformat(),
        "2026-05-27T10:00:00Z",
        " 2026-05-27 10:00 ",
    ],
    ids=repr,
)
def test_ranges(moment):
    """A range holds datetimes or what templates make of them, and is sent in UTC."""
    for value in ((moment, moment), [moment, moment], json.dumps([str(moment)] * 2)):
        read = read_filters({"finished_at__range": value}, "runs")
        assert encode_filter(read["finished_at__range"]) == json.dumps([NOON_TEXT, NOON_TEXT])


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"created_at__range": NOON}, "created_at__range must be two times"),
        ({"created_at__range": [NOON]}, "created_at__range must be two times"),
        ({"created_at__range": "today"}, "created_at__range must be two times, .* got 'today'"),
        ({"created_at__range": ["yesterday", NOON]}, "created_at__range must hold times, .* got 'yesterday'"),
        ({"created_at__range": [None, NOON]}, "created_at__range must hold times, .* got None"),
        ({"status__in": ["failed"]}, "status__in must be a number .* got 'failed'"),
        ({"status__in": 10}, "status__in must be a list; got 10"),
        ({"status__in": {"a": 1}}, "status__in must be a list"),
        ({"has_docs_generated": "maybe"}, "has_docs_generated must be True or False"),
        ({"job_definition_id": "nightly"}, "job_definition_id must be a number"),
        # Else a template that renders to nothing would list the runs of all jobs.
        ({"job_definition_id": ""}, "job_definition_id must be a number"),
        ({"pk__in": ["one"]}, "pk__in must be a number"),
        ({"pk__in": "12"}, "pk__in must be a list; got '12'"),
        ({"job_id": 5}, "dbt Cloud does not filter runs by job_id, but by .*job_definition_id"),
    ],
)
def test_bad_filters(filters, message):
    """A filter that does not exist, or an id that is none, is an error that says what there is."""
    with pytest.raises(DbtCloudConfigurationError, match=message):
        read_filters(filters, "runs")


def test_encoding():
    """Arrays are JSON lists, times are in UTC without an offset, flags and numbers are JSON."""
    at = datetime(2026, 5, 27, 10, tzinfo=UTC)
    assert encode_filter([1, 2]) == "[1, 2]"
    assert encode_filter((at, at)) == '["2026-05-27T10:00:00.000000", "2026-05-27T10:00:00.000000"]'
    assert encode_filter(True) == "true"
    assert encode_filter("-id") == "-id"


def test_a_filter_that_no_url_can_hold():
    """Half of a letter is refused before anything is sent."""
    with pytest.raises(DbtCloudConfigurationError, match="encoded"):
        encode_filter("\ud800")
