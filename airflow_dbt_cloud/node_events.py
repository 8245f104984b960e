"""
The OpenLineage events of dbt's nodes, made of what one step of a run left behind.

OpenLineage's own processor for dbt Cloud makes them: for each node that was run a START, and a COMPLETE or a
FAIL, with the datasets that it read and wrote, their columns, and the compiled SQL. What the processor reads
is put right before, because it gives up a step for one node that it did not expect, and does not know all:

* Seeds have no events, and nothing reads from a seed or a snapshot: both are shown to it as models.
* A node that dbt skipped, reused or had nothing to do for (`no-op`) has none. A microbatch model that lacks
  batches failed.
* A test that only warned is no failure, whatever more rows would have made of it.
* A FAIL says why.
* Nobody is asked whose credentials the worker has: the warehouse is not the worker's.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import attrs
from openlineage.client.event_v2 import RunState
from openlineage.client.facet_v2 import error_message_run
from openlineage.common.provider.dbt.cloud import DbtCloudArtifactProcessor
from openlineage.common.provider.dbt.utils import PRODUCER

from airflow_dbt_cloud.fields import items, member, objects, text
from airflow_dbt_cloud.nodes import Node, Results

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openlineage.client.event_v2 import RunEvent
    from openlineage.common.provider.dbt.facets import ParentRunMetadata

__all__ = ["Artifacts", "Warehouse", "has_events", "make_events", "name_warehouse"]

# What dbt says of a node that was run, and the word that the processor knows for it.
BUILT = {"success": "success", "warn": "success", "error": "error", "partial success": "error"}
TESTED = {"pass": "pass", "warn": "warn", "fail": "fail", "error": "error"}
OUTCOMES = {"model": BUILT, "seed": BUILT, "snapshot": BUILT, "test": TESTED}
# What the processor has no events for, and what it does not see that something reads from.
UNBUILT, UNREAD = ("seed.",), ("seed.", "snapshot.")


@dataclass(frozen=True, slots=True)
class Artifacts:
    """What one step left behind, as JSON; without docs there is no catalog."""

    run_results: dict[str, Any]
    manifest: dict[str, Any]
    catalog: dict[str, Any] | None = None

    @property
    def adapter(self) -> str:
        """The kind of warehouse, in dbt's word: `snowflake`."""
        return text(member(self.manifest, "metadata"), "adapter_type").lower()


@dataclass(frozen=True, slots=True)
class Warehouse:
    """Where the nodes are: `namespace` is OpenLineage's name for it, the rest is dbt Cloud's."""

    namespace: str
    connection: str = ""
    account_id: int = 0


def name_warehouse(adapter: str, address: Mapping[str, Any]) -> str:
    """
    Return the namespace of a warehouse's datasets, as OpenLineage's conventions have it.

    :param adapter: dbt's word for its kind.
    :param address: where it is, by the names that dbt Cloud's connections have for it.
    :raises KeyError: something is missing; names it.
    :raises NotImplementedError: OpenLineage has no name for such a warehouse.
    """
    processor = _Processor(Artifacts({}, {}), Warehouse(""), "")
    processor.take_adapter(adapter)
    # dbt Cloud's name for what is called host in a profile.
    host = {"host": address["hostname"]} if "hostname" in address else {}
    return str(processor.extract_namespace({"details": {**address, **host}}))


def has_events(results: Results) -> bool:
    """Whether there is anything to tell of an invocation; only then is it worth to read the manifest."""
    return any(node.status in OUTCOMES.get(node.resource_type, ()) for node in results.nodes)


def make_events(artifacts: Artifacts, warehouse: Warehouse, parent: ParentRunMetadata) -> list[RunEvent]:
    """Return the events of a step's nodes: first every START, then how each node ended."""
    processor = _Processor(_put_right(artifacts), warehouse, parent.job_namespace)
    processor.dbt_run_metadata = parent
    nodes = {node.unique_id: node for node in Results.from_json(artifacts.run_results).nodes}
    events: list[RunEvent] = processor.parse().events()
    for event in events:
        _add_what_is_known(event, nodes)
    return events


