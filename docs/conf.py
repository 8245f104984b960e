"""How Sphinx builds the documentation: `make docs`, strict and without a network."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
# Importing Airflow writes a configuration to its home: not to the reader's own.
os.environ.setdefault("AIRFLOW_HOME", str(HERE / "_build" / "airflow"))
sys.path[:0] = [str(HERE / "extensions"), str(HERE.parent / "benchmarks"), str(HERE.parent)]

import airflow_dbt_cloud  # noqa: E402 - found by the lines above

project = "airflow-dbt-cloud"
author = "the authors of airflow-dbt-cloud"
project_copyright = author
release = version = airflow_dbt_cloud.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "facts", "bars"]
exclude_patterns = ["_build", "extensions"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

# Docstrings write code in single backticks.
default_role = "literal"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
# What signatures name of our own, and where it is described.
autodoc_type_aliases = {
    name: f"airflow_dbt_cloud.models.{name}"
    for name in ("Account", "Environment", "Job", "Project", "Run", "Step")
}
# Others' types have no page here: there is no network at the build to look theirs up.
nitpick_ignore_regex = [("py:(class|obj|data|exc)", r"(?!airflow_dbt_cloud\.|DbtCloud).*")]

# The prompt is not copied.
copybutton_prompt_text = "$ "

html_theme = "furo"
html_title = f"airflow-dbt-cloud {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#b3401f", "color-brand-content": "#b3401f"},
    "dark_css_variables": {"color-brand-primary": "#ff8f6b", "color-brand-content": "#ff8f6b"},
}
