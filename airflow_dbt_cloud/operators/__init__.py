"""
Operators that run dbt Cloud jobs, and fetch what they left behind.

Importing them loads no third-party package that `airflow.sdk` has not loaded: a DAG file that uses them
parses as fast as one that does not.
"""

from __future__ import annotations

from airflow_dbt_cloud.operators.get_artifact import DbtCloudGetJobRunArtifactOperator
from airflow_dbt_cloud.operators.list_jobs import DbtCloudListJobsOperator
from airflow_dbt_cloud.operators.list_runs import DbtCloudListJobRunsOperator
from airflow_dbt_cloud.operators.run_job import DbtCloudJobRunLink, DbtCloudRunJobOperator

__all__ = [
    "DbtCloudGetJobRunArtifactOperator",
    "DbtCloudJobRunLink",
    "DbtCloudListJobRunsOperator",
    "DbtCloudListJobsOperator",
    "DbtCloudRunJobOperator",
]
