"""A night with a shaky connection: dbt Cloud does again only what failed, not the whole build.

1. `build` runs the dbt Cloud job *Nightly build, shaky connection*. The connection to the tariff service is
   lost: the model `port_dues` fails, what comes after it is skipped, and all else is built.
2. Ten seconds later Airflow tries `build` again, and `retry_from_failure=True` makes dbt Cloud retry the
   failed run: `port_dues` and what comes after it are built, and all else stays as it is.

Without `retry_from_failure` the second try would build everything anew. It does so, too, if dbt Cloud cannot
retry the run; the task's log then says why.

It needs the connection `dbt_cloud_default`, and files in the folder `DBT_LANDING`: see `example_run_job.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag

from airflow_dbt_cloud.operators import DbtCloudRunJobOperator


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["dbt-cloud", "example"],
)
def ferry_retry() -> None:
    """Build; where that fails, build the rest."""
    DbtCloudRunJobOperator(
        task_id="build",
        project_name="Ferry Line",
        environment_name="Production",
        job_name="Nightly build, shaky connection",
        trigger_reason="A rough night, says {{ run_id }}",
        retries=2,
        retry_delay=timedelta(seconds=10),
        retry_from_failure=True,
        check_interval=5,
    )


ferry_retry()
