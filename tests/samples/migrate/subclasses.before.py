# 2 tasks: operators and hooks of one's own.
from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook
from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator
from airflow.sdk import DAG


class Coloured(DbtCloudRunJobOperator):
    ui_color = "#00ff00"


class Told(DbtCloudRunJobOperator):
    def execute(self, context):
        run_id = super().execute(context)
        self.log.info("%s: %s", self.run_id, self.hook.get_job_run(run_id).json())
        return run_id


class Hook(DbtCloudHook):
    def list_groups(self):
        return self._run_and_get_response(endpoint="1/groups/", api_version="v3")


with DAG("subclasses", schedule=None):
    Coloured(task_id="coloured", job_id=1)
    Told(task_id="told", job_id=1)
