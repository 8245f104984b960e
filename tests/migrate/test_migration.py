"""One file's migration: what is written, what is said, and what stays as it is."""

import ast
import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
from airflow.sdk.definitions._internal.contextmanager import DagContext
from airflow.sdk.definitions.mappedoperator import MappedOperator

from airflow_dbt_cloud.migrate.migration import Migration, MigrationError, migrate

SAMPLES = Path(__file__).parents[1] / "samples" / "migrate"
OFFICIAL = json.loads((SAMPLES.parent / "official_4_11_1.json").read_text())
MODULE = "airflow.providers.dbt.cloud.hooks.dbt"
LINE = b"from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator"
NAMES = sorted(path.name.partition(".")[0] for path in SAMPLES.glob("*.before.py"))
OURS = b"from airflow_dbt_cloud.operators import DbtCloudRunJobOperator"


def said(migration):
    """Return what is said of a file, as a report has it."""
    return "".join(f"{line}: {kind}: {sentence}\n" for line, kind, sentence in migration.findings)


@pytest.mark.parametrize("sample", NAMES)
def test_rewritten(sample):
    """Imports, and what is reached through them, become those of this package; all else is the same."""
    migration = migrate((SAMPLES / f"{sample}.before.py").read_bytes())
    assert migration.result.decode() == (SAMPLES / f"{sample}.after.py").read_text()


@pytest.mark.parametrize("sample", NAMES)
def test_reported(sample):
    """What needs a human eye is said, with its line; what works as before is not."""
    migration = migrate((SAMPLES / f"{sample}.before.py").read_bytes())
    assert said(migration) == (SAMPLES / f"{sample}.report.txt").read_text()


@pytest.mark.parametrize("sample", NAMES)
def test_twice(sample):
    """What has been rewritten has nothing more to rewrite."""
    source = (SAMPLES / f"{sample}.after.py").read_bytes()
    assert migrate(source).result == source


@pytest.mark.parametrize("sample", NAMES)
def test_nothing_more_to_say(sample):
    """Of a file that imports nothing of the official provider any more nothing is said."""
    source = (SAMPLES / f"{sample}.after.py").read_bytes()
    if re.search(rb"^ *(from|import) airflow.providers.dbt", source, re.MULTILINE) is None:
        assert said(migrate(source)).replace("a string names the official provider", "") == ""


def find_tasks(path, monkeypatch):
    """Import a DAG file, and return the classes of its tasks."""
    spec = importlib.util.spec_from_file_location(f"migrated_{path.name.partition('.')[0]}", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    # As Airflow's own DAG processor does, so that no DAG needs a name to be found.
    monkeypatch.setattr(DagContext, "current_autoregister_module_name", spec.name)
    monkeypatch.setattr(DagContext, "autoregistered_dags", set())
    spec.loader.exec_module(module)
    tasks = [task for dag, _ in DagContext.autoregistered_dags for task in dag.tasks]
    return [task.operator_class if isinstance(task, MappedOperator) else type(task) for task in tasks]


@pytest.mark.parametrize("sample", [name for name in NAMES if name not in {"not_here", "star"}])
def test_works(sample, monkeypatch):
    """Airflow imports what has been rewritten, and all its tasks are of this package."""
    path = SAMPLES / f"{sample}.after.py"
    classes = find_tasks(path, monkeypatch)
    ours = [
        cls for cls in classes if any(base.__module__.startswith("airflow_dbt_cloud") for base in cls.__mro__)
    ]
    assert len(ours) == int(path.read_text().split()[1])


def test_every_parameter():
    """The sample with every parameter has every parameter of every operator and sensor of 4.11.1."""
    tree = ast.parse((SAMPLES / "every_parameter.before.py").read_text())
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    written = {call.func.id: {keyword.arg for keyword in call.keywords} - {"task_id"} for call in calls}
    tasks = {**OFFICIAL["modules"]["operators.dbt"], **OFFICIAL["modules"]["sensors.dbt"]}
    assert {name: written[name] for name in written if name in tasks} == {
        name: {*described["parameters"]} for name, described in tasks.items() if described.get("parameters")
    }


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"%s\r\nx = 1\r\n", b"%s\r\nx = 1\r\n"),
        (b"\xef\xbb\xbf%s\n", b"\xef\xbb\xbf%s\n"),
        ("# -*- coding: latin-1 -*-\nx = 'é'\n%s\n".encode("latin-1"),) * 2,
        (b"%s\nx = 1\r\ny = 2\n",) * 2,
        (b"%s\n\n\n\n   # odd\n\t\nif 1:\n\tx = 1\n     # odd\n",) * 2,
        (b"%s",) * 2,
        (b"\x0c\n%s\n\x0c\n",) * 2,
        (b"%s # \xc3\xa9 \xf0\x9f\x9a\xa2   \n",) * 2,
        (b"if 1:\r\n\t%s # one\r\n",) * 2,
    ],
)
def test_all_else_is_the_same(source, expected):
    """Line ends, encodings, marks and odd white space are kept, byte for byte."""
    assert migrate(source.replace(b"%s", LINE)).result == expected.replace(b"%s", OURS)


