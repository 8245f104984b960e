"""When a run can be retried, and what a retry does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_dbt_cloud.local.records import Run

from airflow_dbt_cloud.local.records import Status

_RETRYABLE = frozenset("build clone compile retry run run-operation seed snapshot test".split())
_OLDEST_VERSION = (1, 6)


@dataclass(frozen=True, slots=True)
class FailureDetails:
    """Where a run failed, and which commands it therefore did not get to."""

    failed_step: str | None
    skipped_steps: tuple[str, ...]


def failure_details(run: Run) -> FailureDetails:
    """What a retry would do."""
    step = run.failed_step
    if step is None or step.command is None:
        return FailureDetails(None, ())
    done = sum(1 for each in run.steps if each.command in run.commands and each.index < step.index)
    position = run.commands.index(step.command, done) if step.command in run.commands[done:] else -1
    return FailureDetails(step.command, run.commands[position + 1 :])


def why_not(run: Run, latest: Run | None) -> str | None:
    """The reason why a run cannot be retried, if there is one."""
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
    return bool(words) and (words[0] in _RETRYABLE or words[:2] == ["docs", "generate"])


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])
