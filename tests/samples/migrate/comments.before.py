# 2 tasks: comments, blank lines and odd shapes around the imports.
#!/usr/bin/env python


import os, sys  # both


# The operators of dbt Cloud.
from airflow.providers.dbt.cloud.operators.dbt import (  # noqa: I001
    DbtCloudHook,  # used below
    # The one that runs jobs.
    DbtCloudRunJobOperator,  # runs jobs
    DbtCloudJobRunException,
    DbtCloudJobRunStatus,
    # That is all.
)  # noqa: E402
from airflow.providers.dbt.cloud.sensors.dbt import DbtCloudJobRunSensor  # waits
from airflow.sdk import DAG
from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook as Hook, DbtCloudResourceLookupError

with DAG("comments", schedule=None):
    # Tabs, as in the old days.
    DbtCloudRunJobOperator(task_id="build", job_id=1)
    DbtCloudJobRunSensor(task_id="wait", run_id="{{ ti.xcom_pull('build') }}")

    # An odd line.
