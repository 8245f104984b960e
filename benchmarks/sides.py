"""
The two sides of a comparison, this package and the official provider, and the stub that both talk to.

The official provider is installed into a virtual environment of its own beside this file. Each figure comes
from a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import trustme

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
OFFICIAL = HERE / ".official"
OFFICIAL_VERSION = "4.11.1"


class Stub(NamedTuple):
    """Where a stub listens, and the file with the authority that it shows a certificate of."""

    url: str
    authority: Path


@contextmanager
def running_stub(script: str, *arguments: str) -> Iterator[Stub]:
    """Run one of the stubs beside this file over TLS, on a free port of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        authority, key, certificate = (Path(folder) / name for name in ("ca.pem", "key.pem", "cert.pem"))
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(authority))
        served = ca.issue_cert("127.0.0.1")
        served.private_key_pem.write_to_path(str(key))
        for part in served.cert_chain_pems:
            part.write_to_path(str(certificate), append=True)
        command = [sys.executable, str(HERE / script), str(certificate), str(key), *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield Stub(f"https://127.0.0.1:{process.stdout.readline().strip()}", authority)
            finally:
                process.terminate()


def run_side(stub: Stub, script: str, kind: str, *arguments: str) -> dict[str, Any]:
    """
    Run a script beside this file as one of the sides, and return the JSON that its last line is.

    :param kind: is the script's first argument; `official` gets the Python that has the official provider.
    """
    is_official = kind.startswith("official")
    connection = {"conn_type": "dbt_cloud", "host": stub.url, "login": "42", "password": "token"}
    if is_official:
        connection["host"] = stub.url.removeprefix("https://")
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "AIRFLOW_HOME": home,
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "AIRFLOW_CONN_DBT_CLOUD_DEFAULT": json.dumps(connection),
            "SSL_CERT_FILE": str(stub.authority),
            "REQUESTS_CA_BUNDLE": str(stub.authority),
        }
        python = _official_python() if is_official else sys.executable
        command = [python, str(HERE / script), kind, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _official_python() -> str:
    """Install the official provider beside this file, unless it is there, and return its Python."""
    python = OFFICIAL / "bin" / "python"
    if not python.exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(OFFICIAL)], check=True)
        provider = f"apache-airflow-providers-dbt-cloud=={OFFICIAL_VERSION}"
        install = [*uv, "pip", "install", "--quiet", "--python", str(python), "--constraints"]
        subprocess.run([*install, str(HERE.parent / "constraints.txt"), provider], check=True)
    return str(python)
