# 6 tasks: names and modules by other names, and by all of their dots.
import airflow_dbt_cloud.operators as dbt_operators
import airflow_dbt_cloud.sensors
from airflow_dbt_cloud import sensors
import airflow_dbt_cloud.errors, airflow_dbt_cloud.hooks
from airflow_dbt_cloud import operators as dbt
from airflow_dbt_cloud.operators import (
    DbtCloudRunJobOperator as RunJob,
    DbtCloudJobRunLink as DbtCloudRunJobOperatorLink,
)
from airflow.sdk import DAG


class Link(DbtCloudRunJobOperatorLink):
    name = "The run"


with DAG("aliased", schedule=None):
    run = RunJob(task_id="renamed", job_id=1)
    module = dbt_operators.DbtCloudRunJobOperator(task_id="module", job_id=2)
    partial = dbt.DbtCloudRunJobOperator.partial(task_id="partial").expand(job_id=[1, 2])
    wait = airflow_dbt_cloud.sensors.DbtCloudJobRunSensor(task_id="dotted", run_id=3)
    again = sensors.DbtCloudJobRunSensor(task_id="package", run_id=run.output)
    listed = dbt.DbtCloudListJobsOperator(
        task_id="listed", dbt_cloud_conn_id=airflow_dbt_cloud.hooks.DbtCloudHook.default_conn_name
    )


def failed(error):
    return isinstance(error, airflow_dbt_cloud.errors.DbtCloudJobRunException)
