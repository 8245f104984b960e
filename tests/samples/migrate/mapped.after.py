# 4 tasks: mapped operators, and a mapped group.
from datetime import datetime

from airflow_dbt_cloud.operators import DbtCloudListJobsOperator, DbtCloudRunJobOperator
from airflow_dbt_cloud.sensors import DbtCloudJobRunSensor
from airflow.sdk import DAG, task_group

with DAG("mapped", start_date=datetime(2024, 1, 1), schedule=None):
    jobs = DbtCloudListJobsOperator(task_id="jobs", order_by="-id")
    runs = DbtCloudRunJobOperator.partial(
        task_id="build",
        wait_for_termination=False,
        hook_params={"retry_limit": 3, "retry_delay": 2.0},
        max_active_tis_per_dag=4,
    ).expand(job_id=jobs.output)
    DbtCloudJobRunSensor.partial(task_id="wait", deferrable=True, poke_interval=30).expand(run_id=runs.output)

    @task_group
    def one(schema):
        DbtCloudRunJobOperator(task_id="build", job_id=7, schema_override=schema)

    one.expand(schema=["dev", "qa"])
