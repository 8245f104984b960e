"""The values: what they read from dbt Cloud's JSON, and that nothing in it breaks them."""

import pickle
from datetime import UTC, datetime, timedelta
from enum import IntEnum

import pytest

from airflow_dbt_cloud.errors import DbtCloudRunCancelled, DbtCloudRunFailed, DbtCloudTestsFailed
from airflow_dbt_cloud.models import (
    OVERRIDES,
    PULL_REQUEST_IDS,
    TERMINAL,
    Account,
    Connection,
    DbtCloudJobRunStatus,
    Environment,
    Job,
    Project,
    Run,
    Step,
)
from airflow_dbt_cloud.parameters import OVERRIDES as REQUEST_OVERRIDES

# Shaped as dbt Cloud answers: times with a blank, nulls for what was not included, 14-digit ids.
RUN = {
    "id": 70403110257794,
    "trigger_id": 70403110257795,
    "account_id": 70403103922125,
    "environment_id": 21,
    "project_id": 31,
    "job_definition_id": 41,
    "job_id": 41,
    "status": 20,
    "status_message": "dbt command failed",
    "status_humanized": "Error",
    "dbt_version": "versionless",
    "git_branch": "main",
    "git_sha": "5dd0ab2",
    "created_at": "2024-05-27 10:42:16.179903+00:00",
    "started_at": "2024-05-27 10:42:20+00:00",
    "finished_at": "2024-05-27 10:43:00.5+00:00",
    "href": "https://ab123.us1.dbt.com/deploy/7/projects/31/runs/70403110257794/",
    "trigger": {"cause": "nightly", "cause_category": "api"},
    "run_steps": [{"id": 1, "index": 1, "name": "Clone git repository", "status": 10, "logs": "Cloning"}],
    "retrying_run_id": 99,
    "can_retry": True,
    "retry_not_supported_reason": None,
    "blocked_by": [5, 6],
    "audit": {"cancellation": {"actor": {"id": "1", "type": "user", "name": "Ada Lovelace"}}},
    "is_running": None,
    "a_new_field": {"of": "tomorrow"},
}

READERS = [Account, Connection, Environment, Job, Project, Run, Step]
WRONG = [
    None,
    "",
    "7",
    "x",
    0,
    -1,
    3.5,
    True,
    [],
    {},
    [None],
    [[1]],
    {"cause": 1},
    {"actor": []},
    "2024-99-99",
]


def names_of(reader):
    """Return the keys that a reader may look for."""
    return {*reader.__slots__, *RUN, "execute_steps", "cancellation", "config"}


def test_run():
    """A run is read with all that dbt Cloud says of it, times in UTC."""
    run = Run.from_json(RUN)
    assert run == Run(
        id=70403110257794,
        status=20,
        account_id=70403103922125,
        project_id=31,
        environment_id=21,
        job_id=41,
        href="https://ab123.us1.dbt.com/deploy/7/projects/31/runs/70403110257794/",
        status_message="dbt command failed",
        cause="nightly",
        dbt_version="versionless",
        git_branch="main",
        git_sha="5dd0ab2",
        created_at=datetime(2024, 5, 27, 10, 42, 16, 179903, tzinfo=UTC),
        started_at=datetime(2024, 5, 27, 10, 42, 20, tzinfo=UTC),
        finished_at=datetime(2024, 5, 27, 10, 43, 0, 500000, tzinfo=UTC),
        retrying_run_id=99,
        can_retry=True,
        blocked_by=(5, 6),
        cancelled_by="Ada Lovelace",
        steps=(Step(id=1, index=1, name="Clone git repository", status=10, logs="Cloning"),),
    )


def test_overrides():
    """What a run was started with is read from its trigger; what was left to the job is not there."""
    trigger = {
        **dict.fromkeys(OVERRIDES),
        "cause": "nightly",
        "steps_override": ["dbt build"],
        "schema_override": "",
        "threads_override": 4,
        "generate_docs_override": False,
        "timeout_seconds_override": 0,
        "git_branch": "main",
        "a_new_field": 1,
    }
    assert Run.from_json({"trigger": trigger}).overrides == {
        "steps_override": ["dbt build"],
        "threads_override": 4,
        "generate_docs_override": False,
        "timeout_seconds_override": 0,
        "git_branch": "main",
    }
    assert Run.from_json({"trigger": {"steps_override": []}}).overrides == {}
    assert Run.from_json({"trigger": None}).overrides == {}


def test_overrides_are_those_of_a_start():
    """What can be asked for in a start is what is read of a run."""
    assert sorted(OVERRIDES) == sorted(REQUEST_OVERRIDES)
    assert set(PULL_REQUEST_IDS) < set(OVERRIDES)


@pytest.mark.parametrize("name", PULL_REQUEST_IDS)
def test_pull_request(name):
    """A CI run is told by the pull request in its trigger, whosever service that is of."""
    assert Run.from_json({"trigger": {name: 4}}).is_of_pull_request
    assert not Run.from_json({"trigger": {name: None, "git_branch": "feature"}}).is_of_pull_request


