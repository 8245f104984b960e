# 1 task: a star import.
from datetime import datetime

from airflow.providers.dbt.cloud.operators.dbt import *
from airflow.providers.dbt.cloud.sensors.dbt import DbtCloudJobRunSensor
from airflow.sdk import DAG

with DAG("star", start_date=datetime(2024, 1, 1), schedule=None):
    DbtCloudRunJobOperator(task_id="build", job_id=1)
