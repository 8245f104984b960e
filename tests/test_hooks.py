"""The hook: from an Airflow connection to values."""

import json
from contextlib import suppress

import pytest
import responses
from airflow.sdk._shared.secrets_masker import redact
from airflow.sdk.exceptions import AirflowNotFoundException
from responses import matchers

from airflow_dbt_cloud.artifacts import Artifact
from airflow_dbt_cloud.errors import (
    DbtCloudAnswerTooLong,
    DbtCloudConfigurationError,
    DbtCloudRunCancelled,
    DbtCloudRunFailed,
    DbtCloudServerError,
    DbtCloudUnreachable,
)
from airflow_dbt_cloud.hooks import DbtCloudHook, DbtCloudJobRunStatus
from airflow_dbt_cloud.models import Run
from airflow_dbt_cloud.waiting import Watch

HOST = "https://ab123.us1.dbt.com"
ACCOUNT = f"{HOST}/api/v2/accounts/42"
TOKEN = "dbtc_secret_token"


def envelope(data, code=200, message="Success!"):
    """Return an answer as dbt Cloud wraps it."""
    status = {"code": code, "is_success": code < 400, "user_message": message, "developer_message": ""}
    return {"status": status, "data": data}


def connect(monkeypatch, **fields):
    """Put a connection into the environment."""
    connection = {"conn_type": "dbt_cloud", "host": HOST, "login": "42", "password": TOKEN, **fields}
    monkeypatch.setenv("AIRFLOW_CONN_DBT_CLOUD_DEFAULT", json.dumps(connection))


@pytest.fixture(autouse=True)
def connection(monkeypatch):
    """Give every test a connection."""
    connect(monkeypatch)


@pytest.fixture
def cloud():
    """Stand in for dbt Cloud; whatever is registered must be asked for."""
    with responses.RequestsMock() as mock:
        yield mock


def test_ids_as_strings(cloud):
    """Ids may be strings of digits, as templates make them."""
    cloud.get(f"{ACCOUNT}/runs/7/", json=envelope({"id": 7, "status": 3}))
    assert DbtCloudHook().get_job_run("7").status_name == "Running"


@pytest.mark.parametrize("bad", ["None", "", "7.0", None, True, -1, "{{ x }}"])
def test_bad_ids(bad):
    """An id that is none is an error that names the parameter and shows the value."""
    with pytest.raises(DbtCloudConfigurationError, match="run_id must be a number") as caught:
        DbtCloudHook().get_job_run(bad)
    assert repr(bad) in str(caught.value)


def test_account_id_beats_the_login(cloud):
    """The hook's account_id beats the connection's login."""
    cloud.get(f"{HOST}/api/v2/accounts/99/", json=envelope({"id": 99, "name": "Other"}))
    assert DbtCloudHook(account_id="99").get_account().name == "Other"


def test_no_connection():
    """A connection that does not exist is Airflow's own error."""
    with pytest.raises(AirflowNotFoundException, match="nowhere"):
        DbtCloudHook("nowhere").get_conn()


@pytest.mark.parametrize(
    "numbers", [{"timeout_seconds": "soon"}, {"timeout_seconds": 0}, {"retry_limit": 0}, {"retry_delay": -1}]
)
def test_bad_numbers(numbers):
    """Numbers that cannot be meant are refused when the hook is made."""
    with pytest.raises(DbtCloudConfigurationError, match=next(iter(numbers))):
        DbtCloudHook(**numbers)


def test_official_positional_argument():
    """The connection's id is the first argument, as in the official provider."""
    assert DbtCloudHook("my_conn").dbt_cloud_conn_id == "my_conn"


def test_trigger(cloud):
    """A run is started with its cause and overrides, and returned as a value."""
    body = {"cause": "by hand", "steps_override": ["dbt build"], "threads_override": 8}
    cloud.post(
        f"{ACCOUNT}/jobs/5/run/",
        json=envelope({"id": 7, "status": 1, "job_definition_id": 5, "href": f"{HOST}/deploy/42/runs/7/"}),
        match=[matchers.json_params_matcher(body)],
    )
    run = DbtCloudHook().trigger_job_run("5", "by 'hand'", steps_override=["dbt build"], threads_override="8")
    assert (run.id, run.status, run.job_id) == (7, DbtCloudJobRunStatus.QUEUED, 5)


def test_limit(cloud):
    """A limit keeps pages from being asked for that are not needed."""
    page = [{"id": number, "status": 10} for number in range(100)]
    asked = cloud.get(f"{ACCOUNT}/runs/", json=envelope(page))
    assert [run.id for run in DbtCloudHook().list_job_runs(limit=2, order_by="-id")] == [0, 1]
    assert asked.call_count == 1


