"""
dbt Cloud's Administrative API, as verbs that take and return values.

Every endpoint that this package uses is here and nowhere else. Names and filters are dbt Cloud's own. A GET
and a cancel are repeated as `retries` says, for two minutes at most, or as long as `within` allows; a request
that starts a run is repeated only if it certainly started none.

Unless a verb says more, it raises `DbtCloudApiError` (by its meaning, such as `DbtCloudNotFound`) if dbt
Cloud refuses or its answer makes no sense, and `DbtCloudUnreachable` if there is none.

What is sent follows what the service was seen to accept: `include_related` is comma-joined, and every path
but an artifact's ends in a slash; for the rest see `filters`.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from airflow_dbt_cloud.errors import (
    DbtCloudAnswerTooLong,
    DbtCloudConfigurationError,
    DbtCloudError,
    DbtCloudServerError,
    DbtCloudUnreachable,
)
from airflow_dbt_cloud.filters import encode_filter
from airflow_dbt_cloud.models import (
    Account,
    Connection,
    Environment,
    Job,
    Project,
    Run,
    Step,
)
from airflow_dbt_cloud.parameters import parse_artifact_path
from airflow_dbt_cloud.retries import CALL_BOUND, START_BOUND, Retries
from airflow_dbt_cloud.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import Unpack

    from airflow_dbt_cloud.credentials import Credentials
    from airflow_dbt_cloud.filters import JobFilters, RunFilters
    from airflow_dbt_cloud.parameters import RunRequest

__all__ = ["Client"]

# More is refused (since 2023-12).
PAGE = 100
MAX_PAGES = 10_000
# What is read into memory of one artifact; a large project's run_results.json has some megabytes.
MAX_ARTIFACT_BYTES = 32 * 2**20

# What Airflow shows as a link; it keeps the URL of a run in its database.
HREF = re.compile(r"https?://[!-~]{1,1000}")

# Seconds for a run to stop, and between two looks at it.
END_BOUND = 60.0
END_PAUSE = 2.0

Named = TypeVar("Named", Project, Environment, Job)


class Client:
    """
    Talks to one dbt Cloud account. May be shared between threads.

    :param credentials: the account's access URL, its id and a token.
    :param retries: how patient to be.
    :param transport: sends the requests; made from the credentials by default.
    """

    def __init__(
        self, credentials: Credentials, *, retries: Retries | None = None, transport: Transport | None = None
    ) -> None:
        self._credentials = credentials
        self.base_url = credentials.base_url
        self.account_id = credentials.account_id
        self._retries = retries or Retries()
        self._transport = transport or Transport(credentials)

    def __repr__(self) -> str:
        return f"<Client of account {self.account_id} at {self.base_url}>"

    def once(self) -> Client:
        """Return a client that shares our sessions and sends each request once."""
        return Client(self._credentials, retries=Retries(limit=1), transport=self._transport)

    def within(self, left: Callable[[], float]) -> Client:
        """
        Return a client that shares our sessions and repeats requests while there is time.

        :param left: tells how many seconds a request has that is sent now, and the reading of an artifact.
        """
        retries = replace(self._retries, left=left)
        return Client(self._credentials, retries=retries, transport=self._transport)

    def hurried(self, seconds: float) -> Client:
        """
        Return a client of the same account for whoever has no time: it repeats nothing.

        :param seconds: how long to wait for the connection, and again for the answer.
        """
        return Client(replace(self._credentials, timeout_seconds=seconds), retries=Retries(limit=1))

    def get_account(self) -> Account:
        """Return the account itself."""
        return Account.from_json(self._get(""))

    def list_projects(self) -> Iterator[Project]:
        """Yield the account's active projects."""
        return (Project.from_json(item) for item in self._list("projects/", {}, version="v3"))

    def list_environments(self, project_id: int) -> Iterator[Environment]:
        """Yield the active environments of a project."""
        items = self._list(f"projects/{project_id}/environments/", {}, version="v3")
        return (Environment.from_json(item) for item in items)

    def get_environment(self, project_id: int, environment_id: int) -> Environment:
        """Return an environment."""
        path = f"projects/{project_id}/environments/{environment_id}/"
        return Environment.from_json(self._get(path, version="v3"))

    def get_connection(self, connection_id: int) -> Connection:
        """Return a connection to a warehouse; environments name theirs."""
        return Connection.from_json(self._get(f"connections/{connection_id}/", version="v3"))

    def list_jobs(self, *, limit: int | None = None, **filters: Unpack[JobFilters]) -> Iterator[Job]:
        """
        Yield the active jobs that match, page by page as they are asked for: an error may come late.

        :param limit: how many at most; by default all.
        """
        return (Job.from_json(item) for item in self._list("jobs/", filters, limit=limit))

    def get_job(self, job_id: int) -> Job:
        """Return a job."""
        return Job.from_json(self._get(f"jobs/{job_id}/"))

    def find_job(self, project_name: str, environment_name: str, job_name: str) -> Job:
        """
        Return the one job of these names.

        :raises DbtCloudConfigurationError: there is none or more than one; lists what there is.
        """
        project = _only("project", project_name, self.list_projects(), within="the account")
        environment = _only(
            "environment",
            environment_name,
            self.list_environments(project.id),
            within=f"the project {project_name!r}",
        )
        jobs = self.list_jobs(project_id=project.id, environment_id=environment.id)
        return _only(
            "job", job_name, jobs, within=f"the environment {environment_name!r} of {project_name!r}"
        )

    def start_run(self, job_id: int, request: RunRequest) -> Run:
        """
        Start a run of a job, and return it as dbt Cloud queued it.

        Sent again only if it certainly started none (see `retries`), for 15 minutes at most, or as long as
        `within` allows.

        :raises DbtCloudUnreachable: with `may_have_arrived`, the run may have been started all the same.
        :raises DbtCloudServerError: likewise.
        :raises DbtCloudApiError: any other: refused, no run was started.
        """
        return self._start(f"jobs/{job_id}/run/", request.to_json())

    def retry_run(self, run_id: int) -> Run:
        """
        Start a run that does again what failed in a run and what was skipped after that, and return it.

        `Run.can_retry` says whether dbt Cloud would. Errors as in `start_run`.
        """
        return self._start(f"runs/{run_id}/retry/", None)

    def get_run(self, run_id: int, *, include_related: Iterable[str] = ()) -> Run:
        """
        Return a run.

        :param include_related: of trigger, job, environment, repository, run_steps, run_retries, audit,
            debug_logs.
        """
        run = self._run(self._get(f"runs/{run_id}/", _including(include_related)))
        if run.id != run_id:
            raise DbtCloudServerError("GET", f"runs/{run_id}/", 200, f"the answer is about run {run.id}.")
        return run

    def list_runs(
        self,
        *,
        limit: int | None = None,
        include_related: Iterable[str] = (),
        **filters: Unpack[RunFilters],
    ) -> Iterator[Run]:
        """
        Yield the runs that match, page by page as they are asked for: an error may come late.

        :param limit: how many at most; by default all.
        :param include_related: of trigger, job, audit, debug_logs.
        """
        items = self._list("runs/", {**filters, **_including(include_related)}, limit=limit)
        return (self._run(item) for item in items)

    def cancel_run(self, run_id: int) -> Run:
        """Ask dbt Cloud to cancel a run, and return it; one that is running may take some seconds to stop."""
        url = self._path(f"runs/{run_id}/cancel/")
        return self._run(_data(self._request("POST", url, is_safe=True), "POST", url))

    def end_run(
        self,
        run_id: int,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> Run:
        """
        Cancel a run, and wait until it has stopped, for a minute at most; return it as it was seen last.

        Only the cancel itself raises: whether the run has stopped is not worth an error.

        :param sleep: takes seconds.
        :param clock: seconds that only grow; no question is begun after the minute.
        """
        run = self.cancel_run(run_id)
        deadline = clock() + END_BOUND
        client = self.within(lambda: max(0.0, deadline - clock()))
        while not run.is_terminal and clock() + END_PAUSE <= deadline:
            sleep(END_PAUSE)
            try:
                run = client.get_run(run_id)
            except DbtCloudError:
                break
        return run

    def get_step(self, step_id: int) -> Step:
        """Return a step of a run, with its log as far as there is one."""
        return Step.from_json(self._get(f"steps/{step_id}/"))

    def list_artifacts(self, run_id: int) -> list[str]:
        """Return the paths of a run's artifacts; none if there are none (yet)."""
        url = self._path(f"runs/{run_id}/artifacts/")
        envelope = self._request("GET", url)
        # dbt Cloud answers null for a run without any.
        paths = [] if envelope["data"] is None else _items(envelope, "GET", url)
        return [path for path in paths if isinstance(path, str)]

    def stream_artifact(
        self, run_id: int, path: str, *, step: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """
        Yield the bytes of an artifact in pieces, in constant memory.

        :param path: as `list_artifacts` says it, `run_results.json`.
        :param step: the index of the run's step that wrote it, from 1; None or 0 is the last one that did.
        :raises DbtCloudNotFound: there is none, or not yet: dbt Cloud saves artifacts some seconds after the
            run has ended.
        :raises DbtCloudUnreachable: also in the midst of the bytes: what came before is not whole.
        """
        return self._stream(f"runs/{run_id}/artifacts/", path, {"step": str(step)} if step else {})

    def stream_job_artifact(self, job_id: int, path: str) -> AbstractContextManager[Iterator[bytes]]:
        """Yield the bytes of an artifact of the job's latest run that has any, as `stream_artifact` does."""
        return self._stream(f"jobs/{job_id}/artifacts/", path, {})

    def read_artifact(
        self,
        run_id: int,
        path: str,
        *,
        step: int | None = None,
        limit: int = MAX_ARTIFACT_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> Any:
        """
        Return what an artifact says that is JSON.

        Parameters and errors are those of `stream_artifact`, and:

        :param limit: how many bytes to read at most.
        :param clock: seconds that only grow. All tries together have two minutes, or what is left of the time
            that `within` was told if that is less; only the last read of the socket may outlast them.
        :raises DbtCloudUnreachable: also if it is not whole then.
        :raises DbtCloudAnswerTooLong: it has more bytes.
        :raises DbtCloudServerError: it is not JSON.
        """
        url, once = self._path(f"runs/{run_id}/artifacts/{quote(path)}"), self.once()
        seconds = CALL_BOUND if self._retries.left is None else min(CALL_BOUND, self._retries.left())
        if seconds <= 0:
            reason = "there is no time left to read the artifact"
            raise DbtCloudUnreachable("GET", url, reason, may_have_arrived=False)
        deadline = clock() + seconds

        def read() -> bytes:
            with once.stream_artifact(run_id, path, step=step) as pieces:
                whole = _whole(pieces, url, limit, lambda: clock() > deadline, seconds)
                return self._credentials.blank(whole)

        content = replace(self._retries, left=None).call(read, is_safe=True, bound=seconds)
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            # Not the cause of ours, because it holds the whole text.
            raise DbtCloudServerError("GET", url, 200, "the artifact is not JSON.") from None

    @contextmanager
    def _stream(self, folder: str, path: str, params: Mapping[str, str]) -> Iterator[Iterator[bytes]]:
        url = self._path(folder + quote(parse_artifact_path("path", path)))
        with ExitStack() as opened:
            yield self._retries.call(
                lambda: opened.enter_context(self._transport.stream(url, params=params)),
                is_safe=True,
                bound=CALL_BOUND,
            )

    def _start(self, path: str, body: Mapping[str, Any] | None) -> Run:
        url = self._path(path)
        envelope = self._request("POST", url, body=body, is_safe=False, bound=START_BOUND)
        run = self._run(_data(envelope, "POST", url))
        if run.id <= 0:
            raise DbtCloudServerError("POST", url, 200, "the answer to the start has no run id.")
        return run

    def _run(self, item: Mapping[str, Any]) -> Run:
        run = Run.from_json(item)
        if HREF.fullmatch(run.href):
            return run
        href = f"{self.base_url}/deploy/{self.account_id}/projects/{run.project_id}/runs/{run.id}/"
        return replace(run, href=href)

    def _get(
        self, path: str, params: Mapping[str, Any] | None = None, *, version: str = "v2"
    ) -> dict[str, Any]:
        url = self._path(path, version)
        return _data(self._request("GET", url, params=params), "GET", url)

    def _list(
        self, path: str, filters: Mapping[str, Any], *, version: str = "v2", limit: int | None = None
    ) -> Iterator[dict[str, Any]]:
        size = PAGE if limit is None else min(limit, PAGE)
        return islice(self._pages(self._path(path, version), filters, size), limit)

    def _pages(self, url: str, filters: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
        first_of_last_page: object = self
        for number in range(MAX_PAGES):
            params = {**filters, "limit": size, "offset": number * size}
            page = _items(self._request("GET", url, params=params), "GET", url)
            # By its id, because a run that goes on looks different each time.
            first = page[0].get("id") if page and isinstance(page[0], dict) else None
            if page and first == first_of_last_page:
                raise DbtCloudServerError("GET", url, 200, "the same page came twice.")
            yield from (item for item in page if isinstance(item, dict))
            if len(page) < size:
                return
            first_of_last_page = first
        raise DbtCloudServerError("GET", url, 200, f"the list has more than {MAX_PAGES} pages.")

    def _request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        is_safe: bool = True,
        bound: float = CALL_BOUND,
    ) -> dict[str, Any]:
        query = {name: encode_filter(value) for name, value in (params or {}).items()}
        return self._retries.call(
            lambda: self._transport.request(method, url, params=query, body=body),
            is_safe=is_safe,
            bound=bound,
        )

    def _path(self, path: str, version: str = "v2") -> str:
        return f"/api/{version}/accounts/{self.account_id}/{path}"


def _data(envelope: Mapping[str, Any], method: str, path: str) -> dict[str, Any]:
    item = envelope["data"]
    if not isinstance(item, dict):
        raise DbtCloudServerError(method, path, 200, "the answer holds no object.")
    return item


def _whole(
    pieces: Iterator[bytes], path: str, limit: int, is_over: Callable[[], bool], seconds: float
) -> bytearray:
    content = bytearray()
    for piece in pieces:
        content += piece
        if len(content) > limit:
            reason = f"the artifact is longer than {limit} bytes"
            raise DbtCloudAnswerTooLong("GET", path, reason, may_have_arrived=True)
        if is_over():
            reason = f"the artifact was not whole after {seconds:.0f} s"
            raise DbtCloudUnreachable("GET", path, reason, may_have_arrived=True)
    return content


def _items(envelope: Mapping[str, Any], method: str, path: str) -> list[Any]:
    items = envelope["data"]
    if not isinstance(items, list):
        raise DbtCloudServerError(method, path, 200, "the answer is no list.")
    return items


def _only(kind: str, name: str, found: Iterable[Named], *, within: str) -> Named:
    candidates = list(found)
    matches = [candidate for candidate in candidates if candidate.name == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        ids = ", ".join(str(match.id) for match in matches)
        msg = f"{len(matches)} {kind}s in {within} are called {name!r}: {ids}. Say which by its id (job_id)."
        raise DbtCloudConfigurationError(msg)
    names = ", ".join(sorted(repr(candidate.name) for candidate in candidates)) or "none"
    msg = f"No {kind} in {within} is called {name!r}. There are: {names}."
    raise DbtCloudConfigurationError(msg)


def _including(related: Iterable[str]) -> dict[str, str]:
    # One name is an iterable of letters.
    joined = related if isinstance(related, str) else ",".join(related)
    return {"include_related": joined} if joined else {}