def test_a_run_with_overrides_is_a_value():
    """A run can be hashed, whatever its overrides are, and its repr is not longer for them."""
    run = Run.from_json({"id": 1, "trigger": {"steps_override": ["dbt build"]}})
    assert len({run, run}) == 1
    assert "dbt build" not in repr(run)


def test_job():
    """A job is read."""
    job = {"id": 9, "name": "nightly", "project_id": 3, "environment_id": 2, "execute_steps": ["dbt build"]}
    assert Job.from_json({**job, "generate_docs": True, "deactivated": True, "description": "All."}) == Job(
        9, "nightly", 3, 2, ("dbt build",), generate_docs=True, deactivated=True, description="All."
    )


def test_account_project_and_environment():
    """The smaller values are read."""
    account = {"id": 7, "name": "Ferries", "plan": "enterprise", "run_slots": 15}
    assert Account.from_json(account) == Account(7, "Ferries", "enterprise", 15)
    assert Project.from_json({"id": 3, "name": "kaffa"}) == Project(3, "kaffa")
    environment = {"id": 2, "name": "prod", "project_id": 3, "dbt_version": "latest", "deployment_type": None}
    assert Environment.from_json(environment) == Environment(2, "prod", 3, "latest", "")


@pytest.mark.parametrize("reader", READERS)
def test_nothing_at_all(reader):
    """Missing keys are None, 0 or empty."""
    assert not any(getattr(reader.from_json({}), name) for name in reader.__slots__)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_wrong_types(reader, value):
    """A value of the wrong kind, anywhere, breaks no reader, and what it made can be compared and pickled."""
    read = reader.from_json(dict.fromkeys(names_of(reader), value))
    assert pickle.loads(pickle.dumps(read)) == read  # noqa: S301


@pytest.mark.parametrize("name", sorted(RUN))
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_one_wrong_field_of_a_run(name, value):
    """One field gone wrong does not hide the others."""
    run = Run.from_json({**RUN, name: value})
    expected = Run.from_json(RUN)
    others = [
        field
        for field in ("id", "status", "href", "created_at", "cause", "steps")
        if field not in {name, "id"}
    ]
    aliases = {"trigger": "cause", "run_steps": "steps"}
    for field in others:
        if field != aliases.get(name):
            assert getattr(run, field) == getattr(expected, field)


def test_a_flag_is_no_number():
    """`true` is no id, no status and no index: nothing of a run is guessed."""
    assert Run.from_json({"id": True, "status": True, "blocked_by": [True, 4]}) == Run(0, 0, blocked_by=(4,))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("main", "main"),
        (4, 4),
        (False, False),
        (["dbt build", "dbt \ud800"], ["dbt build", "dbt ?"]),
        ("\ud800", "?"),
        *((odd, "(unreadable)") for odd in (2**80, 0.5, float("nan"), {"a": 1}, [["dbt"]], [None])),
    ],
)
def test_odd_overrides(written, read):
    """What a run was started with can be stored, whatever it is; what no request asks for equals none."""
    assert Run.from_json({"trigger": {"git_branch": written}}).overrides == {"git_branch": read}


def test_huge_ids():
    """An id has 64 bits: Airflow's messages hold no more, and the task would end at its first XCom."""
    assert Run.from_json({"id": 2**63 - 1, "status": 1}).id == 2**63 - 1
    assert Run.from_json({"id": 2**63, "status": 1, "blocked_by": [2**80]}) == Run(0, 1)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-05-27 10:42:16.179903+00:00", datetime(2024, 5, 27, 10, 42, 16, 179903, tzinfo=UTC)),
        ("2024-05-27T10:42:16.179903Z", datetime(2024, 5, 27, 10, 42, 16, 179903, tzinfo=UTC)),
        ("2024-05-27T10:42:16", datetime(2024, 5, 27, 10, 42, 16, tzinfo=UTC)),
        ("2024-05-27T12:42:16+02:00", datetime(2024, 5, 27, 10, 42, 16, tzinfo=UTC)),
        ("2024-05-27 25:00:00+00:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("soon", None),
        ("", None),
        (None, None),
        (1716806536, None),
    ],
)
def test_times(text, time):
    """All of dbt Cloud's ways to write a time are read, as aware times in UTC; others are no time."""
    created_at = Run.from_json({"created_at": text}).created_at
    assert created_at == time
    assert created_at is None or created_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize("value", [1, 2, 3, 0, 4, 7, -10, 100, 2**70])
def test_only_three_numbers_end_a_run(value):
    """A run with any other status, known or not, is still going."""
    assert not Run(1, value).is_terminal
    assert not Run(1, value).is_success
    assert not Step(1, 1, "x", value).is_terminal


@pytest.mark.parametrize("value", [10, 20, 30])
def test_terminal(value):
    """Success, Error and Cancelled end a run; only one of them is success."""
    assert Run(1, value).is_terminal
    assert Step(1, 1, "x", value).is_terminal
    assert Run(1, value).is_success is (value == 10)
    assert value in TERMINAL