class _Processor(DbtCloudArtifactProcessor):  # type: ignore[misc] # the library has no types
    """The library's, for a warehouse that has its name already."""

    def __init__(self, artifacts: Artifacts, warehouse: Warehouse, job_namespace: str) -> None:
        super().__init__(
            manifest=artifacts.manifest,
            run_result=artifacts.run_results,
            catalog=artifacts.catalog,
            profile={"name": warehouse.connection or None, "type": artifacts.adapter},
            project_name=text(member(artifacts.manifest, "metadata"), "project_name") or None,
            account_id=str(warehouse.account_id),
            producer=PRODUCER,
            job_namespace=job_namespace,
            logger=_Murmur(logging.getLogger(__name__)),
        )
        self._namespace = warehouse.namespace

    def take_adapter(self, adapter: str) -> None:
        """
        Take note of the kind of warehouse.

        :raises NotImplementedError: the library does not know it.
        """
        super().extract_adapter_type({"type": adapter})

    def extract_adapter_type(self, profile: Mapping[str, Any]) -> None:
        """Take note of the kind of warehouse, if the library knows it: it is only for the dialect of SQL."""
        try:
            self.take_adapter(profile["type"])
        except NotImplementedError:
            self.adapter_type = None

    def extract_dataset_namespace(self, profile: Mapping[str, Any]) -> None:  # noqa: ARG002 - known already
        """Take the name that was given, and look nothing up."""
        self.dataset_namespace = self._namespace


class _Murmur(logging.LoggerAdapter[logging.Logger]):
    """Lets the library's warnings, for each query that it cannot parse, reach only whoever debugs."""

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.debug(msg, *args, **kwargs)


def _put_right(artifacts: Artifacts) -> Artifacts:
    """Return artifacts in which the processor finds what it expects, and all that is to be told of."""
    nodes, sources = (member(artifacts.manifest, kind) for kind in ("nodes", "sources"))
    arguments = member(artifacts.run_results, "args")
    results = [*_results_to_tell(artifacts.run_results, nodes)]
    warned = {
        key: {**nodes[key], "config": {**member(nodes[key], "config"), "severity": "warn"}}
        for key in (result["unique_id"] for result in results if result["status"] == "warn")
    }
    known = {*nodes, *sources}
    parents = {
        key: [_shown(parent, UNREAD) for parent in _parents(node) if parent in known]
        for key, node in nodes.items()
    }
    run_results = {
        "metadata": member(artifacts.run_results, "metadata"),
        "args": {**arguments, "which": text(arguments, "which") or "build"},
        "results": results,
    }
    manifest = {
        **artifacts.manifest,
        "nodes": _with_models({**nodes, **warned}),
        "sources": sources,
        "parent_map": _with_models(parents),
    }
    return Artifacts(run_results, manifest, _usable(artifacts.catalog))


def _results_to_tell(run_results: Mapping[str, Any], nodes: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for result in objects(run_results, "results"):
        node = Node.from_json(result)
        outcome = OUTCOMES.get(node.resource_type, {}).get(node.status)
        if outcome is None or node.unique_id not in nodes:
            continue
        response = {**member(result, "adapter_response"), "rows_affected": node.rows or 0}
        yield {
            **result,
            "unique_id": _shown(node.unique_id, UNBUILT),
            "status": outcome,
            "timing": [*_timing(node)],
            "adapter_response": {key: value for key, value in response.items() if value is not None},
        }


def _timing(node: Node) -> Iterator[dict[str, Any]]:
    """Yield the whole time of a node, as the one phase that the processor looks for."""
    if node.started_at and node.finished_at:
        started, finished = node.started_at.isoformat(), node.finished_at.isoformat()
        yield {"name": "execute", "started_at": started, "completed_at": finished}


def _parents(node: Mapping[str, Any]) -> list[str]:
    return [parent for parent in items(member(node, "depends_on"), "nodes") if isinstance(parent, str)]


def _with_models(by_node: Mapping[str, Any]) -> dict[str, Any]:
    """Add what the processor does not know under names that it does."""
    return {**by_node, **{_shown(key, UNREAD): value for key, value in by_node.items()}}


def _shown(unique_id: str, unknown: tuple[str, ...]) -> str:
    return f"model.{unique_id}" if unique_id.startswith(unknown) else unique_id


def _usable(catalog: dict[str, Any] | None) -> dict[str, Any] | None:
    """Leave out the relations of a catalog that has columns without a type: the processor breaks on them."""
    if catalog is None:
        return None
    relations = {kind: _typed(member(catalog, kind)) for kind in ("nodes", "sources")}
    return {**catalog, "nodes": _with_models(relations["nodes"]), "sources": relations["sources"]}


def _typed(relations: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: relation
        for key, relation in relations.items()
        if all(isinstance(column.get("type"), str) for column in member(relation, "columns").values())
    }


def _add_what_is_known(event: RunEvent, nodes: Mapping[str, Node]) -> None:
    """Let an event of a seed say so, and one of a failure say why."""
    facets: dict[str, Any] = event.job.facets or {}
    node = nodes.get(facets["dbt_node"].unique_id)
    if node is None or facets["jobType"].jobType == "TEST":
        return
    facets["jobType"].jobType = node.resource_type.upper()
    if event.eventType is RunState.FAIL and node.message:
        error = error_message_run.ErrorMessageRunFacet(message=node.message, programmingLanguage="SQL")
        # The START has the same run.
        event.run = attrs.evolve(event.run, facets={**(event.run.facets or {}), "errorMessage": error})
