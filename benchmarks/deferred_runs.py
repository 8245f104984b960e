"""
What deferred runs cost, side by side with apache-airflow-providers-dbt-cloud.

The same load, runs that last 5 to 35 s and are asked for every 10 s, against the same stub over TLS, one
after the other in processes of their own. The official provider is installed into a virtual environment of
its own beside this file. `python benchmarks/deferred_runs.py [RUNS …]` prints a table in Markdown.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import trustme

HERE = Path(__file__).parent
OFFICIAL = HERE / ".official"
OFFICIAL_VERSION = "4.11.1"
INTERVAL = 10
FIGURES = {
    "requests": "requests",
    "connections": "connections",
    "cpu": "CPU s",
    "memory": "memory MB",
    "stall p99": "stall p99 ms",
    "stall max": "stall max ms",
    "delay": "delay s, mean",
}


def official_python() -> str:
    """Install the official provider beside this file, unless it is there, and return its Python."""
    python = OFFICIAL / "bin" / "python"
    if not python.exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(OFFICIAL)], check=True)
        provider = f"apache-airflow-providers-dbt-cloud=={OFFICIAL_VERSION}"
        install = [*uv, "pip", "install", "--quiet", "--python", str(python), "--constraints"]
        subprocess.run([*install, str(HERE.parent / "constraints.txt"), provider], check=True)
    return str(python)


def measure(kind: str, runs: int, url: str, authority: Path) -> dict[str, float]:
    """Return the figures of one process."""
    with tempfile.TemporaryDirectory() as home:
        connection = {"conn_type": "dbt_cloud", "host": url, "login": "42", "password": "token"}
        if kind == "official":
            connection["host"] = url.removeprefix("https://")
        environment = {
            **os.environ,
            "AIRFLOW_HOME": home,
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "AIRFLOW_CONN_DBT_CLOUD_DEFAULT": json.dumps(connection),
            "SSL_CERT_FILE": str(authority),
            "REQUESTS_CA_BUNDLE": str(authority),
        }
        python = official_python() if kind == "official" else sys.executable
        command = [python, str(HERE / "waiters.py"), kind, str(runs), str(INTERVAL), url]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        return dict(json.loads(done.stdout.splitlines()[-1]))


def main(sizes: list[int]) -> None:
    """Measure, and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        authority, key, certificate = (Path(folder) / name for name in ("ca.pem", "key.pem", "cert.pem"))
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(authority))
        served = ca.issue_cert("127.0.0.1")
        served.private_key_pem.write_to_path(str(key))
        for part in served.cert_chain_pems:
            part.write_to_path(str(certificate), append=True)
        command = [sys.executable, str(HERE / "stub.py"), str(certificate), str(key)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stub:
            try:
                assert stub.stdout is not None
                url = f"https://127.0.0.1:{stub.stdout.readline().strip()}"
                print("| runs | who |", " | ".join(FIGURES.values()), "|")
                print("|---|---|", "---|" * len(FIGURES), sep="")
                for runs in sizes:
                    kinds = ("official", "ours", "idle") if runs <= 1000 else ("ours", "idle")
                    for kind in kinds:
                        figures = measure(kind, runs, url, authority)
                        assert figures["events"] == runs
                        cells = (f"{figures[name]:.4g}" if name in figures else "" for name in FIGURES)
                        print(f"| {runs:,} | {kind} |", " | ".join(cells), "|", flush=True)
            finally:
                stub.terminate()


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [100, 1000, 10_000])