def test_flags_do_not_judge():
    """The API's own flags, which may be null or early, do not make a run a success."""
    assert not Run.from_json({"id": 1, "status": 20, "is_success": True, "is_complete": True}).is_success
    assert Run.from_json({"id": 1, "status": 10, "is_success": None, "is_error": True}).is_success


def test_status_name():
    """A status is named in a word, also one that we do not know."""
    assert [Run(1, value).status_name for value in (1, 2, 3, 10, 20, 30)] == [
        *("Queued", "Starting", "Running", "Success", "Error", "Cancelled")
    ]
    assert Run(1, 7).status_name == "status 7"


def test_status_members_are_numbers():
    """The enum is one of plain numbers, as dbt Cloud sends them."""
    assert issubclass(DbtCloudJobRunStatus, IntEnum)
    assert [*DbtCloudJobRunStatus] == [1, 2, 3, 10, 20, 30]


def test_messages_are_plain():
    """What ends in errors is free of colours and of what no log file takes."""
    audit = {"cancellation": {"actor": {"name": "A\ud83da"}}}
    run = Run.from_json({"status_message": "\x1b[31mdbt failed\x1b[0m", "audit": audit})
    assert (run.status_message, run.cancelled_by) == ("dbt failed", "A?a")


def test_status_name_of_a_step():
    """A step's status is called as a run's."""
    assert [Step(1, 1, "", status).status_name for status in (3, 10, 7)] == ["Running", "Success", "status 7"]


def test_success_raises_nothing():
    """A run that succeeded is no error."""
    assert Run(1, 10, status_message="with warnings").raise_for_status() is None


def test_error_raises_failed():
    """Error is a failed run, with dbt Cloud's message and the URL."""
    with pytest.raises(DbtCloudRunFailed) as caught:
        Run.from_json(RUN).raise_for_status()
    assert caught.value.run.id == 70403110257794
    assert str(caught.value) == f"dbt Cloud run 70403110257794 failed: dbt command failed. {RUN['href']}"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "dbt Cloud run 1 was cancelled."),
        ({"cancelled_by": "Ada"}, "dbt Cloud run 1 was cancelled: by Ada."),
        ({"status_message": "Cancelled by user."}, "dbt Cloud run 1 was cancelled: Cancelled by user."),
        (
            {"cancelled_by": "Ada", "status_message": "Cancelled by user."},
            "dbt Cloud run 1 was cancelled: by Ada. Cancelled by user.",
        ),
        (
            {"status_message": "This run timed out after running for 1 day."},
            (
                "dbt Cloud run 1 was cancelled: dbt Cloud's own timeout of the job: "
                "This run timed out after running for 1 day."
            ),
        ),
    ],
)
def test_cancelled_says_by_whom(fields, words):
    """Cancelled names who did it if that is known, and dbt Cloud's own timeout as such."""
    with pytest.raises(DbtCloudRunCancelled) as caught:
        Run(1, 30, **fields).raise_for_status()
    assert str(caught.value) == words


@pytest.mark.parametrize("failure", [DbtCloudRunFailed, DbtCloudTestsFailed])
def test_explained_failure(failure):
    """A failed run is what it is known to be, and says what is known of why."""
    with pytest.raises(DbtCloudRunFailed) as caught:
        Run(1, 20, status_message="dbt command failed").raise_for_status("port_dues is late", failure)
    assert type(caught.value) is failure
    assert str(caught.value) == f"dbt Cloud run 1 {failure.verdict}: port_dues is late."


def test_explained_cancellation():
    """A cancelled run was cancelled, whatever failed before, and still says by whom."""
    run = Run(1, 30, cancelled_by="Ada", status_message="Cancelled by user.")
    with pytest.raises(DbtCloudRunCancelled) as caught:
        run.raise_for_status("2 of 12 nodes had ended", DbtCloudTestsFailed)
    said = "dbt Cloud run 1 was cancelled: by Ada. Cancelled by user. 2 of 12 nodes had ended."
    assert str(caught.value) == said


def test_explained_success():
    """No explanation makes a failure of a success."""
    assert Run(1, 10).raise_for_status("port_dues failed", DbtCloudTestsFailed) is None


@pytest.mark.parametrize("value", [0, 1, 2, 3, 7, 40])
def test_a_run_that_has_not_ended_is_not_judged(value):
    """To judge a run that goes on is a mistake, never a success and never a failed run."""
    with pytest.raises(ValueError, match="has not ended") as caught:
        Run(1, value).raise_for_status()
    assert type(caught.value) is ValueError


def test_repr_leaves_logs_out():
    """A log, which may be of megabytes, is not in the repr of its run or step."""
    run = Run.from_json({**RUN, "run_steps": [{"id": 1, "logs": "L" * 1000}]})
    assert "LLL" not in repr(run) + repr(run.steps[0])
