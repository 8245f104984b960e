"""What a DAG author may give, and what is refused with which words."""

import re

import pytest

from airflow_dbt_cloud.errors import DbtCloudConfigurationError
from airflow_dbt_cloud.parameters import (
    MAX_CAUSE,
    OVERRIDES,
    RunRequest,
    check_if_known,
    clean_cause,
    parse_artifact_path,
    parse_id,
    parse_seconds,
)

TEXTS = ["git_sha", "git_branch", "schema_override", "dbt_version_override", "target_name_override"]
COUNTS = ["threads_override", "timeout_seconds_override"]
IDS = [name for name in sorted(OVERRIDES) if name.endswith("_request_id")]


def read(**overrides):
    """Return the body of a request with some overrides, without its cause."""
    body = RunRequest.from_parameters("why", overrides).to_json()
    assert body.pop("cause") == "why"
    return body


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1),
        (70403110257794, 70403110257794),
        ("9", 9),
        (" 9\n", 9),
        ("007", 7),
        (str(2**63 - 1), 2**63 - 1),
    ],
)
def test_ids(value, number):
    """An id is a number or its digits, as templates render it."""
    assert parse_id("job_id", value) == number


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, True, False, None, 1.0, 9.5, float("nan"), [], [9], {}, b"9"),
        *(
            "",
            " ",
            "9\r\nX-Header: y",
            "9/../8",
            "9?a=b",
            "0",
            "-9",
            "+9",
            "9.0",
            "1e3",
            "1_000",
            "0x9",
            "9 9",
            "None",
            "nan",
            "ten",
            "٣",
            "²",
            "9\x00",
        ),
        *("9" * 20, "0" * 5000 + "9", "{{ job }}"),
    ],
    ids=lambda value: repr(value)[:12],
)
def test_bad_ids(value):
    """Whatever is no id is refused, and the message names the parameter and shows the value."""
    with pytest.raises(DbtCloudConfigurationError, match=r"^job_id must be a number") as caught:
        parse_id("job_id", value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "seconds"), [(1, 1.0), (0.5, 0.5), ("30", 30.0), (" 1.5 ", 1.5), ("1e2", 100.0)]
)
def test_seconds(value, seconds):
    """Seconds are a number or its text."""
    assert parse_seconds("timeout", value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        "0",
        "-1",
        "",
        "soon",
        None,
        True,
        False,
        [],
        "nan",
        "inf",
        float("nan"),
        float("inf"),
        10**400,
        "1e400",
    ],
    ids=lambda value: repr(value)[:12],
)
def test_bad_seconds(value):
    """Seconds that nobody can wait are refused, whatever they are."""
    with pytest.raises(DbtCloudConfigurationError, match=r"^timeout must be a number of seconds above 0"):
        parse_seconds("timeout", value)


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("Triggered via Apache Airflow", "Triggered via Apache Airflow"),
        ('it\'s "dbt" `now` C:\\x', "it s dbt now C: x"),
        ("a\r\nb\tc\x00d\x7fe  f", "a b c d e f"),
        ("caf\u00e9 \U0001f680 now", "cafe now"),
        # Full-width quotes become plain ones when they are normalised, and must go, too.
        ("\uff02a\uff07b\uff40c\uff3cd", "a b c d"),
        ("\u2018a\u2019 \u201cb\u201d", "a b"),
        ("[airflow:0123456789abcdef:0.0.1]", "(airflow:0123456789abcdef:0.0.1]"),
        ("lone \ud800 half", "lone half"),
    ],
)
def test_clean_cause(reason, cause):
    """A cause is one line of ASCII without quotes, so that it breaks nobody's SQL."""
    assert clean_cause(reason) == cause


@pytest.mark.parametrize("length", [MAX_CAUSE - 1, MAX_CAUSE, MAX_CAUSE + 1, 10_000])
def test_long_causes_are_cut(length):
    """A cause has at most 255 characters, and shows where it was cut."""
    cause = clean_cause("x" * length)
    assert len(cause) == min(length, MAX_CAUSE)
    assert cause.endswith("...") is (length > MAX_CAUSE)


def test_a_character_that_grows_is_counted_after_it_grew():
    """One character may become eighteen when it is normalised: the limit holds for these."""
    assert len(clean_cause("\ufdfa\ufb03" * 5000)) <= MAX_CAUSE
    assert len(clean_cause("\ufb03" * 5000)) == MAX_CAUSE


@pytest.mark.parametrize("reason", ["", " ", "\n", "'\"", "\u65e5\u672c\u8a9e", "\U0001f680"])
def test_a_cause_is_never_empty(reason):
    """A reason of which nothing is left has another cause: dbt Cloud refuses an empty one."""
    assert re.fullmatch(r"[ -~]+", clean_cause(reason))


@pytest.mark.parametrize("path", ["manifest.json", "compiled/ferry/a b.sql", "...", "..a/b..", "caf\u00e9"])
def test_artifact_paths(path):
    """An artifact's path is kept as it is."""
    assert parse_artifact_path("path", path) == path


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            " ",
            "/",
            "/x",
            "x/",
            "a//b",
            ".",
            "..",
            "../x",
            "a/../b",
            "a/.",
            "a\\b",
            "..\\x",
            "a\0",
            "\ud800",
        ),
        None,
        5,
        b"x",
    ],
)
def test_bad_artifact_paths(path):
    """A path that leads elsewhere, or is none, is refused, and the message shows it."""
    with pytest.raises(DbtCloudConfigurationError, match=r"^path must be the path of an artifact") as caught:
        parse_artifact_path("path", path)
    assert repr(path) in str(caught.value)


