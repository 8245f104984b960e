"""The project folder: `dbt_project.yml`, and `dbt_cloud.yml` with its environments and jobs.

Ids that the file does not give are made from the names, so they are the same on every machine and after
every restart.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from airflow_dbt_cloud.local.errors import StartError
from airflow_dbt_cloud.local.json_text import is_text
from airflow_dbt_cloud.local.records import Account, Environment, Job, Project

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_LARGEST_NUMBER = 2**53 - 1
_DERIVED_IDS = 70_403_100_000_000
_TOP_KEYS = ("account", "project", "environments", "jobs")
_NAMED_KEYS = ("id", "name")
_ENVIRONMENT_KEYS = (*_NAMED_KEYS, "deployment_type", "schema")
_JOB_KEYS = (
    *_NAMED_KEYS,
    "environment",
    "commands",
    "description",
    "threads",
    "timeout",
    "generate_docs",
    "run_generate_sources",
    "target_name",
)


@dataclass(frozen=True, slots=True)
class ProjectFolder:
    """A dbt project with the dbt Cloud things that its `dbt_cloud.yml` declares."""

    path: Path
    account: Account
    project: Project
    environments: tuple[Environment, ...]
    jobs: tuple[Job, ...]
    generated_folders: frozenset[str]


def read_project(path: Path) -> ProjectFolder:
    """Read both files; a `StartError` names the file, the key, what was found and what is expected."""
    dbt_project = _read_yaml(
        path / "dbt_project.yml", "a dbt project has one; is --project the right folder?"
    )
    file = path / "dbt_cloud.yml"
    declared = _read_yaml(file, "it declares `environments:` and `jobs:`, see --help", _StrictLoader)
    top = _Section(file, "", declared, _TOP_KEYS)
    changed_at = file.stat().st_mtime
    account, project = top.section("account", _NAMED_KEYS), top.section("project", _NAMED_KEYS)
    sections = top.sections("environments", _ENVIRONMENT_KEYS)
    environments = tuple(_environment(section, changed_at) for section in sections)
    ids = {environment.name: environment.id for environment in environments}
    jobs = tuple(_job(section, ids, changed_at) for section in top.sections("jobs", _JOB_KEYS))
    folder = ProjectFolder(
        path=path,
        account=_account(account, changed_at),
        project=_project(project, str(dbt_project.get("name") or path.name), changed_at),
        environments=environments,
        jobs=jobs,
        generated_folders=_generated_folders(dbt_project),
    )
    _refuse_twins(file, "environments", environments)
    _refuse_twins(file, "jobs", jobs)
    return folder


def derived_id(kind: str, name: str) -> int:
    """Make a 14-digit id from a name."""
    digest = hashlib.sha256(f"{kind}\0{name}".encode()).digest()
    return _DERIVED_IDS + int.from_bytes(digest[:8]) % 100_000_000


def slug(name: str) -> str:
    """Make a name for a file: lower case letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "environment"


def _account(section: _Section, changed_at: float) -> Account:
    name = section.text("name", "Local account")
    return Account(section.id("account", name), name, changed_at)


def _project(section: _Section, default_name: str, changed_at: float) -> Project:
    name = section.text("name", default_name)
    return Project(section.id("project", name), name, changed_at)


def _environment(section: _Section, changed_at: float) -> Environment:
    name = section.text("name")
    return Environment(
        id=section.id("environment", name),
        name=name,
        deployment_type=section.choice("deployment_type", ("production", "staging")),
        schema=section.text("schema", "main"),
        created_at=changed_at,
    )


def _job(section: _Section, environment_ids: dict[str, int], changed_at: float) -> Job:
    name = section.text("name")
    environment = section.choice("environment", tuple(environment_ids))
    if environment is None:
        section.refuse("environment", "nothing", "the name of an environment in this file")
    return Job(
        id=section.id("job", name),
        name=name,
        environment_id=environment_ids[environment],
        commands=section.commands("commands"),
        created_at=changed_at,
        updated_at=changed_at,
        description=section.text("description", ""),
        threads=section.number("threads", 4, minimum=1),
        timeout_seconds=section.number("timeout", 0, minimum=0),
        generate_docs=section.flag("generate_docs"),
        run_generate_sources=section.flag("run_generate_sources"),
        target_name=section.text("target_name", "default"),
    )


