"""
One task that retrieves something, and how much memory it took.

`python benchmarks/retrieval_task.py ours|official manifest.json|latest|… URL` prints one JSON object. The
operator is executed without Airflow's processes; its modules are loaded before.
"""

from __future__ import annotations

import gc
import hashlib
import json
import re
import sys
import tempfile
import time
import urllib.request
from importlib import import_module
from pathlib import Path
from typing import Any

JOB = 5
MODULES = {"ours": "airflow_dbt_cloud.operators", "official": "airflow.providers.dbt.cloud.operators.dbt"}


def make_task(kind: str, what: str, folder: str) -> Any:
    """Return an operator of this package or of the official provider; their arguments are the same."""
    operators = import_module(MODULES[kind])
    if what == "latest":
        return operators.DbtCloudListJobRunsOperator(task_id="list", job_id=JOB, latest_only=True)
    return operators.DbtCloudGetJobRunArtifactOperator(
        task_id="fetch", run_id=7, path=what, output_file_name=f"{folder}/artifact"
    )


def memory(of: str) -> float:
    """Return a figure of the resident memory of this process in MB: `VmRSS`, now, or `VmHWM`, at most."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"{of}:\s*(\d+) kB", status)
    assert found
    return int(found[1]) / 1024 * 2**20 / 1e6


def measure(kind: str, what: str, url: str, folder: str) -> dict[str, Any]:
    """Execute the task, and return the figures."""
    task = make_task(kind, what, folder)
    gc.collect()
    urllib.request.urlopen(f"{url}/start?at=0").read()
    # The peak counts from here.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before, began = memory("VmRSS"), time.monotonic()
    found = task.execute({})
    seconds, peak = time.monotonic() - began, memory("VmHWM")
    counts = json.load(urllib.request.urlopen(f"{url}/counts"))
    figures = {"requests": counts["requests"], "memory": peak - before, "seconds": seconds}
    if what == "latest":
        assert found["id"] == 5000, "not the newest one"
        return figures
    with Path(folder, "artifact").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {**figures, "is_same": digest == counts["digest"]}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(*sys.argv[1:], folder)))
