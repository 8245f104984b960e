"""One dbt command, in a process of its own.

Importing dbt takes seconds, so the processes are forked from a server that has imported it already. This
module is imported there and in the web server, therefore it imports dbt only inside the function that runs
in the child.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import dataclass
from importlib import metadata, util
from multiprocessing import connection
from typing import TYPE_CHECKING

from airflow_dbt_cloud.local.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_PRELOADED = ("airflow_dbt_cloud.local.dbt_process", "airflow_dbt_cloud.local.dbt_import")
_NEEDED = {"dbt.cli": "dbt-core", "dbt.adapters.duckdb": "dbt-duckdb"}
# `multiprocessing` polls all its children when it starts one; two threads that poll one child lose its exit
# code.
_POLLING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Invocation:
    """What one dbt process is to do, and where its output goes."""

    arguments: tuple[str, ...]
    folder: Path
    environment: dict[str, str]
    console_log: Path
    log_folder: Path


class DbtProcess:
    """A running dbt command."""

    def __init__(self, invocation: Invocation) -> None:
        self._process = _CONTEXT.Process(target=_run_dbt, args=(invocation,), daemon=True)
        with _POLLING:
            self._process.start()

    def wait(self, seconds: float) -> int | None:
        """Wait for its end; gives the exit code, or nothing if it is still going."""
        connection.wait([self._process.sentinel], seconds)
        with _POLLING:
            return self._process.exitcode

    def stop(self, grace: float) -> None:
        """Ask dbt to stop, which interrupts its queries and writes what it has; kill it if it does not."""
        self._signal(signal.SIGINT)
        if self.wait(grace) is None:
            self._signal(signal.SIGKILL)
            self.wait(grace)

    def _signal(self, number: signal.Signals) -> None:
        pid = self._process.pid
        if pid is None or self.wait(0) is not None:
            return
        try:
            os.killpg(pid, number)
        except ProcessLookupError:  # not yet the leader of a group of its own
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def check_installation() -> str:
    """Give the version of dbt; a `StartError` says what is missing."""
    for module, distribution in _NEEDED.items():
        try:
            found = util.find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise StartError(
                f"{distribution} is not installed for {sys.executable}: "
                "pip install 'airflow-dbt-cloud[local]', or in a clone '.[local]'"
            )
    return metadata.version("dbt-core")


def preload() -> None:
    """Start the fork server and wait until it has imported dbt."""
    _CONTEXT.set_forkserver_preload(list(_PRELOADED))
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_send_import_failure, args=(sender,), daemon=True)
    try:
        process.start()
        sender.close()
        failure = receiver.recv()
        process.join()
    except (EOFError, ConnectionError):
        failure = "it ended the process that imported it"
    if failure is not None:
        raise StartError(f"dbt is installed, but cannot be imported: {failure}; try `dbt --version`")


def _send_import_failure(sender: connection.Connection) -> None:
    from airflow_dbt_cloud.local.dbt_import import FAILURE

    sender.send(FAILURE)


def _run_dbt(invocation: Invocation) -> None:
    """Be dbt: the very command line, with output to the log of the step."""
    # A group of its own: a cancel reaches what dbt starts, Ctrl-C in the server's terminal does not.
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _die_with_the_server()
    console = os.open(invocation.console_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(console, 1)
    os.dup2(console, 2)
    sys.stdout = open(1, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115 - lives as long as we
    sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(invocation.environment, DBT_LOG_PATH=str(invocation.log_folder))
    os.chdir(invocation.folder)
    # dbt logs its command line, and the server's own may have a token in it.
    sys.argv = ["dbt", *invocation.arguments]
    from dbt.cli.main import cli

    try:
        cli(list(invocation.arguments), prog_name="dbt")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _die_with_the_server() -> None:
    """See to it that a killed server takes its dbt with it: it would hold the warehouse."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def wait() -> None:
        connection.wait([sentinel])
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, name="server-watch", daemon=True).start()
