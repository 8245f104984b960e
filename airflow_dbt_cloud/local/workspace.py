"""The working copy of a run: project files, profile and environment variables."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_dbt_cloud.local.project import ProjectFolder
    from airflow_dbt_cloud.local.records import Environment, Run
    from airflow_dbt_cloud.local.repository import Commit, Repository

_NEVER_COPIED = frozenset({".git", ".venv", "venv", "__pycache__", "node_modules"})
# Besides DBT_*, dbt sees of the server's environment only what programs need to work at all, as in dbt Cloud.
_PASSED = re.compile(
    r"PATH|HOME|USER|LANG|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH|VIRTUAL_ENV|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE"
    r"|(https?|no)_proxy|(HTTPS?|NO)_PROXY"
)
# What a run decides for itself. dbt reads each of these with DBT_ENGINE_ in front as well.
_OWN_SETTING = re.compile(
    r"DBT_(ENGINE_)?(CLOUD_\w+|DEFER|DEFER_STATE|DEFER_TO_STATE|ENV|FAVOR_STATE(_MODE)?|(ARTIFACT_)?STATE(_PATH)?"
    r"|LOG_(FILE_MAX_BYTES|FORMAT|FORMAT_FILE|LEVEL|LEVEL_FILE|PATH)|(NO_)?PRINT|QUIET|PACKAGES_INSTALL_PATH"
    r"|PARTIAL_PARSE_FILE_(DIFF|PATH)|PROFILE|PROFILES_DIR|PROJECT_DIR|TARGET|TARGET_PATH|SINGLE_THREADED"
    r"|SEND_ANONYMOUS_USAGE_STATS|UPLOAD_TO_ARTIFACTS_INGEST_API|USE_COLORS(_FILE)?|WRITE_JSON)"
)
_REASONS = {
    "github_pull_request_id": "github_pull_request",
    "gitlab_merge_request_id": "gitlab_merge_request",
    "azure_pull_request_id": "azure_pull_request",
}


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folders that one run's dbt works in."""

    folder: Path

    @property
    def project(self) -> Path:
        """The project files. dbt Cloud calls this folder target, and dbt's own target is inside."""
        return self.folder / "target"

    @property
    def profiles(self) -> Path:
        """Where `profiles.yml` is."""
        return self.folder / ".dbt"

    @property
    def target(self) -> Path:
        """Where dbt writes its artifacts."""
        return self.project / "target"

    def copy_project(self, folder: ProjectFolder, state_folder: Path) -> None:
        """Copy the project folder, uncommitted changes and all, without what dbt generated in it."""
        top, state = str(folder.path), state_folder.resolve()

        def ignored(parent: str, names: list[str]) -> set[str]:
            skipped = set(_NEVER_COPIED.intersection(names))
            if parent == top:
                skipped |= folder.generated_folders.intersection(names)
            return skipped | {name for name in names if (folder.path / parent / name).resolve() == state}

        shutil.copytree(folder.path, self.project, ignore=ignored, ignore_dangling_symlinks=True)

    def check_out(self, repository: Repository, commit: Commit) -> None:
        """Write the project folder as it is in a commit."""
        self.project.mkdir(parents=True)
        repository.extract(commit, self.project)

    def write_profile(self, run: Run, environment: Environment, warehouse: Path) -> None:
        """Write the profile `user`, with one target."""
        output = {
            "type": "duckdb",
            "path": str(warehouse),
            "schema": run.schema_override or environment.schema,
            "threads": run.threads,
        }
        profile = {"user": {"target": run.target_name, "outputs": {run.target_name: output}}}
        self.profiles.mkdir(parents=True)
        # JSON is YAML, and needs no thought about quoting.
        (self.profiles / "profiles.yml").write_text(json.dumps(profile, indent=2), encoding="utf-8")

    def dbt_environment(
        self, run: Run, project_id: int, account_id: int, environment: Environment
    ) -> dict[str, str]:
        """Give the environment variables that dbt sees."""
        pull_request = run.trigger.pull_request
        reason = _REASONS.get(pull_request[0], "other") if pull_request else "other"
        cloud = {
            "ACCOUNT_ID": account_id,
            "PROJECT_ID": project_id,
            "ENVIRONMENT_ID": environment.id,
            "ENVIRONMENT_NAME": environment.name,
            "ENVIRONMENT_TYPE": environment.deployment_type or "deployment",
            "JOB_ID": run.job.id,
            "RUN_ID": run.id,
            "RUN_REASON": run.trigger.cause,
            "RUN_REASON_CATEGORY": reason,
            "PR_ID": pull_request[1] if pull_request else None,
            "GIT_SHA": run.git_sha,
        }
        named = {f"DBT_CLOUD_{name}": str(value) for name, value in cloud.items() if value is not None}
        return {
            **passed_environment(dict(os.environ)),
            **named,
            # With this in front, dbt writes them to the metadata of its artifacts.
            **{f"DBT_ENV_CUSTOM_ENV_{name}": value for name, value in named.items()},
            "DBT_ENV": "prod",
            "DBT_PROFILE": "user",
            "DBT_PROFILES_DIR": str(self.profiles),
            "DBT_PROJECT_DIR": str(self.project),
            "DBT_TARGET": run.target_name,
            "DBT_TARGET_PATH": str(self.target),
            "DBT_USE_COLORS": "true",
            "DBT_USE_COLORS_FILE": "false",
            "DBT_LOG_FORMAT_FILE": "json",
            "DBT_LOG_LEVEL_FILE": "debug",
            "DBT_LOG_FILE_MAX_BYTES": "0",
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        }

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


def passed_environment(environment: dict[str, str]) -> dict[str, str]:
    """Of the server's environment variables, those that dbt sees."""
    return {name: value for name, value in environment.items() if _is_passed(name)}


def _is_passed(name: str) -> bool:
    if name.startswith("DBT_"):
        return _OWN_SETTING.fullmatch(name) is None
    return _PASSED.fullmatch(name) is not None
