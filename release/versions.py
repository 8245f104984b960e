"""The version stands in `airflow_dbt_cloud/__init__.py`; what else names it has to agree."""

from __future__ import annotations

import re

from packaging.version import Version

SECTION = re.compile(r"^## \[([^\]]+)\](?: - (\S+))?$", re.MULTILINE)
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def disagreements(version: str, changelog: str, tag: str = "") -> list[str]:
    """
    Return what is wrong, each as a sentence.

    A version that is published, which one below 1 and a `.dev` is not, has the newest section of the
    changelog, with its day. Any other has its changes under "Unreleased".

    :param changelog: its text.
    :param tag: the tag of the release, `v1.0.0`; empty if there is none.
    """
    wrong = []
    if tag and tag != f"v{version}":
        wrong.append(f"The tag is {tag}, and the package says {version}.")
    newest = SECTION.search(changelog)
    name, day = newest.groups() if newest else ("nothing", None)
    parsed = Version(version)
    is_published = tag or (parsed.major and not parsed.is_devrelease)
    expected = version if is_published else "Unreleased"
    if name != expected:
        wrong.append(f"CHANGELOG.md begins with {name}; for version {version} that has to be {expected}.")
    elif is_published and not (day and DAY.fullmatch(day)):
        wrong.append(f"CHANGELOG.md does not say on which day {version} came: `## [{version}] - 2026-01-31`.")
    return wrong
