"""
What an answer of dbt Cloud's means: one function decides which error it is.

Pure: bytes and headers in, JSON or an error out.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_dbt_cloud.errors import (
    NOT_DBT_CLOUD,
    DbtCloudApiError,
    DbtCloudInvalidRequest,
    DbtCloudNotFound,
    DbtCloudRateLimited,
    DbtCloudRedirected,
    DbtCloudServerError,
    DbtCloudUnauthorized,
)
from airflow_dbt_cloud.fields import is_number, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["error_of", "judge"]

MAX_WORDS = 500
MAX_RETRY_AFTER = 86_400.0


def judge(
    method: str, path: str, status: int, headers: Mapping[str, str], content: bytes, *, secret: str = ""
) -> dict[str, Any]:
    """
    Return the envelope of a good answer, or raise the error that a bad one means.

    :param secret: is blanked out of what the error says.
    :raises DbtCloudApiError: of the kind that the status names. An answer of status 200 that is no dbt Cloud
        envelope is a `DbtCloudServerError`: a proxy's page is no news of a run.
    """
    envelope = _envelope(content)
    if envelope is not None and 200 <= status < 300:
        said = envelope.get("status")
        if not isinstance(said, dict) or said.get("is_success") is not False:
            return envelope
        status = said["code"] if is_number(said.get("code")) else 500
    raise error_of(method, path, status, headers, content, secret=secret)


def _envelope(content: bytes) -> dict[str, Any] | None:
    try:
        envelope = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return envelope if isinstance(envelope, dict) and "data" in envelope else None


def error_of(
    method: str, path: str, status: int, headers: Mapping[str, str], content: bytes, *, secret: str = ""
) -> DbtCloudApiError:
    """Return the error that a bad answer means; parameters as for `judge`."""
    is_redirect = 300 <= status < 400
    words = [_whereto(headers.get("location", ""))] if is_redirect else _words(headers, content)
    message = " ".join(_shown(word, secret)[:MAX_WORDS] for word in words)
    if status == 429:
        return DbtCloudRateLimited(method, path, status, message, _retry_after(headers))
    if status == 408 or not 300 <= status < 500:
        return DbtCloudServerError(method, path, status, message, _retry_after(headers))
    meanings: dict[int, type[DbtCloudApiError]] = {
        401: DbtCloudUnauthorized,
        403: DbtCloudUnauthorized,
        404: DbtCloudNotFound,
    }
    refused = DbtCloudRedirected if is_redirect else DbtCloudInvalidRequest
    return meanings.get(status, refused)(method, path, status, message)


def _whereto(location: str) -> str:
    # Only scheme and host: the rest of a storage's or a login page's URL may be a secret.
    try:
        place = urlsplit(location)
        is_host = bool(place.hostname) and place.port != 0
    except ValueError:
        return "it does not say where it sends us."
    if is_host:
        scheme = f"{place.scheme}://" if place.scheme else ""
        return f"it sends us to {scheme}{place.netloc.rpartition('@')[2]}."
    if location.startswith("/"):
        return "it sends us to another page of the same host."
    return "it does not say where it sends us."


def _shown(words: str, secret: str) -> str:
    """Return words as one line, without what a log cannot take, a terminal would obey or nobody may see."""
    line = " ".join(plain(words).split())
    return line.replace(secret, "***") if secret else line


def _words(headers: Mapping[str, str], content: bytes) -> list[str]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or not answer.keys() & {"status", "data", "detail"}:
        kind = headers.get("content-type", "no content type").partition(";")[0]
        return [f"{NOT_DBT_CLOUD} ({kind}, {len(content)} bytes)."]
    status = answer.get("status")
    said = status.get("user_message") if isinstance(status, dict) else answer.get("detail")
    return [_written(part) for part in (said, answer.get("data")) if part] or ["no explanation."]


def _written(part: object) -> str:
    return part if isinstance(part, str) else json.dumps(part)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), MAX_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(0.0, (at - datetime.now(UTC)).total_seconds()), MAX_RETRY_AFTER)
