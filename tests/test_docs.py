"""The site: it builds without a warning, no link of it is dead, and its charts are of what was measured."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_dbt_cloud

ROOT = Path(__file__).parents[1]


def load(path):
    """Import a script of the repository."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


dead_links = load(ROOT / "docs" / "extensions" / "dead_links.py")
findings = load(ROOT / "benchmarks" / "findings.py")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site, and return its folder."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--nitpicky", "--fail-on-warning", "--keep-going", "--quiet"]
    done = subprocess.run(
        [*command, "--doctree-dir", folder / "doctrees", ROOT / "docs", folder / "html"],
        env={**os.environ, "AIRFLOW_HOME": str(folder / "airflow")},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.mark.slow
class TestSite:
    """The built site."""

    def test_no_link_is_dead(self, site):
        """Whatever a page of the site links to in the site is there."""
        assert len(list(site.rglob("*.html"))) > 25
        assert list(dead_links.find_dead_links(site)) == []

    def test_the_version_is_the_packages(self, site):
        """The site bears the version of the package."""
        assert f"airflow-dbt-cloud {airflow_dbt_cloud.__version__}" in (site / "index.html").read_text()

    def test_a_chart_shows_what_was_found(self, site):
        """A chart has a bar for each row that it is about, and the row's figure beside it."""
        page = (site / "benchmarks.html").read_text()
        chart = page.split("Growth of the resident memory, MB</figcaption>")[-1].split("</svg>")[0]
        rows = findings.read("retrieval")["rows"]
        assert chart.count("<rect ") == len(rows)
        assert [row for row in rows if f">{findings.shown(row['memory MB'])}</text>" not in chart] == []

    def test_parameters_are_described(self, site):
        """The reference shows what the docstrings say of a parameter."""
        page = (site / "reference" / "operators.html").read_text()
        assert "<strong>retry_from_failure</strong>" in page


class TestDeadLinks:
    """What finds dead links."""

    @pytest.mark.parametrize(
        ("link", "is_dead"),
        [
            ("other.html", False),
            ("other.html#there", False),
            ("folder/", False),
            ("#here", False),
            ("https://example.com/nothing", False),
            ("nothing.html", True),
            ("other.html#nothing", True),
            ("#nothing", True),
            ("../index.html", True),
        ],
    )
    def test_finds(self, tmp_path, link, is_dead):
        """A link is dead if its page, its anchor or its folder is not in the site."""
        (tmp_path / "index.html").write_text("outside")
        site = tmp_path / "site"
        (site / "folder").mkdir(parents=True)
        (site / "folder" / "index.html").write_text("")
        (site / "other.html").write_text('<p id="there">')
        (site / "index.html").write_text(f'<a href="{link}" id="here">')
        assert list(dead_links.find_dead_links(site)) == ([f"index.html: {link}"] if is_dead else [])
