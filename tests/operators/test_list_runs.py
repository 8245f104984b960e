"""The operator that lists runs, with dbt Cloud stood in for by `responses`."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from airflow.sdk.serde import deserialize, serialize
from responses import matchers

from airflow_dbt_cloud.errors import DbtCloudConfigurationError
from airflow_dbt_cloud.operators import DbtCloudListJobRunsOperator

HREF = "https://ab123.us1.dbt.com/deploy/42/projects/3/runs/{}/"
ALL = {"limit": "100", "offset": "0"}
ONE = {"limit": "1", "offset": "0", "order_by": "-id"}
TOLD = {
    "id": 7,
    "account_id": 42,
    "project_id": 3,
    "environment_id": 4,
    "job_definition_id": 5,
    "status": 20,
    "status_humanized": "Error",
    "status_message": "dbt command failed",
    "href": HREF.format(7),
    "dbt_version": "1.11.0",
    "git_branch": "main",
    "git_sha": "0123abc",
    "created_at": "2024-05-27 10:42:16.179903+00:00",
    "started_at": "2024-05-27 10:42:20.179903+00:00",
    "finished_at": "2024-05-27 10:43:16.179903+00:00",
}
AUDIT = {"cancellation": {"actor": {"id": "1", "type": "user", "name": "Ada"}}}
ROW = {
    **TOLD,
    "trigger": {"cause": "by hand", "git_branch": "main", "git_sha": None},
    "audit": AUDIT,
    "invented_tomorrow": {"deep": True},
}


def operator(**parameters):
    """Return an operator."""
    return DbtCloudListJobRunsOperator(task_id="list", **parameters)


def answers(cloud, account, rows, query):
    """Answer with runs, to exactly this query."""
    exactly = matchers.query_param_matcher(query)
    return cloud.get(f"{account}/runs/", json={"data": rows}, match=[exactly])


def numbered(*ids):
    """Return the rows of runs."""
    return [{**ROW, "id": number, "href": HREF.format(number)} for number in ids]


def test_all(cloud, account):
    """Without filters all runs come back, oldest first, however many pages that are."""
    answers(cloud, account, numbered(*range(1, 101)), ALL)
    answers(cloud, account, numbered(101), {**ALL, "offset": "100"})
    assert [run["id"] for run in operator().execute({})] == [*range(1, 102)]


def test_each_run_once(cloud, account):
    """A run that is pushed to the next page while the pages are read is told once."""
    query = {**ALL, "order_by": "-id"}
    answers(cloud, account, numbered(*range(200, 100, -1)), query)
    answers(cloud, account, numbered(101, 100, 99), {**query, "offset": "100"})
    assert [run["id"] for run in operator(order_by="-id").execute({})] == [*range(200, 98, -1)]


def test_what_is_told(cloud, account):
    """A run is told in dbt Cloud's words, and as XCom can hold it."""
    answers(cloud, account, [ROW], ALL)
    told = operator().execute({})
    assert told == [TOLD]
    assert json.loads(json.dumps(told)) == told
    assert deserialize(serialize(told)) == told


def test_times_that_are_not_yet(cloud, account):
    """A run that waits has no start and no end, and its number of a status that is new to us is kept."""
    waiting = {"id": 7, "status": 7, "created_at": TOLD["created_at"], "started_at": None, "project_id": 3}
    answers(cloud, account, [waiting], ALL)
    (told,) = operator().execute({})
    assert (told["started_at"], told["finished_at"], told["status"]) == (None, None, 7)
    assert told["status_humanized"] == "status 7"
    assert told["href"] == HREF.format(7)


def test_related(cloud, account):
    """What is asked for besides is told besides."""
    answers(cloud, account, [ROW], {**ALL, "include_related": "trigger,audit"})
    for related in (["trigger", "audit"], "trigger, audit", '["trigger", "audit"]'):
        (told,) = operator(include_related=related).execute({})
        more = {"trigger": {"cause": "by hand", "git_branch": "main"}, "cancelled_by": "Ada"}
        assert told == {**TOLD, **more}


def test_filters(cloud, account):
    """It is dbt Cloud that filters, by its own names, and what is not given is not sent."""
    query = {
        **ALL,
        "job_definition_id": "5",
        "project_id": "3",
        "environment_id": "4",
        "status__in": "[10, 20, 30]",
        "created_at__range": '["2026-01-01T22:00:00.000000", "2026-01-03T00:00:00.000000"]',
        "finished_at__range": '["2026-01-02T00:00:00.000000", "2026-01-02T12:00:00.000000"]',
        "order_by": "-finished_at",
    }
    answers(cloud, account, [ROW], query)
    task = operator(
        job_id="5",
        project_id=3,
        environment_id="4",
        status_filter=["success", 20, "30"],
        created_at__range=(
            datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2))),
            datetime(2026, 1, 3, tzinfo=UTC),
        ),
        finished_at__range=["2026-01-02", "2026-01-02T12:00:00Z"],
        order_by="-finished_at",
    )
    assert task.execute({}) == [TOLD]