def test_artifact(cloud):
    """An artifact comes as the bytes that dbt Cloud has."""
    cloud.get(f"{ACCOUNT}/runs/7/artifacts/a.parquet?step=4", body=b"\x00\xffPAR1")
    assert DbtCloudHook().get_job_run_artifact(7, "a.parquet", step=4) == b"\x00\xffPAR1"


def test_endless_artifact(serve, answer, monkeypatch):
    """An artifact that does not end is given up before it fills the memory."""
    head = answer(content_length=None, connection="close")

    def flood(_request, connection):
        connection.sendall(head)
        with suppress(OSError):
            while True:
                connection.sendall(bytes(2**20))

    connection = {"conn_type": "dbt_cloud", "host": serve(flood).url, "login": "42", "password": "dbtc_x"}
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", json.dumps(connection))
    with pytest.raises(DbtCloudAnswerTooLong, match="save it to a file"):
        DbtCloudHook("elsewhere").get_job_run_artifact(7, "a.parquet", limit=2**22)


def test_limit_of_jobs(cloud):
    """A limit may be text, as templates make it, and is what dbt Cloud is asked for."""
    one = matchers.query_param_matcher({"limit": "1"}, strict_match=False)
    cloud.get(f"{ACCOUNT}/jobs/", json=envelope([{"id": 5}]), match=[one])
    assert [job.id for job in DbtCloudHook().list_jobs(limit="1", project_id="3")] == [5]


@pytest.mark.parametrize("verb", [DbtCloudHook.list_jobs, DbtCloudHook.list_job_runs])
def test_bad_limit(verb):
    """A limit of nothing is refused: it would list nothing, and who writes it means all."""
    with pytest.raises(DbtCloudConfigurationError, match="limit must be a whole number above 0; got 0"):
        verb(DbtCloudHook(), limit=0)


def test_save_artifact(cloud, tmp_path):
    """An artifact is saved as the bytes that dbt Cloud has."""
    cloud.get(f"{ACCOUNT}/runs/7/artifacts/a.parquet", body=b"\x00\xffPAR1")
    artifact = Artifact("a.parquet", run_id=7)
    assert DbtCloudHook().save_artifact(artifact, tmp_path / "a.parquet") == 6
    assert (tmp_path / "a.parquet").read_bytes() == b"\x00\xffPAR1"


def test_retry_limit_of_a_download(cloud, tmp_path):
    """A download that breaks off begins again as often as `retry_limit` says."""
    half = {"body": b"half", "headers": {"Content-Length": "8"}, "auto_calculate_content_length": False}
    asked = cloud.get(f"{ACCOUNT}/runs/7/artifacts/a", **half)
    with pytest.raises(DbtCloudUnreachable):
        DbtCloudHook(retry_limit=5).save_artifact(Artifact("a", run_id=7), tmp_path / "a")
    assert asked.call_count == 5


@pytest.mark.parametrize(("status", "error"), [(20, DbtCloudRunFailed), (30, DbtCloudRunCancelled)])
def test_wait_for_a_bad_end(cloud, status, error):
    """Waiting for a run that ends badly raises what it ended as."""
    cloud.get(f"{ACCOUNT}/runs/7/", json=envelope({"id": 7, "status": status}))
    with pytest.raises(error, match="run 7"):
        DbtCloudHook().wait_for_job_run(7)


def test_wait_for_success(cloud):
    """Waiting for a run that succeeds returns it."""
    cloud.get(f"{ACCOUNT}/runs/7/", json=envelope({"id": 7, "status": 10}))
    assert DbtCloudHook().wait_for_job_run("7").is_success


def refuse_and(act, cloud):
    """Make the next question for run 7 a 401, on which `act` happens."""

    def refuse(_):
        act()
        return 401, {}, json.dumps(envelope(None, 401, "Invalid token."))

    cloud.add_callback(responses.GET, f"{ACCOUNT}/runs/7/", callback=refuse)


def follow(pause=lambda _: None):
    """Wait for run 7."""
    return DbtCloudHook().follow(Watch(Run(id=7, status=1)), check_interval=1, pause=pause)


def test_rotated_token(cloud, monkeypatch):
    """A token that is rotated while a run is waited for is read anew from the connection."""
    refuse_and(lambda: connect(monkeypatch, password="dbtc_new"), cloud)
    new_token = matchers.header_matcher({"Authorization": "Token dbtc_new"})
    cloud.get(f"{ACCOUNT}/runs/7/", json=envelope({"id": 7, "status": 10}), match=[new_token])
    pauses = []
    assert follow(pauses.append).is_success
    assert pauses == [1]


