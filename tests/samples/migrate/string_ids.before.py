# 5 tasks: ids as strings, from Variables, from XComs and from another task's output.
from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Variable
from airflow.providers.dbt.cloud.operators.dbt import (
    DbtCloudGetJobRunArtifactOperator,
    DbtCloudRunJobOperator,
)
from airflow.providers.dbt.cloud.sensors.dbt import DbtCloudJobRunSensor
from airflow.providers.standard.operators.empty import EmptyOperator

DBT_CONN_ID = "dbt_cloud_default"
HOURLY_JOB = Variable.get("dbt_hourly_job", default="48617")

with DAG("string_ids", start_date=datetime(2024, 1, 1), schedule="@hourly", catchup=False):
    begin = EmptyOperator(task_id="begin")
    extract = DbtCloudRunJobOperator(
        task_id="extract",
        dbt_cloud_conn_id=DBT_CONN_ID,
        job_id="48617",
        check_interval=10,
        timeout=300,
        retries=2,
        retry_delay=timedelta(minutes=5),
    )
    hourly = DbtCloudRunJobOperator(task_id="hourly", job_id=HOURLY_JOB, wait_for_termination=False)
    chosen = DbtCloudRunJobOperator(
        task_id="chosen",
        job_id="{{ var.value.dbt_hourly_job }}",
        steps_override=["dbt build --select tag:{{ ds }}"],
    )
    wait = DbtCloudJobRunSensor(task_id="wait", run_id=hourly.output, timeout=6000)
    manifest = DbtCloudGetJobRunArtifactOperator(
        task_id="manifest",
        run_id="{{ ti.xcom_pull(task_ids='extract', key='job_run_id') }}",
        path="manifest.json",
        output_file_name="/tmp/{{ ds }}/manifest.json",
    )

    begin >> extract >> [hourly, chosen] >> wait
    extract >> manifest
