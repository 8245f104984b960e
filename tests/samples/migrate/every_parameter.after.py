# 5 tasks: every parameter that there is, but hook_params' retry_args.
from datetime import datetime

from airflow_dbt_cloud.operators import (
    DbtCloudGetJobRunArtifactOperator,
    DbtCloudListJobRunsOperator,
    DbtCloudListJobsOperator,
    DbtCloudRunJobOperator,
)
from airflow_dbt_cloud.sensors import DbtCloudJobRunSensor
from airflow.sdk import DAG

HOOK_PARAMS = {"timeout_seconds": 30, "retry_limit": 3, "retry_delay": 1.5}

with DAG("every_parameter", start_date=datetime(2024, 1, 1), schedule=None):
    DbtCloudRunJobOperator(
        task_id="build",
        dbt_cloud_conn_id="dbt_cloud_default",
        job_id=None,
        project_name="Ferry Line",
        environment_name="Production",
        job_name="Nightly build",
        account_id=39151,
        trigger_reason="The nightly build of {{ ds }}",
        steps_override=["dbt seed", "dbt build --select tag:{{ ds_nodash }}"],
        schema_override="ferry_{{ ds_nodash }}",
        wait_for_termination=True,
        timeout=7200,
        check_interval=30,
        additional_run_config={
            "threads_override": 8,
            "git_branch": "{{ params.get('branch', 'main') }}",
            "generate_docs_override": True,
        },
        reuse_existing_run=False,
        retry_from_failure=False,
        deferrable=True,
        hook_params=HOOK_PARAMS,
        openlineage_inject_parent_job_info=False,
    )
    DbtCloudJobRunSensor(
        task_id="wait",
        dbt_cloud_conn_id="dbt_cloud_default",
        run_id="{{ ti.xcom_pull('build') }}",
        account_id=39151,
        deferrable=True,
        hook_params=HOOK_PARAMS,
    )
    DbtCloudGetJobRunArtifactOperator(
        task_id="results",
        dbt_cloud_conn_id="dbt_cloud_default",
        run_id="{{ ti.xcom_pull('build') }}",
        path="run_results.json",
        account_id=39151,
        step=2,
        output_file_name="results.json",
        hook_params=HOOK_PARAMS,
    )
    DbtCloudListJobsOperator(
        task_id="jobs",
        dbt_cloud_conn_id="dbt_cloud_default",
        account_id=39151,
        project_id=7,
        order_by="-id",
        hook_params=HOOK_PARAMS,
    )
    DbtCloudListJobRunsOperator(
        task_id="runs",
        dbt_cloud_conn_id="dbt_cloud_default",
        account_id=39151,
        job_id=9,
        order_by="-id",
        include_related=["trigger"],
        hook_params=HOOK_PARAMS,
        latest_only=True,
        status_filter=[10, 20],
    )
