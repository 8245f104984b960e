# 2 tasks: imports in functions, branches and blocks.
from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import dag, task

if TYPE_CHECKING:
    from airflow_dbt_cloud.hooks import DbtCloudHook
    from airflow_dbt_cloud.errors import DbtCloudJobRunException

try:
    from airflow_dbt_cloud.operators import DbtCloudRunJobOperator
except ImportError:
    DbtCloudRunJobOperator = None


def typed(hook: DbtCloudHook, error: "DbtCloudJobRunException") -> None:
    hook.cancel_job_run(1)


@task
def status(number):
    from airflow_dbt_cloud.hooks import DbtCloudHook

    return DbtCloudHook().get_job_run_status(number)


@dag(schedule=None)
def guarded():
    if DbtCloudRunJobOperator is not None:
        build = DbtCloudRunJobOperator(task_id="build", job_id=1)
        status(build.output)

    def late():
        from airflow_dbt_cloud.sensors import DbtCloudJobRunSensor as Sensor
        from airflow_dbt_cloud.hooks import DbtCloudHook

        return Sensor(task_id="late", run_id=1, dbt_cloud_conn_id=DbtCloudHook.default_conn_name)

    late()


guarded()
