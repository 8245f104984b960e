"""
A real Airflow runs a real dbt job through a dbt Cloud API, on this machine: `make demo`.

Starts the local dbt Cloud and Airflow, runs the example DAGs, tells what happens, and ends with what came of
it and the addresses of both. In a terminal it then stays up until Ctrl-C. Everything it writes is
in `.demo` (or the folder `DEMO_HOME`), made anew each time. It takes two to three minutes.
"""

from __future__ import annotations

import fcntl
import os
import re
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
from demo.processes import StackError, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parent.parent
HOME = Path(os.environ.get("DEMO_HOME") or ROOT / ".demo").resolve()
DAGS = ROOT / "example_dags"
# What the demo makes, and makes anew.
FOLDERS = ("airflow", "dbt-cloud", "landing")
NIGHTLY = "ferry_nightly"
MANY = "ferry_refresh"
RETRY = "ferry_retry"
# What is new in dbt's console when a build fails that succeeded before, and is retried.
TROUBLE = re.compile(r"of \d+ (ERROR|SKIP relation)|Error: |Done\. ")
# A run that takes longer than this many seconds hangs.
PATIENCE = 300.0


def main() -> int:
    """Run the demo, and return the exit code."""
    # A closed terminal and a polite kill end the demo as Ctrl-C does: with everything stopped. SIGINT is
    # named because a shell that starts us in the background has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with _home(), ExitStack() as stack:
            dbt_cloud, airflow = _start(stack)
            code = 0 if _run(dbt_cloud, airflow) else 1
            if sys.stdout.isatty():
                _stay(dbt_cloud, airflow)
    except StackError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return 130
    hint = "" if sys.stdout.isatty() else " In a terminal it would have stayed up to look around."
    print(f"\nEverything is stopped.{hint} The logs are in {HOME}.")
    return code


@contextmanager
def _home() -> Iterator[None]:
    HOME.mkdir(exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"Another demo is running in {HOME}: stop that one first."
            raise StackError(msg) from None
        for name in FOLDERS:
            shutil.rmtree(HOME / name, ignore_errors=True)
        yield


def _start(stack: ExitStack) -> tuple[DbtCloud, Airflow]:
    landing, state = (HOME / name for name in ("landing", "dbt-cloud"))
    shared = {"DBT_LANDING": str(landing), "FERRY_WAREHOUSE": str(state / "warehouse" / "production.duckdb")}
    _say("Starting the local dbt Cloud: real dbt jobs on DuckDB.")
    dbt_cloud = stack.enter_context(
        DbtCloud(
            DAGS / "project",
            state,
            log=HOME / "dbt-cloud.log",
            port=_port(8580),
            environment=shared,
        )
    )
    _say("Starting Airflow: database, API server, scheduler, DAG processor, triggerer.")
    airflow = Airflow(HOME / "airflow", [DAGS], port=_port(8080), environment=shared)
    stack.callback(airflow.stop)
    airflow.start()
    dbt_cloud.wait_until_ready()
    connection = {"connection_id": "dbt_cloud_default", **dbt_cloud.connection()}
    airflow.call("POST", "connections", connection)
    return dbt_cloud, airflow


def _run(dbt_cloud: DbtCloud, airflow: Airflow) -> bool:
    """Run the DAGs one after another, and return whether all succeeded."""
    nightly, is_green = _run_dag(dbt_cloud, airflow, NIGHTLY, dbt_task="build")
    links = {"The nightly run": airflow.xcom(*nightly.dag_run, "build", "job_run_url")}
    if is_green:
        rows = airflow.xcom(*nightly.dag_run, "brief")
        _show("What the last task read from route_performance, a mart that dbt built", table(rows))
        print()
        mapped, is_green = _run_dag(dbt_cloud, airflow, MANY)
    if is_green:
        _show("What each of the mapped tasks ran", mapped.tell_mapped())
        print()
        retried, is_green = _run_dag(dbt_cloud, airflow, RETRY, dbt_task="build", only=TROUBLE)
        links["The retried run"] = airflow.xcom(*retried.dag_run, "build", "job_run_url")
        if is_green:
            _show("What each try made dbt do, says dbt Cloud", retried.tell_tries())
    print()
    for name, url in links.items():
        print(f"  {name:<17}  {url}")
    print(f"  Airflow            {airflow.url}  (no password)")
    print(f"  dbt Cloud          {dbt_cloud.url}  (account {dbt_cloud.account_id}, token {TOKEN})")
    return is_green


def _run_dag(
    dbt_cloud: DbtCloud,
    airflow: Airflow,
    dag_id: str,
    *,
    dbt_task: str | None = None,
    only: re.Pattern[str] | None = None,
) -> tuple[Narrator, bool]:
    """Run a DAG, tell what happens, and return who told it and whether the run succeeded."""
    run_id = airflow.trigger(dag_id)
    _say(f"Started a run of the DAG {dag_id}: {airflow.url}/dags/{dag_id}/runs/{run_id}")
    narrator = Narrator(dbt_cloud, airflow, (dag_id, run_id), dbt_task=dbt_task, only=only, say=_say)

    def is_over() -> bool:
        narrator.tell()
        return airflow.run(dag_id, run_id)["state"] in {"success", "failed"}

    wait_until(
        is_over,
        within=PATIENCE,
        what=f"The run of the DAG {dag_id}",
        watching=[dbt_cloud, *airflow.processes.values()],
    )
    narrator.tell()
    state = str(airflow.run(dag_id, run_id)["state"])
    _say(f"The run of the DAG {dag_id} ended: {state}.")
    return narrator, state == "success"


def _show(title: str, lines: Iterable[str]) -> None:
    print(f"\n{title}:\n", *lines, sep="\n", flush=True)


def _stay(dbt_cloud: DbtCloud, airflow: Airflow) -> None:
    print("\nAirflow and dbt Cloud stay up until Ctrl-C. What dbt did is on the tab dbt of the")
    print(
        "task build, the button 'dbt Cloud run' on its tab Details. The next demo starts from nothing again."
    )
    try:
        while True:
            for process in (dbt_cloud, *airflow.processes.values()):
                process.check()
            time.sleep(2)
    except KeyboardInterrupt:
        # The demo is over; that it was ended is no failure.
        print()


def _port(wanted: int) -> int:
    port = free_port(wanted)
    if port != wanted:
        _say(f"Port {wanted} is taken; using {port}.")
    return port


def _say(sentence: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
