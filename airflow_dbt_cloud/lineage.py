"""
Lineage: OpenLineage events for every dbt node of a run, as children of the Airflow task.

All that is told is fetched in the task itself, when its run has ended, however it ended: the listener of
Airflow's OpenLineage provider is given ten seconds, and a manifest alone may take longer. The steps that ran
dbt are told of one after another, so that there is never more than one manifest in memory.

It is best effort. Whatever goes wrong is one WARNING in the task's log, and the task ends as its run did, a
minute later at most. For that the work is done in a thread: what hangs there holds nobody up.

Nothing is asked and nothing is loaded if OpenLineage is not installed, not switched on, or not wanted of the
task.
"""

from __future__ import annotations

import json
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowTaskTimeout

from airflow_dbt_cloud.errors import DbtCloudError, DbtCloudNotFound
from airflow_dbt_cloud.invocations import place_of

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import RuntimeTaskInstanceProtocol
    from openlineage.common.provider.dbt.facets import ParentRunMetadata

    from airflow_dbt_cloud.client import Client
    from airflow_dbt_cloud.invocations import Invocation
    from airflow_dbt_cloud.models import Step
    from airflow_dbt_cloud.node_events import Warehouse
    from airflow_dbt_cloud.report import Report
    from airflow_dbt_cloud.waiting import Log

__all__ = ["emit_lineage", "parent_causes"]

# Seconds that the task waits at most.
BOUND = 60.0
# A longer file is not read. In memory it takes several times as much.
MOST_BYTES = {"run_results.json": 2**25, "manifest.json": 2**26, "catalog.json": 2**25}
# The words of a step's name of which one stands for a catalog.
CATALOGING = frozenset({"docs", "--write-catalog"})


def emit_lineage(context: Context, client: Client, report: Report, log: Log, *, bound: float = BOUND) -> None:
    """
    Send the OpenLineage events of a run that has ended. Raises nothing.

    :param context: that of the task's `execute` or `execute_complete`.
    :param report: what the run did.
    :param log: told how many events there were, or what is missing.
    :param bound: seconds after which the task goes on in any case.
    """
    ti, run = context["ti"], report.run
    emission = _Emission(client, report, bound)
    try:
        if not report.invocations or not _is_wanted(ti):
            return
        parent = _parent_of(ti)
        thread = threading.Thread(target=emission.work, args=(parent,), name="dbt-cloud-lineage", daemon=True)
        thread.start()
        thread.join(bound)
        if thread.is_alive():
            emission.stop(f"it takes longer than {bound:.0f} s")
    except AirflowTaskTimeout:
        # The run ended in time, and the task ends as it did.
        emission.stop("the task's execution_timeout is over")
    except Exception as error:  # noqa: BLE001 - lineage is not worth a task
        emission.stop(_words(error))
    if emission.gaps:
        log.warning(
            "OpenLineage is not told all that dbt Cloud run %s did (in %s events): %s",
            run.id,
            emission.sent,
            "; ".join(emission.gaps),
        )
    elif emission.sent:
        log.info("Told OpenLineage what dbt Cloud run %s did, in %s events.", run.id, emission.sent)


def parent_causes(ti: RuntimeTaskInstanceProtocol) -> list[str]:
    """
    Return causes that name a task as OpenLineage's parent of its run, in JSON: with its root, and without.

    :raises ImportError: the extra `openlineage` is not installed.
    """
    parent = _parent_of(ti)
    facet = {"parent": _facet(parent.run_id, parent.job_namespace, parent.job_name)}
    root = _facet(parent.root_parent_run_id, parent.root_parent_job_namespace, parent.root_parent_job_name)
    return [json.dumps(facets, separators=(",", ":")) for facets in ({**facet, "root": root}, facet)]


def _facet(run_id: str | None, namespace: str | None, name: str | None) -> dict[str, Any]:
    return {"run": {"runId": run_id}, "job": {"namespace": namespace, "name": name}}


