"""The errors: what they carry, how they read, and that they cross processes."""

import pickle

import pytest

from airflow_dbt_cloud import errors
from airflow_dbt_cloud.models import Run

RUN = Run(id=123, status=20, href="https://ab123.us1.dbt.com/deploy/7/projects/5/runs/123/")
REQUEST = ("GET", "/api/v2/accounts/7/runs/123/")

EXAMPLES = [
    errors.DbtCloudError("Something is wrong."),
    errors.DbtCloudConfigurationError("job_id must be a number; got 'x'."),
    errors.DbtCloudApiError(*REQUEST, 418, "I am a teapot."),
    errors.DbtCloudInvalidRequest(*REQUEST, 400, "The request was invalid."),
    errors.DbtCloudUnauthorized(*REQUEST, 401, "Invalid token."),
    errors.DbtCloudNotFound(*REQUEST, 404, "The requested resource was not found."),
    errors.DbtCloudRedirected(*REQUEST, 302, "it sends us to https://eu1.dbt.com."),
    errors.DbtCloudRateLimited(*REQUEST, 429, "Slow down.", 17.5),
    errors.DbtCloudServerError(*REQUEST, 503, "The body is not JSON.", 60.0),
    errors.DbtCloudUnreachable("POST", "/api/v2/accounts/7/jobs/9/run/", "reset", may_have_arrived=True),
    errors.DbtCloudAnswerTooLong(*REQUEST, "the answer is longer than 9 bytes", may_have_arrived=True),
    errors.DbtCloudStartUnconfirmed(9, 3, "dbt Cloud did not answer"),
    errors.DbtCloudSuperseded(RUN, "try 2 has started run 123"),
    errors.DbtCloudJobBusy(RUN, 2),
    errors.DbtCloudJobRunException(RUN, "nobody knows"),
    errors.DbtCloudRunFailed(RUN),
    errors.DbtCloudTestsFailed(RUN, "1 of 12 nodes failed"),
    errors.DbtCloudCompilationFailed(RUN, "no such macro"),
    errors.DbtCloudRunCancelled(RUN, "by Ada"),
    errors.DbtCloudWaitTimeout(RUN, "the timeout is over"),
    errors.DbtCloudWaitInterrupted(RUN, "the worker is drained"),
    errors.DbtCloudLostTrack(RUN, "no answer for 12 hours"),
]


