"""What the documents show: every block of code is executed, parsed or read by what it is meant for."""

import argparse
import ast
import configparser
import importlib
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from airflow.cli import cli_parser
from markdown_it import MarkdownIt

from airflow_dbt_cloud.credentials import Credentials
from airflow_dbt_cloud.get_provider_info import CONFIG_SECTION, OPTIONS
from airflow_dbt_cloud.local.command_line import DEFAULT_TOKEN, make_parser
from airflow_dbt_cloud.local.faults import read_fault
from airflow_dbt_cloud.local.project import read_project
from airflow_dbt_cloud.operators import DbtCloudRunJobOperator

ROOT = Path(__file__).parents[1]
# Folders that are made, or are not ours.
FOREIGN = {"_build", "node_modules", "dist"}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


class Block(NamedTuple):
    """A block of code: where it is, in which language, and what it says."""

    file: str
    line: int
    language: str
    text: str

    def __str__(self):
        return f"{self.file}:{self.line}"


def list_documents():
    """Return the Markdown files of the repository."""
    return sorted(
        file
        for file in ROOT.rglob("*.md")
        if not any(part in FOREIGN or part.startswith(".") for part in file.relative_to(ROOT).parts)
    )


def list_blocks(file):
    """Return the blocks of code of a document."""
    tokens = MarkdownIt().parse(file.read_text())
    return [
        Block(str(file.relative_to(ROOT)), token.map[0] + 1, token.info.strip(), token.content)
        for token in tokens
        if token.type in {"fence", "code_block"}
    ]


DOCUMENTS = list_documents()
BLOCKS = [block for file in DOCUMENTS for block in list_blocks(file)]


def select(*languages):
    """Return what parametrizes a test with the blocks in these languages."""
    blocks = [block for block in BLOCKS if block.language in languages]
    assert blocks
    return pytest.mark.parametrize("block", blocks, ids=str)


def test_documents_are_found():
    """The walk comes by the entry, the pages, and the documents beside the code."""
    names = {str(file.relative_to(ROOT)) for file in DOCUMENTS}
    assert {
        "README.md",
        "CONTRIBUTING.md",
        "benchmarks/README.md",
        "docs/index.md",
        "docs/how-to/run-a-job.md",
        "example_dags/project/README.md",
    } <= names


def test_every_language_is_known():
    """No block is in a language that nobody checks; what Sphinx reads, its strict build checks."""
    checked = {"python", "diff", "console", "sh", "yaml", "json", "ini", "toml"}
    unknown = {
        str(block): block.language
        for block in BLOCKS
        if block.language not in checked | {"text"} and not block.language.startswith("{")
    }
    assert unknown == {}
    assert all(block.file.startswith("docs/") for block in BLOCKS if block.language.startswith("{"))


@select("python", "diff")
def test_python_runs(block):
    """A block in Python is whole: it runs as a DAG file does, and what its tasks import exists."""
    tree = ast.parse(read_new_side(block.text) if block.language == "diff" else block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] != "dags":
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
    exec(compile(tree, str(block), "exec"), {"__name__": "document"})  # noqa: S102 - ours


def read_new_side(diff):
    """Return what a difference makes of a text."""
    return "".join(line[1:] or "\n" for line in diff.splitlines(keepends=True) if not line.startswith("-"))


def list_commands(block):
    """Return the commands of a block as lists of words; in a console, what has no prompt was printed."""
    lines = re.sub(r"\\\n\s*", "", block.text).splitlines()
    if block.language == "console":
        assert all(line.startswith("$ ") for line in lines if line.strip()), f"{block}: a line without prompt"
        lines = [line.removeprefix("$ ") for line in lines]
    folder = (ROOT / block.file).parent
    return [
        [str((folder / word).resolve()) if word.startswith("../") else word for word in words]
        for line in lines
        if (words := shlex.split(line, comments=True))
    ]


def check_make(words):
    """Each target exists, and each variable is one of the Makefile's."""
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        name, is_variable, _ = word.partition("=")
        assert f"\n{name} ?=" in makefile if is_variable else word in TARGETS


def check_export(words):
    """A variable is given; a connection can be used, an option of ours exists."""
    for word in words:
        name, equals, value = word.partition("=")
        assert equals
        if name.startswith("AIRFLOW_CONN_"):
            check_connection(value)
        elif name.startswith("AIRFLOW__DBT_CLOUD__"):
            assert name.removeprefix("AIRFLOW__DBT_CLOUD__").lower() in OPTIONS


def check_connection(text):
    """A connection in JSON is one that the hook can use."""
    from airflow.sdk.definitions.connection import Connection

    Credentials.from_connection(Connection.from_json(text, conn_id="documented"))


def check_python(words):
    """A module or script of ours exists and has the options; a command line of ours can be read."""
    if words[0] == "-m":
        _, module, *arguments = words
        if module != "demo":
            parser = importlib.import_module(f"{module}.command_line").make_parser()
            options = read_arguments(parser, arguments)
            for fault in getattr(options, "fault", ()):
                read_fault(fault)
        return
    text = (ROOT / words[0]).read_text()
    for option in (word for word in words[1:] if word.startswith("--")):
        assert f'"{option}"' in text, f"{words[0]} has no {option}"


