"""What it costs a DAG file to use the operators, and every process that there is a plugin."""

import subprocess
import sys

import pytest

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
