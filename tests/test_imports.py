"""What it costs a DAG file to use the operators, and every process that there is a plugin."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import airflow_dbt_cloud

ROOT = Path(__file__).parents[1]
PACKAGE = Path(airflow_dbt_cloud.__file__).parent

SCRIPT = """
import sys
import airflow.sdk
from airflow.sdk import BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator
import airflow.sdk.exceptions, airflow.sdk.log
before = set(sys.modules)
import {module}
ours = "airflow_dbt_cloud"
new = {{name for name in set(sys.modules) - before if name.partition(".")[0] != ours}}
print(*sorted(name for name in new if name.partition(".")[0] not in sys.stdlib_module_names))
"""


@pytest.mark.parametrize("module", ["operators", "sensors", "get_provider_info", "plugin"])
def test_imports_nothing_heavy(module):
    """What DAG files, or all processes, import loads no third-party module that `airflow.sdk` does not."""
    script = SCRIPT.format(module=f"airflow_dbt_cloud.{module}")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# Airflow's words, and what speaks to it.
ABOVE = (
    *("assets", "attempt", "deferral", "get_provider_info", "hooks", "lineage", "links", "metrics"),
    *("operators", "options", "outcome", "plugin", "sensors", "tab", "triggers"),
)


def test_no_module_is_left_out():
    """Each module is in the rules of who may import what, once, and those that may import more are named."""
    names = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    modules = {f"airflow_dbt_cloud.{name}" for name in names - {"__init__", "__pycache__"}}
    local, transport = "airflow_dbt_cloud.local", "airflow_dbt_cloud.transport"
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rules = {contract["name"]: contract for contract in contracts}
    pure = rules["Nothing below the hook imports Airflow"]["source_modules"]
    without_requests = rules["Only the transport knows requests"]["source_modules"]
    strange_to_local = rules["The local server knows nothing of the package"]["forbidden_modules"]
    above = {f"airflow_dbt_cloud.{name}" for name in ABOVE}
    assert sorted(pure) == sorted(modules - above - {local})
    assert sorted(without_requests) == sorted(modules - {local, transport})
    assert sorted(strange_to_local) == sorted(modules - {local})
