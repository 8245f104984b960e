"""The fields: what each reader makes of what it finds, and what is left of a text."""

from datetime import UTC, datetime

import pytest

from airflow_dbt_cloud import fields

KINDS = [None, "", "x", "7", 0, 7, 2**63 - 1, 2**63, -(2**70), 3.5, True, [], [1], {}, {"a": 1}]


@pytest.mark.parametrize(
    ("reader", "wanted", "nothing"),
    [
        (fields.number, [0, 7, 2**63 - 1], 0),
        (fields.text, ["", "x", "7"], ""),
        (fields.time, [], None),
        (fields.items, [[], [1]], []),
        (fields.objects, [[]], []),
        (fields.member, [{}, {"a": 1}], {}),
    ],
)
def test_wrong_kinds(reader, wanted, nothing):
    """A reader returns what is of its kind, and for all else the same nothing."""
    for value in KINDS:
        expected = (
            value
            if any(value is item or (value == item and type(value) is type(item)) for item in wanted)
            else nothing
        )
        assert reader({"key": value}, "key") == expected
    assert reader({}, "key") == nothing


def test_objects():
    """Of a list, only the objects are read."""
    assert fields.objects({"key": [None, {"a": 1}, "x", {}]}, "key") == [{"a": 1}, {}]


@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("2024-05-27 10:42:16.179903+00:00", datetime(2024, 5, 27, 10, 42, 16, 179903, tzinfo=UTC)),
        ("2024-05-27T10:42:10.111442Z", datetime(2024, 5, 27, 10, 42, 10, 111442, tzinfo=UTC)),
        ("2024-05-27T12:42:10+02:00", datetime(2024, 5, 27, 10, 42, 10, tzinfo=UTC)),
        ("2024-05-27T10:42:10", datetime(2024, 5, 27, 10, 42, 10, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("2024-99-99", None),
    ],
)
def test_time(written, time):
    """A time is read in UTC, however it is written; one that is none is None."""
    assert fields.time({"key": written}, "key") == time


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("\x1b[32mactual\x1b[0m differs", "actual differs"),
        ("\x1b[0;1m\x1b[38;2;1;2;3mbright\x1b[K", "bright"),
        ("\x1b]0;a title\x07the text", "the text"),
        ("\x1b]8;;https://example.com\x1b\\a link\x1b]8;;\x1b\\", "a link"),
        ("\x1b]0;a title without end\nthe text", "\nthe text"),
        ("one\r\ntwo\n\tthree", "one\ntwo\n\tthree"),
        ("a bell\x07, a null\x00, a backspace\x08, a C1\x9b", "a bell, a null, a backspace, a C1"),
        ("turned \u202eround\u202c", "turned round"),
        ("half of \ud83d a letter", "half of ? a letter"),
        ("Ørnes → 0.00 €", "Ørnes → 0.00 €"),
        ("\x1b", ""),
        ("\x1b[", ""),
    ],
)
def test_plain(written, read):
    """Colours, control characters and halves of letters go; the text and its lines stay."""
    assert fields.plain(written) == read


def test_halves_of_letters():
    """No text that is read holds half of a letter, because no message between processes can."""
    assert fields.text({"key": "\ud83d Ø \ude80"}, "key") == "? Ø ?"
    assert fields.text({"key": "Ø \U0001f680"}, "key") == "Ø \U0001f680"
