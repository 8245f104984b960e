"""
Artifacts, saved: a file that dbt wrote goes from dbt Cloud to where a task wants it.

The bytes are dbt Cloud's and pass through memory in pieces. They are written to a temporary name beside the
target, which is moved into place when the file is whole: whoever looks at the target sees the old file or the
new one, and whatever ends the download leaves nothing behind.

Object storage knows no such move; there it is a copy within the storage and a removal, for which a task needs
leave to list, read, write and delete.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self
from uuid import uuid4

from airflow_dbt_cloud.errors import DbtCloudConfigurationError, DbtCloudNotFound, DbtCloudUnreachable
from airflow_dbt_cloud.parameters import parse_artifact_path, parse_count, parse_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from airflow_dbt_cloud.client import Client

__all__ = ["TRIES", "Artifact", "check_owner", "save_artifact"]

log = logging.getLogger(__name__)

TRIES = 3
# dbt Cloud saves artifacts some seconds after the run has ended. Wide, because clocks differ.
JUST_ENDED = 120.0
PAUSES = (1.0, 2.0, 3.0, 4.0, 5.0, 5.0)
# The smallest part of a file that S3 takes.
BUFFER = 5 * 2**20


class Writer(Protocol):
    """An open file."""

    def writelines(self, lines: Iterable[bytes], /) -> Any: ...
    def tell(self) -> int: ...


class Target(Protocol):
    """Where to save an artifact: what a `pathlib.Path` and Airflow's `ObjectStoragePath` have in common."""

    @property
    def name(self) -> str: ...
    @property
    def parent(self) -> Self: ...
    def is_dir(self) -> bool: ...
    def with_name(self, name: str, /) -> Self: ...
    def mkdir(self, *, parents: bool, exist_ok: bool) -> None: ...
    def open(self, mode: str, *, buffering: int) -> AbstractContextManager[Writer]: ...
    def replace(self, target: Self, /) -> Any: ...
    def unlink(self, *, missing_ok: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class Artifact:
    """
    A file that dbt wrote in a run, or in the latest run of a job that left any.

    `step` is the index of the run's step that wrote it; None means the last one that did.
    """

    path: str
    run_id: int | None = None
    job_id: int | None = None
    step: int | None = None

    @classmethod
    def from_parameters(
        cls, path: str, *, run_id: object = None, job_id: object = None, step: object = None
    ) -> Self:
        """
        Read rendered parameters.

        :raises DbtCloudConfigurationError: one of them cannot be meant, or they contradict each other.
        """
        check_owner(run_id, job_id, step)
        return cls(
            parse_artifact_path("path", path),
            run_id=None if run_id is None else parse_id("run_id", run_id),
            job_id=None if job_id is None else parse_id("job_id", job_id),
            step=None if step is None else parse_count("step", step),
        )

    def __str__(self) -> str:
        """Say what it is, and whose."""
        if self.job_id is not None:
            return f"{self.path} of the latest run of dbt Cloud job {self.job_id}"
        step = "" if self.step is None else f"step {self.step} of "
        return f"{self.path} of {step}dbt Cloud run {self.run_id}"

    @property
    def file_name(self) -> str:
        """The name of a file to save it to: `7_run_results.json`."""
        return f"{self.run_id or self.job_id}_{self.path}".replace("/", "-")

    def stream(self, client: Client) -> AbstractContextManager[Iterator[bytes]]:
        """Yield its bytes in pieces, as `Client.stream_artifact` does."""
        if self.run_id is None:
            return client.stream_job_artifact(self.job_id or 0, self.path)
        return client.stream_artifact(self.run_id, self.path, step=self.step)


def check_owner(run_id: object, job_id: object, step: object) -> None:
    """
    Raise if it is not said whose artifact is meant.

    :raises DbtCloudConfigurationError: neither or both of a run and a job are given, or a step without a run.
    """
    if (run_id is None) == (job_id is None):
        msg = (
            "An artifact is that of a run or of the latest run of a job: give run_id or job_id, and not both."
        )
        raise DbtCloudConfigurationError(msg)
    if job_id is not None and step is not None:
        msg = f"dbt Cloud knows the steps of a run, not of a job: give step={step!r} together with run_id."
        raise DbtCloudConfigurationError(msg)


def save_artifact(
    client: Client,
    artifact: Artifact,
    target: Target,
    *,
    tries: int = TRIES,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> int:
    """
    Save an artifact to a file, and return how many bytes it has.

    The file's folder is created, and a file that is there is replaced. What is not there yet, because the run
    ended less than two minutes ago, is asked for six times more within 20 s.

    :param target: the file; a `pathlib.Path`, or an `ObjectStoragePath`.
    :param tries: how often to begin, at most, a download that breaks off.
    :param sleep: takes seconds.
    :param clock: the time, in seconds since the epoch.
    :raises DbtCloudConfigurationError: the target is a folder.
    :raises DbtCloudNotFound: there is no such artifact.
    :raises DbtCloudUnreachable: the download broke off each time.
    """
    if not target.name or target.is_dir():
        msg = f"An artifact is saved to a file, and {str(target)!r} is a folder."
        raise DbtCloudConfigurationError(msg)
    while True:
        tries -= 1
        with ExitStack() as opened:
            pieces = _open(client, artifact, opened, sleep, clock)
            try:
                return _write(pieces, target)
            except DbtCloudUnreachable as error:
                if tries <= 0:
                    raise
                log.warning("%s The download begins again.", error)


def _open(
    client: Client,
    artifact: Artifact,
    opened: ExitStack,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> Iterator[bytes]:
    """Open an artifact, if need be after some seconds."""
    pauses: Iterator[float] | None = None
    while True:
        try:
            return opened.enter_context(artifact.stream(client))
        except DbtCloudNotFound as error:
            if pauses is None:
                pauses = iter(PAUSES if _may_still_come(client, artifact, error, clock) else ())
            pause = next(pauses, None)
            if pause is None:
                raise
            sleep(pause)


def _may_still_come(
    client: Client, artifact: Artifact, error: DbtCloudNotFound, clock: Callable[[], float]
) -> bool:
    if artifact.run_id is None:
        # The latest run that has artifacts has them.
        return False
    run = client.get_run(artifact.run_id)
    if not run.is_terminal:
        words = f"{error.message} The run has not ended ({run.status_name}); its artifacts come when it has."
        raise DbtCloudNotFound(error.method, error.path, error.status, words) from error
    if run.finished_at is None or abs(clock() - run.finished_at.timestamp()) >= JUST_ENDED:
        return False
    log.info("Waiting for %s, because the run has just ended: %.0f s at most.", artifact, sum(PAUSES))
    return True


def _write(pieces: Iterator[bytes], target: Target) -> int:
    """Write a file so that it is either whole or not there."""
    temporary = target.with_name(f".dbt-{uuid4().hex}.part")
    try:
        with _create(temporary) as file:
            # Not `write`, of which Airflow would make lineage, with the temporary name.
            file.writelines(pieces)
            size = file.tell()
        temporary.replace(target)
    except BaseException:
        # Whatever it is, the end of the task's time included.
        _remove(temporary)
        raise
    return size


def _create(temporary: Target) -> AbstractContextManager[Writer]:
    try:
        return temporary.open("wb", buffering=BUFFER)
    except FileNotFoundError:
        # Only now: object storage needs no folders, and where the bucket is misspelt would make one.
        temporary.parent.mkdir(parents=True, exist_ok=True)
        return temporary.open("wb", buffering=BUFFER)


def _remove(temporary: Target) -> None:
    try:
        temporary.unlink(missing_ok=True)
    except OSError as error:
        # It must not hide why the file is to be removed.
        log.warning("The unfinished file %s stays behind: %s", temporary, error)
