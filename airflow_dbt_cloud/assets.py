"""
What a dbt Cloud run built, as asset events: one for each model, seed and snapshot.

An asset is known by its URI, which is also its name, so that `Asset("dbt://…")` in a DAG's `schedule` is the
same asset. The URI is made of what dbt says, and means the same from every project, job and account::

    dbt://<adapter>/<database>/<schema>/<identifier>        dbt://duckdb/production/analytics/port_dues

The adapter is the type of dbt's adapter. The other parts are those of the relation's name as dbt writes it,
without quotes, in upper and lower case as there; some warehouses have two parts only. In each part all but
ASCII letters, digits and `-._~` is percent-encoded, as UTF-8.

Airflow takes the events through an alias of the task, `dbt_cloud/<dag_id>/<task_id>`, which all indexes of a
mapped task share; and it takes them from a task that succeeds only. So what a run built before it failed is
told by the try that retries that run and succeeds.

To tell is best effort: what cannot be read is a WARNING, and no error.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import Asset, AssetAlias

from airflow_dbt_cloud.errors import DbtCloudApiError, DbtCloudUnreachable
from airflow_dbt_cloud.manifest import Manifest
from airflow_dbt_cloud.report import read_report

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from airflow.sdk import Context

    from airflow_dbt_cloud.client import Client
    from airflow_dbt_cloud.models import Run
    from airflow_dbt_cloud.nodes import Node
    from airflow_dbt_cloud.report import Report
    from airflow_dbt_cloud.waiting import Log

__all__ = ["emit_assets", "make_alias", "make_uri", "outlets_with_alias"]

# The commands that build. `dbt compile`, `docs generate` and others also write "success" beside each model.
BUILDING = frozenset({"build", "run", "seed", "snapshot"})
LONGEST_CHAIN = 10
# Seconds for all that has to be read, and for what may be missing of one retried run.
PATIENCE = 120.0
RETRIED_PATIENCE = 20.0
TROUBLE = (DbtCloudApiError, DbtCloudUnreachable)
# Airflow takes all events of a task in one request and one transaction, and some milliseconds for each.
MOST_EVENTS = 5000
# Airflow's own bound.
LONGEST_URI = 1500
MOST_NAMED = 50
LEFT_OUT = "No asset events for what dbt Cloud run %s built before it was retried, or for some of it. %s"
MAY_MISS = "Asset events may be missing for what dbt Cloud run %s built. %s"
NO_MANIFEST = "No asset events: the manifest of dbt Cloud run %s does not tell what it should. %s"
TIME_IS_OVER = "There was no time left to ask."

# A quote within a quoted part is doubled.
PART = r'(?:"(?:[^"]|"")+"|`(?:[^`]|``)+`|\[(?:[^\]]|\]\])+\]|[^."`\[\]]+)'
RELATION = re.compile(rf"{PART}(?:\.{PART})*")
CLOSING = {'"': '"', "`": "`", "[": "]"}


@dataclass(frozen=True, slots=True)
class Build:
    """A node, and the run that built it."""

    run: Run
    node: Node

    @property
    def extra(self) -> dict[str, Any]:
        """What goes with the asset event."""
        node = self.node
        return {
            "job_run_id": self.run.id,
            "job_run_url": self.run.href,
            "unique_id": node.unique_id,
            "status": node.status,
            "rows_affected": node.rows,
            "started_at": node.started_at and node.started_at.isoformat(),
            "finished_at": node.finished_at and node.finished_at.isoformat(),
            "seconds": node.seconds,
        }


def make_alias(dag_id: str, task_id: str) -> AssetAlias:
    """Return the alias through which a task's asset events come."""
    # Ids may hold letters that Airflow takes in no alias if its database is MySQL.
    return AssetAlias(f"dbt_cloud/{quote(dag_id)}/{quote(task_id)}")


def outlets_with_alias(outlets: Sequence[Any], dag_id: str, task_id: str) -> list[Any]:
    """
    Return a task's outlets and its alias among them.

    Airflow takes the events also if the task says so only when it runs. It has to know the alias beforehand
    for its graph of assets; and where the indexes of a mapped task end at the same time, each would create
    the alias, and Airflow fails those that come second.
    """
    alias = make_alias(dag_id, task_id)
    return [*outlets] if alias in outlets else [*outlets, alias]


def make_uri(adapter: str, relation_name: str) -> str:
    """
    Return the URI of a relation.

    :param adapter: the type of dbt's adapter, `snowflake`.
    :param relation_name: as dbt writes it, with or without quotes: `"production"."analytics"."port_dues"`.
    :raises ValueError: it is no relation's name, or Airflow takes no URI of this length.
    """
    if not RELATION.fullmatch(relation_name):
        msg = f"{relation_name!r} is not the name of a relation."
        raise ValueError(msg)
    parts = [_unquoted(part) for part in re.findall(PART, relation_name)]
    uri = "dbt://" + "/".join(quote(part, safe="") for part in (adapter, *parts))
    if len(uri) > LONGEST_URI:
        msg = f"The URI of {relation_name!r} has {len(uri)} characters, and Airflow takes {LONGEST_URI}."
        raise ValueError(msg)
    return uri


