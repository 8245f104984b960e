# 2 tasks: imports in functions, branches and blocks.
from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import dag, task

if TYPE_CHECKING:
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook, DbtCloudJobRunException

try:
    from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator
except ImportError:
    DbtCloudRunJobOperator = None


def typed(hook: DbtCloudHook, error: "DbtCloudJobRunException") -> None:
    hook.cancel_job_run(1)


@task
def status(number):
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook

    return DbtCloudHook().get_job_run_status(number)


@dag(schedule=None)
def guarded():
    if DbtCloudRunJobOperator is not None:
        build = DbtCloudRunJobOperator(task_id="build", job_id=1)
        status(build.output)

    def late():
        from airflow.providers.dbt.cloud.sensors.dbt import DbtCloudJobRunSensor as Sensor, DbtCloudHook

        return Sensor(task_id="late", run_id=1, dbt_cloud_conn_id=DbtCloudHook.default_conn_name)

    late()


guarded()
