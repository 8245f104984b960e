"""The values of XComs, wherever they are and whatever somebody has written there."""

import json
import zlib
from base64 import b64encode

import pytest
from airflow.sdk.bases.xcom import BaseXCom

from airflow_dbt_cloud.tab.xcoms import LONGEST, Elsewhere, find_value, is_packed, is_summary, read_value

SUMMARY = {"version": 1, "run_id": 7}
PACKED = b64encode(zlib.compress(b'{"version":1}')).decode()


@pytest.mark.parametrize("level", range(-1, 10))
def test_packed(level):
    """A compressed text is known by how it begins, however it was compressed."""
    assert is_packed(b64encode(zlib.compress(b'{"version":1}' * 100, level)).decode())


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        {},
        "",
        "e",
        "s3://bucket/eJxyz",
        "eJxyz.json",
        "dag/run/eJ",
        PACKED + "\n",
        "<b>",
        "eJ" + "x" * LONGEST,
    ],
)
def test_not_packed(value):
    """What is no such text is not taken for one, and neither is one without end."""
    assert not is_packed(value)


DEEP = json.loads("[" * 400 + "]" * 400)


@pytest.mark.parametrize(
    "value", [None, "x", [], {}, {"version": "1"}, {"version": True}, [SUMMARY], {**SUMMARY, "notes": DEEP}]
)
def test_not_a_summary(value):
    """A summary is an object with a version."""
    assert not is_summary(value)


def test_find_value():
    """A value is there as it was pushed, or as the text that Airflow's public API makes of it."""
    assert find_value(SUMMARY, is_summary) == SUMMARY
    assert find_value(json.dumps(SUMMARY), is_summary) == SUMMARY
    assert find_value(PACKED, is_packed) == PACKED
    assert find_value(json.dumps(PACKED), is_packed) == PACKED


@pytest.mark.parametrize("value", [None, 7, "", "s3://bucket/7", "{", "[" * 100_000, [], {"a": 1}])
def test_nothing_of_the_kind(value):
    """What is something else is nothing."""
    assert find_value(value, is_summary) is None
    with pytest.raises(Elsewhere):
        read_value("dbt_cloud_run", value, is_summary)


KEPT = {"at-1": SUMMARY, "at-2": "another"}


class Backend(BaseXCom):
    """Keeps values in a dict, and their keys in the database."""

    @staticmethod
    def deserialize_value(result):
        assert result.key == "dbt_cloud_run"
        return KEPT[result.value]


def test_backend(monkeypatch):
    """A reference is resolved by the deployment's own backend."""
    monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom", Backend)
    assert read_value("dbt_cloud_run", "at-1", is_summary) == SUMMARY
    assert find_value("at-1", is_summary) is None


@pytest.mark.parametrize("reference", ["at-2", "at-3"])
def test_a_backend_of_no_use(monkeypatch, reference):
    """What the backend does not find, or finds to be something else, is elsewhere."""
    monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom", Backend)
    with pytest.raises(Elsewhere):
        read_value("dbt_cloud_run", reference, is_summary)
