"""An Airflow where not everybody may see every DAG."""

import os

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

HIDDEN = os.environ.get("TESTS_HIDDEN_DAG", "secret")


class PickyAuthManager(SimpleAuthManager):
    """Shows nobody but administrators the DAG that is hidden, and the logs of the DAG `quiet`."""

    def is_authorized_dag(self, *, method, user, access_entity=None, details=None):
        dag_id = details.id if details else None
        entity = access_entity.name if access_entity else ""
        if user.role.upper() != "ADMIN" and (dag_id == HIDDEN or (dag_id, entity) == ("quiet", "TASK_LOGS")):
            return False
        return super().is_authorized_dag(
            method=method, user=user, access_entity=access_entity, details=details
        )
