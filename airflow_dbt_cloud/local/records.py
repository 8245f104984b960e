"""What the local server knows: account, project, environments, jobs, runs and their steps.

All are frozen. A run changes by being replaced in the `Store`, so whoever holds one holds a consistent
picture.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum
from typing import Any

ACTIVE, DELETED = 1, 2
PULL_REQUEST_FIELDS = (
    "azure_pull_request_id",
    "github_pull_request_id",
    "gitlab_merge_request_id",
    "non_native_pull_request_id",
)


class Status(IntEnum):
    """The status of a run and of a step."""

    QUEUED = 1
    STARTING = 2
    RUNNING = 3
    SUCCESS = 10
    ERROR = 20
    CANCELLED = 30

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can follow."""
        return self in (Status.SUCCESS, Status.ERROR, Status.CANCELLED)

    @property
    def humanized(self) -> str:
        """Its name in dbt Cloud."""
        return self.name.capitalize()

    @classmethod
    def of_number(cls, number: int) -> Status:
        """Give the status of that number; of one that dbt Cloud does not have, one that ends nothing."""
        if number in {int(each) for each in cls}:
            return cls(number)
        unknown = int.__new__(cls, number)
        unknown._name_, unknown._value_ = "UNKNOWN", number
        return unknown


@dataclass(frozen=True, slots=True)
class Account:
    """The one account that the server's tokens belong to."""

    id: int
    name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Project:
    """The dbt project that the server was started for."""

    id: int
    name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Environment:
    """A deployment environment: a target schema in a DuckDB file of its own."""

    id: int
    name: str
    deployment_type: str | None
    schema: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Job:
    """A job definition, from `dbt_cloud.yml` or from the API."""

    id: int
    name: str
    environment_id: int
    commands: tuple[str, ...]
    created_at: float
    updated_at: float
    description: str = ""
    threads: int = 4
    timeout_seconds: int = 0
    generate_docs: bool = False
    run_generate_sources: bool = False
    target_name: str = "default"
    dbt_version: str | None = None
    job_type: str = "other"
    schedule: dict[str, Any] | None = None
    deactivated: bool = False
    state: int = ACTIVE

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Job:
        """Read what `asdict` wrote."""
        return cls(**{**value, "commands": tuple(value["commands"])})


@dataclass(frozen=True, slots=True)
class Trigger:
    """Why a run was started and what it overrides. Field names and order are the API's."""

    id: int
    cause: str
    job_definition_id: int
    git_branch: str | None = None
    git_sha: str | None = None
    azure_pull_request_id: int | None = None
    github_pull_request_id: int | None = None
    gitlab_merge_request_id: int | None = None
    non_native_pull_request_id: int | None = None
    schema_override: str | None = None
    dbt_version_override: str | None = None
    threads_override: int | None = None
    target_name_override: str | None = None
    generate_docs_override: bool | None = None
    timeout_seconds_override: int | None = None
    steps_override: tuple[str, ...] | None = None
    created_at: float = 0.0
    cause_category: str = "api"

    @property
    def pull_request(self) -> tuple[str, int] | None:
        """Which kind of pull request, and its number."""
        for name in PULL_REQUEST_FIELDS:
            if (number := getattr(self, name)) is not None:
                return name, number
        return None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Trigger:
        """Read what `asdict` wrote."""
        steps = value["steps_override"]
        return cls(**{**value, "steps_override": None if steps is None else tuple(steps)})


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run. Its logs and artifacts are files in the state folder, found by run id and index."""

    id: int
    index: int
    name: str
    created_at: float
    status: Status = Status.STARTING
    command: str | None = None
    started_at: float | None = None
    finished_at: float | None = None
    has_artifacts: bool = False
    has_run_results: bool = False

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Step:
        """Read what `asdict` wrote."""
        return cls(**{**value, "status": Status(value["status"])})


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job, with the job as it was when the run was triggered."""

    id: int
    job: Job
    trigger: Trigger
    created_at: float
    updated_at: float
    commands: tuple[str, ...]
    core_version: str
    triggered_by: str
    status: Status = Status.QUEUED
    status_message: str | None = None
    cancelled_by: str | None = None
    dequeued_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    git_branch: str | None = None
    git_sha: str | None = None
    has_docs_generated: bool = False
    has_sources_generated: bool = False
    retrying_run_id: int | None = None
    steps: tuple[Step, ...] = field(default=())

    @property
    def is_ci(self) -> bool:
        """Whether the run was triggered for a pull request: it takes no slot and waits for no other run."""
        return self.trigger.pull_request is not None

    @property
    def threads(self) -> int:
        """How many nodes dbt works on at a time."""
        return _first(self.trigger.threads_override, self.job.threads)

    @property
    def target_name(self) -> str:
        """`{{ target.name }}`."""
        return self.trigger.target_name_override or self.job.target_name

    @property
    def timeout_seconds(self) -> int:
        """After how long the run is stopped; 0 means the account's limit."""
        return _first(self.trigger.timeout_seconds_override, self.job.timeout_seconds)

    @property
    def generate_docs(self) -> bool:
        """Whether `dbt docs generate` is the last step."""
        override = self.trigger.generate_docs_override
        return self.job.generate_docs if override is None else override

    @property
    def dbt_version(self) -> str:
        """The version as the user named it, or the installed one."""
        return self.trigger.dbt_version_override or self.job.dbt_version or self.core_version

    @property
    def schema_override(self) -> str | None:
        """The schema that replaces the environment's."""
        if self.trigger.schema_override or not (pull_request := self.trigger.pull_request):
            return self.trigger.schema_override
        return f"dbt_cloud_pr_{self.job.id}_{pull_request[1]}"

    @property
    def artifacts_step(self) -> Step | None:
        """The last step that wrote artifacts."""
        return next((step for step in reversed(self.steps) if step.has_artifacts), None)

    @property
    def failed_step(self) -> Step | None:
        """The step that made the run fail: the last one, because nothing follows a failure."""
        is_failure = self.status is Status.ERROR and self.steps and self.steps[-1].status is Status.ERROR
        return self.steps[-1] if is_failure else None

    def ended(self, status: Status, message: str | None, at: float) -> Run:
        """Give the run as it is at its end: a step that is still open ends with it."""
        steps = tuple(
            step if step.status.is_terminal else replace(step, status=status, finished_at=at)
            for step in self.steps
        )
        return replace(
            self, status=status, status_message=message, finished_at=at, updated_at=at, steps=steps
        )

    def to_json(self) -> dict[str, Any]:
        """Everything, for the state folder."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Run:
        """Read what `to_json` wrote."""
        return cls(
            **{
                **value,
                "job": Job.from_json(value["job"]),
                "trigger": Trigger.from_json(value["trigger"]),
                "commands": tuple(value["commands"]),
                "status": Status(value["status"]),
                "steps": tuple(Step.from_json(step) for step in value["steps"]),
            }
        )


def _first(override: int | None, setting: int) -> int:
    return setting if override is None else override