def test_line_ends_of_new_lines():
    """A line that is added ends as the others do."""
    source = LINE.replace(b"import ", b"import DbtCloudHook, ") + b"\r\nx = 1\r\n"
    assert (
        migrate(source).result
        == b"from airflow_dbt_cloud.hooks import DbtCloudHook\r\n" + OURS + b"\r\nx = 1\r\n"
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (LINE + b"\nprint 'two'\n", "line 2: this is no Python"),
        (LINE + b"\nx = '\xff'\n", "cannot be decoded"),
        (b"# coding: nonsense\n" + LINE, "cannot be decoded"),
    ],
)
def test_no_python(source, words):
    """A file that is no Python of today is an error that says where, and not a guess."""
    with pytest.raises(MigrationError, match=words):
        migrate(source)


def test_deep_nesting():
    """A file that is nested too deeply is an error, and no crash."""
    with pytest.raises(MigrationError, match="nested too deeply"):
        migrate(LINE + b"\nx = " + b" >> ".join([b"a"] * 600) + b"\n")


def test_odd_white_space():
    """What cannot be kept as it is is not rewritten, and said."""
    with pytest.raises(MigrationError, match="so odd"):
        migrate(b"\x0c" + LINE + b"\n")


@pytest.mark.parametrize("source", [b"", b"\n", b"print 'two'\n", b"\xff\xfe", b"x = 1\r"])
def test_others_files(source):
    """A file that does not speak of the official provider is not even read as Python."""
    assert migrate(source) == Migration(source, source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        # `airflow` is still wanted, and nothing else brings it.
        (
            f"import {MODULE}\n{MODULE}.DbtCloudHook\nairflow.DAG\n",
            "import airflow_dbt_cloud.hooks, airflow\nairflow_dbt_cloud.hooks.DbtCloudHook\nairflow.DAG\n",
        ),
        (
            "import airflow.sdk\nimport airflow.providers.dbt.cloud.sensors.dbt\nairflow.sdk.DAG\n",
            "import airflow.sdk\nimport airflow_dbt_cloud.sensors\nairflow.sdk.DAG\n",
        ),
        ("from airflow.providers.dbt.cloud import hooks\n", "from airflow_dbt_cloud import hooks\n"),
        (
            "from airflow.providers.dbt import cloud\nx = cloud.hooks.dbt.DbtCloudHook()\n",
            "from airflow_dbt_cloud import hooks as cloud\nx = cloud.DbtCloudHook()\n",
        ),
        (
            "import os, airflow.providers.dbt.cloud.hooks.dbt as h, sys\nh.DbtCloudHook\n",
            "import os, sys\nimport airflow_dbt_cloud.hooks as h\nh.DbtCloudHook\n",
        ),
        # Nothing of it is certain.
        ("from airflow.providers.dbt.cloud.hooks import dbt\ngetattr(dbt, name)\n", None),
        ("from airflow.providers.dbt.cloud.hooks import dbt\ndbt.TokenAuth, dbt.DbtCloudHook\n", None),
        ("from airflow.providers import dbt\ndbt.cloud.hooks.dbt.DbtCloudHook\n", None),
        ("from .airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook\n", None),
        ("from airflow.providers.dbt.cloud_two.hooks.dbt import DbtCloudHook\n", None),
    ],
)
def test_modules(source, expected):
    """A module is replaced if it is certain what of it is used, and else left alone."""
    assert migrate(source.encode()).result.decode() == (expected or source)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "from airflow.providers.dbt.cloud.hooks import dbt\ngetattr(dbt, name)\n",
            "2: change: the module itself is handed on",
        ),
        (
            "from airflow.providers import dbt\ndbt.cloud.hooks.dbt.DbtCloudHook\n",
            "1: change: name what is used of airflow.providers.dbt",
        ),
        ("from airflow.providers.dbt.cloud.hooks.dbt import Nonsense\n", "1: change: Nonsense is not here"),
        ("import airflow.providers.dbt.cloud.get_provider_info\n", "1: change: there is no module like"),
        (
            "from airflow.providers.dbt.cloud.hooks import dbt\ndef f(h: 'dbt.DbtCloudHook'): ...\n",
            "2: change: this string names a module",
        ),
        (
            "import importlib\nimportlib.import_module('airflow.providers.dbt.cloud.hooks.dbt')\n",
            "2: change: a string names the official provider: write airflow_dbt_cloud.hooks\n",
        ),
        (
            "x = f'airflow.providers.dbt.cloud.{kind}.dbt'\n",
            "1: change: a string names the official provider: name what it stands for",
        ),
    ],
)
def test_what_is_left_alone_is_said(source, words):
    """Whatever names the official provider and is not rewritten is reported."""
    migration = migrate(source.encode())
    assert not migration.is_pending
    assert words in said(migration)


