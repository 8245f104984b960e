"""
Run the unit tests on the built wheel, with the oldest and the newest that it may meet: `make test-matrix`.

Each combination has an environment of its own below `.matrix`. The tests come from the sdist, without the
package: what they import is what the wheel has brought. A test that is skipped although the combination has
all that it needs is a failure. Names of combinations are the arguments; without any all are run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from release.environments import ROOT, UV, Environment, build, run

if TYPE_CHECKING:
    from pathlib import Path

HOME = ROOT / ".matrix"
SUITE = HOME / "suite"
# The day after Airflow 3.2.2 came: with what came later, such as FastAPI's next releases, it does not start.
THEN = "2026-05-30"
EXTRAS = ("local", "openlineage")
OFFICIAL = "apache-airflow-providers-dbt-cloud"
# Nobody has to have dbt Cloud's documents, and the sdist has no history.
ALWAYS_SKIPPED = ("DBT_CLOUD_OPENAPI_DIR ", "this is no git checkout")
SHOWN = ("apache-airflow", "requests", "tenacity", "urllib3", "dbt-core", OFFICIAL)


@dataclass(frozen=True)
class Combination:
    """
    Versions that the package may meet.

    :param requirements: beside the wheel.
    :param extras: the package's own.
    :param until: the day after which nothing is newer; by default today.
    :param is_lowest: what the package names itself is as old as it admits.
    :param skipped: why tests may be skipped here: how the reasons begin.
    """

    name: str
    requirements: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    until: str = ""
    is_lowest: bool = False
    skipped: tuple[str, ...] = ()

    def environment(self, wheel: Path) -> Environment:
        """Make its environment."""
        options = ["--group", "test"]
        if self.until:
            options += ["--exclude-newer", self.until]
        if self.is_lowest:
            options += ["--constraints", str(self._lowest())]
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return Environment(HOME / self.name, *options, f"{wheel}{extras}", *self.requirements)

    def _lowest(self) -> Path:
        path = HOME / f"{self.name}.txt"
        extras = [f"--extra={extra}" for extra in self.extras]
        options = ["--quiet", "--resolution", "lowest-direct", "--exclude-newer", self.until, *extras]
        run(*UV, "pip", "compile", "pyproject.toml", *options, "--output-file", str(path))
        return path


BARE = tuple(f"the extra {extra} is not installed" for extra in EXTRAS)
ALONE = ("the official provider is not installed",)
OLD = ("Airflow 3.3 has them", "the provider is too old")
COMBINATIONS = (
    Combination("lowest", until=THEN, is_lowest=True, skipped=(*BARE, *ALONE, *OLD)),
    Combination("newest", ("apache-airflow==3.3.*",), skipped=(*BARE, *ALONE)),
    Combination("lowest-with-all", (OFFICIAL,), extras=EXTRAS, until=THEN, is_lowest=True, skipped=OLD),
    Combination("newest-with-all", ("apache-airflow==3.3.*", f"{OFFICIAL}==4.11.1"), extras=EXTRAS),
)


@dataclass(frozen=True)
class Outcome:
    """What came of a combination's tests."""

    combination: Combination
    versions: dict[str, str]
    code: int
    passed: int
    failed: int
    skipped: dict[str, int]
    seconds: float

    @property
    def wrongly_skipped(self) -> set[str]:
        """The reasons of skipped tests that are none here."""
        allowed = (*ALWAYS_SKIPPED, *self.combination.skipped)
        return {reason for reason in self.skipped if not reason.startswith(allowed)}

    @property
    def is_good(self) -> bool:
        """Whether all tests that can pass here have passed."""
        return not self.code and self.passed > 0 and not self.failed and not self.wrongly_skipped

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {self.versions[name]}" for name in SHOWN if name in self.versions)
        skipped = sum(self.skipped.values())
        counts = f"{self.passed:6} {self.failed:6} {skipped:7} {self.seconds:7.0f}"
        return f"{'ok' if self.is_good else 'FAILED':6} {self.combination.name:16} {counts}  {shown}"


def main(names: list[str]) -> int:
    """Run the combinations of these names, or all, and return the exit code."""
    if unknown := set(names) - {combination.name for combination in COMBINATIONS}:
        known = ", ".join(combination.name for combination in COMBINATIONS)
        print(f"There is no combination {', '.join(sorted(unknown))}. There are: {known}.", file=sys.stderr)
        return 2
    sdist, wheel = build(HOME / "dist")
    _unpack(sdist)
    outcomes = [_try(each, wheel) for each in COMBINATIONS if not names or each.name in names]
    print(f"\n       {'combination':16} passed failed skipped seconds  installed", *outcomes, sep="\n")
    for outcome in outcomes:
        for reason in outcome.wrongly_skipped:
            print(f"{outcome.combination.name} has what these tests need, and they were skipped: {reason}")
    return 0 if all(outcome.is_good for outcome in outcomes) else 1


def _unpack(sdist: Path) -> None:
    """Let the tests be there, and no package beside them."""
    shutil.rmtree(SUITE, ignore_errors=True)
    with tarfile.open(sdist) as archive:
        archive.extractall(HOME, filter="data")
    (HOME / sdist.name.removesuffix(".tar.gz")).rename(SUITE)
    shutil.rmtree(SUITE / "airflow_dbt_cloud")


def _try(combination: Combination, wheel: Path) -> Outcome:
    print(f"\n{combination.name}", flush=True)
    began = time.monotonic()
    environment = combination.environment(wheel)
    report = HOME / f"{combination.name}.xml"
    report.unlink(missing_ok=True)
    options = ["-m", "not slow", "--numprocesses", "2", "--quiet", f"--junit-xml={report}"]
    # Where the wheel is asked for, a test makes sure of it; nothing else is to lead to a checkout.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [environment.python, "-m", "pytest", *options],
        cwd=SUITE,
        env={**variables, "TEST_THE_WHEEL": "yes"},
        check=False,
    )
    passed, failed, skipped = _count(report)
    seconds = time.monotonic() - began
    return Outcome(combination, environment.versions(), done.returncode, passed, failed, skipped, seconds)


def _count(report: Path) -> tuple[int, int, dict[str, int]]:
    """Read how many tests passed, how many failed, and how many were skipped for which reason."""
    skipped: dict[str, int] = {}
    passed = failed = 0
    for case in ET.parse(report).iter("testcase") if report.exists() else ():  # noqa: S314 - our own
        if (skip := case.find("skipped")) is not None:
            reason = skip.get("message", "")
            if reason == "collection skipped":
                # So it is of a module that is skipped as a whole: ('path', line, 'Skipped: reason').
                reason = (skip.text or "").rpartition("Skipped: ")[2].removesuffix("')")
            skipped[reason] = skipped.get(reason, 0) + 1
        elif case.find("failure") is None and case.find("error") is None:
            passed += 1
        else:
            failed += 1
    return passed, failed, skipped


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
