# 5 tasks: the account and the connection in default_args, task groups, the decorator.
import pendulum
from airflow.decorators import dag, task, task_group
from airflow.sdk import TaskGroup

from airflow_dbt_cloud.hooks import DbtCloudHook, DbtCloudJobRunStatus
from airflow_dbt_cloud.operators import DbtCloudRunJobOperator, DbtCloudListJobsOperator


@dag(
    start_date=pendulum.datetime(2024, 1, 1),
    schedule=None,
    default_args={
        "dbt_cloud_conn_id": "dbt_cloud_eu",
        "account_id": 39151,
        "deferrable": True,
        "retries": 1,
    },
)
def default_args():
    with TaskGroup("staging") as staging:
        for name, job_id in {"crm": 1201, "shop": 1202}.items():
            DbtCloudRunJobOperator(task_id=f"build_{name}", job_id=job_id)
        with TaskGroup("late"):
            DbtCloudRunJobOperator(task_id="build_erp", job_id=1203, account_id="39152")

    @task_group
    def marts():
        DbtCloudRunJobOperator(task_id="finance", job_id=1301, trigger_reason="Marts, {{ ds }}")

    @task
    def succeeded(number: int) -> bool:
        return DbtCloudHook("dbt_cloud_eu").get_job_run_status(number) == DbtCloudJobRunStatus.SUCCESS.value

    jobs = DbtCloudListJobsOperator(task_id="jobs", project_id=7)
    jobs >> staging >> marts()
    succeeded("{{ ti.xcom_pull(task_ids='marts.finance') }}")


default_args()
