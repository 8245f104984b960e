"""The git repository that the project folder may be in."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


_PATIENCE = 60


class GitError(Exception):
    """Git refused; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What a run checks out. `branch` is known if a branch was asked for."""

    sha: str
    branch: str | None


@dataclass(frozen=True, slots=True)
class Repository:
    """A project folder, in a git repository or not."""

    project: Path

    def head(self) -> Commit | None:
        """Find what the folder has checked out; nothing outside of a repository."""
        try:
            sha = self._git("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
            branch = self._git("rev-parse", "--abbrev-ref", "HEAD")
        except GitError:
            return None
        return Commit(sha, None if branch == "HEAD" else branch)

    def find_branch(self, branch: str) -> Commit | None:
        """Find the newest commit of a branch, of this repository or its origin."""
        for prefix in ("refs/heads/", "refs/remotes/origin/"):
            if (commit := self._resolve(f"{prefix}{branch}")) is not None:
                return Commit(commit, branch)
        return None

    def find_commit(self, sha: str) -> Commit | None:
        """Find the commit that a full or shortened hash names."""
        if not re.fullmatch(r"[0-9a-fA-F]{4,64}", sha):
            return None
        commit = self._resolve(sha)
        return None if commit is None else Commit(commit, None)

    def find(self, sha: str | None, branch: str | None) -> Commit | None:
        """Find what a run asks for; of a commit and a branch, the commit counts."""
        if sha is None:
            return None if branch is None else self.find_branch(branch)
        commit = self.find_commit(sha)
        return None if commit is None else Commit(commit.sha, branch)

    def extract(self, commit: Commit, destination: Path) -> None:
        """Write the project folder as it is in a commit."""
        # From the top: in a folder that the commit does not have, git refuses.
        top = self._git("rev-parse", "--show-toplevel")
        archive = self._run("-C", top, "archive", "--format=tar", f"{commit.sha}:{self._subfolder()}")
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(destination, filter="data")

    def _resolve(self, name: str) -> str | None:
        """Give the commit, if it has the project folder."""
        try:
            sha = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
            self._git("cat-file", "-e", f"{sha}:{self._subfolder()}dbt_project.yml")
        except GitError:
            return None
        return sha.splitlines()[-1]

    def _subfolder(self) -> str:
        return self._git("rev-parse", "--show-prefix")

    def _git(self, *arguments: str) -> str:
        return self._run(*arguments).decode("utf-8", "replace").strip()

    def _run(self, *arguments: str) -> bytes:
        command = ["git", "-C", str(self.project), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=_PATIENCE)  # noqa: S603 - no shell
        except FileNotFoundError:
            raise GitError("git is not installed") from None
        except OSError as error:  # a name that is too long for a command line
            raise GitError(f"git cannot be called: {error.strerror}") from error
        except subprocess.TimeoutExpired:
            raise GitError(f"git {' '.join(arguments)} did not end within {_PATIENCE} seconds") from None
        if done.returncode != 0:
            raise GitError(
                done.stderr.decode("utf-8", "replace").strip() or f"git {' '.join(arguments)} failed"
            )
        return done.stdout
