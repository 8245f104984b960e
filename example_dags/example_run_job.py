"""Nightly build of the ferry line: files land, dbt Cloud builds, the duty officer reads.

1. `extract` writes the files of the last seven days: sailings, tickets and weather.
2. `build` runs the dbt Cloud job *Nightly build* and waits for it. It is green only if that run succeeded.
3. `brief` reads how each route did from the warehouse, prints it as a table and returns it.

It needs the connection `dbt_cloud_default` and two environment variables, which name what this DAG shares
with the job's dbt: `DBT_LANDING`, the folder in which files land, and `FERRY_WAREHOUSE`, the DuckDB file of
the job's environment.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException
from ferry_landing import land_week

from airflow_dbt_cloud.operators import DbtCloudRunJobOperator


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    doc_md=__doc__,
    tags=["dbt-cloud", "example"],
)
def ferry_nightly() -> None:
    """Land the files, build, read."""

    @task
    def extract() -> dict[str, int]:
        """Land the week up to the end of the data interval; a retry writes the same bytes."""
        dag_run = get_current_context()["dag_run"]
        end = dag_run.data_interval_end or dag_run.run_after
        return land_week(
            _path_from("DBT_LANDING"), last_day=end.date() - timedelta(days=1), landed_at=dag_run.run_after
        )

    build = DbtCloudRunJobOperator(
        task_id="build",
        dbt_cloud_conn_id="dbt_cloud_default",
        project_name="Ferry Line",
        environment_name="Production",
        job_name="Nightly build",
        trigger_reason="New files landed, says {{ run_id }}",
        check_interval=5,
        timeout=30 * 60,
    )

    # While dbt writes to a DuckDB file nobody else may open it: another run in the environment means a retry.
    @task(retries=6, retry_delay=timedelta(seconds=10))
    def brief() -> list[dict[str, Any]]:
        """Read the mart `route_performance`, best earner first."""
        import duckdb

        with duckdb.connect(_path_from("FERRY_WAREHOUSE"), read_only=True) as warehouse:
            routes = warehouse.sql("""
                select
                    route_name as route,
                    sailings,
                    cancelled,
                    punctual_pct,
                    passengers,
                    load_pct,
                    revenue_eur::double as revenue_eur
                from analytics.route_performance
                order by revenue_eur desc
            """)
            routes.show(max_width=120)
            return [dict(zip(routes.columns, row, strict=True)) for row in routes.fetchall()]

    extract() >> build >> brief()


def _path_from(variable: str) -> Path:
    if path := os.environ.get(variable):
        return Path(path)
    raise AirflowFailException(
        f"Set the environment variable {variable} for Airflow's workers: see the DAG's docs."
    )


ferry_nightly()
