"""What lists can be filtered by."""

from datetime import UTC, datetime

import pytest

from airflow_dbt_cloud.errors import DbtCloudConfigurationError
from airflow_dbt_cloud.filters import encode_filter, read_filters


def test_ids_as_text():
    """Ids that templates made strings of become numbers, one by one and in lists and sets."""
    given = {"job_definition_id": "5", "pk__in": ("1", 2), "status__in": {10}, "order_by": "-id"}
    expected = {"job_definition_id": 5, "pk__in": [1, 2], "status__in": [10], "order_by": "-id"}
    assert read_filters(given, "runs") == expected


def test_texts_stay():
    """Texts are left alone, also those that look like numbers."""
    given = {"dbt_version__in": ["1.11", "latest"], "name__icontains": "7"}
    assert read_filters(given, "jobs") == given


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"job_definition_id": "nightly"}, "job_definition_id must be a number"),
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
