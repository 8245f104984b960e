"""
What in a file needs a human eye: what takes, returns or means something else here.

Nothing is reported that is the same here; what cannot be told is not guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import libcst as cst
from libcst.metadata import ParentNodeProvider

from airflow_dbt_cloud.migrate.differences import (
    HOOK_ATTRIBUTES,
    HOOK_METHODS,
    OPERATORS,
    RELATED,
    RUN_FIELDS,
    SAME_METHODS,
    STATUS_ATTRIBUTES,
    TASK_ATTRIBUTES,
    WISHES,
)
from airflow_dbt_cloud.migrate.hook_uses import find_hooks
from airflow_dbt_cloud.migrate.names import HERE, MODULES, OFFICIAL, split_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcst.metadata import MetadataWrapper

__all__ = ["CHANGE", "LOOK", "Remark", "inspect"]

# It does not work here as it stands; it works, and does something else.
CHANGE = "change"
LOOK = "look"
# What the official hook lets through, and this one does not.
FOREIGN_ERRORS = frozenset({"AirflowException", "HTTPError", "RequestException", "ClientResponseError"})


class Remark(NamedTuple):
    """A place, what kind of work it is, and a sentence on what to do."""

    node: cst.CSTNode
    kind: str
    sentence: str


def inspect(wrapper: MetadataWrapper) -> list[Remark]:
    """Return what is to be said about a file, besides its imports."""
    inspector = _Inspector(wrapper)
    wrapper.module.visit(inspector)
    return inspector.remarks


class _Inspector(cst.CSTVisitor):
    def __init__(self, wrapper: MetadataWrapper) -> None:
        super().__init__()
        self.remarks: list[Remark] = []
        self._names = find_hooks(wrapper)
        self._parents = wrapper.resolve(ParentNodeProvider)

    def visit_Call(self, node: cst.Call) -> None:
        name = self._names.official(node.func).removesuffix(".partial")
        if name in OPERATORS:
            self._read_operator(node, name)
        elif name == "DbtCloudHook":
            self._read_hook(node)
        elif name == "DbtCloudRunJobTrigger":
            self._read_trigger(node)
        elif name == "DbtCloudJobRunException":
            self._change(
                node, "DbtCloudJobRunException takes the run, and no message: raise an error of your own"
            )
        elif self._is_mapping(node):
            self._read_wishes(node, _keywords(node))
        elif isinstance(node.func, cst.Attribute) and self._names.is_hook(node.func.value):
            self._read_method(node, node.func.attr.value)

    def visit_Attribute(self, node: cst.Attribute) -> None:
        name = node.attr.value
        owner = self._names.official(node)
        if owner == f"DbtCloudJobRunStatus.{name}" and name in STATUS_ATTRIBUTES:
            self._change(node, f"{owner} is not here: {STATUS_ATTRIBUTES[name]}")
        elif name in HOOK_ATTRIBUTES and self._names.is_hook(node.value):
            self._change(node, f"the hook's {name} {HOOK_ATTRIBUTES[name]}")
        elif name in TASK_ATTRIBUTES and _is_task(node.value):
            self._look(node, f"a task of this package has no {name}: {TASK_ATTRIBUTES[name]}")

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        for base in node.bases:
            name = self._names.official(base.value)
            if name == "DbtCloudHook":
                self._change(
                    node, "this subclass of DbtCloudHook inherits other methods, which return values"
                )
            elif name in OPERATORS:
                missing = sorted(TASK_ATTRIBUTES.keys() & _own_attributes(node))
                for attribute in missing:
                    self._change(node, f"{name} has no self.{attribute} here: {TASK_ATTRIBUTES[attribute]}")
                if not missing:
                    self._look(node, f"this subclass of {name} inherits another execute and execute_complete")

    def visit_Try(self, node: cst.Try) -> None:
        if not any(self._is_hook_call(call) for call in _calls(node.body)):
            return
        for handler in node.handlers:
            for kind in _alternatives(handler.type):
                names = {name.rpartition(".")[2] for name in self._names.all_names(kind)}
                if self._names.official(kind) == "DbtCloudJobRunException":
                    self._look(
                        handler,
                        "DbtCloudJobRunException still catches every run that did not end well, but is no "
                        "AirflowException, and an answer that dbt Cloud refuses is a DbtCloudApiError",
                    )
                elif caught := names & FOREIGN_ERRORS:
                    self._change(
                        handler,
                        f"the hook raises no {min(caught)} here: catch DbtCloudError, or a kind of it "
                        "(airflow_dbt_cloud.errors)",
                    )

    def visit_Dict(self, node: cst.Dict) -> None:
        # Wherever it stands: in default_args, or under a name of its own.
        if "retry_args" in _keys(node):
            self._change(
                node, "hook_params takes no retry_args: write retry_limit and retry_delay, which are numbers"
            )
        self._read_wishes(
            node,
            {
                _text(element.key): element.value
                for element in node.elements
                if isinstance(element, cst.DictElement)
            },
        )

    def visit_SimpleString(self, node: cst.SimpleString) -> None:
        self._read_string(node, node.raw_value)

    def visit_FormattedStringText(self, node: cst.FormattedStringText) -> None:
        self._read_string(node, node.value)

    def _read_operator(self, node: cst.Call, name: str) -> None:
        arguments = _keywords(node)
        self._read_wishes(node, arguments)
        if name == "DbtCloudListJobRunsOperator":
            self._read_listing(node, arguments)

    def _read_wishes(self, node: cst.CSTNode, arguments: dict[str, cst.BaseExpression]) -> None:
        for wish, sentence in WISHES.items():
            if wish in arguments and not _is_name(arguments[wish], "False"):
                self._look(arguments[wish], f"{wish} {sentence}")
        fields = set[str]().union(*map(_keys, _alternatives(arguments.get("additional_run_config"))))
        for unknown in sorted(fields - RUN_FIELDS):
            self._change(
                node, f"additional_run_config takes no {unknown}, only what overrides a field of the job"
            )

    def _read_listing(self, node: cst.Call, arguments: dict[str, cst.BaseExpression]) -> None:
        for unknown in sorted(_items(arguments.get("include_related")) - RELATED):
            self._change(node, f"include_related takes no {unknown}, only trigger and audit")
        self._look(node, "the runs that this returns have the keys that its docstring names, and no others")

    def _read_hook(self, node: cst.Call) -> None:
        if sum(argument.keyword is None for argument in node.args) > 1:
            self._change(node, "all arguments of DbtCloudHook but the first are keywords")
        if "retry_args" in _keywords(node):
            self._change(
                node, "DbtCloudHook takes no retry_args: write retry_limit and retry_delay, which are numbers"
            )

    def _read_trigger(self, node: cst.Call) -> None:
        if any(argument.keyword is None for argument in node.args):
            self._change(node, "all arguments of DbtCloudRunJobTrigger are keywords")
        self._change(node, "the trigger fires another event: read it with RunEvent.from_payload(event)")

    def _read_method(self, node: cst.Call, method: str) -> None:
        if method in HOOK_METHODS:
            self._change(node, f"hook.{method} {HOOK_METHODS[method]}")
        account = "account_id" in _keywords(node)
        if account or (
            method in SAME_METHODS and sum(argument.keyword is None for argument in node.args) > 1
        ):
            self._change(
                node, f"hook.{method} takes no account_id: give it to the hook, DbtCloudHook(account_id=…)"
            )

    def _read_string(self, node: cst.SimpleString | cst.FormattedStringText, text: str) -> None:
        if OFFICIAL not in text or isinstance(self._parents.get(node), cst.Expr):
            return
        module, name = split_name(text) or ("", "")
        here = ".".join(HERE.get(name, ())) or ("" if name else MODULES.get(module, ""))
        here = f"write {here}" if here else "name what it stands for here"
        self._change(node, f"a string names the official provider: {here}")

    def _is_mapping(self, node: cst.Call) -> bool:
        """Whether this is `X.partial(…).expand(…)` of an operator."""
        if not isinstance(node.func, cst.Attribute) or not isinstance(node.func.value, cst.Call):
            return False
        name = self._names.official(node.func.value.func)
        return name.endswith(".partial") and name.removesuffix(".partial") in OPERATORS

    def _is_hook_call(self, node: cst.Call) -> bool:
        return isinstance(node.func, cst.Attribute) and self._names.is_hook(node.func.value)

    def _change(self, node: cst.CSTNode, sentence: str) -> None:
        self.remarks.append(Remark(node, CHANGE, sentence))

    def _look(self, node: cst.CSTNode, sentence: str) -> None:
        self.remarks.append(Remark(node, LOOK, sentence))


class _Collector(cst.CSTVisitor):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[cst.Call] = []
        self.own: set[str] = set()

    def visit_Call(self, node: cst.Call) -> None:
        self.calls.append(node)

    def visit_Attribute(self, node: cst.Attribute) -> None:
        if _is_name(node.value, "self"):
            self.own.add(node.attr.value)


def _calls(body: cst.BaseSuite) -> list[cst.Call]:
    collector = _Collector()
    body.visit(collector)
    return collector.calls


def _own_attributes(node: cst.ClassDef) -> set[str]:
    collector = _Collector()
    node.body.visit(collector)
    return collector.own


def _alternatives(node: cst.BaseExpression | None) -> Iterator[cst.BaseExpression]:
    if isinstance(node, cst.Tuple | cst.List):
        yield from (element.value for element in node.elements)
    elif node is not None:
        yield node


def _keywords(node: cst.Call) -> dict[str, cst.BaseExpression]:
    return {argument.keyword.value: argument.value for argument in node.args if argument.keyword}


def _keys(node: cst.BaseExpression | None) -> set[str]:
    """Return the keys of a dict that is written out."""
    if isinstance(node, cst.Call) and _is_name(node.func, "dict"):
        return {*_keywords(node)}
    if not isinstance(node, cst.Dict):
        return set()
    return {_text(element.key) for element in node.elements if isinstance(element, cst.DictElement)} - {""}


def _items(node: cst.BaseExpression | None) -> set[str]:
    """Return the strings of a list that is written out."""
    if not isinstance(node, cst.List | cst.Tuple | cst.Set):
        return set()
    return {_text(element.value) for element in node.elements} - {""}


def _text(node: cst.BaseExpression) -> str:
    value = node.evaluated_value if isinstance(node, cst.SimpleString) else ""
    return value if isinstance(value, str) else ""


def _is_task(node: cst.BaseExpression) -> bool:
    """Whether this is `context["task"]` or `….task`, as callbacks have it."""
    if isinstance(node, cst.Subscript) and isinstance(index := node.slice[0].slice, cst.Index):
        return _text(index.value) == "task"
    return isinstance(node, cst.Attribute) and node.attr.value == "task"


def _is_name(node: cst.BaseExpression, name: str) -> bool:
    return isinstance(node, cst.Name) and node.value == name
