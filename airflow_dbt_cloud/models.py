"""
What dbt Cloud tells us, as values.

Every value is frozen and knows how to read itself from the API's JSON (`from_json`). A reader never breaks on
an unknown status number, a missing key, a null or a new field: what cannot be read is None, 0 or empty.
Field names are dbt Cloud's, from its OpenAPI document; times are aware datetimes in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Self

from airflow_dbt_cloud.errors import DbtCloudRunCancelled, DbtCloudRunFailed
from airflow_dbt_cloud.fields import encodable, is_number, items, member, number, objects, plain, text, time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = [
    "NOT_SEEN_YET",
    "Account",
    "Connection",
    "DbtCloudJobRunStatus",
    "Environment",
    "Job",
    "Project",
    "Run",
    "Step",
]


class DbtCloudJobRunStatus(IntEnum):
    """The numbers that dbt Cloud uses for the status of runs and of their steps."""

    QUEUED = 1
    STARTING = 2
    RUNNING = 3
    SUCCESS = 10
    ERROR = 20
    CANCELLED = 30


# A run of which nothing but its id is known.
NOT_SEEN_YET = 0

# A number that we do not know is "still going": only these three end a run.
TERMINAL = frozenset(
    {DbtCloudJobRunStatus.SUCCESS, DbtCloudJobRunStatus.ERROR, DbtCloudJobRunStatus.CANCELLED}
)


# What a request to start a run can override, as the run's `trigger` tells it again.
PULL_REQUEST_IDS = (
    "azure_pull_request_id",
    "github_pull_request_id",
    "gitlab_merge_request_id",
    "non_native_pull_request_id",
)
OVERRIDES = (
    "dbt_version_override",
    "generate_docs_override",
    "git_branch",
    "git_sha",
    "schema_override",
    "steps_override",
    "target_name_override",
    "threads_override",
    "timeout_seconds_override",
    *PULL_REQUEST_IDS,
)


# What a request asks for is never this, so a run that was started with it is nobody's to reuse.
UNREADABLE = "(unreadable)"

# What says where a warehouse is; each kind of warehouse has some of these.
ADDRESS = ("account", "host", "hostname", "method", "path", "port", "region_name", "server")


@dataclass(frozen=True, slots=True)
class Step:
    """
    One step of a run, dbt Cloud's `RunStepResponse`.

    `index` counts from 1 and is what artifacts are asked by. `logs` is what the step wrote, if it was asked
    for.
    """

    id: int
    index: int
    name: str
    status: int
    logs: str = field(default="", repr=False)
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read a `RunStepResponse`."""
        return cls(
            id=number(json, "id"),
            index=number(json, "index"),
            name=text(json, "name"),
            status=number(json, "status"),
            logs=text(json, "logs"),
            started_at=time(json, "started_at"),
            finished_at=time(json, "finished_at"),
        )

    @property
    def is_terminal(self) -> bool:
        """Whether the step has ended."""
        return self.status in TERMINAL

    @property
    def status_name(self) -> str:
        """The status in a word, as a run's."""
        return _named(self.status)


