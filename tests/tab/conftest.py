"""Airflow's database with the tasks that a test puts there, and an API server that mounts the tab."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from airflow_dbt_cloud.tab.keys import TaskKey

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = TaskKey("ferry", "manual__2026-01-01T12:00:00+00:00", "build")
# Whoever this is may not see the DAG "secret".
USERS = {"Ada": "ADMIN", "Bob": "VIEWER"}


@pytest.fixture
def key():
    """Return the task instance that tests are about."""
    return KEY


# Not for longer: other tests want nothing of this configuration.
@pytest.fixture(scope="module")
def _schema(tmp_path_factory):
    """Let this process have a database of its own, with all of Airflow's tables."""
    from airflow import models, settings

    home = tmp_path_factory.mktemp("airflow")
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps(dict.fromkeys(USERS, "secret")))
    changes = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.tab.auth_manager.PickyAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
            f"{name}:{role}" for name, role in USERS.items()
        ),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API_AUTH__JWT_SECRET": "0123456789abcdef" * 4,
        "AIRFLOW__DBT_CLOUD__DEPLOYMENT_ID": "of tests",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in changes.items():
            patch.setenv(name, value)
        settings.dispose_orm()
        settings.configure_vars()
        settings.configure_orm()
        models.import_all_models()
        models.base.Base.metadata.create_all(settings.engine)
        yield
        settings.dispose_orm()
    settings.configure_vars()
    settings.configure_orm()


class Airflow:
    """Airflow's database, written to as Airflow would."""

    def add(
        self, key=KEY, xcoms=(), rendered=None, *, state="success", try_number=1, operator=None, started=0
    ):
        """
        Put a task instance there, and its DAG run if it is not there.

        :param started: when the DAG run was, in seconds after the first.
        """
        from airflow.models.renderedtifields import RenderedTaskInstanceFields
        from airflow.models.taskinstance import TaskInstance

        at = START + timedelta(seconds=started)
        dag_run_id = self._dag_run(key, at)
        ids = {"dag_id": key.dag_id, "run_id": key.run_id, "task_id": key.task_id, "map_index": key.map_index}
        operator = operator or "DbtCloudRunJobOperator"
        more = {"state": state, "try_number": try_number, "operator": operator, "max_tries": 0, "pool": "x"}
        self._insert(TaskInstance, **ids, **more)
        for name, value in dict(xcoms).items():
            self._insert_xcom(dag_run_id, ids, name, value, at)
        if rendered is not None:
            self._insert(RenderedTaskInstanceFields, **ids, rendered_fields=rendered)

    def add_earlier_try(self, key, try_number, state="failed"):
        """Put a try there that is over."""
        from airflow.models.taskinstancehistory import TaskInstanceHistory

        self._insert(
            TaskInstanceHistory,
            task_instance_id=uuid4(),
            dag_id=key.dag_id,
            run_id=key.run_id,
            task_id=key.task_id,
            map_index=key.map_index,
            try_number=try_number,
            state=state,
            operator="DbtCloudRunJobOperator",
            max_tries=1,
            pool="x",
            pool_slots=1,
        )

    def add_mapped(self, key, count, **more):
        """Put the instances of a mapped task there."""
        for index in range(count):
            self.add(replace(key, map_index=index), **more)

    def _dag_run(self, key, at):
        from airflow.models.dagrun import DagRun
        from sqlalchemy import select

        query = select(DagRun.id).where(DagRun.dag_id == key.dag_id, DagRun.run_id == key.run_id)
        with _session() as session:
            found = session.scalar(query)
        if found is None:
            run = {"run_type": "manual", "start_date": at, "run_after": at}
            self._insert(DagRun, dag_id=key.dag_id, run_id=key.run_id, **run)
            return self._dag_run(key, at)
        return found

    def _insert_xcom(self, dag_run_id, ids, name, value, at):
        from airflow.models.xcom import XComModel

        self._insert(XComModel, dag_run_id=dag_run_id, key=name, value=value, timestamp=at, **ids)

    def _insert(self, model, **values):
        from sqlalchemy import insert

        with _session() as session:
            session.execute(insert(model).values(**values))

    def clean(self):
        """Remove all."""
        from airflow import models
        from sqlalchemy import delete

        with _session() as session:
            for table in reversed(models.base.Base.metadata.sorted_tables):
                if table.name in {"xcom", "rendered_task_instance_fields", "task_instance_history"}:
                    session.execute(delete(table))
            for name in ("task_instance", "dag_run"):
                session.execute(delete(models.base.Base.metadata.tables[name]))


def _session():
    from airflow.utils.session import create_session

    return create_session(scoped=False)


@pytest.fixture
def airflow(_schema):
    """Return an Airflow without any task."""
    airflow = Airflow()
    yield airflow
    airflow.clean()


@pytest.fixture(scope="module")
def _server(_schema):
    """Mount the tab as Airflow's API server does."""
    from airflow.api_fastapi.app import init_auth_manager, purge_cached_app
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from airflow_dbt_cloud.plugin import DbtCloudPlugin

    app = FastAPI()
    (ours,) = DbtCloudPlugin.fastapi_apps
    app.mount(ours["url_prefix"], ours["app"])
    init_auth_manager(app)
    with TestClient(app) as client:
        yield client
    purge_cached_app()


class Browser:
    """Somebody who is logged in, or nobody."""

    def __init__(self, client, name):
        self._client = client
        self._headers = {}
        if name:
            from airflow.api_fastapi.app import get_auth_manager
            from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

            token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=name, role=USERS[name]))
            self._headers["Authorization"] = f"Bearer {token}"

    def get(self, path):
        """Ask for a path below the tab's."""
        return self._client.get(f"/dbt-cloud/{path}", headers=self._headers)


@pytest.fixture
def browse(_server):
    """Return a function that asks for a path, as Bob or as somebody else."""
    return lambda path, name="Bob": Browser(_server, name).get(path)
