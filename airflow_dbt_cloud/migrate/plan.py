"""
What is to be done about the imports of a file, and about the uses of the modules that they bring.

Only what is certain is planned. What cannot be told, or is not here, is a problem, and stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import libcst as cst
from libcst.helpers import get_full_name_for_node
from libcst.matchers import Name, findall
from libcst.metadata import ImportAssignment, ParentNodeProvider, ScopeProvider

from airflow_dbt_cloud.migrate.names import GONE, HERE, MODULES, split_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from libcst.metadata import MetadataWrapper
    from libcst.metadata.scope_provider import Scope

    from airflow_dbt_cloud.migrate.names import Home

__all__ = ["Plan", "Problem", "Replacement", "make_plan"]


class Replacement(NamedTuple):
    """
    What stands in the place of an imported name.

    :param module: where it is imported from; empty if `name` is a module that is imported itself.
    :param name: what is imported.
    :param local: the name that it gets; None if it is the module's own, with dots.
    """

    module: str
    name: str
    local: str | None


class Problem(NamedTuple):
    """What stays as it is, and why."""

    node: cst.CSTNode
    sentence: str


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What is to be done about a file.

    :param aliases: what stands in the place of imported names.
    :param uses: what is written for the uses of imported modules.
    """

    aliases: dict[cst.ImportAlias, list[Replacement]] = field(default_factory=dict)
    uses: dict[cst.CSTNode, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class _Import(NamedTuple):
    """An imported name: in which statement, and what it is with all dots."""

    statement: cst.Import | cst.ImportFrom
    alias: cst.ImportAlias
    dotted: str

    @property
    def is_whole(self) -> bool:
        """Whether it is `import a.b`, which brings `a`."""
        return isinstance(self.statement, cst.Import) and self.alias.asname is None

    @property
    def local(self) -> str:
        return self.alias.evaluated_alias or self.alias.evaluated_name


class _Use(NamedTuple):
    """A name of the official provider that is reached through a module."""

    node: cst.CSTNode
    home: Home


def make_plan(wrapper: MetadataWrapper) -> Plan:
    """Return what is to be done about a file."""
    planner = _Planner(wrapper)
    wrapper.module.visit(planner)
    return planner.plan


class _Planner(cst.CSTVisitor):
    def __init__(self, wrapper: MetadataWrapper) -> None:
        super().__init__()
        self.plan = Plan()
        self._written = {cst.ensure_type(name, cst.Name).value for name in findall(wrapper.module, Name())}
        self._parents: Mapping[cst.CSTNode, cst.CSTNode] = wrapper.resolve(ParentNodeProvider)
        self._scopes: Mapping[cst.CSTNode, Scope | None] = wrapper.resolve(ScopeProvider)

    def visit_Import(self, node: cst.Import) -> None:
        for alias in node.names:
            self._read(_Import(node, alias, alias.evaluated_name))

    def visit_ImportFrom(self, node: cst.ImportFrom) -> None:
        module = node.module and get_full_name_for_node(node.module)
        if node.relative or not module:
            return
        if not isinstance(node.names, cst.ImportStar):
            for alias in node.names:
                self._read(_Import(node, alias, f"{module}.{alias.evaluated_name}"))
        elif split_name(module):
            used = sorted(HERE.keys() & self._written)
            names = f" ({', '.join(used)})" if used else ""
            sentence = (
                f"a star import does not tell what it brings: name what is used{names}, and run this again"
            )
            self._leave(node, sentence)

    def _read(self, imported: _Import) -> None:
        found = split_name(imported.dotted)
        if imported.dotted == "airflow.providers.dbt":
            self._leave(imported.statement, "name what is used of airflow.providers.dbt, and run this again")
        if found is None:
            return
        module, name = found
        if not name:
            self._read_module(imported, module)
        elif home := HERE.get(name):
            self.plan.aliases[imported.alias] = [Replacement(*home, imported.local)]
        else:
            self._leave(imported.statement, _why_left(name))

    def _read_module(self, imported: _Import, module: str) -> None:
        """Decide about an imported module by what of it is used."""
        uses: list[_Use] = []
        is_airflow_used = False
        for chain, dotted in self._chains(imported):
            use = self._find_use(chain, dotted)
            if isinstance(use, _Use):
                uses.append(use)
            elif use:
                self._leave(chain, use)
                return
            else:
                is_airflow_used = True
        homes = {use.home.module for use in uses} or {MODULES.get(module, "")}
        if homes == {""}:
            self._leave(imported.statement, f"there is no module like {imported.dotted} here")
            return
        self._replace_module(imported, sorted(homes), uses)
        if is_airflow_used and not self._is_airflow_bound(imported):
            self.plan.aliases[imported.alias].append(Replacement("", "airflow", None))

    def _replace_module(self, imported: _Import, homes: list[str], uses: list[_Use]) -> None:
        is_renamed = len(homes) == 1 and not imported.is_whole
        if is_renamed:
            package, _, name = homes[0].rpartition(".")
            new = Replacement(package, name, imported.local)
            if isinstance(imported.statement, cst.Import):
                new = Replacement("", homes[0], imported.local)
            self.plan.aliases[imported.alias] = [new]
        else:
            self.plan.aliases[imported.alias] = [Replacement("", home, None) for home in homes]
        for node, home in uses:
            self.plan.uses[node] = f"{imported.local if is_renamed else home.module}.{home.name}"

    def _chains(self, imported: _Import) -> Iterator[tuple[cst.CSTNode, str]]:
        """Yield where an import is used: the longest chain of attributes, and its name with all dots."""
        for name, assignment in self._assignments(imported):
            for access in assignment.references:
                chain: cst.CSTNode = access.node
                while isinstance(parent := self._parents.get(chain), cst.Attribute) and parent.value is chain:
                    chain = parent
                written = get_full_name_for_node(chain) or name
                is_whole = imported.is_whole
                yield chain, written if is_whole else imported.dotted + written.removeprefix(imported.local)

    def _assignments(self, imported: _Import) -> Iterator[tuple[str, ImportAssignment]]:
        scope = self._scopes[imported.alias]
        # `import a.b` binds `a` and `a.b`; the parser keeps them apart by what is reached through them.
        for name in accumulate(imported.local.split("."), "{}.{}".format):
            for assignment in scope[name] if scope else ():
                if isinstance(assignment, ImportAssignment) and assignment.node is imported.statement:
                    yield name, assignment

    def _find_use(self, chain: cst.CSTNode, dotted: str) -> _Use | str:
        """Return the use, why it cannot be told, or nothing if it is one of Airflow itself."""
        found = split_name(dotted)
        if isinstance(chain, cst.BaseString):
            return "this string names a module that is imported otherwise here: write the name anew"
        if found is None:
            return ""
        name, _, rest = found[1].partition(".")
        if name not in HERE:
            return _why_left(name) if name else "the module itself is handed on: where to cannot be told"
        for _ in filter(None, rest.split(".")):
            chain = cst.ensure_type(chain, cst.Attribute).value
        return _Use(chain, HERE[name])

    def _is_airflow_bound(self, imported: _Import) -> bool:
        """Whether an import that stays brings the name `airflow`, too."""
        return any(
            split_name(alias.evaluated_name) is None
            for other in (self._scopes[imported.alias] or {"airflow": ()})["airflow"]
            if isinstance(other, ImportAssignment) and isinstance(other.node, cst.Import)
            for alias in other.node.names
            if alias.evaluated_name.partition(".")[0] == "airflow"
        )

    def _leave(self, node: cst.CSTNode, sentence: str) -> None:
        self.plan.problems.append(Problem(node, sentence))


def _why_left(name: str) -> str:
    advice = GONE.get(name, "delete it")
    return f"{name} is not here: {advice}"