@pytest.mark.parametrize("value", [None, 7, "7", "{{ run }}", object()])
def test_checks_wait_for_values(value):
    """What is not given, or rendered later, is not refused before the task runs."""
    check_if_known(parse_id, "run_id", value)


def test_checks_of_known_values():
    """What is known when the DAG is parsed is refused by then."""
    with pytest.raises(DbtCloudConfigurationError, match="run_id must be a number"):
        check_if_known(parse_id, "run_id", "seven")


def test_nothing_given():
    """Overrides that are None or an empty string are left to the job."""
    assert read(**dict.fromkeys(OVERRIDES)) == {}
    assert read(**dict.fromkeys(OVERRIDES, "")) == {}


def test_all_given():
    """Every override reaches the request's body."""
    given = {
        **dict.fromkeys(TEXTS, "x"),
        **dict.fromkeys([*COUNTS, *IDS], 4),
        "generate_docs_override": False,
        "steps_override": ["dbt seed", "dbt build"],
    }
    assert given.keys() == OVERRIDES
    assert read(**given) == given


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("value", [5, 1.5, True, ["x"], {}, b"x"], ids=repr)
def test_bad_texts(name, value):
    """A text is a string and nothing that was meant as one."""
    with pytest.raises(DbtCloudConfigurationError, match=f"^{name} must be a string; got "):
        read(**{name: value})


@pytest.mark.parametrize("name", [*COUNTS, *IDS])
@pytest.mark.parametrize(("value", "number"), [(1, 1), ("8", 8), (" 8 ", 8)], ids=repr)
def test_numbers(name, value, number):
    """A number may be text, as templates make it."""
    assert read(**{name: value}) == {name: number}


@pytest.mark.parametrize("name", [*COUNTS, *IDS])
@pytest.mark.parametrize("value", [-1, 1.5, True, "x", "None", "1.5", [4], " "], ids=repr)
def test_bad_numbers(name, value):
    """A number that is none, or below 0, is refused by name."""
    with pytest.raises(DbtCloudConfigurationError, match=f"^{name} must be a "):
        read(**{name: value})


@pytest.mark.parametrize("value", [0, "0"])
def test_zero(value):
    """0 is a timeout, "as long as the account allows", but no number of threads."""
    assert read(timeout_seconds_override=value) == {"timeout_seconds_override": 0}
    with pytest.raises(DbtCloudConfigurationError, match="above 0"):
        read(threads_override=value)


@pytest.mark.parametrize(
    ("value", "flag"), [(True, True), (False, False), ("True", True), ("false", False), (" TRUE ", True)]
)
def test_flags(value, flag):
    """A flag may be text, as templates make it; False is not the same as not given."""
    assert read(generate_docs_override=value) == {"generate_docs_override": flag}


@pytest.mark.parametrize("value", [0, 1, "1", "yes", "None", [], [True], " "], ids=repr)
def test_bad_flags(value):
    """Whatever is not clearly True or False is refused."""
    with pytest.raises(DbtCloudConfigurationError, match=r"^generate_docs_override must be True or False"):
        read(generate_docs_override=value)


def test_commands():
    """Commands are a list, or a tuple that becomes one."""
    assert read(steps_override=("dbt seed",)) == {"steps_override": ["dbt seed"]}


def test_commands_are_copied():
    """A list that the author changes later does not change the request."""
    commands = ["dbt build"]
    request = RunRequest.from_parameters("why", {"steps_override": commands})
    commands.append("dbt drop")
    assert request.steps_override == ["dbt build"]


@pytest.mark.parametrize(
    "value",
    ["dbt build", [], (), [1], ["dbt build", None], [""], ["dbt build", " "], {"dbt build"}, 5],
    ids=repr,
)
def test_bad_commands(value):
    """Commands that are no list of commands are refused, with an example."""
    with pytest.raises(DbtCloudConfigurationError, match=r"^steps_override must be a list .*'dbt build'\]"):
        read(steps_override=value)


@pytest.mark.parametrize("name", ["shema_override", "steps", 5])
def test_unknown_override(name):
    """An override that dbt Cloud has not is refused, and those it has are listed."""
    with pytest.raises(DbtCloudConfigurationError, match=str(name)) as caught:
        RunRequest.from_parameters("why", {name: "x"})
    assert all(known in str(caught.value) for known in OVERRIDES)


def test_the_cause_is_cleaned():
    """A request cannot be made with a cause that dbt Cloud refuses."""
    assert RunRequest.from_parameters("it's\nme", {}).to_json() == {"cause": "it s me"}


def test_overrides_of_a_request():
    """A request tells its overrides as dbt Cloud tells those of a run: only what is not left to the job."""
    given = {"threads_override": "4", "generate_docs_override": "False", "git_sha": "", "git_branch": None}
    request = RunRequest.from_parameters("why", given)
    assert request.overrides == {"threads_override": 4, "generate_docs_override": False}
    assert RunRequest.from_parameters("why", {}).overrides == {}


@pytest.mark.parametrize("limit", [100, 200, MAX_CAUSE])
def test_a_cause_leaves_room(limit):
    """A cause is cut to the room that there is."""
    assert clean_cause("x" * 1000, limit=limit) == "x" * (limit - 3) + "..."
