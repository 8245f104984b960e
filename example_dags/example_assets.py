"""Fresh sales for the ticket office: one DAG builds with dbt Cloud, another reads as soon as that is done.

1. `ferry_hourly` runs the dbt Cloud job *Hourly sales refresh*. With `emit_assets=True` Airflow gets an asset
   event for each model, seed and snapshot that dbt really built.
2. `ferry_ticket_office` is scheduled on the asset of one of them, the mart `ticket_sales`. It runs whenever a
   task has built the mart, in whichever DAG and through whichever dbt Cloud job, and only then.

All that the two share is the URI of the asset, which is made of the mart's relation:
`dbt://<adapter>/<database>/<schema>/<identifier>`. The log of `build` lists the URIs of all that was built.

Unpause both DAGs, and trigger the first. It needs the connection `dbt_cloud_default`, files in the folder
`DBT_LANDING`, and the environment variable `FERRY_WAREHOUSE`: see `example_run_job.py`.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, dag, get_current_context, task

from airflow_dbt_cloud.operators import DbtCloudRunJobOperator

log = logging.getLogger(__name__)

# Just the URI, with no other name: an asset of another name is another asset.
TICKET_SALES = Asset("dbt://duckdb/production/analytics/ticket_sales")

defaults: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1, tzinfo=UTC),
    "catchup": False,
    "max_active_runs": 1,
    "default_args": {"retries": 2, "retry_delay": timedelta(seconds=30)},
    "doc_md": __doc__,
    "tags": ["dbt-cloud", "example"],
}


@dag(schedule=None, **defaults)
def ferry_hourly() -> None:
    """Build."""
    DbtCloudRunJobOperator(
        task_id="build",
        project_name="Ferry Line",
        environment_name="Production",
        job_name="Hourly sales refresh",
        trigger_reason="The hour is over, says {{ run_id }}",
        emit_assets=True,
        deferrable=True,
        check_interval=5,
    )


@dag(schedule=TICKET_SALES, **defaults)
def ferry_ticket_office() -> None:
    """Read what was built."""

    # While dbt writes to a DuckDB file nobody else may open it: another run in the environment means a retry.
    @task(retries=6, retry_delay=timedelta(seconds=10))
    def read_sales() -> list[dict[str, Any]]:
        """Say which run has built the mart, print what each channel sold, and return it."""
        import duckdb

        for event in get_current_context()["triggering_asset_events"][TICKET_SALES]:
            log.info("Built by %s", event.extra["job_run_url"])
        with duckdb.connect(os.environ["FERRY_WAREHOUSE"], read_only=True) as warehouse:
            channels = warehouse.sql("""
                select
                    channel,
                    sum(tickets)::integer as tickets,
                    sum(revenue_eur)::double as revenue_eur
                from analytics.ticket_sales
                group by channel
                order by revenue_eur desc
            """)
            channels.show()
            return [dict(zip(channels.columns, row, strict=True)) for row in channels.fetchall()]

    read_sales()


ferry_hourly()
ferry_ticket_office()
