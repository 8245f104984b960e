"""The example project as dbt sees it, and the DAGs that feed, read and retry it."""

import importlib
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).parents[1] / "example_dags"
PROJECT = EXAMPLES / "project"
CLOUD = yaml.safe_load((PROJECT / "dbt_cloud.yml").read_text(encoding="utf-8"))
COMMANDS = [command for job in CLOUD["jobs"] for command in job["commands"]]

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)

# Asks dbt itself, in one process, which nodes each command would select, and what these read.
LIST_NODES = """
import json, shlex, sys
from dbt.cli.main import dbtRunner
nodes = {}
for command in json.loads(sys.argv[1]):
    _, verb, *options = shlex.split(command)
    kind = {"seed": ["--resource-type", "seed"], "snapshot": ["--resource-type", "snapshot"]}.get(verb, [])
    keys = ["--output", "json", "--output-keys", "unique_id depends_on"]
    answer = dbtRunner().invoke(["--quiet", "ls", *keys, *kind, *options])
    if not answer.success:
        raise SystemExit(f"{command}: {answer.exception}")
    listed = [json.loads(line) for line in answer.result]
    nodes[command] = {node["unique_id"]: node.get("depends_on", {}).get("nodes", []) for node in listed}
print(json.dumps(nodes), file=sys.stderr)
"""