@pytest.mark.parametrize("status", ["error", 20, "20", ["error"], (20,), '["error"]'], ids=repr)
def test_one_status(cloud, account, status):
    """A status is a number or a name, alone or in a list."""
    answers(cloud, account, [ROW], {**ALL, "status__in": "[20]"})
    assert operator(status_filter=status).execute({}) == [TOLD]


def test_the_newest(cloud, account):
    """The newest of however many runs is one request, of one row."""
    asked = answers(cloud, account, [ROW], {**ONE, "job_definition_id": "5"})
    assert operator(job_id=5, latest_only=True).execute({}) == TOLD
    assert asked.call_count == 1


def test_the_newest_success(cloud, account):
    """The newest run of a status is one request, too."""
    asked = answers(cloud, account, [ROW], {**ONE, "status__in": "[10]"})
    assert operator(latest_only="True", status_filter="success").execute({}) == TOLD
    assert asked.call_count == 1


def test_the_first_in_another_order(cloud, account):
    """With an order of its own, the one run is the first in that order."""
    answers(cloud, account, [ROW], {**ONE, "order_by": "finished_at"})
    assert operator(latest_only=True, order_by="finished_at").execute({}) == TOLD


def test_there_is_no_newest(cloud, account):
    """If no run matches there is none, which is no error."""
    answers(cloud, account, [], ONE)
    assert operator(latest_only=True).execute({}) is None


def test_limit(cloud, account):
    """With a limit no more is asked for."""
    asked = answers(cloud, account, numbered(9, 8, 7), {**ALL, "limit": "3", "order_by": "-id"})
    assert [run["id"] for run in operator(limit="3", order_by="-id").execute({})] == [9, 8, 7]
    assert asked.call_count == 1


@pytest.mark.parametrize(
    ("parameters", "rows", "line"),
    [
        ({}, [ROW], "Runs in dbt Cloud that match: 1."),
        ({"latest_only": True}, [ROW], f"dbt Cloud run 7, Error: {HREF.format(7)}"),
        ({"latest_only": True}, [], "No run in dbt Cloud matches."),
    ],
)
def test_log(cloud, account, said, parameters, rows, line):
    """The task says in one line what it found."""
    cloud.get(f"{account}/runs/", json={"data": rows})
    operator(**parameters).execute({})
    assert said() == [line]


def test_templates(cloud, account, rendered):
    """Ids, lists and times may be templates, which make strings of them."""
    query = {
        **ALL,
        "limit": "5",
        "job_definition_id": "5",
        "status__in": "[10, 20]",
        "created_at__range": '["2026-01-01T00:00:00.000000", "2026-01-02T00:00:00.000000"]',
        "include_related": "trigger",
    }
    answers(cloud, account, [], query)
    task = operator(
        job_id="{{ job }}",
        status_filter="{{ statuses }}",
        created_at__range=("{{ start }}", "{{ start.replace(day=2) }}"),
        include_related=["{{ related }}"],
        limit="{{ job }}",
    )
    names = {"job": 5, "statuses": ["success", 20], "related": "trigger"}
    assert rendered(task, start=datetime(2026, 1, 1, tzinfo=UTC), **names).execute({}) == []


def test_official_templates():
    """What the official provider's operator renders is rendered."""
    official = {"account_id", "job_id", "order_by", "include_related", "dbt_cloud_conn_id"}
    assert official <= set(DbtCloudListJobRunsOperator.template_fields)


def test_a_job_that_renders_to_nothing(rendered):
    """A template that renders to nothing is an error, and no list of the runs of all jobs."""
    with pytest.raises(DbtCloudConfigurationError, match="job_id must be a number"):
        rendered(operator(job_id="{{ nothing }}"), nothing="").execute({})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"job_id": "nightly"}, "job_id must be a number"),
        ({"project_id": "ferry"}, "project_id must be a number"),
        ({"environment_id": 0}, "environment_id must be a number"),
        ({"account_id": "ours"}, "account_id must be a number"),
        ({"status_filter": "failed"}, "status_filter must be a number .* success, error, cancelled; got"),
        ({"status_filter": []}, "status_filter must be a status or a list of them, and the list is empty"),
        ({"created_at__range": ["2026-01-01"]}, "created_at__range must be two times"),
        ({"finished_at__range": ["then", "now"]}, "finished_at__range must hold times"),
        ({"limit": -1}, "limit must be a whole number above 0"),
        ({"limit": 5, "latest_only": True}, "latest_only=True is one run, which contradicts limit=5"),
        ({"latest_only": "newest"}, "latest_only must be True or False"),
        (
            {"include_related": ["job"]},
            "include_related must be a list of trigger and audit",
        ),
        ({"hook_params": {"timeout": 3}}, "hook_params takes timeout_seconds"),
    ],
)
def test_bad_parameters(parameters, message):
    """What cannot be meant is refused when the DAG is parsed."""
    with pytest.raises(DbtCloudConfigurationError, match=message):
        operator(**parameters)
