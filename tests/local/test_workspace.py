"""Tests of `airflow_dbt_cloud.local.workspace`, `repository` and `artifacts`."""

import pytest

from airflow_dbt_cloud.local.artifacts import Snapshot, find_artifact, list_artifacts, take_snapshot
from airflow_dbt_cloud.local.project import read_project
from airflow_dbt_cloud.local.repository import GitError, Repository
from airflow_dbt_cloud.local.workspace import Workspace, passed_environment

from .conftest import git, write_repository


def test_the_working_copy_is_clean(project, tmp_path):
    """A copy has the project's files and nothing that dbt, git or this server made."""
    for path in (
        "target/manifest.json",
        "logs/dbt.log",
        "dbt_packages/a/b.sql",
        ".git/HEAD",
        "state/x",
        ".venv/y",
    ):
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text("x")
    (project / "models" / "target").mkdir()
    (project / "models" / "target" / "a.sql").write_text("select 1")
    workspace = Workspace(tmp_path / "work")
    workspace.copy_project(read_project(project), project / "state")
    assert sorted(path.name for path in workspace.project.iterdir()) == [
        "dbt_cloud.yml",
        "dbt_project.yml",
        "macros",
        "models",
        "seeds",
    ]
    assert (workspace.project / "models" / "target" / "a.sql").exists(), (
        "only the folders at the top are dbt's"
    )


def test_generated_folders_have_the_names_of_the_project(project, tmp_path):
    """A project may call its target folder otherwise."""
    (project / "dbt_project.yml").write_text("name: ferry\ntarget-path: out\npackages-install-path: pkgs\n")
    for name in ("out", "pkgs"):
        (project / name).mkdir()
    workspace = Workspace(tmp_path / "work")
    workspace.copy_project(read_project(project), tmp_path / "state")
    assert not {"out", "pkgs"} & {path.name for path in workspace.project.iterdir()}


def test_the_environment_of_dbt():
    """A run's dbt sees DBT_* of the server's environment but what a run sets itself, and nothing private."""
    given = {
        "DBT_LANDING": "/x",
        "DBT_ENV_CUSTOM_ENV_A": "a",
        "DBT_TARGET_SCHEMA": "mine",
        "PATH": "/bin",
        "DBT_TARGET": "prod",
        "DBT_ENGINE_TARGET": "prod",
        "DBT_PROFILES_DIR": "/home",
        "DBT_CLOUD_RUN_ID": "1",
        "DBT_LOG_FORMAT": "json",
        "DBT_DEFER": "1",
        "AIRFLOW__CORE__FERNET_KEY": "secret",
    }
    passed = {"DBT_LANDING", "DBT_ENV_CUSTOM_ENV_A", "DBT_TARGET_SCHEMA", "PATH"}
    assert set(passed_environment(given)) == passed


def test_commits_and_branches_are_found(tmp_path):
    """A branch and a commit are found if they are there and have the project; an option is neither."""
    folder = write_repository(tmp_path / "repository" / "nested")
    repository = Repository(folder)
    head = repository.head()
    assert head.branch == "main"
    assert repository.find_branch("main").sha == head.sha
    assert repository.find_commit(head.sha[:7]).sha == head.sha
    assert repository.find_branch("polite").sha != head.sha
    for name in ("no-such", "--all", "", "main:", "HEAD~1", "x" * 200_000):
        assert repository.find_branch(name) is None
    for name in ("0" * 40, "main", "--all", "HEAD"):
        assert repository.find_commit(name) is None


def test_a_project_in_a_subfolder_of_a_repository(tmp_path):
    """Of the repository only the project folder is checked out, and only of commits that have it."""
    top = tmp_path / "repository"
    folder = write_repository(top / "dbt")
    (folder / ".git").rename(top / ".git")
    git(top, "commit", "--quiet", "--allow-empty", "--message", "without")
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message", "moved")
    repository = Repository(folder)
    assert repository.find_branch("polite") is None, "that branch has the project elsewhere"
    repository.extract(repository.find_branch("main"), tmp_path / "out")
    assert (tmp_path / "out" / "models" / "trips.sql").exists()
    assert not (tmp_path / "out" / "dbt").exists()


def test_outside_of_a_repository(project):
    """A project need not be in a repository."""
    repository = Repository(project)
    assert repository.head() is None
    assert repository.find_branch("main") is None
    with pytest.raises(GitError):
        repository._git("status")


def test_snapshots(tmp_path):
    """A snapshot has JSON files, compiled/ and run/; what did not change costs no room."""
    target = tmp_path / "target"
    (target / "compiled" / "p").mkdir(parents=True)
    (target / "manifest.json").write_text("1")
    (target / "compiled" / "p" / "a.sql").write_text("a")
    (target / "partial_parse.msgpack").write_text("x")
    first, changed = take_snapshot(target, tmp_path / "1", Snapshot(None, {}))
    assert changed == {"manifest.json", "compiled/p/a.sql"}
    assert list_artifacts(tmp_path / "1") == ["compiled/p/a.sql", "manifest.json"]
    nothing, changed = take_snapshot(target, tmp_path / "2", first)
    assert (nothing, changed) == (first, frozenset())
    assert not (tmp_path / "2").exists()
    (target / "run_results.json").write_text("r")
    with (target / "manifest.json").open("r+") as file:
        file.write("22")
    _, changed = take_snapshot(target, tmp_path / "3", first)
    assert changed == {"manifest.json", "run_results.json"}
    assert find_artifact(tmp_path / "1", "manifest.json").read_text() == "1"
    assert find_artifact(tmp_path / "3", "manifest.json").read_text() == "22"
    assert find_artifact(tmp_path / "3", "compiled/p/a.sql").stat().st_nlink == 2
    assert find_artifact(tmp_path / "3", "../1/manifest.json") is None
