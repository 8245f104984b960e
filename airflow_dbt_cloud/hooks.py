"""
The hook: from an Airflow connection to dbt Cloud, and the verbs that a task needs.

Every verb takes ids as numbers or strings of digits, as templates give them, and returns values
(`airflow_dbt_cloud.models`), never HTTP responses.

Unless a verb says more, it raises `DbtCloudConfigurationError` for an id or a filter that is none and for a
connection that cannot be used, `AirflowNotFoundException` if there is no connection, `DbtCloudApiError` (by
its meaning, such as `DbtCloudNotFound`) if dbt Cloud refuses, and `DbtCloudUnreachable` if it does not
answer within two minutes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError
from airflow.sdk.log import mask_secret

from airflow_dbt_cloud.errors import (
    DbtCloudAnswerTooLong,
    DbtCloudApiError,
    DbtCloudConfigurationError,
    DbtCloudNotFound,
    DbtCloudUnauthorized,
    DbtCloudUnreachable,
)
from airflow_dbt_cloud.filters import read_filters
from airflow_dbt_cloud.models import DbtCloudJobRunStatus, Run
from airflow_dbt_cloud.parameters import RunRequest, parse_count, parse_id, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Unpack

    from airflow_dbt_cloud.artifacts import Artifact, Target
    from airflow_dbt_cloud.client import Client
    from airflow_dbt_cloud.console import Console
    from airflow_dbt_cloud.credentials import Credentials
    from airflow_dbt_cloud.filters import JobFilters, RunFilters
    from airflow_dbt_cloud.models import Account, Environment, Job, Project
    from airflow_dbt_cloud.waiting import Watch

__all__ = [
    "DEFAULT_CHECK_INTERVAL",
    "DEFAULT_WAIT_TIMEOUT",
    "DbtCloudHook",
    "DbtCloudJobRunStatus",
    "make_hook",
]

DEFAULT_CHECK_INTERVAL = 60
DEFAULT_WAIT_TIMEOUT = 7 * 24 * 60 * 60
# A person waits before the form: the test does not repeat, and gives up early.
TEST_TIMEOUT = 10.0
# In bytes; nobody has seen a manifest so long.
MOST_IN_MEMORY = 2**29


class DbtCloudHook(BaseHook):
    """
    Talks to the dbt Cloud account of an Airflow connection.

    :param dbt_cloud_conn_id: the id of a connection of type `dbt_cloud`: host = access URL, login = account
        id, password = token.
    :param account_id: beats the connection's login.
    :param timeout_seconds: seconds to wait for each piece of an answer, 60 at most but for an artifact's;
        beats the connection's, which is 30 by default.
    :param retry_limit: how often one request is sent at most; by default its retries are bounded by time
        alone: two minutes, or 15 where a run is started.
    :param retry_delay: seconds before the second try (default 1), doubled for each further one, up to 30; a
        random part of it is waited.
    :raises DbtCloudConfigurationError: a number is none, or not above 0.
    """

    conn_name_attr = "dbt_cloud_conn_id"
    default_conn_name = "dbt_cloud_default"
    conn_type = "dbt_cloud"
    hook_name = "dbt Cloud"

    def __init__(
        self,
        dbt_cloud_conn_id: str = default_conn_name,
        *,
        account_id: int | str | None = None,
        timeout_seconds: float | None = None,
        retry_limit: int | None = None,
        retry_delay: float | None = None,
    ) -> None:
        super().__init__()
        self.dbt_cloud_conn_id = dbt_cloud_conn_id
        self.account_id = account_id
        self.timeout_seconds = _optional(parse_seconds, "timeout_seconds", timeout_seconds)
        self.retry_limit = _optional(parse_count, "retry_limit", retry_limit)
        self.retry_delay = _optional(parse_seconds, "retry_delay", retry_delay)
        # How to wait between two tries; whoever can be interrupted puts its own way here.
        self.sleep: Callable[[float], None] = time.sleep
        self._client: Client | None = None

    def get_conn(self) -> Client:
        """
        Return the client of the connection's account; the connection is read at the first call.

        :raises AirflowNotFoundException: there is no such connection.
        :raises DbtCloudConfigurationError: the connection cannot be used; the message says why.
        """
        if self._client is None:
            self._client = self._make_client()
        return self._client

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the connection works, and a sentence on what is wrong or whose account it is."""
        try:
            credentials = self._credentials(timeout_seconds=TEST_TIMEOUT)
        except DbtCloudConfigurationError as error:
            return False, str(error)
        client = self._make_client(credentials, retry_limit=1)
        try:
            account = client.get_account()
        except (DbtCloudApiError, DbtCloudUnreachable) as error:
            return False, _diagnosis(error, credentials)
        plan = f", plan {account.plan}" if account.plan else ""
        return True, f"Connected to account {account.name!r} ({account.id}{plan}) at {client.base_url}."

    def get_account(self) -> Account:
        """Return the account of the connection."""
        return self.get_conn().get_account()

    def list_projects(self) -> list[Project]:
        """Return the account's active projects."""
        return list(self.get_conn().list_projects())

    def list_environments(self, project_id: int | str) -> list[Environment]:
        """Return the active environments of a project."""
        return list(self.get_conn().list_environments(parse_id("project_id", project_id)))

    def list_jobs(self, *, limit: int | str | None = None, **filters: Unpack[JobFilters]) -> list[Job]:
        """
        Return the active jobs that match dbt Cloud's filters, such as `project_id`.

        :param limit: how many at most; more are not asked for.
        """
        most = _optional(parse_count, "limit", limit)
        return list(self.get_conn().list_jobs(limit=most, **read_filters(filters, "jobs")))

    def get_job(self, job_id: int | str) -> Job:
        """Return a job."""
        return self.get_conn().get_job(parse_id("job_id", job_id))

    def get_job_by_name(self, project_name: str, environment_name: str, job_name: str) -> Job:
        """
        Return the one job of these names.

        :raises DbtCloudConfigurationError: there is none or more than one; lists what there is.
        """
        return self.get_conn().find_job(project_name, environment_name, job_name)

    def trigger_job_run(
        self, job_id: int | str, cause: str = "Triggered via Apache Airflow.", **overrides: Any
    ) -> Run:
        """
        Start a run of a job, and return it as dbt Cloud queued it; does not wait.

        A call from a task that is tried again starts a second run: `DbtCloudRunJobOperator` is the safe way.

        :param cause: why; ASCII, at most 255 characters of it are kept.
        :param overrides: fields of the start request, `steps_override=["dbt build"]`, `git_branch="main"`.
        :raises DbtCloudConfigurationError: an override is unknown or has a value of the wrong kind.
        :raises DbtCloudError: the run was not started, or nobody knows whether it was.
        """
        request = RunRequest.from_parameters(cause, overrides)
        return self.get_conn().start_run(parse_id("job_id", job_id), request)

    def retry_job_run(self, run_id: int | str) -> Run:
        """
        Start a run that does again what failed in this run and what was skipped after that.

        Only if `Run.can_retry`.

        :raises DbtCloudInvalidRequest: dbt Cloud cannot do it.
        :raises DbtCloudError: the run was not started, or nobody knows whether it was.
        """
        return self.get_conn().retry_run(parse_id("run_id", run_id))

    def list_job_runs(
        self,
        *,
        limit: int | str | None = None,
        include_related: Iterable[str] = (),
        **filters: Unpack[RunFilters],
    ) -> list[Run]:
        """
        Return the runs that match dbt Cloud's filters, oldest first unless `order_by="-id"`.

        :param limit: how many at most; more are not asked for.
        :param include_related: what else is told of a run, of trigger, job, audit and debug_logs; without
            `trigger` there is no cause.
        """
        runs = self.get_conn().list_runs(
            limit=_optional(parse_count, "limit", limit),
            include_related=include_related,
            **read_filters(filters, "runs"),
        )
        return list(runs)

    def get_job_run(self, run_id: int | str, *, include_related: Iterable[str] = ("trigger",)) -> Run:
        """Return a run, with what is asked for: `trigger` (the cause), `run_steps`, `audit`."""
        return self.get_conn().get_run(parse_id("run_id", run_id), include_related=include_related)

    def get_job_run_status(self, run_id: int | str) -> int:
        """Return the number of a run's status; see `DbtCloudJobRunStatus`."""
        return self.get_job_run(run_id).status

    def wait_for_job_run(
        self,
        run_id: int | str,
        *,
        check_interval: float = DEFAULT_CHECK_INTERVAL,
        timeout: float = DEFAULT_WAIT_TIMEOUT,
    ) -> Run:
        """
        Wait until a run has ended well, and return it.

        :param check_interval: seconds between two questions (default 60, whatever [dbt_cloud] says).
        :param timeout: seconds after which to stop waiting (default 7 days); the run goes on.
        :raises DbtCloudRunFailed: the run failed.
        :raises DbtCloudRunCancelled: the run was cancelled.
        :raises DbtCloudWaitTimeout: it had not ended in time.
        :raises DbtCloudLostTrack: for twelve hours nobody could tell, whatever [dbt_cloud] says.
        :raises DbtCloudConfigurationError: the connection has come to lead elsewhere; the run goes on.
        """
        from airflow_dbt_cloud.waiting import Watch

        interval = parse_seconds("check_interval", check_interval)
        end_time = time.time() + parse_seconds("timeout", timeout)
        watch = Watch(Run(parse_id("run_id", run_id)), end_time=end_time, log=self.log)
        run = self.follow(watch, check_interval=interval, pause=self.sleep)
        run.raise_for_status()
        return run

    def follow(
        self,
        watch: Watch,
        *,
        check_interval: float,
        pause: Callable[[float], None],
        console: Console | None = None,
    ) -> Run:
        """
        Ask for a watched run until it has ended, and return it, however it ended.

        :param check_interval: seconds between two questions.
        :param pause: sleeps for some seconds.
        :param console: shows what the run's steps write.
        """
        from airflow_dbt_cloud.waiting import wait_for_end

        ask = self.asking(watch.run.id, console)
        return wait_for_end(watch, ask, interval=check_interval, pause=pause)

    def asking(self, run_id: int, console: Console | None = None) -> Callable[[], Run]:
        """
        Return a call that asks for a run once; after a refused token it reads the connection anew.

        :param console: shows what the run's steps write.
        """
        once = self.get_conn().once()

        def get_run(related: Iterable[str] = ("audit",)) -> Run:
            return once.get_run(run_id, include_related=related)

        def ask() -> Run:
            nonlocal once
            try:
                return console.look(get_run) if console else get_run()
            except DbtCloudUnauthorized:
                # The token may have been rotated; what cancels the run later needs the new one, too.
                self._client = self._reread(self.get_conn())
                once = self._client.once()
                raise

        return ask

    def cancel_job_run(self, run_id: int | str) -> Run:
        """Ask dbt Cloud to cancel a run, and return it; it may take some seconds to stop."""
        return self.get_conn().cancel_run(parse_id("run_id", run_id))

    def list_job_run_artifacts(self, run_id: int | str) -> list[str]:
        """Return the paths of a run's artifacts, such as `run_results.json`."""
        return self.get_conn().list_artifacts(parse_id("run_id", run_id))

    def get_job_run_artifact(
        self, run_id: int | str, path: str, *, step: int | None = None, limit: int = MOST_IN_MEMORY
    ) -> bytes:
        """
        Return an artifact's bytes, all in memory; `save_artifact` is for large ones.

        :param path: as `list_job_run_artifacts` says it.
        :param step: the index of the step that wrote it, from 1; default the last one that did.
        :param limit: how many bytes to read at most, 512 MiB by default.
        :raises DbtCloudConfigurationError: the path or the run's id is none.
        :raises DbtCloudNotFound: there is none, or not yet.
        :raises DbtCloudAnswerTooLong: it has more bytes.
        """
        client, content = self.get_conn(), bytearray()
        with client.stream_artifact(parse_id("run_id", run_id), path, step=step) as pieces:
            for piece in pieces:
                content += piece
                if len(content) > limit:
                    reason = f"the artifact is longer than {limit} bytes; save it to a file"
                    raise DbtCloudAnswerTooLong("GET", path, reason, may_have_arrived=True)
        return bytes(content)

    def save_artifact(self, artifact: Artifact, target: Target) -> int:
        """
        Save an artifact to a file as it is, in constant memory, and return how many bytes it has.

        That of a run which has ended less than two minutes ago is waited for, 20 s at most.

        :param artifact: `Artifact("manifest.json", run_id=7)`, of `airflow_dbt_cloud.artifacts`.
        :param target: the file; a `pathlib.Path`, or an `ObjectStoragePath`. Its folder is made, and an older
            file replaced.
        :raises DbtCloudConfigurationError: the target is a folder, or the artifact's path is none.
        :raises DbtCloudNotFound: there is none.
        :raises DbtCloudUnreachable: the download broke off each time: `retry_limit`, or three.
        """
        from airflow_dbt_cloud.artifacts import TRIES, save_artifact

        tries = self.retry_limit or TRIES
        return save_artifact(self.get_conn(), artifact, target, tries=tries, sleep=self.sleep)

    def _reread(self, old: Client) -> Client:
        try:
            credentials = self._credentials()
        except (AirflowException, AirflowRuntimeError, DbtCloudConfigurationError) as error:
            reason = f"the connection {self.dbt_cloud_conn_id!r} cannot be read: {error}"
            raise DbtCloudUnreachable("GET", "the run", reason, may_have_arrived=False) from error
        credentials.check_place(old.base_url, old.account_id)
        return self._make_client(credentials)

    def _make_client(
        self, credentials: Credentials | None = None, *, retry_limit: int | None = None
    ) -> Client:
        # Late, because every DAG that uses an operator imports this module, and few talk to dbt Cloud.
        from airflow_dbt_cloud.client import Client
        from airflow_dbt_cloud.retries import Retries

        limit = retry_limit or self.retry_limit
        retries = Retries(limit=limit, delay=self.retry_delay or 1.0, sleep=self.sleep)
        return Client(credentials or self._credentials(), retries=retries)

    def _credentials(self, *, timeout_seconds: float | None = None) -> Credentials:
        from dataclasses import replace

        from airflow_dbt_cloud.credentials import Credentials

        connection = self.get_connection(self.dbt_cloud_conn_id)
        credentials = Credentials.from_connection(connection, account_id=self.account_id)
        # Airflow masks the password as it stands; what is sent is stripped, and proxies hold passwords, too.
        for secret in credentials.secrets:
            mask_secret(secret)
        seconds = timeout_seconds or self.timeout_seconds
        return replace(credentials, timeout_seconds=seconds) if seconds else credentials