def read_arguments(parser, words):
    """Return what a parser reads; None if it answers a call for help."""
    try:
        return parser.parse_args(words)
    except SystemExit as end:
        if end.code:
            pytest.fail(f"{shlex.join(words)} is refused")
        return None


def check_airflow(words):
    """Airflow's own command line takes it."""
    read_arguments(cli_parser.get_parser(), words)


def check_pip(words):
    """What is installed is this project, and its extras exist."""
    action, target = words
    path, _, extras = target.partition("[")
    assert action == "install"
    assert path in {".", PYPROJECT["project"]["name"]}
    known = PYPROJECT["project"]["optional-dependencies"].keys()
    assert not extras or set(extras.strip("]").split(",")) <= known


def check_curl(words):
    """A fault can be read, a start has a cause, and the server and its token are those by default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-X", choices=["POST", "DELETE"])
    parser.add_argument("-H", action="append")
    parser.add_argument("-d")
    options = parser.parse_args(words)
    path = options.url.removeprefix(f"http://127.0.0.1:{make_parser().get_default('port')}")
    assert f"Authorization: Token {DEFAULT_TOKEN}" in options.H
    if path == "/local/faults/":
        if options.d:
            read_fault(options.d)
    else:
        assert re.fullmatch(r"/api/v2/accounts/\d+/jobs/\d+/run/", path)
        assert json.loads(options.d)["cause"]


def check_dbt(words):
    """It is one of the commands that jobs are made of."""
    assert words[0] in {"build", "source"}


def check_nothing(_):
    """The shell's own: nothing of ours can be wrong in it."""


COMMANDS = {
    "make": check_make,
    "export": check_export,
    "python": check_python,
    ".venv/bin/python": check_python,
    "airflow": check_airflow,
    "pip": check_pip,
    "curl": check_curl,
    "dbt": check_dbt,
    ".": check_nothing,
    "mkdir": check_nothing,
}


@select("console", "sh")
def test_commands_exist(block):
    """A command in a console is one that its program takes, with the options that it has."""
    for name, *words in list_commands(block):
        assert name in COMMANDS, f"{block}: nobody checks {name}"
        COMMANDS[name](words)


@select("yaml", "ini", "json", "toml")
def test_files_can_be_read(block, tmp_path):
    """A block that is a file's text is read: by the program that it is for, if that is ours."""
    if block.language == "ini":
        content = configparser.ConfigParser(interpolation=None)
        content.read_string(block.text)
        assert content.sections()
        if CONFIG_SECTION in content:
            assert content[CONFIG_SECTION].keys() <= OPTIONS.keys()
    elif block.language == "yaml":
        if "jobs" in yaml.safe_load(block.text):
            (tmp_path / "dbt_cloud.yml").write_text(block.text)
            (tmp_path / "dbt_project.yml").write_text("name: documented\nprofile: documented\n")
            assert read_project(tmp_path).jobs
    else:
        assert {"json": json.loads, "toml": tomllib.loads}[block.language](block.text)


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(file):
    """A link to a file of the repository, or a picture, leads to one, and its anchor to a heading there."""
    tokens = MarkdownIt().enable("table").parse(file.read_text())
    inline = [child for token in tokens if token.type == "inline" for child in token.children]
    for target in (token.attrs.get("href") or token.attrs["src"] for token in inline if token.attrs):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (file.parent / path).resolve() if path else file
        assert there.exists(), target
        assert not anchor or anchor in list_anchors(there), target


def list_anchors(file):
    """Return the anchors of a document's headings, as repository hosts and the site make them."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


class TestLocalServer:
    """The guide to the local server has all of it."""

    GUIDE = (ROOT / "docs" / "local-server.md").read_text()

    def test_every_fault_is_explained(self):
        """Each kind of fault has its line, and each key is named."""
        from airflow_dbt_cloud.local.faults import _KINDS, _REQUEST_SELECTORS

        assert [kind for kind in _KINDS if f"| `{kind}` |" not in self.GUIDE] == []
        keys = set().union(*_KINDS.values()) | _REQUEST_SELECTORS
        assert [key for key in sorted(keys) if f"`{key}`" not in self.GUIDE] == []

    def test_every_key_is_shown(self):
        """The example of `dbt_cloud.yml` has each key that the server reads."""
        from airflow_dbt_cloud.local.project import _ENVIRONMENT_KEYS, _JOB_KEYS, _TOP_KEYS

        (block,) = (
            block for block in BLOCKS if block.file == "docs/local-server.md" and block.language == "yaml"
        )
        content = yaml.safe_load(block.text)
        assert content.keys() == set(_TOP_KEYS)
        assert content["jobs"][0].keys() == set(_JOB_KEYS)
        assert content["environments"][0].keys() | {"id"} == set(_ENVIRONMENT_KEYS)


def test_every_override_is_named():
    """The page on running a job names each field that a run can override."""
    page = (ROOT / "docs" / "how-to" / "run-a-job.md").read_text()
    overrides = [name for name in DbtCloudRunJobOperator.template_fields if name.endswith("_override")]
    assert overrides
    assert [name for name in overrides if f"`{name}`" not in page] == []
