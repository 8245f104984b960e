"""
Make the sample `run_results.json` files again: `python tests/samples/make_run_results.py`.

Runs real dbt, with DuckDB, on the project `harbour` beside this file, in a folder of its own that is deleted
in the end. What would tell of the machine is taken out; compiled code is cut.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROFILE = """
harbour:
  target: dev
  outputs:
    dev: {type: duckdb, path: harbour.duckdb, threads: 2}
"""
# Without an end there would be a batch for each day until today.
DAYS = "--event-time-start 2025-03-01 --event-time-end 2025-03-04"
# In this order, because each finds the warehouse as the one before left it.
SAMPLES = {
    "success": f"build --exclude test_type:data resource_type:exposure {DAYS}",
    "seed": "seed",
    "snapshot": "snapshot",
    "warn": "test --select test_type:data",
    "no_op": "build --select port_dues+ --exclude test_type:data",
    "test_failure": "build --select berths+ --vars {double:true}",
    "unit_test_failure": "test --select port_dues --vars {free:true}",
    "model_error": "build --exclude resource_type:unit_test calls+ --vars {strict:true}",
    "compilation_error": "run --select port_dues+ --vars {closed:true}",
    "skip": "run --select port_dues+ --vars {strict:true}",
    "retry": "retry",
    "partial_success": f"run --select +calls_by_day --full-refresh --vars {{lost_day:true}} {DAYS}",
    "run_operation": "run-operation paint --args {ship:red}",
}
LONGEST_CODE = 200
# These hold paths and settings of the machine, and no test wants them.
ARGUMENTS = ("which", "select", "exclude", "vars", "invocation_command")


def main() -> None:
    """Run dbt once for each sample, and keep what it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "harbour"
        shutil.copytree(HERE / "harbour", project)
        (project / "profiles.yml").write_text(PROFILE, encoding="utf-8")
        for name, command in SAMPLES.items():
            run_dbt(project, command)
            written = (project / "target" / "run_results.json").read_text(encoding="utf-8")
            results = scrub(json.loads(written))
            text = json.dumps(results, indent=1, ensure_ascii=False).replace(f"{project}/", "")
            (HERE / "run_results" / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def run_dbt(project: Path, command: str) -> None:
    """Run a command as a person would in the project's folder; that it may fail is the point."""
    words = [word.replace(":", ": ") if word.startswith("{") else word for word in command.split()]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DBT_")}
    dbt = Path(sys.executable).with_name("dbt")
    subprocess.run([dbt, *words], cwd=project, env=clean, check=False)


def scrub(results: dict[str, Any]) -> dict[str, Any]:
    """Take out what belongs to the machine and not to dbt."""
    results["metadata"]["env"] = {}
    results["args"] = {name: results["args"][name] for name in ARGUMENTS if name in results["args"]}
    for result in results["results"]:
        result["compiled_code"] = (result["compiled_code"] or "").strip()[:LONGEST_CODE] or None
    return results


if __name__ == "__main__":
    main()
