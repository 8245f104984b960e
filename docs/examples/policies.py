"""What a task does about other runs of its job, and about failures that no retry mends."""

from datetime import datetime, timedelta

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule, dag

from airflow_dbt_cloud.errors import DbtCloudCompilationFailed, DbtCloudTestsFailed
from airflow_dbt_cloud.operators import DbtCloudRunJobOperator


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False)
def policies() -> None:
    # begin busy
    polite = DbtCloudRunJobOperator(
        task_id="polite",
        job_id=70403100000014,
        if_job_running="skip",
    )
    # end busy

    # begin retry policy
    build = DbtCloudRunJobOperator(
        task_id="build",
        job_id=70403100000014,
        retries=2,
        retry_delay=timedelta(seconds=30),
        retry_policy=ExceptionRetryPolicy(
            rules=[
                RetryRule(
                    [DbtCloudTestsFailed, DbtCloudCompilationFailed],
                    action=RetryAction.FAIL,
                ),
            ],
        ),
    )
    # end retry policy

    polite >> build


policies()