@dataclass(frozen=True, slots=True)
class Run:
    """
    One run of a job, dbt Cloud's `RunResponse`.

    `status` is a `DbtCloudJobRunStatus`, a number that is new to us, or 0 if the run was not seen yet.
    `blocked_by` holds the ids of the runs that it waits for, and `retrying_run_id` that of the run whose
    failures it does again. `can_retry` says whether dbt Cloud could do this one's failures again, and
    `retry_not_supported_reason` why not.

    Some is there only if it was asked for (`include_related`): `cause` and `overrides` with trigger,
    `cancelled_by`, a name, with audit, and `steps` with run_steps.
    """

    id: int
    status: int = NOT_SEEN_YET
    account_id: int = 0
    project_id: int = 0
    environment_id: int = 0
    job_id: int = 0
    href: str = ""
    status_message: str = ""
    cause: str = ""
    dbt_version: str = ""
    git_branch: str = ""
    git_sha: str = ""
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    retrying_run_id: int | None = None
    can_retry: bool = False
    retry_not_supported_reason: str = ""
    blocked_by: tuple[int, ...] = ()
    cancelled_by: str = ""
    overrides: dict[str, Any] = field(default_factory=dict, repr=False, hash=False)
    steps: tuple[Step, ...] = field(default=(), repr=False)

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read a `RunResponse`."""
        cancellation = member(member(json, "audit"), "cancellation")
        trigger = member(json, "trigger")
        return cls(
            id=number(json, "id"),
            status=number(json, "status"),
            account_id=number(json, "account_id"),
            project_id=number(json, "project_id"),
            environment_id=number(json, "environment_id"),
            job_id=number(json, "job_definition_id") or number(json, "job_id"),
            href=text(json, "href"),
            status_message=plain(text(json, "status_message")),
            cause=text(trigger, "cause"),
            dbt_version=text(json, "dbt_version"),
            git_branch=text(json, "git_branch"),
            git_sha=text(json, "git_sha"),
            created_at=time(json, "created_at"),
            started_at=time(json, "started_at"),
            finished_at=time(json, "finished_at"),
            retrying_run_id=number(json, "retrying_run_id") or None,
            can_retry=json.get("can_retry") is True,
            retry_not_supported_reason=text(json, "retry_not_supported_reason"),
            blocked_by=tuple(run_id for run_id in items(json, "blocked_by") if is_number(run_id)),
            cancelled_by=plain(text(member(cancellation, "actor"), "name")),
            overrides={
                name: _plain(trigger[name]) for name in OVERRIDES if trigger.get(name) not in (None, "", [])
            },
            steps=tuple(Step.from_json(step) for step in objects(json, "run_steps")),
        )

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended. `status` alone says so; the API's flags may be null."""
        return self.status in TERMINAL

    @property
    def is_success(self) -> bool:
        """Whether dbt Cloud said Success, and nothing less."""
        return self.status == DbtCloudJobRunStatus.SUCCESS

    @property
    def is_of_pull_request(self) -> bool:
        """Whether the run is a CI run of a pull request, as far as its `overrides` tell."""
        return any(name in self.overrides for name in PULL_REQUEST_IDS)

    @property
    def status_name(self) -> str:
        """The status in a word: `Running`; `status 7` if dbt Cloud has a number that we do not know."""
        return _named(self.status)

    @property
    def duration(self) -> timedelta:
        """The time from the start's request to the end, as dbt Cloud counts it; 0 if it has not ended."""
        if self.created_at and self.finished_at:
            return self.finished_at - self.created_at
        return timedelta()

    def raise_for_status(
        self, explanation: str = "", failure: type[DbtCloudRunFailed] = DbtCloudRunFailed
    ) -> None:
        """
        Judge a run that has ended: the one place where an outcome becomes an error.

        :param explanation: what is known of why it did not succeed; default dbt Cloud's message.
        :param failure: what kind of failure it is if dbt Cloud says Error, as far as is known.
        :raises DbtCloudRunFailed: dbt Cloud says Error.
        :raises DbtCloudRunCancelled: dbt Cloud says Cancelled; names who did it if `audit` was included, and
            dbt Cloud's own timeout as such (its `status_message` says "timed out").
        :raises ValueError: the run has not ended, so that nothing can be said.
        """
        if self.is_success:
            return
        if self.status == DbtCloudJobRunStatus.ERROR:
            raise failure(self, explanation)
        if self.status == DbtCloudJobRunStatus.CANCELLED:
            why = ". ".join(filter(None, (self._why_cancelled.removesuffix("."), explanation)))
            raise DbtCloudRunCancelled(self, why)
        msg = f"Run {self.id} has not ended: {self.status_name}."
        raise ValueError(msg)

    @property
    def _why_cancelled(self) -> str:
        if "timed out" in self.status_message:
            return f"dbt Cloud's own timeout of the job: {self.status_message}"
        by = f"by {self.cancelled_by}" if self.cancelled_by else ""
        return ". ".join(filter(None, (by, self.status_message)))


