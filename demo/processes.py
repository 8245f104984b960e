"""
Processes that are started, watched and stopped without leaving anything behind.

Each runs in a session of its own, so that a Ctrl-C in the terminal reaches only us and its children can be
stopped with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

GRACE = 10.0


class StackError(Exception):
    """The stack cannot be started or has broken down; the message says which part, and where its log is."""


class Process:
    """
    A running command.

    :param log: the file that its output goes to.
    """

    def __init__(self, name: str, command: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self._popen = subprocess.Popen(  # noqa: S603 - the commands are ours
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The id of the process, and of its group."""
        return self._popen.pid

    def check(self) -> None:
        """
        Make sure that it still runs.

        :raises StackError: it does not; shows the end of its log.
        """
        code = self._popen.poll()
        if code is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            msg = f"{self.name} ended with code {code}. Its log, {self.log}, ends with:\n{tail}"
            raise StackError(msg)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def wait(self, seconds: float) -> int:
        """
        Wait until it ends by itself, and return its exit code.

        :raises StackError: it has not ended in time.
        """
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            msg = f"{self.name} has not ended after {seconds:.0f} s. Its log is {self.log}."
            raise StackError(msg) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        stop([self])


def stop(processes: Iterable[Process]) -> None:
    """Stop processes and their children: ask, wait for ten seconds, insist."""
    processes = list(processes)
    for process in processes:
        process.signal(signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    for process in processes:
        with contextlib.suppress(StackError):
            process.wait(max(0.0, deadline - time.monotonic()))
    for process in processes:
        # Children may outlive their parent.
        process.signal(signal.SIGKILL)
        process.wait(GRACE)


def wait_until(
    condition: Callable[[], bool],
    *,
    within: float,
    what: str,
    watching: Iterable[Process] = (),
    every: float = 0.3,
) -> None:
    """
    Wait for a condition.

    :param within: seconds.
    :param every: seconds between two looks.
    :param watching: processes that must live meanwhile.
    :raises StackError: it has not come true in time, or a process has died.
    """
    deadline = time.monotonic() + within
    while not condition():
        for process in watching:
            process.check()
        if time.monotonic() > deadline:
            msg = f"{what} took more than {within:.0f} s."
            raise StackError(msg)
        time.sleep(every)


def free_port(wanted: int = 0) -> int:
    """Return `wanted` if nobody listens there, else any free port."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            # As servers do: a port that was closed a moment ago counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    msg = "No port is free on 127.0.0.1."
    raise StackError(msg)