def test_every_class_has_an_example():
    """No error of the package is left out of the tests below, and all are public."""
    examples = {type(example).__name__ for example in EXAMPLES}
    defined = {name for name in vars(errors) if name.startswith("DbtCloud")}
    assert examples == set(errors.__all__) == defined


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_pickle(error):
    """An error is the same on the other side of a process border: class, words and attributes."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(copy) is type(error)
    assert (str(copy), repr(copy), vars(copy)) == (str(error), repr(error), vars(error))
    assert vars(type(error)(*error.args)) == vars(error)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_reads_as_sentences(error):
    """A message has no doubled or missing full stop, whatever dbt Cloud put into it."""
    text = str(error)
    assert ".." not in text
    assert "  " not in text
    assert text == text.strip()
    assert text.endswith((".", "/"))


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_one_except_catches_all(error):
    """A DAG author catches everything of this package with one class."""
    assert isinstance(error, errors.DbtCloudError)


def test_no_answer_is_no_answer_that_we_dislike():
    """What was not answered is no kind of what was, and how a run ended is neither."""
    assert not issubclass(errors.DbtCloudUnreachable, errors.DbtCloudApiError)
    assert not issubclass(errors.DbtCloudJobRunException, errors.DbtCloudApiError)


def test_kinds_of_failed_runs():
    """Whoever catches a failed run catches those that a retry does not mend, and none of these is another."""
    kinds = {errors.DbtCloudTestsFailed, errors.DbtCloudCompilationFailed}
    assert set(errors.DbtCloudRunFailed.__subclasses__()) == kinds
    assert not any(kind.__subclasses__() for kind in kinds)


def test_a_configuration_error_is_a_value_error():
    """Whoever checks a parameter with `except ValueError` catches it, too."""
    assert issubclass(errors.DbtCloudConfigurationError, ValueError)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            errors.DbtCloudInvalidRequest("GET", "/x/", 400, "The request was invalid."),
            "dbt Cloud answered 400 Bad Request to GET /x/: The request was invalid.",
        ),
        (
            errors.DbtCloudInvalidRequest("GET", "/x/", 499, "no"),
            "dbt Cloud answered 499 to GET /x/: no.",
        ),
        (
            errors.DbtCloudNotFound("GET", "/x/", 404, "Not here"),
            (
                "dbt Cloud answered 404 Not Found to GET /x/: Not here. "
                "Check the id or the path, the account id, and the permissions of the token."
            ),
        ),
        (
            errors.DbtCloudUnreachable("POST", "/x/", "timed out", may_have_arrived=True),
            "dbt Cloud did not answer POST /x/ (it may have arrived): timed out.",
        ),
        (
            errors.DbtCloudUnreachable("POST", "/x/", "refused", may_have_arrived=False),
            "dbt Cloud did not answer POST /x/ (it did not arrive): refused.",
        ),
        (
            errors.DbtCloudRunFailed(
                Run(id=1, status=20, status_message="dbt command failed", href="https://h/1/")
            ),
            "dbt Cloud run 1 failed: dbt command failed. https://h/1/",
        ),
        (errors.DbtCloudRunFailed(Run(id=1, status=20)), "dbt Cloud run 1 failed."),
        (
            errors.DbtCloudTestsFailed(RUN, "unique_berths_berth"),
            f"dbt Cloud run 123 failed its tests: unique_berths_berth. {RUN.href}",
        ),
        (
            errors.DbtCloudRunFailed(RUN, "in step 4, 2 of 12 nodes:\n- one\n- other"),
            f"dbt Cloud run 123 failed: in step 4, 2 of 12 nodes:\n- one\n- other\n{RUN.href}",
        ),
        (
            errors.DbtCloudCompilationFailed(RUN, "'dues' is undefined"),
            f"dbt Cloud run 123 could not be compiled: 'dues' is undefined. {RUN.href}",
        ),
        (
            errors.DbtCloudWaitTimeout(RUN, "it goes on."),
            f"dbt Cloud run 123 has not ended in time: it goes on. {RUN.href}",
        ),
    ],
)
def test_message(error, text):
    """A message says what happened, to what, and what to do next."""
    assert str(error) == text


@pytest.mark.parametrize("kind", [errors.DbtCloudUnauthorized])
def test_a_refused_token_hints_at_the_region(kind):
    """The usual cause of a 401, a host of another region, is named."""
    assert "region" in str(kind("GET", "/x/", 401, "Invalid token."))
    assert "access URL" in str(kind("GET", "/x/", 401, "Invalid token."))


def test_retry_after_is_unknown_by_default():
    """An error that was told no time to wait has none."""
    assert errors.DbtCloudRateLimited("GET", "/x/", 429, "no").retry_after is None
    assert errors.DbtCloudServerError("GET", "/x/", 503, "no").retry_after is None


def test_a_retry_policy_tells_them_apart():
    """Airflow's retry policy can fail a task at once whose tests failed, and retry it after an outage."""
    policies = pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="Airflow 3.3 has them")
    hopeless = [errors.DbtCloudTestsFailed, errors.DbtCloudCompilationFailed]
    rule = policies.RetryRule(hopeless, action=policies.RetryAction.FAIL)
    policy = policies.ExceptionRetryPolicy(rules=[rule])
    actions = [
        policy.evaluate(error(RUN), 1, 2).action.value for error in (*hopeless, errors.DbtCloudRunFailed)
    ]
    assert actions == ["fail", "fail", "default"]