HOOK = f"from {MODULE} import DbtCloudHook\n"


@pytest.mark.parametrize(
    "source",
    [
        "hook = DbtCloudHook()\nhook.get_job(1)\n",
        "DbtCloudHook().get_job(1)\n",
        "DbtCloudHook('conn').get_job(job_id=1)\n",
        "def f(hook: DbtCloudHook):\n    hook.get_job(1)\n",
        "def f() -> DbtCloudHook: ...\nf().get_job(1)\n",
        "def f():\n    return DbtCloudHook()\nf().get_job(1)\n",
        "if (hook := DbtCloudHook()):\n    hook.get_job(1)\n",
        "hook: DbtCloudHook = make()\nhook.get_job(1)\n",
        "class A:\n def f(self):\n  self.hook = DbtCloudHook()\n def g(self):\n  self.hook.get_job(1)\n",
        "class A:\n def hook(self):\n  return DbtCloudHook()\n def g(self):\n  self.hook().get_job(1)\n",
        "class A:\n @property\n def h(self):\n  return DbtCloudHook()\n def g(self):\n  self.h.get_job(1)\n",
        "hook = DbtCloudHook()\ndef f():\n    return [hook.get_job(i) for i in range(3)]\n",
        "hook: Any\nhook = other = DbtCloudHook()\nother.get_job(1)\n",
    ],
)
def test_hooks_are_followed(source):
    """A call of a hook's method is seen, however the hook came there."""
    assert "change: hook.get_job returns a Job" in said(migrate((HOOK + source).encode()))


@pytest.mark.parametrize(
    "source",
    [
        "PARAMS = {'retry_args': {'stop': 3}}\n",
        "DAG('dag', default_args={'hook_params': {'retry_args': {}}})\n",
        "DbtCloudHook(retry_args={})\n",
    ],
)
def test_retry_args(source):
    """What is not taken is said wherever it stands."""
    assert "takes no retry_args: write retry_limit and retry_delay" in said(migrate((HOOK + source).encode()))


RUN_JOB = "from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator as Run\n"


@pytest.mark.parametrize(
    "source",
    [
        "Run(task_id='x', retry_from_failure=True, additional_run_config={'threads': 1})\n",
        "Run.partial(task_id='x', retry_from_failure=True).expand(additional_run_config=[{'threads': 1}])\n",
        "Run.partial(task_id='x').expand_kwargs([GIVEN])\n",
        "DAG('x', default_args={'retry_from_failure': True, 'additional_run_config': {'threads': 1}})\n",
    ],
)
def test_mapped_and_default(source):
    """Parameters are read wherever they are given: to a task, to a mapped one, to all of a DAG."""
    given = "{'retry_from_failure': True, 'additional_run_config': {'threads': 1}}"
    told = said(migrate((RUN_JOB + source.replace("GIVEN", given)).encode()))
    assert told.count("retry_from_failure repeats what failed in the run of the task's own try") == 1
    assert told.count("additional_run_config takes no threads") == 1


@pytest.mark.parametrize("sample", NAMES)
def test_lines_of_the_result(sample):
    """Every finding is at the same place of the file, before and after."""
    migration = migrate((SAMPLES / f"{sample}.before.py").read_bytes())
    before, after = (text.decode().splitlines() for text in (migration.source, migration.result))
    for found, moved in zip(migration.findings, migration.findings_in_result, strict=True):
        assert found[1:] == moved[1:]
        if "not here" not in found.sentence:
            assert before[found.line - 1] == after[moved.line - 1]


def test_callbacks():
    """What a callback takes of its task and does not find here is said."""
    source = f"{HOOK}def failed(context):\n    print(context['task'].run_id, context['ti'].task.hook)\n"
    words = said(migrate(source.encode()))
    assert "3: look: a task of this package has no hook: make one" in words
    assert "3: look: a task of this package has no run_id: read the XCom" in words


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    hook = DbtCloudHook()\ndef g():\n    hook = S3Hook()\n    hook.get_job(1)\n",
        "hook.get_job(1)\n",
        "hook = DbtCloudHook()\nhook.get_job_run_status(1)\nhook.test_connection()\n",
        "hook = DbtCloudHook(retry_limit=3)\nhook.cancel_job_run(run_id=1)\n",
        "hook = DbtCloudHook()\ntry:\n    hook.cancel_job_run(1)\nexcept ValueError:\n    pass\n",
        "try:\n    f()\nexcept AirflowException:\n    DbtCloudHook().cancel_job_run(1)\n",
        "x.account_id = DbtCloudHook().get_job_run_status(1)\n",
    ],
)
def test_no_false_alarms(source):
    """What is no hook, or means the same here, is not reported."""
    assert said(migrate((HOOK + source).encode())) == ""
