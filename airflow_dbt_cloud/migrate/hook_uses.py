"""Which expressions of a file are a `DbtCloudHook`, as far as can be told without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst
from libcst.helpers import get_full_name_for_node
from libcst.metadata import Assignment, QualifiedNameProvider, ScopeProvider

from airflow_dbt_cloud.migrate.names import split_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcst.metadata import MetadataWrapper
    from libcst.metadata.scope_provider import Scope

__all__ = ["Names", "find_hooks"]


class Names:
    """What the expressions of a file are called in the official provider, and which of them are hooks."""

    def __init__(self, wrapper: MetadataWrapper) -> None:
        self._qualified = wrapper.resolve(QualifiedNameProvider)
        self._scopes: Mapping[cst.CSTNode, Scope | None] = wrapper.resolve(ScopeProvider)
        # Where names are bound to hooks, or to functions that make them; and attributes, by what is written.
        self.bindings: set[cst.CSTNode] = set()
        self.attributes: set[str] = set()

    def official(self, node: cst.CSTNode) -> str:
        """Return the official name without its module, `DbtCloudHook.conn_type`; empty if it has none."""
        found = [split_name(name) for name in sorted(self.all_names(node))]
        return next((name for _, name in filter(None, found) if name), "")

    def all_names(self, node: cst.CSTNode) -> set[str]:
        """Return the names with all dots that an expression may have."""
        names = self._qualified.get(node, ())
        return {qualified.name for qualified in (names() if callable(names) else names)}

    def is_hook(self, node: cst.CSTNode) -> bool:
        """Whether an expression is a hook, for all that is known."""
        if isinstance(node, cst.Call):
            return self.official(node.func) == "DbtCloudHook" or self._is_bound(node.func)
        return self._is_bound(node)

    def _is_bound(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Attribute):
            return get_full_name_for_node(node) in self.attributes
        scope = self._scopes.get(node)
        if not isinstance(node, cst.Name) or scope is None:
            return False
        return any(
            isinstance(assignment, Assignment) and assignment.node in self.bindings
            for assignment in scope[node.value]
        )


def find_hooks(wrapper: MetadataWrapper) -> Names:
    """Return the names of a file, and which of them are hooks."""
    names = Names(wrapper)
    wrapper.module.visit(_Bindings(names))
    return names


class _Bindings(cst.CSTVisitor):
    def __init__(self, names: Names) -> None:
        super().__init__()
        self._names = names
        self._functions: list[cst.FunctionDef] = []

    def visit_Assign(self, node: cst.Assign) -> None:
        if self._names.is_hook(node.value):
            for target in node.targets:
                self._bind(target.target)

    def visit_AnnAssign(self, node: cst.AnnAssign) -> None:
        if self._is_annotated(node.annotation) or (node.value and self._names.is_hook(node.value)):
            self._bind(node.target)

    def visit_NamedExpr(self, node: cst.NamedExpr) -> None:
        if self._names.is_hook(node.value):
            self._bind(node.target)

    def visit_Param(self, node: cst.Param) -> None:
        if self._is_annotated(node.annotation):
            self._names.bindings.add(node)

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self._functions.append(node)
        if self._is_annotated(node.returns):
            self._bind_function(node)

    def leave_FunctionDef(self, original_node: cst.FunctionDef) -> None:  # noqa: ARG002 - libcst's signature
        self._functions.pop()

    def visit_Return(self, node: cst.Return) -> None:
        if self._functions and node.value and self._names.is_hook(node.value):
            self._bind_function(self._functions[-1])

    def _is_annotated(self, annotation: cst.Annotation | None) -> bool:
        return annotation is not None and self._names.official(annotation.annotation) == "DbtCloudHook"

    def _bind(self, target: cst.BaseExpression) -> None:
        if isinstance(target, cst.Attribute) and (written := get_full_name_for_node(target)):
            self._names.attributes.add(written)
        else:
            self._names.bindings.add(target)

    def _bind_function(self, function: cst.FunctionDef) -> None:
        self._names.bindings.add(function)
        # As a method or a property it is reached through self.
        self._names.attributes.add(f"self.{function.name.value}")