def test_connection_gone_while_waiting(cloud, monkeypatch):
    """A connection that cannot be read any more is a failure to see the run, not of the run."""
    refuse_and(lambda: monkeypatch.delenv("AIRFLOW_CONN_DBT_CLOUD_DEFAULT"), cloud)
    cloud.get(f"{ACCOUNT}/runs/7/", json=envelope({"id": 7, "status": 10}))
    assert follow().is_success


def test_connection_moved_while_waiting(cloud, monkeypatch):
    """A connection that leads to another account meanwhile ends the wait with an error that names both."""
    refuse_and(lambda: connect(monkeypatch, login="99"), cloud)
    with pytest.raises(DbtCloudConfigurationError, match=r"now leads to account 99 .* is in account 42"):
        follow()


def test_connection_that_works(cloud):
    """A connection that works says whose account it is, and its plan."""
    cloud.get(f"{ACCOUNT}/", json=envelope({"id": 42, "name": "Ferry Line", "plan": "enterprise"}))
    works, message = DbtCloudHook().test_connection()
    assert works
    assert message == f"Connected to account 'Ferry Line' (42, plan enterprise) at {HOST}."


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            401,
            envelope(None, 401, "Invalid token."),
            "refuses the token: Invalid token. The usual cause is a host of",
        ),
        (403, envelope(None, 403, "Token is not scoped to account."), "not for account 42"),
        (404, envelope(None, 404, "Not found."), "the token may not read it"),
        (200, "<html>Sign in</html>", "is not dbt Cloud"),
        (503, "<html>busy</html>", "503"),
    ],
)
def test_connection_that_does_not_work(cloud, status, body, expected):
    """A connection that does not work says which part of it is wrong, after one request."""
    content = {"json": body} if isinstance(body, dict) else {"body": body, "content_type": "text/html"}
    asked = cloud.get(f"{ACCOUNT}/", status=status, **content)
    works, message = DbtCloudHook().test_connection()
    assert not works
    assert expected in message
    assert TOKEN not in message
    assert asked.call_count == 1


def test_connection_to_another_region(cloud):
    """A host that sends us elsewhere is named together with where it sends us."""
    elsewhere = {"Location": "https://cd456.eu1.dbt.com/login?next=secret"}
    cloud.get(f"{ACCOUNT}/", status=302, headers=elsewhere)
    works, message = DbtCloudHook().test_connection()
    assert not works
    assert "https://cd456.eu1.dbt.com" in message
    assert "secret" not in message


def test_connection_to_nowhere(monkeypatch):
    """A host that cannot be reached is named with the reason."""
    connect(monkeypatch, host="http://localhost:9")
    works, message = DbtCloudHook().test_connection()
    assert not works
    assert message.startswith("http://localhost:9 cannot be reached")


def test_connection_without_account(monkeypatch):
    """A connection without an account id says where to put it, before anything is sent."""
    connect(monkeypatch, login="")
    works, message = DbtCloudHook().test_connection()
    assert not works
    assert "put it into the login" in message


def test_secrets_are_masked(monkeypatch):
    """The token, also as it is sent, and a proxy's password are masked in whatever a task logs."""
    connect(
        monkeypatch,
        password=f"  {TOKEN} ",
        extra=json.dumps({"proxies": {"https": "http://user:proxy_password@proxy:3128"}}),
    )
    client = DbtCloudHook().get_conn()
    shown = redact([f"Token {TOKEN}", "http://user:proxy_password@proxy:3128"])
    assert shown == ["Token ***", "***"]
    assert TOKEN not in repr(client)


@pytest.mark.parametrize("answer", [{"id": 999, "status": 10}, {"message": "maintenance"}, {"status": 10}])
def test_an_answer_about_another_run(cloud, answer):
    """An answer about another run, or about none, is no news of ours."""
    cloud.get(f"{ACCOUNT}/runs/7/", json=envelope(answer))
    cloud.get(f"{ACCOUNT}/runs/7/", json=envelope({"id": 7, "status": 20}))
    with pytest.raises(DbtCloudRunFailed, match="run 7 failed"):
        DbtCloudHook().wait_for_job_run(7, check_interval=0.001)


def test_wait_for_a_run_that_is_not_visible_yet(cloud):
    """A run that is not found just after its start is waited for."""
    cloud.get(f"{ACCOUNT}/runs/7/", json=envelope(None, 404, "Not found."), status=404)
    cloud.get(f"{ACCOUNT}/runs/7/", json=envelope({"id": 7, "status": 10}))
    assert DbtCloudHook().wait_for_job_run(7, check_interval=0.001).is_success


@pytest.mark.parametrize("numbers", [{"check_interval": 0}, {"timeout": "soon"}])
def test_wait_with_bad_numbers(numbers):
    """A wait with numbers that cannot be meant is refused before anything is asked."""
    with pytest.raises(DbtCloudConfigurationError, match=next(iter(numbers))):
        DbtCloudHook().wait_for_job_run(7, **numbers)


