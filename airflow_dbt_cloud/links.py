"""The button on a task's page that leads to its run in dbt Cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

__all__ = ["RUN_ID", "RUN_URL", "DbtCloudJobRunLink"]

# The XComs in which a task says which run it has.
RUN_ID = "job_run_id"
RUN_URL = "job_run_url"


class DbtCloudJobRunLink(BaseOperatorLink):
    """
    Link to the run in dbt Cloud.

    Operator and sensor write it as soon as the run is known. Airflow asks for it again whenever the
    task's process ends, and writes what it gets: it must never get less than there was.
    """

    name = "dbt Cloud run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL of the run; empty if none was started."""
        from airflow.sdk.execution_time.xcom import XCom

        url: str | None = getattr(operator, "run_url", None)
        if url is None:
            url = XCom.get_value(key=RUN_URL, ti_key=ti_key)
        return url or ""
