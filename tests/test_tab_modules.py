"""The tab's modules for the browser: their own tests, and what holds for all of them."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import airflow_dbt_cloud

ROOT = Path(__file__).parents[1]
PACKAGE = Path(airflow_dbt_cloud.__file__).parent
STATIC = PACKAGE / "tab" / "static"
MODULES = sorted(STATIC.glob("*.js"))
MISSING = "There is no node on this machine (20 or later is needed): the tab's modules are not tested."
IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["']([^"']+)["']""")

assert MODULES


def test_modules(tmp_path):
    """What can be tested without a browser is tested by node's own test runner."""
    node = shutil.which("node")
    if node is None:
        pytest.fail(MISSING) if os.environ.get("CI") else pytest.skip(MISSING)
    # They import the modules as their neighbours in a checkout; a wheel has these elsewhere.
    (tmp_path / "airflow_dbt_cloud").symlink_to(PACKAGE)
    folder = shutil.copytree(ROOT / "tests" / "tab", tmp_path / "tests" / "tab")
    files = sorted(str(path) for path in folder.glob("*.test.mjs"))
    assert files
    done = subprocess.run([node, "--test", *files], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_imports(module):
    """A module imports its neighbours only, so that nothing comes from another host or is built before."""
    for name in IMPORT.findall(module.read_text(encoding="utf-8")):
        assert name.startswith("./")
        assert (STATIC / name).is_file(), name


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_text(module):
    """What is shown is text: no module makes markup or code of it, or knows another host."""
    text = module.read_text(encoding="utf-8")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "dangerouslySet", "document.write", "eval("):
        assert word not in text
    assert "//" not in re.sub(r"(?m)(?:^|\s)//.*$", "", text)


def test_vendored():
    """What others wrote is as they published it, with its licence."""
    folder = STATIC / "vendor"
    sums = dict(
        line.split()[::-1] for line in (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    )
    assert sorted(sums) == sorted(path.name for path in folder.iterdir() if path.name != "SHA256SUMS")
    for name, checksum in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum
