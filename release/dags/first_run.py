"""What somebody does first who has installed the package and nothing else: run a job in the triggerer."""

from datetime import UTC, datetime

from airflow.sdk import DAG, task

from airflow_dbt_cloud.operators import DbtCloudRunJobOperator

with DAG("first_run", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):

    @task
    def find_package() -> list[str]:
        """Return where the worker has the package from, and its version."""
        import airflow_dbt_cloud

        return [airflow_dbt_cloud.__file__, airflow_dbt_cloud.__version__]

    DbtCloudRunJobOperator(
        task_id="build", job_id="{{ dag_run.conf['job_id'] }}", check_interval=5, deferrable=True
    )
    find_package()
