# 0 tasks: a file that has nothing to do with it, but speaks of airflow.providers.dbt.cloud.
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("clean", schedule=None):
    BashOperator(task_id="dbt", bash_command="dbt build")  # not airflow.providers.dbt.cloud.operators.dbt