def make_hook(conn_id: str, account_id: int | str | None, hook_params: dict[str, Any]) -> DbtCloudHook:
    """
    Return the hook of a task that has `hook_params`.

    :raises DbtCloudConfigurationError: they hold something that the hook does not know, or no numbers.
    """
    try:
        return DbtCloudHook(conn_id, account_id=account_id, **hook_params)
    except TypeError as error:
        msg = f"hook_params takes timeout_seconds, retry_limit and retry_delay; got {hook_params!r}."
        raise DbtCloudConfigurationError(msg) from error


def _optional(parse: Callable[[str, object], Any], name: str, value: object) -> Any:
    return None if value is None else parse(name, value)


def _diagnosis(error: DbtCloudApiError | DbtCloudUnreachable, credentials: Credentials) -> str:
    place, account = credentials.base_url, credentials.account_id
    if isinstance(error, DbtCloudUnreachable):
        return f"{place} cannot be reached: {error.reason}. Is the host right? Does it need a proxy?"
    if not error.is_from_dbt_cloud and error.status < 500:
        return f"{place} answers, but it is not dbt Cloud: {error.message} Check the host."
    if error.status == 401 and "Invalid token" in error.message:
        return (
            f"{place} refuses the token: {error.message} The usual cause is a host of another region: use "
            "the access URL from the account's settings in dbt Cloud. Else the token is wrong or expired."
        )
    if error.status == 403 and "not scoped" in error.message:
        return f"The token is valid, but not for account {account} (the login): {error.message}"
    if isinstance(error, DbtCloudNotFound):
        return f"Account {account} (the login) does not exist, or the token may not read it."
    return str(error)
