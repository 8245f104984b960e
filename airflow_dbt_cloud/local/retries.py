"""When a run can be retried, and what a retry does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_dbt_cloud.local.records import Status

if TYPE_CHECKING:
    from airflow_dbt_cloud.local.records import Run

_RETRYABLE = re.compile(
    r"(build|clone|compile|docs generate|retry|run|run-operation|seed|snapshot|test)( |$)"
)
_OLDEST_VERSION = (1, 6)


@dataclass(frozen=True, slots=True)
class FailureDetails:
    """Where a run failed, and which commands it therefore did not get to."""

    failed_step: str | None
    skipped_steps: tuple[str, ...]


def failure_details(run: Run) -> FailureDetails:
    """Say what a retry would do."""
    step = run.failed_step
    if step is None or step.command is None:
        return FailureDetails(None, ())
    # Before the commands come clone, profile, deps and, if the job asks for it, source freshness.
    steps_before = 4 if run.job.run_generate_sources else 3
    return FailureDetails(step.command, run.commands[max(0, step.index - steps_before) :])


def why_not(run: Run, latest: Run | None) -> str | None:
    """Give the reason why a run cannot be retried, if there is one."""
    if run.status is not Status.ERROR:
        return "RETRY_NOT_FAILED_RUN"
    if latest is None or latest.id != run.id:
        return "RETRY_NOT_LATEST_RUN"
    if _version(run.core_version) < _OLDEST_VERSION:
        return "RETRY_UNSUPPORTED_VERSION"
    step = run.failed_step
    if step is None or step.command is None:
        return "RETRY_NO_RUN_RESULTS"
    if not _supports_retry(step.command):
        return "RETRY_UNSUPPORTED_CMD"
    return None if step.has_run_results else "RETRY_NO_RUN_RESULTS"


def _supports_retry(command: str) -> bool:
    words = [word for word in command.split()[1:] if not word.startswith("-")]
    return _RETRYABLE.match(" ".join(words)) is not None


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])
