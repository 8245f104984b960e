"""What is published: the files of sdist and wheel, and that it is the wheel that is tested."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import airflow_dbt_cloud

ROOT = Path(__file__).parents[1]
# What work leaves behind in a checkout.
LITTER = (
    ".venv/bin/python",
    "airflow_dbt_cloud/__pycache__/client.cpython-311.pyc",
    "airflow_dbt_cloud/tab/.ruff_cache/0.17/1",
    "dist/airflow_dbt_cloud-0.0.1.tar.gz",
    "example_dags/project/ferry.duckdb",
    "example_dags/project/logs/dbt.log",
    "example_dags/project/target/manifest.json",
    ".matrix/lowest.xml",
    ".release/bare/pyvenv.cfg",
)
# What says how changes land here is of no use to others.
NOT_PUBLISHED = (".ci/",)


def build(source, folder, *kinds):
    """Build without the network, and give the files that came of it."""
    targets = [word for kind in kinds for word in ("--target", kind)]
    command = [sys.executable, "-m", "hatchling", "build", *targets, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def committed():
    """List what is committed, or new and not ignored."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(committed, tmp_path_factory):
    """Build both from a checkout that somebody has worked in."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in (*committed, *LITTER):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    for name in committed:
        shutil.copy(ROOT / name, checkout / name)
    for name in LITTER:
        (checkout / name).write_text("litter")
    wheel, sdist = build(checkout, tmp_path_factory.mktemp("dist"), "sdist", "wheel")
    return sdist, wheel


def contents(wheel):
    """Return what a wheel holds: the checksum of each file by its name."""
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.CRC for entry in archive.infolist()}


def test_sdist(committed, built):
    """The sdist holds what is committed, and nothing else."""
    sdist, _ = built
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    published = {name for name in committed if not name.startswith(NOT_PUBLISHED)}
    assert names == published | {"PKG-INFO"}


def test_wheel(committed, built):
    """The wheel holds the package with all its files, its metadata and the licences, and nothing else."""
    _, wheel = built
    about = f"airflow_dbt_cloud-{airflow_dbt_cloud.__version__}.dist-info/"
    licences = ("LICENSE", "airflow_dbt_cloud/tab/static/vendor/uPlot.LICENSE")
    metadata = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", *(f"licenses/{name}" for name in licences)}
    package = {name for name in committed if name.startswith("airflow_dbt_cloud/")}
    assert {"airflow_dbt_cloud/py.typed", "airflow_dbt_cloud/tab/static/tab.js"} < package
    assert set(contents(wheel)) == package | {about + name for name in metadata}


def test_wheel_from_the_sdist(built, tmp_path):
    """What is built from the sdist is the same wheel."""
    sdist, wheel = built
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (again,) = build(tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path / "dist", "wheel")
    assert again.name == wheel.name
    assert contents(again) == contents(wheel)


@pytest.mark.skipif("TEST_THE_WHEEL" not in os.environ, reason="this is the checkout's package, as it may be")
def test_the_wheel_is_tested():
    """Where the wheel is to be tested, the package is not that of a checkout."""
    site_packages = Path(sysconfig.get_path("purelib"))
    assert Path(airflow_dbt_cloud.__file__).parent == site_packages / "airflow_dbt_cloud"
    assert importlib.util.find_spec("airflow_dbt_cloud.client").origin.startswith(str(site_packages))
    assert not (ROOT / "airflow_dbt_cloud").exists()