def emit_assets(
    context: Context,
    client: Client,
    report: Report,
    log: Log,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """
    Hand Airflow an asset event for each model, seed and snapshot that a run built, or a run that it retries.

    What several of these runs built counts once, as the last one's. Takes two minutes at most, after which no
    further request begins.

    :param context: that of the task's `execute` or `execute_complete`.
    :param report: what the run did.
    :param log: told which assets there are, and what cannot be told.
    :param sleep: takes seconds.
    :param clock: seconds that only grow.
    """
    reading = _Reading(client, log, sleep, clock)
    builds = _find_builds(report)
    for earlier in reading.retried(report.run):
        builds = {**_find_builds(earlier), **builds}
    if report.notes or not report.invocations:
        log.warning(MAY_MISS, report.run.id, " ".join(report.notes) or "No results of dbt are known.")
    elif not builds:
        log.info("dbt Cloud run %s is not known to have built anything: no asset events.", report.run.id)
    if not builds:
        return
    # Of a seed dbt writes nowhere else what its relation is.
    nodes = {unique_id for unique_id, build in builds.items() if not build.node.relation_name}
    manifest = reading.manifest(report.run, nodes)
    if manifest.adapter:
        _hand_over(context, _place(builds.values(), manifest, log), log)


def _find_builds(report: Report) -> dict[str, Build]:
    """Return what a run built, by the nodes' unique ids."""
    return {
        node.unique_id: Build(report.run, node)
        for invocation in report.invocations
        if invocation.results.command in BUILDING
        for node in invocation.results.nodes
        if node.is_built
    }


class _Reading:
    """What is asked of dbt Cloud, within two minutes; what it does not tell is a WARNING."""

    def __init__(
        self, client: Client, log: Log, sleep: Callable[[float], None], clock: Callable[[], float]
    ) -> None:
        self._client = client.within(self._left)
        self._log = log
        self._sleep = sleep
        self._clock = clock
        self._deadline = clock() + PATIENCE

    def retried(self, run: Run) -> Iterator[Report]:
        """Yield what the runs did that a run retries, the latest first."""
        for _ in range(LONGEST_CHAIN):
            if (run_id := run.retrying_run_id) is None:
                return
            if not self._left():
                self._log.warning(LEFT_OUT, run_id, TIME_IS_OVER)
                return
            try:
                run = self._client.get_run(run_id, include_related=("run_steps",))
            except TROUBLE as error:
                self._log.warning(LEFT_OUT, run_id, error)
                return
            report = self._report(run)
            for note in report.notes:
                self._log.warning(LEFT_OUT, run_id, note)
            yield report
        if run.retrying_run_id is not None:
            self._log.warning(
                LEFT_OUT, run.retrying_run_id, f"It was retried more than {LONGEST_CHAIN} times."
            )

    def manifest(self, run: Run, nodes: Collection[str]) -> Manifest:
        """Return the adapter and the relations of these nodes; without an adapter all else is of no use."""
        if not self._left():
            self._log.warning(NO_MANIFEST, run.id, TIME_IS_OVER)
            return Manifest()
        try:
            with self._client.stream_artifact(run.id, "manifest.json") as pieces:
                manifest = Manifest.from_pieces(takewhile(lambda _: self._left() > 0, pieces), nodes)
        except TROUBLE as error:
            self._log.warning(NO_MANIFEST, run.id, error)
            return Manifest()
        if not manifest.adapter:
            self._log.warning(NO_MANIFEST, run.id, "It does not begin with the type of dbt's adapter.")
        return manifest

    def _report(self, run: Run) -> Report:
        patience = min(RETRIED_PATIENCE, self._left())
        return read_report(self._client, run, sleep=self._sleep, clock=self._clock, patience=patience)

    def _left(self) -> float:
        return max(0.0, self._deadline - self._clock())


def _place(builds: Iterable[Build], manifest: Manifest, log: Log) -> dict[str, Build]:
    """Return what was built by the URIs of the relations."""
    placed: dict[str, Build] = {}
    lost: list[str] = []
    for build in builds:
        node = build.node
        try:
            relation = node.relation_name or manifest.relations.get(node.unique_id, "")
            placed[make_uri(manifest.adapter, relation)] = build
        except ValueError:
            lost.append(node.unique_id)
    if lost:
        log.warning("No asset events for nodes whose relations are not known: %s.", _list(lost))
    return placed


def _hand_over(context: Context, builds: dict[str, Build], log: Log) -> None:
    task, ti = context["task"], context["ti"]
    task.outlets = outlets_with_alias(task.outlets, ti.dag_id, ti.task_id)
    alias = make_alias(ti.dag_id, ti.task_id)
    if len(builds) > MOST_EVENTS:
        log.warning("dbt built %d relations; only the first %d get an asset event.", len(builds), MOST_EVENTS)
        builds = dict(islice(builds.items(), MOST_EVENTS))
    for uri, build in builds.items():
        context["outlet_events"][alias].add(Asset(uri), extra=build.extra)
    log.info("Asset events for what dbt built, through the alias %s: %s", alias.name, _list(builds))


def _unquoted(part: str) -> str:
    if end := CLOSING.get(part[0]):
        return part[1:-1].replace(end * 2, end)
    return part


def _list(names: Collection[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(islice(names, MOST_NAMED)) + (f" and {more} more" if more > 0 else "")
