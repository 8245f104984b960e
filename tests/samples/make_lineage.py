"""
Make the sample artifacts of whole steps again: `python tests/samples/make_lineage.py`.

Runs real dbt, with DuckDB, on the project of the example DAGs, in a folder of its own that is deleted in the
end. What would tell of the machine is taken out, and what nobody reads: most of a manifest are dbt's macros.
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
EXAMPLES = HERE.parents[1] / "example_dags"
PROFILE = """
ferry_line:
  target: default
  outputs:
    default: {type: duckdb, path: ferry.duckdb, schema: analytics, threads: 2}
"""
# In this order, because each finds the warehouse as the one before left it; the first is not kept.
SAMPLES = {
    "": "build --select +port_dues --exclude resource_type:test resource_type:unit_test",
    "built": "build --select ports fares stg_ports stg_fares stg_weather fares_history",
    "failed": "build --select stg_routes port_dues --vars {strict_tariffs:true}",
    "docs": "docs generate --select ports fares stg_ports stg_fares stg_weather fares_history",
}
ARGUMENTS = ("which", "select", "vars", "invocation_command")
NODE = (
    *("alias", "columns", "compiled_code", "config", "database", "depends_on", "description", "language"),
    *("meta", "name", "original_file_path", "resource_type", "schema", "tags", "test_metadata", "unique_id"),
)


def main() -> None:
    """Run dbt once for each sample, and keep what it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        project, landing = Path(folder) / "project", Path(folder) / "landing"
        shutil.copytree(EXAMPLES / "project", project)
        (project / "profiles.yml").write_text(PROFILE, encoding="utf-8")
        subprocess.run([sys.executable, EXAMPLES / "ferry_landing.py", landing], check=True)
        for name, command in SAMPLES.items():
            run_dbt(project, landing, command)
            if name == "docs":
                keep("catalog", scrub_catalog(read(project, "catalog")))
            elif name:
                results = scrub_results(read(project, "run_results"))
                keep(f"{name}.run_results", results)
                keep(f"{name}.manifest", scrub_manifest(read(project, "manifest"), results))


def run_dbt(project: Path, landing: Path, command: str) -> None:
    """Run a command as a person would in the project's folder; that it may fail is the point."""
    words = [word.replace(":", ": ") if word.startswith("{") else word for word in command.split()]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DBT_")}
    dbt = Path(sys.executable).with_name("dbt")
    environment = {**clean, "DBT_LANDING": str(landing)}
    subprocess.run([dbt, *words], cwd=project, env=environment, check=False)


def read(project: Path, name: str) -> dict[str, Any]:
    """Read an artifact, with the folder of this run of the script taken out."""
    written = (project / "target" / f"{name}.json").read_text(encoding="utf-8")
    artifact: dict[str, Any] = json.loads(written.replace(str(project.parent), "/ferry"))
    return artifact


def keep(name: str, artifact: dict[str, Any]) -> None:
    """Write a sample."""
    text = json.dumps(artifact, indent=1, ensure_ascii=False)
    (HERE / "lineage" / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def scrub_results(results: dict[str, Any]) -> dict[str, Any]:
    """Take out of the results what belongs to the machine, and the code, which is in the manifest as well."""
    results["metadata"]["env"] = {}
    results["args"] = {name: results["args"][name] for name in ARGUMENTS if name in results["args"]}
    for result in results["results"]:
        result["compiled_code"] = None
    return results


def scrub_manifest(manifest: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """Keep of a manifest the nodes of some results, what these depend on, and of each what is read."""
    ran = [result["unique_id"] for result in results["results"]]
    wanted = {parent for node in ran for parent in manifest["parent_map"].get(node, ())}.union(ran)
    kept = {
        kind: {
            key: {name: node[name] for name in NODE if name in node}
            for key, node in manifest[kind].items()
            if key in wanted
        }
        for kind in ("nodes", "sources")
    }
    parents = {key: value for key, value in manifest["parent_map"].items() if key in wanted}
    metadata = {**manifest["metadata"], "env": {}}
    return {"metadata": metadata, **kept, "exposures": {}, "parent_map": parents}


def scrub_catalog(catalog: dict[str, Any]) -> dict[str, Any]:
    """Take out of a catalog what belongs to the machine."""
    catalog["metadata"]["env"] = {}
    return catalog


if __name__ == "__main__":
    main()
