# 2 tasks: what this package does not have.
from tenacity import stop_after_attempt

from airflow_dbt_cloud.hooks import DbtCloudHook, DbtCloudJobRunStatus
from airflow.providers.dbt.cloud.hooks.dbt import JobRunInfo, TokenAuth
from airflow_dbt_cloud.operators import DbtCloudListJobRunsOperator, DbtCloudRunJobOperator
from airflow_dbt_cloud.triggers import DbtCloudRunJobTrigger
from airflow.providers.dbt.cloud.utils import openlineage
from airflow.sdk import DAG, BaseOperator

CLASS_PATH = "airflow.providers.dbt.cloud.hooks.dbt.DbtCloudHook"


class Waiting(BaseOperator):
    def execute(self, context):
        self.defer(
            trigger=DbtCloudRunJobTrigger("dbt_cloud_default", 7, 2e9, 10, None),
            method_name="execute_complete",
        )


def is_over(run_id):
    hook = DbtCloudHook("dbt_cloud_default", 30, 3)
    return DbtCloudJobRunStatus.is_terminal(hook.get_job_run_status(run_id, 39151))


with DAG("not_here", schedule=None):
    DbtCloudRunJobOperator(
        task_id="build",
        job_id=1,
        retry_from_failure=True,
        reuse_existing_run=True,
        additional_run_config={"git_branch": "main", "threads": 8},
        hook_params={"retry_args": {"stop": stop_after_attempt(3)}},
    )
    DbtCloudListJobRunsOperator(task_id="runs", include_related=["job", "trigger"])
