"""
A real Airflow runs a real dbt job through a dbt Cloud API, on this machine: `make demo`.

Starts the local dbt Cloud and Airflow, runs the DAG `ferry_nightly`, tells what happens, and ends with the
run's result and the addresses of both. In a terminal it then stays up until Ctrl-C. Everything it writes is
in `.demo` (or the folder `DEMO_HOME`), made anew each time.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from demo.airflow import Airflow
from demo.dbt_cloud import TOKEN, DbtCloud
from demo.narration import Narrator, table
from demo.processes import StackError, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
HOME = Path(os.environ.get("DEMO_HOME") or ROOT / ".demo").resolve()
DAGS = ROOT / "example_dags"
DAG = "ferry_nightly"


def main() -> int:
    """Run the demo, and return the exit code."""
    # A closed terminal and a polite kill end the demo as Ctrl-C does: with everything stopped. SIGINT is
    # named because a shell that starts us in the background has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with _home(), ExitStack() as stack:
            dbt_cloud, airflow = _start(stack)
            succeeded = _run(dbt_cloud, airflow)
            _say_where(dbt_cloud, airflow)
            if sys.stdout.isatty():
                print("\nBoth stay up: look around, run the DAG again. Ctrl-C stops everything.")
                signal.pause()
    except StackError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return 130
    print("Everything is stopped.")
    return 0 if succeeded else 1


@contextmanager
def _home() -> Iterator[None]:
    HOME.mkdir(exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"Another demo is running in {HOME}: stop that one first."
            raise StackError(msg) from None
        for old in HOME.iterdir():
            if old.is_dir():
                shutil.rmtree(old)
        yield


def _start(stack: ExitStack) -> tuple[DbtCloud, Airflow]:
    landing, state = HOME / "landing", HOME / "dbt-cloud"
    shared = {"DBT_LANDING": str(landing), "FERRY_WAREHOUSE": str(state / "warehouse" / "production.duckdb")}
    _say("Starting the local dbt Cloud: real dbt jobs on DuckDB.")
    dbt_cloud = stack.enter_context(
        DbtCloud(
            DAGS / "project",
            state,
            log=HOME / "dbt-cloud.log",
            port=free_port(8580),
            environment=shared,
        )
    )
    _say("Starting Airflow: database, API server, scheduler, DAG processor, triggerer.")
    airflow = Airflow(HOME / "airflow", [DAGS], port=free_port(8080), environment=shared)
    stack.callback(airflow.stop)
    airflow.start()
    dbt_cloud.wait_until_ready()
    connection = {"connection_id": "dbt_cloud_default", **dbt_cloud.connection()}
    airflow.call("POST", "connections", connection)
    return dbt_cloud, airflow


def _run(dbt_cloud: DbtCloud, airflow: Airflow) -> bool:
    run_id = airflow.trigger(DAG)
    _say(f"Started a run of the DAG {DAG}: {airflow.url}/dags/{DAG}/runs/{run_id}")
    narrator = Narrator(dbt_cloud, airflow, DAG, run_id, dbt_task="build", say=_say)
    while (state := str(airflow.run(DAG, run_id)["state"])) not in {"success", "failed"}:
        narrator.tell()
        time.sleep(1)
    narrator.tell()
    _say(f"The DAG run ended: {state}.")
    if state == "success":
        print("\nWhat the last task read from the mart that dbt built:\n")
        print(*table(airflow.xcom(DAG, run_id, "brief")), sep="\n")
        print(f"\n  The run      {airflow.xcom(DAG, run_id, 'build', 'job_run_url')}")
    return state == "success"


def _say_where(dbt_cloud: DbtCloud, airflow: Airflow) -> None:
    print(f"  Airflow      {airflow.url}  (no password)")
    print(f"  dbt Cloud    {dbt_cloud.url}  (account {dbt_cloud.account_id}, token {TOKEN})")


def _say(sentence: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