class _Emission:
    """What is told of one run: `sent` counts the events, `gaps` says what is missing."""

    def __init__(self, client: Client, report: Report, bound: float) -> None:
        end = time.monotonic() + bound
        self.gaps: list[str] = []
        self.sent = 0
        self._client = client.within(lambda: end - time.monotonic())
        self._run = report.run
        self._invocations = report.invocations
        self._is_over = threading.Event()
        self._warehouse: Warehouse | None = None

    def stop(self, why: str) -> None:
        """Make an end."""
        self._is_over.set()
        self.gaps.append(why)

    def work(self, parent: ParentRunMetadata) -> None:
        """Tell of one step after another."""
        for invocation in self._invocations:
            try:
                self._tell(invocation, parent)
            except Exception as error:  # noqa: BLE001 - one step must not lose the others
                self.gaps.append(f"{place_of(invocation.step)}: {_words(error)}")

    def _tell(self, invocation: Invocation, parent: ParentRunMetadata) -> None:
        from airflow.providers.openlineage.api import emit

        from airflow_dbt_cloud.node_events import Artifacts, has_events, make_events

        if self._is_over.is_set() or not has_events(invocation.results):
            return
        step = invocation.step
        run_results, manifest = self._read("run_results.json", step), self._read("manifest.json", step)
        artifacts = Artifacts(run_results, manifest, self._catalog)
        if self._warehouse is None:
            self._warehouse = self._find_warehouse(artifacts.adapter)
        for event in make_events(artifacts, self._warehouse, parent):
            if self._is_over.is_set():
                return
            emit(event)
            self.sent += 1

    @cached_property
    def _catalog(self) -> dict[str, Any] | None:
        """What the step with the docs wrote: the columns of all relations, with their types."""
        steps = [step for step in self._run.steps if CATALOGING & {*step.name.replace("`", " ").split()}]
        try:
            return self._read("catalog.json", steps[-1]) if steps else None
        except DbtCloudNotFound:
            # The docs may fail without harm.
            return None
        except (DbtCloudError, TypeError) as error:
            self.gaps.append(f"the columns are only those that the project declares: {error}")
            return None

    def _read(self, path: str, step: Step) -> dict[str, Any]:
        artifact = self._client.read_artifact(self._run.id, path, step=step.index, limit=MOST_BYTES[path])
        if not isinstance(artifact, dict):
            msg = f"the {path} is no JSON object"
            raise TypeError(msg)
        return artifact

    def _find_warehouse(self, adapter: str) -> Warehouse:
        from airflow_dbt_cloud.node_events import Warehouse, name_warehouse

        run, account_id = self._run, self._client.account_id
        try:
            if adapter == "bigquery":
                # There is only one, whatever the connection.
                return Warehouse(name_warehouse(adapter, {}), account_id=account_id)
            environment = self._client.get_environment(run.project_id, run.environment_id)
            connection = self._client.get_connection(environment.connection_id)
            return Warehouse(name_warehouse(adapter, connection.address), connection.name, account_id)
        except DbtCloudError as error:
            why = f"the connection of environment {run.environment_id} cannot be read: {error}"
        except KeyError as error:
            why = f"the connection of environment {run.environment_id} lacks {error}"
        except NotImplementedError:
            why = f"OpenLineage has no name for a warehouse of the kind {adapter!r}"
        namespace = f"{adapter or 'dbt'}://dbt-cloud-environment-{run.environment_id}"
        self.gaps.append(f"the datasets' namespace is {namespace} and not their warehouse's: {why}")
        return Warehouse(namespace, account_id=account_id)


def _is_wanted(ti: RuntimeTaskInstanceProtocol) -> bool:
    try:
        from airflow.providers.openlineage.conf import is_disabled
    except ImportError:
        # The extra is not installed.
        return False
    # Asked first, because only what follows takes time to load: 0.7 s in each task where it is switched off.
    if is_disabled():
        return False
    from airflow.providers.openlineage.api import is_openlineage_active

    # The one place that knows all ways to switch off a task, in every version since 2.16.
    from airflow.providers.openlineage.utils.utils import _emits_ol_events

    return is_openlineage_active() and bool(_emits_ol_events(ti.task))


def _parent_of(ti: RuntimeTaskInstanceProtocol) -> ParentRunMetadata:
    from airflow.providers.openlineage.plugins import macros
    from openlineage.common.provider.dbt import ParentRunMetadata

    return ParentRunMetadata(
        run_id=macros.lineage_run_id(ti),
        job_name=macros.lineage_job_name(ti),
        job_namespace=macros.lineage_job_namespace(),  # type: ignore[no-untyped-call] # it has no types
        root_parent_run_id=macros.lineage_root_run_id(ti),
        root_parent_job_name=macros.lineage_root_job_name(ti),
        root_parent_job_namespace=macros.lineage_root_job_namespace(ti),
    )


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, DbtCloudError) else f"{type(error).__name__}: {error}"