@dataclass(frozen=True, slots=True)
class Job:
    """
    One job, dbt Cloud's `HumanReadableJobDefinitionResponse`: what a run does unless its start overrides it.

    `execute_steps` are its dbt commands. `deactivated` means that dbt Cloud starts no run of it.
    """

    id: int
    name: str
    project_id: int = 0
    environment_id: int = 0
    execute_steps: tuple[str, ...] = ()
    generate_docs: bool = False
    deactivated: bool = False
    description: str = ""

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read a `HumanReadableJobDefinitionResponse`."""
        return cls(
            id=number(json, "id"),
            name=text(json, "name"),
            project_id=number(json, "project_id"),
            environment_id=number(json, "environment_id"),
            execute_steps=tuple(step for step in items(json, "execute_steps") if isinstance(step, str)),
            generate_docs=json.get("generate_docs") is True,
            deactivated=json.get("deactivated") is True,
            description=text(json, "description"),
        )


@dataclass(frozen=True, slots=True)
class Project:
    """A dbt project in an account, dbt Cloud's `ProjectResponse`."""

    id: int
    name: str

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read a `ProjectResponse`."""
        return cls(id=number(json, "id"), name=text(json, "name"))


@dataclass(frozen=True, slots=True)
class Environment:
    """
    An environment of a project, dbt Cloud's `EnvironmentV3Response`; jobs belong to one.

    `deployment_type` is `production`, `staging` or empty, and `connection_id` leads to its warehouse, 0 if it
    is not known.
    """

    id: int
    name: str
    project_id: int = 0
    dbt_version: str = ""
    deployment_type: str = ""
    connection_id: int = 0

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read an `EnvironmentV3Response`."""
        return cls(
            id=number(json, "id"),
            name=text(json, "name"),
            project_id=number(json, "project_id"),
            dbt_version=text(json, "dbt_version"),
            deployment_type=text(json, "deployment_type"),
            connection_id=number(json, "connection_id"),
        )


@dataclass(frozen=True, slots=True)
class Connection:
    """
    How an environment reaches its warehouse, dbt Cloud's `AccountConnectionDetail`.

    Of what dbt Cloud knows only `address` is read, which says where the warehouse is, by dbt Cloud's names.
    """

    id: int
    name: str
    address: dict[str, str | int] = field(default_factory=dict, hash=False)

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read an `AccountConnectionDetail`."""
        config = member(json, "config")
        parts = ((part, number(config, part) or text(config, part)) for part in ADDRESS)
        return cls(
            id=number(json, "id"),
            name=text(json, "name"),
            address={part: value for part, value in parts if value},
        )


@dataclass(frozen=True, slots=True)
class Account:
    """
    The account that a token belongs to, dbt Cloud's `AccountResponse`.

    `plan` is the name of what was bought, and `run_slots` how many of its runs go at a time.
    """

    id: int
    name: str
    plan: str = ""
    run_slots: int = 0

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read an `AccountResponse`."""
        return cls(
            id=number(json, "id"),
            name=text(json, "name"),
            plan=text(json, "plan"),
            run_slots=number(json, "run_slots"),
        )


def _plain(override: object) -> Any:
    """Return what a run was started with, if it is of a kind that a request may hold."""
    if isinstance(override, bool) or is_number(override):
        return override
    if isinstance(override, str):
        return encodable(override)
    if isinstance(override, list) and all(isinstance(item, str) for item in override):
        return [encodable(item) for item in override]
    return UNREADABLE


def _named(status: int) -> str:
    try:
        return DbtCloudJobRunStatus(status).name.capitalize()
    except ValueError:
        return f"status {status}"
