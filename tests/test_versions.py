"""Tests of `release.versions`: the version stands in one place, and the changelog agrees with it."""

from pathlib import Path

import pytest

from airflow_dbt_cloud import __version__
from release.versions import disagreements

ROOT = Path(__file__).parents[1]


def changelog(*sections):
    """Return a changelog with these headings."""
    return "\n".join(["# Changelog", "", *(f"## {section}\n\n- News.\n" for section in sections)])


def test_this_version():
    """The newest section of the changelog is that of the package's version."""
    assert disagreements(__version__, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("version", ["0.1.0", "1.1.0.dev0"])
def test_between_releases(version):
    """What is not published has its changes under "Unreleased"."""
    assert disagreements(version, changelog("[Unreleased]", "[1.0.0] - 2026-11-29")) == []
    (wrong,) = disagreements(version, changelog(f"[{version}] - 2026-11-29"))
    assert wrong == f"CHANGELOG.md begins with {version}; for version {version} that has to be Unreleased."


def test_a_release():
    """A release has the newest section, with its day, and the tag of its name."""
    assert disagreements("1.0.0", changelog("[1.0.0] - 2026-11-29"), "v1.0.0") == []
    assert disagreements("1.0.0", changelog("[1.0.0] - 2026-11-29")) == []


@pytest.mark.parametrize("sections", [["[Unreleased]", "[1.0.0] - 2026-11-29"], ["[0.9.0] - 2026-10-01"], []])
def test_a_release_that_the_changelog_does_not_know(sections):
    """A version that is published without the newest section is refused, and so is one without any."""
    (wrong,) = disagreements("1.0.0", changelog(*sections))
    assert wrong.endswith("for version 1.0.0 that has to be 1.0.0.")


@pytest.mark.parametrize("heading", ["[1.0.0]", "[1.0.0] - soon"])
def test_a_release_without_its_day(heading):
    """A section says on which day the version came."""
    (wrong,) = disagreements("1.0.0", changelog(heading))
    assert "on which day 1.0.0 came" in wrong


def test_another_tag():
    """A tag that names another version is refused, and one on what is not published, too."""
    (wrong,) = disagreements("1.0.0", changelog("[1.0.0] - 2026-11-29"), "v1.0.1")
    assert wrong == "The tag is v1.0.1, and the package says 1.0.0."
    assert len(disagreements("0.1.0", changelog("[Unreleased]"), "v0.1.0")) == 1
