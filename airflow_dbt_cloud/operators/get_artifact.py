"""Save what a dbt Cloud run left behind as an Airflow task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException

from airflow_dbt_cloud.artifacts import Artifact, check_owner
from airflow_dbt_cloud.errors import DbtCloudConfigurationError
from airflow_dbt_cloud.hooks import DbtCloudHook, make_hook
from airflow_dbt_cloud.parameters import check_if_known, parse_artifact_path, parse_count, parse_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_dbt_cloud.artifacts import Target

__all__ = ["DbtCloudGetJobRunArtifactOperator"]


class DbtCloudGetJobRunArtifactOperator(BaseOperator):
    """
    Save an artifact of a dbt Cloud run to a file: on the worker, or in object storage.

    The file is dbt Cloud's, byte for byte, also if it is no text; it passes through memory in pieces, and is
    either whole or not there. Runs that failed have artifacts, too. Those of a run that ended less than two
    minutes ago may not be there yet, and are waited for, for 20 s. Returns the file's name.

    :param run_id: the run, a number or a string of digits (templated).
    :param job_id: instead of `run_id`, a job: the latest run of it that left artifacts is meant (templated).
    :param path: the artifact's path below dbt's target folder: `manifest.json`, `run_results.json`,
        `compiled/ferry/models/ports.sql` (templated).
    :param step: the index of the run's step that wrote it, from 1, only with `run_id`; default the last one
        that did (templated).
    :param output_file_name: where to save it: a path on the worker, or a URL that Airflow's
        `ObjectStoragePath` takes, `s3://my_connection@bucket/manifest.json`. Folders are created, and a file
        that is there is replaced. Default `<run_id>_<path>`, or `<job_id>_<path>`, in the working directory,
        with dashes instead of slashes (templated).
    :param dbt_cloud_conn_id: the connection (templated).
    :param account_id: beats the account id of the connection (templated).
    :param hook_params: numbers for the hook: `timeout_seconds`, `retry_limit`, `retry_delay`; see
        `DbtCloudHook`.
    :raises DbtCloudConfigurationError: a parameter or the connection is wrong; when the DAG is parsed, if it
        can be told by then.
    :raises DbtCloudNotFound: there is no such artifact, or the run has not ended.
    :raises DbtCloudUnreachable: dbt Cloud does not answer, or the download broke off each time.
    :raises DbtCloudApiError: any other answer that we dislike.
    """

    template_fields: Sequence[str] = (
        "dbt_cloud_conn_id",
        "run_id",
        "job_id",
        "path",
        "account_id",
        "step",
        "output_file_name",
    )
    ui_color = "#ffe3dc"

    def __init__(
        self,
        *,
        path: str,
        run_id: int | str | None = None,
        job_id: int | str | None = None,
        step: int | str | None = None,
        output_file_name: str | Path | None = None,
        dbt_cloud_conn_id: str = DbtCloudHook.default_conn_name,
        account_id: int | str | None = None,
        hook_params: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.run_id = run_id
        self.job_id = job_id
        self.step = step
        self.output_file_name = output_file_name
        self.dbt_cloud_conn_id = dbt_cloud_conn_id
        self.account_id = account_id
        self.hook_params = hook_params or {}
        self._is_saving = False
        self._check_parameters()

    def execute(self, context: Context) -> str:  # noqa: ARG002 - Airflow's signature
        """Save the artifact, and return the name of the file."""
        artifact = Artifact.from_parameters(self.path, run_id=self.run_id, job_id=self.job_id, step=self.step)
        name = str(self.output_file_name or artifact.file_name)
        target, hook = _make_target(name), self._make_hook()
        # Before anybody may break in: Airflow is asked for the connection.
        hook.get_conn()
        self._is_saving = True
        try:
            size = hook.save_artifact(artifact, target)
        finally:
            self._is_saving = False
        self.log.info("Saved %s to %s: %d bytes.", artifact, name, size)
        return name

    def on_kill(self) -> None:
        """Break the download off, so that its unfinished file is removed."""
        if self._is_saving:
            # Here, in the midst of the download, as Airflow's own timeout does.
            raise AirflowException("The process has to end, and the artifact was not saved.")

    def _check_parameters(self) -> None:
        """Raise now what can be told before templates are rendered."""
        check_owner(self.run_id, self.job_id, self.step)
        check_if_known(parse_artifact_path, "path", self.path)
        check_if_known(parse_count, "step", self.step)
        for name in ("run_id", "job_id", "account_id"):
            check_if_known(parse_id, name, getattr(self, name))
        check_if_known(_parse_file_name, "output_file_name", self.output_file_name)
        self._make_hook()

    def _make_hook(self) -> DbtCloudHook:
        return make_hook(self.dbt_cloud_conn_id, self.account_id, self.hook_params)


def _make_target(name: str) -> Target:
    _parse_file_name("output_file_name", name)
    if "://" not in name:
        return Path(name)
    # Late, because few DAGs use it and all would load what it stands on.
    from airflow.sdk import ObjectStoragePath

    return ObjectStoragePath(name)


def _parse_file_name(name: str, value: object) -> str:
    if isinstance(value, str) and value.strip() and not value.endswith("/") and "\0" not in value:
        return value
    msg = f"{name} must name a file, on this machine or by a URL, and no folder; got {value!r}."
    raise DbtCloudConfigurationError(msg)
