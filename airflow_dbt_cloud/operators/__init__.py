"""
Operators that run dbt Cloud jobs, and fetch what they left behind.

Importing them loads no third-party package that `airflow.sdk` has not loaded: a DAG file that uses them
parses as fast as one that does not.
"""

from __future__ import annotations

from airflow_dbt_cloud.operators.run_job import DbtCloudJobRunLink, DbtCloudRunJobOperator

__all__ = ["DbtCloudJobRunLink", "DbtCloudRunJobOperator"]
