"""
What a DAG author gives us, read and checked.

Templates and Airflow Variables make strings of numbers and flags: these are accepted. Whatever cannot be
meant is a `DbtCloudConfigurationError` that names the parameter, what it holds and what it should.
"""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from airflow_dbt_cloud.errors import DbtCloudConfigurationError
from airflow_dbt_cloud.fields import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "MAX_CAUSE",
    "OVERRIDES",
    "RunRequest",
    "check_if_known",
    "clean_cause",
    "is_rendered_later",
    "parse_artifact_path",
    "parse_count",
    "parse_flag",
    "parse_id",
    "parse_number",
    "parse_seconds",
    "read_structure",
]

# A longer cause is refused by dbt Cloud.
MAX_CAUSE = 255
# What is in no path of an artifact: a backslash, and what no file's name and no URL can hold.
UNUSABLE = re.compile("[\\\\\x00\ud800-\udfff]")
# An empty one, too: nothing is left of a reason that is all in Japanese.
DEFAULT_CAUSE = "Triggered via Apache Airflow"


def parse_id(name: str, value: object) -> int:
    """
    Return `value` as an id of dbt Cloud's: a number above 0, or its digits.

    :param name: the parameter's name, for the error.
    :raises DbtCloudConfigurationError: it is neither.
    """
    number = _whole(value)
    if number is not None:
        return number
    msg = f"{name} must be a number, or a string of digits, as dbt Cloud shows it in its URLs; got {value!r}."
    raise DbtCloudConfigurationError(msg)


def parse_count(name: str, value: object) -> int:
    """
    Return `value` as a whole number above 0.

    :raises DbtCloudConfigurationError: it is none.
    """
    number = _whole(value)
    if number is not None:
        return number
    msg = f"{name} must be a whole number above 0; got {value!r}."
    raise DbtCloudConfigurationError(msg)