def test_a_wait_is_its_own_retry(cloud):
    """While waiting, a question that fails is asked again after the interval, not at once."""
    failed = cloud.get(f"{ACCOUNT}/runs/7/", status=503)
    cloud.get(f"{ACCOUNT}/runs/7/", json=envelope({"id": 7, "status": 10}))
    pauses = []
    follow(pauses.append)
    assert pauses == [1]
    assert failed.call_count == 1


def test_rotated_token_of_a_cancel(cloud, monkeypatch):
    """After the token was rotated during a wait, a cancel uses the new one."""
    refuse_and(lambda: connect(monkeypatch, password="dbtc_new"), cloud)
    cloud.get(f"{ACCOUNT}/runs/7/", json=envelope({"id": 7, "status": 10}))
    hook = DbtCloudHook()
    hook.follow(Watch(Run(id=7, status=1)), check_interval=1, pause=lambda _: None)
    new_token = matchers.header_matcher({"Authorization": "Token dbtc_new"})
    cloud.post(f"{ACCOUNT}/runs/7/cancel/", json=envelope({"id": 7, "status": 30}), match=[new_token])
    assert hook.get_conn().hurried(1).cancel_run(7).status == DbtCloudJobRunStatus.CANCELLED


def test_retry_limit(cloud):
    """`retry_limit` is how often a request is sent at most, `retry_delay` the wait before the second."""
    failed = cloud.get(f"{ACCOUNT}/jobs/5/", status=503)
    hook = DbtCloudHook(retry_limit=3, retry_delay=8)
    pauses = []
    hook.sleep = pauses.append
    with pytest.raises(DbtCloudServerError):
        hook.get_job(5)
    assert failed.call_count == 3
    assert len(pauses) == 2
    assert all(0 <= pause <= longest for pause, longest in zip(pauses, (8, 16), strict=True))


def test_timeout_seconds(cloud):
    """`timeout_seconds` beats the connection's, and the connection test has one of its own."""
    asked = cloud.get(f"{ACCOUNT}/", json=envelope({"id": 42, "name": "Ferry Line"}))
    hook = DbtCloudHook(timeout_seconds=7)
    hook.get_account()
    hook.test_connection()
    timeouts = [call.request.req_kwargs["timeout"] for call in asked.calls]
    assert timeouts == [(7, 7), (10, 10)]


@pytest.mark.parametrize(
    ("status", "body", "expected", "not_expected"),
    [
        (404, "<html>", "is not dbt Cloud", "does not exist"),
        (403, "<html>", "is not dbt Cloud", "The token is valid"),
        (401, "<html>", "is not dbt Cloud", "refuses"),
        (403, envelope(None, 403, "Forbidden: Access denied"), "Access denied", "The token is valid"),
        (401, envelope(None, 401, "The API is not accessible to unpaid accounts."), "unpaid", "region: use"),
    ],
)
def test_connection_diagnoses_no_more_than_it_knows(cloud, status, body, expected, not_expected):
    """A diagnosis is made only of what dbt Cloud itself has said."""
    content = {"json": body} if isinstance(body, dict) else {"body": body, "content_type": "text/html"}
    cloud.get(f"{ACCOUNT}/", status=status, **content)
    _, message = DbtCloudHook().test_connection()
    assert expected in message
    assert not_expected not in message


def test_status(cloud):
    """The status of a run is dbt Cloud's number."""
    cloud.get(f"{ACCOUNT}/runs/7/", json=envelope({"id": 7, "status": 20}))
    assert DbtCloudHook().get_job_run_status("7") == DbtCloudJobRunStatus.ERROR


def test_retry_of_a_run(cloud):
    """A retry is a run of its own, which names the run that it retries."""
    cloud.post(f"{ACCOUNT}/runs/7/retry/", json=envelope({"id": 8, "status": 1, "retrying_run_id": 7}))
    run = DbtCloudHook().retry_job_run("7")
    assert (run.id, run.retrying_run_id) == (8, 7)


def test_job_by_name(cloud):
    """A job is found by the names of its project, its environment and itself."""
    v3 = f"{HOST}/api/v3/accounts/42/projects/"
    cloud.get(v3, json=envelope([{"id": 1, "name": "Ferry"}]))
    cloud.get(f"{v3}1/environments/", json=envelope([{"id": 3, "name": "Production"}]))
    cloud.get(f"{ACCOUNT}/jobs/", json=envelope([{"id": 5, "name": "Nightly"}]))
    assert DbtCloudHook().get_job_by_name("Ferry", "Production", "Nightly").id == 5
