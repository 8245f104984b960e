"""Tests of `airflow_dbt_cloud.local.json_text`."""

import pytest

from airflow_dbt_cloud.local.json_text import DEEPEST, read_json, why_unfit


def nested(levels):
    """Write lists in lists."""
    return "[" * levels + "]" * levels


def test_nesting_has_an_end():
    """Lists in lists are read to a depth that everything behind can walk."""
    assert str(read_json(nested(DEEPEST))) == nested(DEEPEST)
    for levels in (DEEPEST + 1, 100_000):
        with pytest.raises(ValueError, match="nested deeper than 20 levels"):
            read_json(nested(levels))


def test_what_is_fit():
    """Texts of any language and numbers of 64 bits are fit, wherever they are."""
    assert why_unfit({"ä ☃ 🚢": [None, True, 2**63 - 1, -(2**63) + 1, 0.5, "\n"]}) is None


@pytest.mark.parametrize("value", ["\0", "\ud83d", 2**63, float("inf"), ["\0"], {"a": {"\0": 1}}])
def test_what_is_unfit(value):
    """A value is unfit if anything in it is."""
    assert why_unfit(value)
