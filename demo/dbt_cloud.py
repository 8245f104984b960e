"""The local dbt Cloud as a process."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from demo.processes import Process, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

READY = "Ready: "
TOKEN = "demo-token"  # noqa: S105 - it opens a server on this machine's loopback, for as long as the demo lasts


class DbtCloud(Process):
    """
    `python -m airflow_dbt_cloud.local`.

    :param project: the dbt project's folder.
    :param state: a folder for what it keeps.
    :param environment: further environment variables; those called `DBT_*` reach dbt.
    :param options: further options of its command line.
    :param python: the interpreter of the environment that has the extra `local`; by default this one.
    """

    def __init__(
        self,
        project: Path,
        state: Path,
        *,
        log: Path,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        python: str = sys.executable,
    ) -> None:
        command = [python, "-m", "airflow_dbt_cloud.local", "--project", str(project)]
        command += ["--state", str(state), "--port", str(port), "--token", TOKEN, *options]
        self.account_id = 70403103922125
        super().__init__("the local dbt Cloud", command, env={**os.environ, **(environment or {})}, log=log)

    def wait_until_ready(self) -> None:
        """Wait until it answers."""
        wait_until(
            lambda: any(self._ready_lines()),
            within=60,
            what="The start of the local dbt Cloud",
            watching=[self],
        )

    @property
    def url(self) -> str:
        """The access URL, once it is ready."""
        return next(self._ready_lines())

    def connection(self) -> dict[str, str]:
        """Return the fields of an Airflow connection to it."""
        return {
            "conn_type": "dbt_cloud",
            "host": self.url,
            "login": str(self.account_id),
            "password": TOKEN,
        }

    def credentials(self) -> dict[str, Any]:
        """Return the same for `airflow_dbt_cloud.credentials.Credentials`."""
        return {"base_url": self.url, "account_id": self.account_id, "token": TOKEN}

    def connection_json(self) -> str:
        """Return an Airflow connection to it, as `AIRFLOW_CONN_…` holds it."""
        return json.dumps(self.connection())

    def _ready_lines(self) -> Iterator[str]:
        lines = self.log.read_text(errors="replace").splitlines()
        return (line.removeprefix(READY).strip() for line in lines if line.startswith(READY))
