"""
Record what `apache-airflow-providers-dbt-cloud` 4.11.1 has, as names: its classes, parameters and methods.

Run it with the Python of an environment that holds that version, and Airflow; this package is not needed:

    python tests/samples/make_official.py > tests/samples/official_4_11_1.json
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from enum import Enum
from importlib.metadata import version
from typing import Any

DISTRIBUTION = "apache-airflow-providers-dbt-cloud"
VERSION = "4.11.1"
PACKAGE = "airflow.providers.dbt.cloud"
MODULES = ("hooks.dbt", "operators.dbt", "sensors.dbt", "triggers.dbt", "utils.openlineage")


def main() -> None:
    """Print what there is."""
    if version(DISTRIBUTION) != VERSION:
        sys.exit(f"{DISTRIBUTION} {VERSION} is wanted, {version(DISTRIBUTION)} is there.")
    modules = {name: importlib.import_module(f"{PACKAGE}.{name}") for name in MODULES}
    names: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    for module, content in modules.items():
        described = dict(_describe_all(vars(content), content.__name__))
        # A constant is where it was first met; the others import it.
        names[module] = {name: value for name, value in described.items() if name not in seen}
        seen |= described.keys()
    json.dump({"version": VERSION, "modules": names}, sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


def _describe_all(content: dict[str, Any], module: str) -> Any:
    for name, value in content.items():
        home = getattr(value, "__module__", module)
        if (
            not name.startswith("_")
            and not inspect.ismodule(value)
            and home == module
            and name not in {"TYPE_CHECKING", "T", "annotations"}
        ):
            if inspect.isclass(value):
                yield name, _describe(value)
            elif inspect.isfunction(value) or name.isupper():
                yield name, {"kind": "function" if inspect.isfunction(value) else "value"}


def _describe(cls: type) -> dict[str, Any]:
    if issubclass(cls, Enum):
        return {"kind": "enum", "members": [*cls.__members__], "methods": _methods(cls)}
    if issubclass(cls, Exception):
        return {"kind": "exception"}
    if issubclass(cls, dict):
        return {"kind": "dict"}
    fields = {"template_fields": [*cls.template_fields]} if hasattr(cls, "template_fields") else {}
    own = vars(cls).get("__init__")
    parameters = _parameters(own) if own else {}
    return {"kind": "class", "parameters": parameters, "methods": _methods(cls), **fields}


def _methods(cls: type) -> dict[str, Any]:
    found = {}
    for name, value in vars(cls).items():
        plain = getattr(value, "__func__", value)
        if not name.startswith("_") and inspect.isfunction(plain):
            found[name] = _parameters(plain)
    return found


def _parameters(function: Any) -> dict[str, Any]:
    return {
        name: "required" if parameter.default is parameter.empty else {"default": parameter.default}
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in {"self", "cls"}
        and parameter.kind not in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}
    }


if __name__ == "__main__":
    main()
