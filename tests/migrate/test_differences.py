"""The tables of what is different: they hold what 4.11.1 has, and say of this package what is so."""

import importlib
import inspect
import json
import re
from pathlib import Path

import pytest

from airflow_dbt_cloud.hooks import DbtCloudHook, DbtCloudJobRunStatus
from airflow_dbt_cloud.migrate import differences
from airflow_dbt_cloud.migrate.names import GONE, HERE, MODULES
from airflow_dbt_cloud.operators import list_runs
from airflow_dbt_cloud.parameters import OVERRIDES

ROOT = Path(__file__).parents[2]
OFFICIAL = json.loads((ROOT / "tests/samples/official_4_11_1.json").read_text())["modules"]
NAMES = {name: (module, described) for module, names in OFFICIAL.items() for name, described in names.items()}
CLASSES = {name: described for name, (_, described) in NAMES.items() if described["kind"] == "class"}
GUIDE = (ROOT / "docs/migrating.md").read_text()
NOT_HERE = "not here"


def ours(name):
    """Return the class that stands here for one of the official provider's."""
    home = HERE[name]
    return getattr(importlib.import_module(home.module), home.name)


def rows(heading):
    """Return the tables of a section of the guide: what is here, by the official name."""
    section = GUIDE.split(f"\n{heading}\n")[1].split("\n#")[0]
    cells = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): row[1].strip(" |") for row in cells}


def parameters(function):
    """Return the parameters that can be given by name, with their defaults."""
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}


def test_every_name():
    """Every public name of 4.11.1 is known, as here or as gone, and no other."""
    assert HERE.keys() | GONE.keys() == NAMES.keys()
    assert not HERE.keys() & GONE.keys()


@pytest.mark.parametrize("name", HERE)
def test_homes(name):
    """What a name becomes exists, and its module says so in `__all__`."""
    home = HERE[name]
    assert home.name in importlib.import_module(home.module).__all__
    assert home.module in MODULES.values() or home.module == "airflow_dbt_cloud.errors"


def test_guide_names():
    """The guide's table of import lines is what the tool does."""
    table = rows("## The import lines")
    assert table.keys() == {f"{module}.{name}" for name, (module, _) in NAMES.items()}
    for name, (module, _) in NAMES.items():
        said = table[f"{module}.{name}"]
        assert said.startswith(NOT_HERE) if name in GONE else said == f"`{'.'.join(HERE[name])}`"


@pytest.mark.parametrize("name", [name for name in CLASSES if CLASSES[name]["parameters"] and name in HERE])
def test_guide_parameters(name):
    """The guide tells of every parameter, and what is said to be the same is here, with its default."""
    table = rows(f"### `{name}`")
    here = parameters(ours(name))
    for parameter, described in CLASSES[name]["parameters"].items():
        said = table[parameter]
        assert (parameter in here) is (said in {"same", "changed"}), parameter
        if said == "same" and described != "required":
            # None stands for an option of Airflow's configuration.
            assert here[parameter] in {described["default"], None}, parameter


@pytest.mark.parametrize("name", [name for name in CLASSES if "template_fields" in CLASSES[name]])
def test_template_fields(name):
    """What is rendered there is rendered here."""
    assert {*CLASSES[name]["template_fields"]} <= {*ours(name).template_fields}


@pytest.mark.parametrize(("method", "described"), CLASSES["DbtCloudHook"]["methods"].items())
def test_guide_methods(method, described):
    """The guide tells of every method of the hook, and each that it names here is here."""
    said = rows("### `DbtCloudHook`")[method]
    own = hasattr(DbtCloudHook, method)
    if said == "same":
        assert described.keys() - {"account_id"} <= parameters(getattr(DbtCloudHook, method)).keys()
    elif said == "changed":
        assert own
    else:
        # Airflow's own hook may have one of that name.
        assert not own or method not in vars(DbtCloudHook)
        assert said == NOT_HERE or hasattr(DbtCloudHook, said.strip("`"))


@pytest.mark.parametrize("name", [name for name in CLASSES if name in HERE and name != "DbtCloudHook"])
def test_methods_of_the_others(name):
    """The guide names each method of tasks and trigger, and says which of them are not here."""
    (line,) = (text for text in GUIDE.split("\n- ") if text.startswith("**Methods.**"))
    here, _, not_here = line.partition("Not here are")
    for method in CLASSES[name]["methods"]:
        assert f"`{method}`" in (here if hasattr(ours(name), method) else not_here) or method == "get_link"


def test_every_method():
    """The tool has a word for every method of the hook that is not the same here."""
    methods = CLASSES["DbtCloudHook"]["methods"].keys()
    known = differences.HOOK_METHODS.keys() | differences.SAME_METHODS
    assert methods - known == {"test_connection", "get_ui_field_behaviour"}
    public = {name for name in known - methods if not name.startswith("_")}
    # Of the class that the official hook inherits from.
    assert public == {"run", "run_with_advanced_retry"}


@pytest.mark.parametrize("method", differences.HOOK_METHODS)
def test_methods_that_are_not_here(method):
    """The tool calls a method not here exactly if it is not, and what it says to write instead exists."""
    sentence = differences.HOOK_METHODS[method]
    assert sentence.startswith(("is not here", "is wait_for_job_run(")) is (method not in vars(DbtCloudHook))
    named = set(re.findall(r"\b((?:get|list|retry|wait|trigger|cancel)_[a-z_]+)\b", sentence))
    assert {name for name in named if not hasattr(DbtCloudHook, name)} <= {"retry_from_failure"}


def test_statuses():
    """The members of the enum are here with their numbers, but for those that are said not to be."""
    described = NAMES["DbtCloudJobRunStatus"][1]
    there = {*described["members"], *described["methods"]}
    here = {name for name in there if hasattr(DbtCloudJobRunStatus, name)}
    assert there - here == differences.STATUS_ATTRIBUTES.keys()
    said = rows("### `DbtCloudJobRunStatus`")
    assert said == {name: "same" if name in here else NOT_HERE for name in there}


def test_what_the_package_takes():
    """What the tool takes for known is what the package takes."""
    assert differences.RUN_FIELDS == OVERRIDES
    assert {*list_runs.RELATED} == differences.RELATED
    assert {name for name in CLASSES if name.endswith(("Operator", "Sensor"))} == differences.OPERATORS


@pytest.mark.parametrize("name", sorted(differences.OPERATORS))
def test_attributes(name):
    """A task has none of the attributes that the tool says it has not."""
    task = ours(name)
    assert not [attribute for attribute in differences.TASK_ATTRIBUTES if hasattr(task, attribute)]
