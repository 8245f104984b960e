"""What an answer of dbt Cloud's means."""

import json

import freezegun
import pytest

from airflow_dbt_cloud.answers import judge
from airflow_dbt_cloud.errors import DbtCloudApiError

PATH = "/api/v2/accounts/42/runs/7/"


def test_an_envelope_with_a_strange_status_is_good():
    """An envelope is bad only if it says so."""
    for status in (None, 5, [], {}, {"is_success": None}):
        assert judge("GET", PATH, 201, {}, json.dumps({"status": status, "data": 1}).encode())["data"] == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("17", 17.0),
        (" 0 ", 0.0),
        ("Mon, 27 May 2024 10:00:30 GMT", 30.0),
        ("Mon, 27 May 2024 12:00:30 +0200", 30.0),
        ("Mon, 27 May 2024 10:00:30 -0000", 30.0),
        ("Mon, 27 May 2024 09:00:00 GMT", 0.0),
        *((bad, None) for bad in ("", "soon", "-5", "1.5", "\u00b2", "Mon, 99 May 2024 10:00:30 GMT")),
        ("Mon, 27 May 2024 10:00:30 +99999999999999999999", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(freezer_at, value, seconds, status):
    """`Retry-After` is read as seconds or as a date, and not at all if it is neither."""
    freezer_at("2024-05-27 10:00:00")
    with pytest.raises(DbtCloudApiError) as caught:
        judge("GET", PATH, status, {"retry-after": value}, b"")
    assert caught.value.retry_after == seconds


@pytest.fixture
def freezer_at():
    """Freeze the time."""
    frozen = []

    def freeze(time):
        frozen.append(freezegun.freeze_time(time))
        return frozen[-1].start()

    yield freeze
    for freezer in frozen:
        freezer.stop()


def test_a_secret_where_words_are_cut():
    """Words are cut after the secret was taken out of them, so that no half of it is left."""
    secret = "dbtc_S3cr3tT0ken0fNobody"
    said = {"user_message": "x" * 490 + secret, "is_success": False}
    content = json.dumps({"status": said, "data": "y" * 490 + secret}).encode()
    with pytest.raises(DbtCloudApiError) as caught:
        judge("GET", PATH, 400, {}, content, secret=secret)
    assert caught.value.message == f"{'x' * 490}*** {'y' * 490}***"
