# 6 tasks: names and modules by other names, and by all of their dots.
import airflow.providers.dbt.cloud.operators.dbt as dbt_operators
import airflow.providers.dbt.cloud.sensors.dbt
from airflow.providers.dbt.cloud import sensors
from airflow.providers.dbt.cloud.hooks import dbt as dbt_hooks
from airflow.providers.dbt.cloud.operators import dbt
from airflow.providers.dbt.cloud.operators.dbt import (
    DbtCloudRunJobOperator as RunJob,
    DbtCloudRunJobOperatorLink,
)
from airflow.sdk import DAG


class Link(DbtCloudRunJobOperatorLink):
    name = "The run"


with DAG("aliased", schedule=None):
    run = RunJob(task_id="renamed", job_id=1)
    module = dbt_operators.DbtCloudRunJobOperator(task_id="module", job_id=2)
    partial = dbt.DbtCloudRunJobOperator.partial(task_id="partial").expand(job_id=[1, 2])
    wait = airflow.providers.dbt.cloud.sensors.dbt.DbtCloudJobRunSensor(task_id="dotted", run_id=3)
    again = sensors.dbt.DbtCloudJobRunSensor(task_id="package", run_id=run.output)
    listed = dbt.DbtCloudListJobsOperator(
        task_id="listed", dbt_cloud_conn_id=dbt_hooks.DbtCloudHook.default_conn_name
    )


def failed(error):
    return isinstance(error, dbt_hooks.DbtCloudJobRunException)
