"""
Check what would be published: `make release-check`, or `make release-check TAG=v1.0.0` before that tag.

Builds sdist and wheel into `dist`, checks their metadata, and lets a real Airflow that has the wheel and
nothing else run dbt jobs. The dbt Cloud of that is the local one, from the same wheel in an environment of
its own: Airflow is to get along without dbt. Everything but `dist` is below `.release`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from airflow_dbt_cloud import __version__
from demo.airflow import Airflow
from demo.dbt_cloud import TOKEN, DbtCloud
from demo.processes import StackError, wait_until
from release.environments import ROOT, Environment, build, run
from release.versions import disagreements

if TYPE_CHECKING:
    from typing import Any

HOME = ROOT / ".release"
EXAMPLES = ROOT / "example_dags"
DAG = "first_run"
CONNECTION = "dbt_cloud_default"
# Each job, how its task has to end, what that task's log has to say, and how its run ends.
STORIES = (
    (70403100000002, "success", "succeeded after", 10),
    (70403100000003, "failed", "Runtime Error in model port_dues", 20),
)


class WrongError(Exception):
    """It cannot be published; the message says why."""


def main(tag: str = "") -> int:
    """Check everything, and return the exit code."""
    try:
        _check_versions(tag)
        wheel = _build()
        _run_jobs(wheel)
    except (WrongError, StackError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"\n{error.stdout or ''}{error}", file=sys.stderr)
        return 1
    _say(f"{wheel.name} can be published: both files are in dist.")
    return 0


def _check_versions(tag: str) -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if wrong := disagreements(__version__, changelog, tag):
        raise WrongError("\n".join(wrong))
    if tag and (changed := run("git", "status", "--porcelain")):
        raise WrongError(f"What is published is committed first:\n{changed}")
    agreeing = f"The package, CHANGELOG.md and the tag {tag}" if tag else "The package and CHANGELOG.md"
    _say(f"{agreeing} agree on version {__version__}.")


def _build() -> Path:
    files = build(ROOT / "dist")
    _say(f"Built {' and '.join(file.name for file in files)}.")
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, files))
    _say("Their metadata is in order, says `twine check --strict`.")
    return files[1]


def _run_jobs(wheel: Path) -> None:
    for name in ("airflow", "dbt-cloud", "landing"):
        shutil.rmtree(HOME / name, ignore_errors=True)
    pins = ("--constraints", "constraints.txt")
    bare = Environment(HOME / "bare", *pins, str(wheel))
    versions = bare.versions()
    brought = {"dbt-core", "duckdb", "apache-airflow-providers-openlineage"} & versions.keys()
    if brought:
        raise WrongError(f"Without extras the wheel brings {', '.join(sorted(brought))}.")
    _say(f"Installed the wheel with Airflow {versions['apache-airflow']}, and without any extra.")
    local = Environment(HOME / "local", *pins, f"{wheel}[local]")
    _say(f"Installed the wheel with its extra local, which has dbt {local.versions()['dbt-core']}.")
    with ExitStack() as stack:
        dbt_cloud, airflow = _start(stack, bare.python, local.python)
        for story in STORIES:
            _tell(airflow, dbt_cloud, bare.folder, *story)


def _start(stack: ExitStack, airflow_python: str, dbt_cloud_python: str) -> tuple[DbtCloud, Airflow]:
    landing, state = HOME / "landing", HOME / "dbt-cloud"
    run(sys.executable, str(EXAMPLES / "ferry_landing.py"), str(landing))
    # `python -m` would import what is in the current folder, and that is the checkout.
    shared = {"PYTHONSAFEPATH": "1", "PYTHONPATH": ""}
    dbt = {"DBT_LANDING": str(landing), "FERRY_WAREHOUSE": str(state / "warehouse" / "production.duckdb")}
    dbt_cloud = stack.enter_context(
        DbtCloud(
            EXAMPLES / "project",
            state,
            log=HOME / "dbt-cloud.log",
            environment={**shared, **dbt},
            python=dbt_cloud_python,
        )
    )
    dags = ROOT / "release" / "dags"
    airflow = Airflow(HOME / "airflow", [dags], environment=shared, python=airflow_python)
    stack.callback(airflow.stop)
    airflow.start()
    dbt_cloud.wait_until_ready()
    airflow.call("POST", "connections", {"connection_id": CONNECTION, **dbt_cloud.connection()})
    _say(f"Started both: Airflow at {airflow.url}, the local dbt Cloud at {dbt_cloud.url}.")
    return dbt_cloud, airflow


def _tell(
    airflow: Airflow, dbt_cloud: DbtCloud, folder: Path, job_id: int, state: str, words: str, status: int
) -> None:
    dag_run = (DAG, airflow.trigger(DAG, {"job_id": job_id}))
    has_deferred = False

    def is_over() -> bool:
        nonlocal has_deferred
        tasks = {task["task_id"]: task["state"] for task in airflow.tasks(*dag_run)}
        has_deferred |= tasks.get("build") == "deferred"
        return bool(tasks) and set(tasks.values()) <= {"success", "failed", "upstream_failed"}

    watched = [dbt_cloud, *airflow.processes.values()]
    wait_until(is_over, within=300, what=f"The run of the DAG {DAG}", watching=watched)
    path, version = airflow.xcom(*dag_run, "find_package")
    if not Path(path).is_relative_to(folder) or version != __version__:
        raise WrongError(f"The task ran with {path} {version}, not with the wheel of {__version__}.")
    task = airflow.task(*dag_run, "build")
    lines = airflow.log(*dag_run, "build")
    log = "\n".join(f"{line['event']} {line.get('error_detail') or ''}" for line in lines)
    run_id = airflow.xcom(*dag_run, "build", "job_run_id")
    ended = _ask(dbt_cloud, run_id)["status"]
    if (task["state"], ended) != (state, status) or words not in log or not has_deferred:
        raise WrongError(
            f"The task of job {job_id} is {task['state']}, its run has status {ended}; expected {state} and"
            f" {status}, {words!r} in the log, and a deferral ({has_deferred}). Its log:\n{log}"
        )
    _say(f"A deferred task ran job {job_id}, run {run_id}: {state}, as it had to be; its log says {words!r}.")


def _ask(dbt_cloud: DbtCloud, run_id: int) -> dict[str, Any]:
    """Ask dbt Cloud itself, past the package."""
    url = f"{dbt_cloud.url}/api/v2/accounts/{dbt_cloud.account_id}/runs/{run_id}/"
    headers = {"Authorization": f"Token {TOKEN}"}
    answer = requests.get(url, headers=headers, timeout=30)
    answer.raise_for_status()
    return dict(answer.json()["data"])


def _say(sentence: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
