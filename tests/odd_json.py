"""
What anybody might answer: real JSON with some of it replaced, JSON of every shape, and bytes.

`make test` tries few examples, the same each time. `make fuzz` tries many others: `FUZZ` says how many.
"""

import copy
import json
import os

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ", "0"))
fuzzed = settings(
    max_examples=EXAMPLES or 25,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)

# JSON that is nested too deep for most, or just not; written apart, because no writer of JSON goes so deep.
DEEP = {f"@deep{depth}": depth for depth in (20, 300, 900, 990, 100_000)}
TEXTS = [
    "",
    " ",
    "\0",
    "\ud800",
    "a\udfffb",
    "é🚢",
    "a\r\nX-Header: y",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202e\u2028",
    "<script>alert(1)</script>",
    "{{ var.value.x }}",
    "%s %d %(a)s {0}",
    "../../etc/passwd",
    "%2e%2e%2f",
    "javascript:alert(1)",
    "https://a b\n",
    "x" * 5000,
    " \n" * 3000,
    "\n".join("abc"),
    "NaN",
    "1e999",
    "9" * 4000,
    "-1",
    "Infinity",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31 23:59:59.999999-14:00",
    "2026-01-01T00:00:00",
    "model.a.b",
    "error",
    "Success",
    "Invoke dbt with `dbt build`",
    "[airflow:0123456789abcdef:0.0.1]",
    *DEEP,
]
NUMBERS = [
    *(0, -1, 1, 7, 10, 20, 30, 100, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30, 10**400),
    *(0.0, -0.0, 0.5, -1.5, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf")),
]
texts = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=()), max_size=20)
scalars = st.none() | st.booleans() | st.sampled_from(NUMBERS) | texts
odd_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


@st.composite
def mutated(draw, samples):
    """Return one of the samples with up to six of its values replaced, dropped, doubled or added."""
    value = [copy.deepcopy(draw(st.sampled_from(samples)))]
    for _ in range(draw(st.integers(1, 6))):
        place, key = _find_place(draw, value)
        action = draw(st.sampled_from(["replace", "replace", "replace", "drop", "add", "double"]))
        if action == "replace" and key is not None:
            place[key] = draw(odd_values)
        elif place is not value:
            _change(draw, place, key, action)
    return value[0]


def _find_place(draw, value):
    """Walk down until somewhere: return a list or an object there, and a key of it, None if it is empty."""
    place = value
    while True:
        keys = [*place] if isinstance(place, dict) else [*range(len(place))]
        if not keys:
            return place, None
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or (place is not value and not draw(st.integers(0, 3))):
            return place, key
        place = place[key]


def _change(draw, place, key, action):
    if action == "drop" and key is not None:
        del place[key]
    elif isinstance(place, dict):
        place[draw(texts)] = draw(odd_values)
    else:
        place.append(copy.deepcopy(place[key]) if action == "double" and place else draw(odd_values))


def write(value):
    """Return a value as the bytes of a JSON text, the deep ones in it as deep as they are called."""
    written = json.dumps(value)
    for name, depth in DEEP.items():
        written = written.replace(f'"{name}": ', f'"{name}_": ').replace(
            f'"{name}"', "[" * depth + "]" * depth
        )
    return written.encode()


def bodies(*samples):
    """Return a strategy for the bytes of an answer that should be like one of the samples."""
    return mutated(samples).map(write) | odd_values.map(write) | st.binary(max_size=100)


def assert_tellable(value):
    """Make sure that a value can go through Airflow: its messages between processes, and its database."""
    msgspec.msgpack.encode(value)
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
