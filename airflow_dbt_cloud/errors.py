"""
What can go wrong, by meaning.

::

    DbtCloudError
    ├── DbtCloudConfigurationError     a parameter or the connection is wrong, and asking again is useless
    ├── DbtCloudApiError               an answer that we dislike
    │   ├── DbtCloudInvalidRequest     4xx: the request is refused, and would be again
    │   ├── DbtCloudUnauthorized       401, 403: the token is refused
    │   ├── DbtCloudNotFound           404: not there, or not visible to this token
    │   ├── DbtCloudRedirected         3xx: the host is not the account's access URL
    │   ├── DbtCloudRateLimited        429
    │   └── DbtCloudServerError        408, 5xx, and a 2xx that is not dbt Cloud's JSON
    ├── DbtCloudUnreachable            no answer
    │   └── DbtCloudAnswerTooLong      more of an answer than anybody reads
    ├── DbtCloudStartUnconfirmed       nobody knows whether a run was started
    ├── DbtCloudSuperseded             a later try of the task is at work; this one starts no more
    ├── DbtCloudJobBusy                another run of the job goes, and the task wants none: none was started
    └── DbtCloudJobRunException        the run did not end well, or we cannot say how it ended
        ├── DbtCloudRunFailed          dbt Cloud says Error
        │   ├── DbtCloudTestsFailed        only tests failed: the data are not as they should be
        │   └── DbtCloudCompilationFailed  dbt cannot parse or compile the project
        ├── DbtCloudRunCancelled       dbt Cloud says Cancelled, by a person or by its own timeout
        ├── DbtCloudWaitTimeout        we stopped waiting; the run goes on
        ├── DbtCloudWaitInterrupted    the process that waits has to end
        └── DbtCloudLostTrack          nobody could tell us for too long; the run may go on

"No answer" and "an answer that we dislike" are two branches. After the first, unless `may_have_arrived` is
False, and after a DbtCloudServerError the request may have taken effect all the same; after every other
answer it has not. Every error can be pickled, and none holds the token.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_dbt_cloud.models import Run

__all__ = [
    "DbtCloudAnswerTooLong",
    "DbtCloudApiError",
    "DbtCloudCompilationFailed",
    "DbtCloudConfigurationError",
    "DbtCloudError",
    "DbtCloudInvalidRequest",
    "DbtCloudJobBusy",
    "DbtCloudJobRunException",
    "DbtCloudLostTrack",
    "DbtCloudNotFound",
    "DbtCloudRateLimited",
    "DbtCloudRedirected",
    "DbtCloudRunCancelled",
    "DbtCloudRunFailed",
    "DbtCloudServerError",
    "DbtCloudStartUnconfirmed",
    "DbtCloudSuperseded",
    "DbtCloudTestsFailed",
    "DbtCloudUnauthorized",
    "DbtCloudUnreachable",
    "DbtCloudWaitInterrupted",
    "DbtCloudWaitTimeout",
]


# How our words begin for an answer that dbt Cloud did not write.
NOT_DBT_CLOUD = "the body is not dbt Cloud's JSON"


class DbtCloudError(Exception):
    """Every error of this package."""


class DbtCloudConfigurationError(DbtCloudError, ValueError):
    """A parameter or the connection is wrong. The message says what was given and what is expected."""


class DbtCloudApiError(DbtCloudError):
    """
    An answer that we dislike.

    :param method: the HTTP method of the request.
    :param path: its path, without the query.
    :param status: the HTTP status of the answer.
    :param message: dbt Cloud's own words (`status.user_message` and `data`), or ours when it had none.
    """

    hint = ""

    def __init__(self, method: str, path: str, status: int, message: str) -> None:
        super().__init__(method, path, status, message)
        self.method = method
        self.path = path
        self.status = status
        self.message = message

    def __str__(self) -> str:
        """Name the answer, the request, dbt Cloud's words and what to do."""
        answer = (
            f"dbt Cloud answered {_named(self.status)} to {self.method} {self.path}: {_ended(self.message)}"
        )
        return f"{answer} {self.hint}".rstrip()

    @property
    def is_from_dbt_cloud(self) -> bool:
        """Whether dbt Cloud wrote the answer, and not something before or instead of it."""
        return not self.message.startswith(NOT_DBT_CLOUD)


class DbtCloudInvalidRequest(DbtCloudApiError):
    """The request is refused, and would be refused again."""


class DbtCloudUnauthorized(DbtCloudApiError):
    """The token is refused: it is no valid one (401), or it may not do this in this account (403)."""

    @property
    def hint(self) -> str:  # type: ignore[override]
        """What to do about it."""
        if self.status == 403:
            return "Is the connection's login the account of the token, and may the token do this?"
        return (
            "Is the token valid, and is the connection's host the access URL of the account (Account "
            "settings in dbt Cloud)? A token that is sent to another region's host is refused too."
        )


class DbtCloudNotFound(DbtCloudApiError):
    """The thing does not exist, or the token may not see it."""

    hint = "Check the id or the path, the account id, and the permissions of the token."


class DbtCloudRedirected(DbtCloudApiError):
    """
    The host sends us elsewhere.

    It is not followed: a redirected POST would become a GET, and the token would go to another host.
    """

    hint = "Set the account's access URL (Account settings in dbt Cloud) as the connection's host."


class _Passing(DbtCloudApiError):
    """
    An answer that may be another one in a while.

    :param retry_after: seconds to wait as the answer asks; None if it does not say.
    """

    def __init__(
        self, method: str, path: str, status: int, message: str, retry_after: float | None = None
    ) -> None:
        super().__init__(method, path, status, message)
        self.args = (*self.args, retry_after)
        self.retry_after = retry_after


