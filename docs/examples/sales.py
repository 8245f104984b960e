"""One job, and what can be done with its run afterwards."""

from datetime import datetime, timedelta

from airflow.sdk import dag, task

from airflow_dbt_cloud.operators import (
    DbtCloudGetJobRunArtifactOperator,
    DbtCloudListJobRunsOperator,
    DbtCloudRunJobOperator,
)


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False)
def sales() -> None:
    # begin build
    build = DbtCloudRunJobOperator(
        task_id="build",
        project_name="Ferry Line",  # these three, or job_id
        environment_name="Production",
        job_name="Hourly sales refresh",
        threads_override=2,
        retries=2,  # without it there is no next try
        retry_delay=timedelta(seconds=30),
        deferrable=True,  # wait in the triggerer
        check_interval=10,  # seconds
        timeout=60 * 60,  # seconds; then the task stops waiting, and the run goes on
        execution_timeout=timedelta(hours=2),  # then the run is cancelled
    )
    # end build

    # begin artifact
    keep = DbtCloudGetJobRunArtifactOperator(
        task_id="keep_the_manifest",
        run_id="{{ ti.xcom_pull('build') }}",
        path="manifest.json",
        output_file_name="/tmp/ferry/{{ run_id }}/manifest.json",
    )
    # end artifact

    # begin latest
    latest = DbtCloudListJobRunsOperator(
        task_id="latest",
        job_id=70403100000002,
        status_filter="success",
        latest_only=True,
    )
    # end latest

    # begin hook
    @task
    def slowest() -> str:
        """Return the URL of the slowest of the job's last twenty runs."""
        from airflow_dbt_cloud.hooks import DbtCloudHook

        hook = DbtCloudHook()
        runs = hook.list_job_runs(job_definition_id=70403100000002, order_by="-id", limit=20)
        return max(runs, key=lambda run: run.duration).href

    # end hook

    build >> keep
    build >> latest >> slowest()


sales()
