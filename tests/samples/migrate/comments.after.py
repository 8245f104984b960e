# 2 tasks: comments, blank lines and odd shapes around the imports.
#!/usr/bin/env python


import os, sys  # both


# The operators of dbt Cloud.
from airflow_dbt_cloud.hooks import (  # noqa: I001
    DbtCloudHook,  # used below
    # The one that runs jobs.
    DbtCloudJobRunStatus,
    # That is all.
)  # noqa: E402
from airflow_dbt_cloud.operators import (
    DbtCloudRunJobOperator,  # runs jobs
)  # noqa: E402
from airflow_dbt_cloud.errors import (
    DbtCloudJobRunException,
)  # noqa: E402
from airflow_dbt_cloud.sensors import DbtCloudJobRunSensor  # waits
from airflow.sdk import DAG
from airflow_dbt_cloud.hooks import DbtCloudHook as Hook
from airflow_dbt_cloud.errors import DbtCloudConfigurationError as DbtCloudResourceLookupError

with DAG("comments", schedule=None):
    # Tabs, as in the old days.
    DbtCloudRunJobOperator(task_id="build", job_id=1)
    DbtCloudJobRunSensor(task_id="wait", run_id="{{ ti.xcom_pull('build') }}")

    # An odd line.