@dataclass(frozen=True)
class Workshop:
    """A folder with landed files, a profile and a warehouse, and dbt to run in it."""

    folder: Path

    @property
    def landing(self):
        """Where files land."""
        return self.folder / "landing"

    @property
    def warehouse(self):
        """The DuckDB file."""
        return self.folder / "ferry.duckdb"

    def run(self, *arguments, **others):
        """Run Python in the project's folder, with dbt's settings in the environment; None takes one out."""
        settings = {
            "DBT_LANDING": str(self.landing),
            "DBT_LOG_PATH": str(self.folder / "logs"),
            "DBT_PROFILES_DIR": str(self.folder),
            "DBT_TARGET_PATH": str(self.folder / "target"),
        }
        environment = os.environ | settings | others
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=PROJECT,
            env={name: value for name, value in environment.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def dbt(self, *options, **others):
        """Run dbt as a process of its own."""
        return self.run("-m", "dbt.cli.main", "--no-use-colors", *options, **others)

    def list_models_by_status(self):
        """Names of the models of the last invocation, by status."""
        document = json.loads((self.folder / "target" / "run_results.json").read_text(encoding="utf-8"))
        models = {}
        for result in document["results"]:
            kind, _, name, *_ = result["unique_id"].split(".")
            if kind == "model":
                models.setdefault(result["status"], set()).add(name)
        return models

    def query(self, sql):
        """Rows from the warehouse."""
        import duckdb

        with duckdb.connect(self.warehouse, read_only=True) as warehouse:
            return warehouse.sql(sql).fetchall()


@pytest.fixture(scope="module")
def ferry_landing():
    """Import the module as Airflow does, whose DAG folder is on the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield importlib.import_module("ferry_landing")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory, ferry_landing) -> Workshop:
    """Files that have just landed, and an empty warehouse."""
    workshop = Workshop(tmp_path_factory.mktemp("ferry"))
    output = {"type": "duckdb", "path": str(workshop.warehouse), "schema": "analytics", "threads": 4}
    profiles = {"ferry_line": {"target": "default", "outputs": {"default": output}}}
    (workshop.folder / "profiles.yml").write_text(yaml.safe_dump(profiles), encoding="utf-8")
    ferry_landing.land_week(workshop.landing, YESTERDAY, datetime.now(UTC))
    return workshop


@pytest.fixture(scope="module")
def built(workshop) -> Workshop:
    """Build them once."""
    completed = workshop.dbt("build")
    assert completed.returncode == 0, completed.stdout
    return workshop


@pytest.fixture
def dag(ferry_landing):  # noqa: ARG001 - the DAG imports it
    """Import the example DAG."""
    return importlib.import_module("example_run_job").ferry_nightly()


def read_all(folder):
    """Every file's bytes, by path."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestLanding:
    """What lands."""

    def test_the_same_week_is_the_same_bytes(self, ferry_landing, tmp_path):
        """Landing a week again changes no byte and leaves no unfinished file."""
        landed_at = datetime(2026, 3, 9, 2, 15, tzinfo=UTC)
        first = ferry_landing.land_week(tmp_path, date(2026, 3, 8), landed_at)
        before = read_all(tmp_path)
        second = ferry_landing.land_week(tmp_path, date(2026, 3, 8), landed_at)
        assert first == second
        assert read_all(tmp_path) == before
        assert len(before) == 21
        assert all(path.suffix == ".csv" for path in before)

    def test_a_day_does_not_depend_on_its_week(self, ferry_landing, tmp_path):
        """A day that two weeks share is the same in both."""
        landed_at = datetime(2026, 3, 9, 2, 15, tzinfo=UTC)
        ferry_landing.land_week(tmp_path / "one", date(2026, 3, 8), landed_at)
        ferry_landing.land_week(tmp_path / "two", date(2026, 3, 10), landed_at)
        day = Path("tickets/2026-03-06.csv")
        assert (tmp_path / "one" / day).read_bytes() == (tmp_path / "two" / day).read_bytes()

    def test_times_are_utc(self, ferry_landing, tmp_path):
        """The time of landing is written in UTC, whatever zone it came in."""
        landed_at = datetime.fromisoformat("2026-03-09T02:15:00+02:00")
        ferry_landing.land_day(tmp_path, date(2026, 3, 8), landed_at)
        _, row, *_ = (tmp_path / "weather" / "2026-03-08.csv").read_text(encoding="utf-8").splitlines()
        assert row.endswith(",2026-03-09 00:15:00")

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [([], "the following arguments are required: FOLDER"), ([""], "is DBT_LANDING set?")],
    )
    def test_a_folder_must_be_named(self, tmp_path, arguments, said):
        """Without a folder, or with a variable that is not set, nothing lands; a usage line says why."""
        completed = subprocess.run(
            [sys.executable, EXAMPLES / "ferry_landing.py", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert completed.returncode == 2
        assert completed.stderr.startswith("usage: ferry_landing.py [-h] FOLDER")
        assert said in completed.stderr
        assert read_all(tmp_path) == {}

    def test_it_says_what_landed(self, tmp_path):
        """A week lands in the folder that is named, and a line says how much."""
        command = [sys.executable, EXAMPLES / "ferry_landing.py", tmp_path / "ferry"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.startswith(f"Landed a week in {tmp_path / 'ferry'}: ")
        assert len(read_all(tmp_path / "ferry")) == 21


class TestCloud:
    """What `dbt_cloud.yml` offers."""

    def test_ids_are_like_dbt_clouds(self):
        """Every job has an id of its own, with fourteen digits."""
        ids = [job["id"] for job in CLOUD["jobs"]]
        assert len(set(ids)) == len(ids)
        assert all(len(str(number)) == 14 for number in ids)

    def test_jobs_have_an_environment(self):
        """No job names an environment that is not there."""
        environments = {environment["name"] for environment in CLOUD["environments"]}
        assert {job["environment"] for job in CLOUD["jobs"]} == environments

    def test_variables_are_declared(self):
        """A job sets no variable that the project does not declare."""
        project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
        given = [
            words[words.index("--vars") + 1] for words in map(shlex.split, COMMANDS) if "--vars" in words
        ]
        assert given
        assert {name for text in given for name in yaml.safe_load(text)} <= project["vars"].keys()

    @pytest.mark.slow
    def test_commands_select_something(self, workshop):
        """Each command selects nodes, and a build all that these read: any job may come first."""
        completed = workshop.run("-c", LIST_NODES, json.dumps(COMMANDS))
        assert completed.returncode == 0, completed.stderr
        nodes = json.loads(completed.stderr.splitlines()[-1])
        assert [command for command in COMMANDS if not nodes[command]] == []
        builds = [selected for command, selected in nodes.items() if command.startswith("dbt build")]
        assert [
            parent
            for selected in builds
            for parents in selected.values()
            for parent in parents
            if parent not in selected and not parent.startswith("source.")
        ] == []


@pytest.mark.slow
class TestDbt:
    """What dbt makes of the project."""

    def test_the_project_parses_without_warnings(self, workshop):
        """Neither a warning nor a deprecation is met while the project is read."""
        completed = workshop.dbt("--warn-error", "parse", "--no-partial-parse", "--show-all-deprecations")
        assert completed.returncode == 0, completed.stdout
        assert "deprecat" not in completed.stdout.lower()

    @pytest.mark.parametrize("landing", [None, ""])
    def test_a_missing_landing_folder_is_named(self, workshop, tmp_path, landing):
        """Without the variable for the landed files dbt stops at once, and says where to read about it."""
        completed = workshop.dbt("parse", DBT_LANDING=landing, DBT_TARGET_PATH=str(tmp_path))
        assert completed.returncode == 2
        assert "Env var required but not provided: 'DBT_LANDING, the folder" in completed.stdout
        assert "README.md" in completed.stdout

    def test_every_model_is_described(self, built):
        """No model, seed, snapshot or source is without a description."""
        manifest = json.loads((built.folder / "target" / "manifest.json").read_text(encoding="utf-8"))
        nodes = [*manifest["nodes"].values(), *manifest["sources"].values()]
        kinds = {"model", "seed", "snapshot", "source"}
        assert [n["name"] for n in nodes if n["resource_type"] in kinds and not n.get("description")] == []

    def test_files_that_just_landed_are_fresh(self, workshop):
        """The sources' freshness is read from the landed files, and passes."""
        completed = workshop.dbt("source", "freshness")
        assert completed.returncode == 0, completed.stdout
        sources = json.loads((workshop.folder / "target" / "sources.json").read_text(encoding="utf-8"))
        assert [result["status"] for result in sources["results"]] == ["pass"] * 3

    def test_a_build_on_an_empty_warehouse_succeeds(self, built):
        """One build seeds, snapshots, models and tests everything, and fills each route's row."""
        ((routes, sailings),) = built.query("select count(*), sum(sailings) from analytics.route_performance")
        assert (routes, sailings) == (8, 364)

    def test_a_day_that_lands_late_is_taken_in(self, built, ferry_landing):
        """An older day reaches the sailings, although newer ones landed before it."""
        before = YESTERDAY - timedelta(days=20)
        ferry_landing.land_day(built.landing, before, datetime.now(UTC) - timedelta(days=2))
        completed = built.dbt("build", "--select", "sailings")
        assert completed.returncode == 0, completed.stdout
        assert built.query(
            f"select count(*) from analytics.sailings where sailing_date = '{before}'"  # noqa: S608 - ours
        ) == [(52,)]

    def test_a_strict_tariff_fails_one_model(self, built):
        """With strict tariffs one model fails on its input, and only what follows it is skipped."""
        completed = built.dbt("build", "--vars", "{strict_tariffs: true}")
        assert completed.returncode == 1
        models = built.list_models_by_status()
        assert models["error"] == {"port_dues"}
        assert models["skipped"] == {"daily_scorecard", "route_margin"}
        assert len(models["success"]) == 15
        assert 'Could not convert string "tbc"' in completed.stdout

    def test_a_lost_connection_is_found_again(self, built):
        """With a shaky connection the first attempt fails, and dbt's retry succeeds."""
        shaky = built.dbt("build", "--select", "port_dues+", "--vars", "{lose_first_connection: true}")
        assert shaky.returncode == 1
        assert built.list_models_by_status()["error"] == {"port_dues"}
        retry = built.dbt("retry")
        assert retry.returncode == 0, retry.stdout
        assert {"port_dues", "route_margin"} <= built.list_models_by_status()["success"]


class TestDag:
    """The DAG `ferry_nightly`."""

    def test_the_order(self, dag):
        """Files land before dbt builds, and the table is read after it."""
        assert dag.dag_id == "ferry_nightly"
        assert dag.get_task("extract").downstream_task_ids == {"build"}
        assert dag.get_task("build").downstream_task_ids == {"brief"}

    def test_the_job_exists(self, dag):
        """The DAG asks for a job, an environment and a project that the local server offers."""
        build = dag.get_task("build")
        assert build.project_name == CLOUD["project"]["name"]
        assert (build.environment_name, build.job_name) in [
            (job["environment"], job["name"]) for job in CLOUD["jobs"]
        ]

    def test_a_missing_setting_is_named(self, dag, monkeypatch):
        """Without the warehouse's path the task fails for good, and says which variable to set."""
        from airflow.sdk.exceptions import AirflowFailException

        pytest.importorskip("duckdb", reason="the extra local is not installed")
        monkeypatch.delenv("FERRY_WAREHOUSE", raising=False)
        with pytest.raises(AirflowFailException, match="FERRY_WAREHOUSE"):
            dag.get_task("brief").python_callable()

    @pytest.mark.slow
    def test_the_briefing_has_a_row_for_each_route(self, dag, built, monkeypatch, capsys):
        """The last task returns plain rows, best earner first, and prints them as a table."""
        monkeypatch.setenv("FERRY_WAREHOUSE", str(built.warehouse))
        rows = dag.get_task("brief").python_callable()
        assert len(rows) == 8
        assert json.loads(json.dumps(rows)) == rows
        assert rows == sorted(rows, key=lambda row: -row["revenue_eur"])
        assert rows[0]["route"] in capsys.readouterr().out


class TestRetry:
    """The DAG `ferry_retry`."""

    @pytest.mark.usefixtures("ferry_landing")
    def test_the_job_fails_once(self):
        """The DAG runs a job that loses its first connection, and retries it from the failure."""
        build = importlib.import_module("example_retry_from_failure").ferry_retry().get_task("build")
        (job,) = (job for job in CLOUD["jobs"] if job["name"] == build.job_name)
        assert (job["environment"], CLOUD["project"]["name"]) == (build.environment_name, build.project_name)
        assert "lose_first_connection" in job["commands"][0]
        assert build.retry_from_failure
        assert build.retries >= 1