def parse_seconds(name: str, value: object) -> float:
    """
    Return `value`, a number or a timedelta, as a number of seconds above 0.

    :raises DbtCloudConfigurationError: it is none.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    return parse_number(name, seconds, "a number of seconds")


def parse_number(name: str, value: object, kind: str = "a number") -> float:
    """
    Return `value` as a number above 0.

    :param kind: what to call it in the error.
    :raises DbtCloudConfigurationError: it is none.
    """
    try:
        number = float(value) if isinstance(value, int | float | str) else 0.0
    except (ValueError, OverflowError):
        number = 0.0
    if isinstance(value, bool) or not 0 < number < float("inf"):
        msg = f"{name} must be {kind} above 0; got {value!r}."
        raise DbtCloudConfigurationError(msg)
    return number


def parse_flag(name: str, value: object) -> bool:
    """
    Return `value` as True or False.

    :raises DbtCloudConfigurationError: it is neither.
    """
    flag = {"true": True, "false": False}.get(str(value).strip().lower())
    if flag is None:
        msg = f"{name} must be True or False; got {value!r}."
        raise DbtCloudConfigurationError(msg)
    return flag


def parse_artifact_path(name: str, value: object) -> str:
    """
    Return `value` as the path of an artifact below dbt's target folder.

    :raises DbtCloudConfigurationError: it is none, or leads elsewhere.
    """
    if (
        isinstance(value, str)
        and value.strip()
        and not UNUSABLE.search(value)
        and not {"", ".", ".."}.intersection(value.split("/"))
    ):
        return value
    msg = (
        f"{name} must be the path of an artifact, such as 'run_results.json': relative, and without an empty "
        f"part, '.', '..' or a backslash; got {value!r}."
    )
    raise DbtCloudConfigurationError(msg)


def check_if_known(parse: Callable[[str, object], object], name: str, value: object) -> None:
    """Raise what `parse` does, unless the value is not given, or known only when the task runs."""
    if value is not None and not is_rendered_later(value):
        parse(name, value)


def is_rendered_later(value: object) -> bool:
    """Whether a parameter's value is known only when the task runs: a template, or another task's result."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, dict):
        return any(is_rendered_later(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(is_rendered_later(item) for item in value)
    return not isinstance(value, int | float | None)


def read_structure(value: object) -> object:
    """Return the list or dict that a template wrote out as text, in JSON or as Python does; else `value`."""
    if isinstance(value, str):
        for read in (json.loads, ast.literal_eval):
            try:
                return read(value)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
    return value


def clean_cause(reason: str, *, limit: int = MAX_CAUSE) -> str:
    """
    Return a `cause` that dbt Cloud takes and that breaks nobody's SQL, however odd the reason is.

    It is ASCII, has no quotes, backslashes or line breaks, and 1 to 255 characters: dbt projects write
    `DBT_CLOUD_RUN_REASON` into tables, unescaped. It never looks like the marker of a task's run.

    :param limit: how many characters it may have.
    """
    plain = unicodedata.normalize("NFKD", reason).encode("ascii", "ignore").decode()
    line = " ".join(re.sub(r"[\x00-\x1f\x7f'\"`\\]", " ", plain).split())
    line = re.sub(r"\[airflow:", "(airflow:", line, flags=re.IGNORECASE)
    if len(line) > limit:
        return line[: limit - 3] + "..."
    return line or DEFAULT_CAUSE


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """
    What to run: the body of `POST …/jobs/{id}/run/` (`TriggerRunRequestRequest` in the OpenAPI document).

    A field that is None is left to the job. `cause` is required by dbt Cloud.
    """

    cause: str
    git_sha: str | None = None
    git_branch: str | None = None
    schema_override: str | None = None
    dbt_version_override: str | None = None
    threads_override: int | None = None
    target_name_override: str | None = None
    generate_docs_override: bool | None = None
    timeout_seconds_override: int | None = None
    steps_override: list[str] | None = None
    azure_pull_request_id: int | None = None
    github_pull_request_id: int | None = None
    gitlab_merge_request_id: int | None = None
    non_native_pull_request_id: int | None = None

    @classmethod
    def from_parameters(cls, cause: str, overrides: Mapping[str, Any]) -> Self:
        """
        Read rendered parameters. A value that is None or an empty string counts as not given.

        :param cause: why the job runs; cleaned as `clean_cause` does.
        :param overrides: values by field name.
        :raises DbtCloudConfigurationError: a field has a value of the wrong kind, or does not exist.
        """
        if unknown := overrides.keys() - OVERRIDES:
            msg = f"dbt Cloud has no {_listed(unknown)} for a run. It has {_listed(OVERRIDES)}."
            raise DbtCloudConfigurationError(msg)
        given = {name: value for name, value in overrides.items() if value is not None and value != ""}
        values = {name: _READERS.get(name, _text)(name, value) for name, value in given.items()}
        return cls(cause=clean_cause(cause), **values)

    def to_json(self) -> dict[str, Any]:
        """Return the request's body, without the fields that are None."""
        return {"cause": self.cause, **self.overrides}

    @property
    def overrides(self) -> dict[str, Any]:
        """The fields that are not left to the job."""
        values = {name: getattr(self, name) for name in sorted(OVERRIDES)}
        return {name: value for name, value in values.items() if value is not None}


OVERRIDES = frozenset(field.name for field in fields(RunRequest)) - {"cause"}


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    msg = f"{name} must be a string; got {value!r}."
    raise DbtCloudConfigurationError(msg)


def _commands(name: str, value: object) -> list[str]:
    commands = read_structure(value)
    if isinstance(commands, list | tuple) and commands and all(map(_is_command, commands)):
        return list(commands)
    msg = f"{name} must be a list of dbt commands, such as ['dbt seed', 'dbt build']; got {value!r}."
    raise DbtCloudConfigurationError(msg)


def _is_command(value: object) -> bool:
    return isinstance(value, str) and re.match(r"\s*dbt\s+\S", value) is not None


def _timeout(name: str, value: object) -> int:
    # 0 is dbt Cloud's "as long as the account allows".
    return 0 if str(value).strip() == "0" else parse_count(name, value)


def _whole(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 < value <= LARGEST else None
    if isinstance(value, str) and re.fullmatch(r"0{0,18}[1-9][0-9]{0,18}", value.strip()):
        return _whole(int(value))
    return None


_READERS: dict[str, Callable[[str, object], Any]] = {
    "generate_docs_override": parse_flag,
    "steps_override": _commands,
    "threads_override": parse_count,
    "timeout_seconds_override": _timeout,
    "azure_pull_request_id": parse_count,
    "github_pull_request_id": parse_count,
    "gitlab_merge_request_id": parse_count,
    "non_native_pull_request_id": parse_count,
}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(map(str, names)))