class DbtCloudRateLimited(_Passing):
    """dbt Cloud wants fewer requests: 5,000 a minute for an account, then a cooldown of five minutes."""


class DbtCloudServerError(_Passing):
    """dbt Cloud, or what stands before it, fails or answers with something that is not dbt Cloud's."""


class DbtCloudUnreachable(DbtCloudError):
    """
    No answer, or none that is whole.

    :param method: the HTTP method of the request.
    :param path: its path, without the query.
    :param reason: what happened on the wire.
    :param may_have_arrived: False if dbt Cloud certainly did not receive the request.
    """

    def __init__(self, method: str, path: str, reason: str, may_have_arrived: bool) -> None:
        super().__init__(method, path, reason, may_have_arrived)
        self.method = method
        self.path = path
        self.reason = reason
        self.may_have_arrived = may_have_arrived

    def __str__(self) -> str:
        """Say whether dbt Cloud may have acted on the request."""
        arrival = " (it may have arrived)" if self.may_have_arrived else " (it did not arrive)"
        if self.method == "GET":
            # Whether a question arrived matters to nobody.
            arrival = ""
        return f"dbt Cloud did not answer {self.method} {self.path}{arrival}: {_ended(self.reason)}"


class DbtCloudAnswerTooLong(DbtCloudUnreachable):
    """The answer is longer than what is read of one; it would be again."""


class DbtCloudStartUnconfirmed(DbtCloudError):
    """
    A start was sent, and nobody knows whether there is a run now.

    The next try of the task looks for it before it starts another.

    :param job_id: the job.
    :param starts: how many starts were sent.
    :param reason: why it is not known.
    """

    def __init__(self, job_id: int, starts: int, reason: str) -> None:
        super().__init__(job_id, starts, reason)
        self.job_id = job_id
        self.starts = starts
        self.reason = reason

    def __str__(self) -> str:
        """Say what was tried, and what the next try does."""
        sent = "A start was sent" if self.starts == 1 else f"{self.starts} starts were sent"
        return (
            f"{sent} to dbt Cloud job {self.job_id}, and no run of it is to be found, which is no proof that "
            f"there is none. A retry looks again before it starts another. {_ended(self.reason)}"
        )


class DbtCloudSuperseded(DbtCloudError):
    """
    A later try of the same task is at work already; this one starts nothing.

    :param run: the run that the later try follows.
    :param explanation: one line on how it is known.
    """

    def __init__(self, run: Run, explanation: str) -> None:
        super().__init__(run, explanation)
        self.run = run
        self.explanation = explanation

    def __str__(self) -> str:
        """Name the run of the later try."""
        sentence = f"This try is out of date and starts no dbt Cloud run: {_ended(self.explanation)}"
        return f"{sentence} {self.run.href}".rstrip()


class DbtCloudJobBusy(DbtCloudError):
    """
    The job has runs that go, and the task wants to be alone (`if_job_running`).

    :param run: the newest of them.
    :param count: how many there are.
    """

    def __init__(self, run: Run, count: int) -> None:
        super().__init__(run, count)
        self.run = run
        self.count = count

    def __str__(self) -> str:
        """Name the newest run, and what to write to wait for it."""
        others = f" and {self.count - 1} more" if self.count > 1 else ""
        return (
            f"dbt Cloud job {self.run.job_id} has run {self.run.id}{others} going; no run was started, "
            f"as if_job_running says; with if_job_running='queue' one would wait its turn. {self.run.href}"
        ).rstrip()


class DbtCloudJobRunException(DbtCloudError):
    """
    A run that did not end well, or whose end is unknown.

    :param run: the run as it was last seen.
    :param explanation: what happened and what to do next, in a line or several.
    """

    verdict = "did not succeed"

    def __init__(self, run: Run, explanation: str = "") -> None:
        super().__init__(run, explanation)
        self.run = run
        self.explanation = explanation

    def __str__(self) -> str:
        """Name the run, the verdict, dbt Cloud's message and the URL."""
        why = self.explanation.rstrip() or self.run.status_message
        sentence = f"dbt Cloud run {self.run.id} {self.verdict}" + (f": {why}" if why else "")
        if "\n" in sentence:
            return f"{sentence}\n{self.run.href}".rstrip()
        return f"{_ended(sentence)} {self.run.href}".rstrip()


class DbtCloudRunFailed(DbtCloudJobRunException):
    """dbt Cloud says Error."""

    verdict = "failed"


class DbtCloudTestsFailed(DbtCloudRunFailed):
    """
    Every node that failed is a test or a unit test that says so: the data are not as they should be.

    A retry changes nothing until somebody mends them. A test that could not be run is none of these.
    """

    verdict = "failed its tests"


class DbtCloudCompilationFailed(DbtCloudRunFailed):
    """dbt cannot parse or compile the project; a retry changes nothing until somebody mends it."""

    verdict = "could not be compiled"


class DbtCloudRunCancelled(DbtCloudJobRunException):
    """dbt Cloud says Cancelled: by a person, by a newer commit, or by the timeout of the job."""

    verdict = "was cancelled"


class DbtCloudWaitTimeout(DbtCloudJobRunException):
    """The task's own `timeout` is over. The run goes on."""

    verdict = "has not ended in time"


class DbtCloudWaitInterrupted(DbtCloudJobRunException):
    """The process that waits has to end. The run goes on, unless a person ended the task."""

    verdict = "is no longer waited for"


class DbtCloudLostTrack(DbtCloudJobRunException):
    """Nothing was heard of the run for too long. It may go on."""

    verdict = "is out of sight"


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