def _read_yaml(file: Path, purpose: str, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> dict[str, Any]:
    try:
        value = yaml.load(file.read_text(encoding="utf-8"), loader)  # noqa: S506 - a safe one
    except FileNotFoundError:
        raise StartError(f"{file} does not exist: {purpose}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{file} cannot be read: {error}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or a number that is none
        raise StartError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise StartError(f"{file} is not valid YAML: it is nested too deeply") from error
    if not isinstance(value, dict):
        raise StartError(f"{file}: found {_found(value)}, expected keys and values: {purpose}")
    return value


class _StrictLoader(yaml.SafeLoader):
    """Reads YAML, but refuses a key that is there twice: else the last one would count, silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen and isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, f"found the key {key_node.value!r} twice", key_node.start_mark
                )
            seen.add(str(key_node.value))
        return super().construct_mapping(node, deep)


def _generated_folders(dbt_project: dict[str, Any]) -> frozenset[str]:
    """Top-level folders that dbt writes: a run's working copy starts without them."""
    names = {"target", "logs", "dbt_packages"}
    for key in ("target-path", "log-path", "packages-install-path"):
        if isinstance(value := dbt_project.get(key), str):
            names.add(value.strip("/"))
    return frozenset(names)


def _refuse_twins(file: Path, key: str, entries: Iterable[Environment | Job]) -> None:
    seen: dict[object, str] = {}
    for entry in entries:
        marks: list[object] = [entry.name, entry.id]
        if isinstance(entry, Environment):
            marks.append(f"warehouse/{slug(entry.name)}.duckdb")
        for mark in marks:
            if mark in seen:
                raise StartError(
                    f"{file}: {key}: {entry.name!r} and {seen[mark]!r} share {mark!r}; "
                    "give each its own name, and its own id"
                )
            seen[mark] = entry.name


def _found(value: object) -> str:
    if isinstance(value, date):
        return str(value)
    return "nothing" if value is None else repr(value)


class _Section:
    """A mapping in the file, which knows where it stands."""

    def __init__(self, file: Path, place: str, values: object, keys: tuple[str, ...]) -> None:
        self._file, self._place = file, place
        if not isinstance(values, dict):
            raise StartError(
                f"{file}: {place}: found {_found(values)}, expected keys and values, of {', '.join(keys)}"
            )
        self._values = values
        # First of all: a misspelt key explains why another one is missing.
        for key in values:
            if key not in keys:
                self.refuse(str(key), "a key that is not known", f"one of {', '.join(keys)}")

    def refuse(self, key: str, found: str, expected: str) -> NoReturn:
        place = f"{self._place}.{key}" if self._place else key
        raise StartError(f"{self._file}: {place}: found {found}, expected {expected}")

    def section(self, key: str, keys: tuple[str, ...]) -> _Section:
        value = self._values.get(key)
        return _Section(self._file, key, {} if value is None else value, keys)

    def sections(self, key: str, keys: tuple[str, ...]) -> list[_Section]:
        entries = self._values.get(key)
        if not isinstance(entries, list) or not entries:
            self.refuse(key, _found(entries), "a list with at least one entry")
        return [
            _Section(self._file, f"{key}[{position}]", entry, keys) for position, entry in enumerate(entries)
        ]

    def text(self, key: str, default: str | None = None) -> str:
        value = self._values.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not value.strip() or not is_text(value):
            is_scalar = isinstance(value, bool | int | float | date)
            self.refuse(key, _found(value), "a text: put it in quotes" if is_scalar else "a text")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str | None:
        value = self._values.get(key)
        if value is not None and value not in choices:
            self.refuse(key, _found(value), f"one of {', '.join(choices)}")
        return None if value is None else str(value)

    def number(self, key: str, default: int, *, minimum: int) -> int:
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            self.refuse(key, _found(value), f"a whole number of at least {minimum}")
        if value > _LARGEST_NUMBER:
            self.refuse(key, str(value), f"a whole number of at most {_LARGEST_NUMBER}")
        return value

    def flag(self, key: str) -> bool:
        value = self._values.get(key)
        if value is not None and not isinstance(value, bool):
            self.refuse(key, _found(value), "true or false")
        return bool(value)

    def commands(self, key: str) -> tuple[str, ...]:
        value = self._values.get(key)
        if not isinstance(value, list) or not value:
            self.refuse(key, _found(value), 'a list of commands, each beginning with "dbt "')
        for position, entry in enumerate(value):
            if not isinstance(entry, str) or not re.match(r"dbt +\S", entry) or not is_text(entry):
                self.refuse(f"{key}[{position}]", _found(entry), 'a command that begins with "dbt "')
        return tuple(value)

    def id(self, kind: str, name: str) -> int:
        return self.number("id", derived_id(kind, name), minimum=1)
