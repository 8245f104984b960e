"""The operator that lists jobs, with dbt Cloud stood in for by `responses`."""

import pytest
from responses import matchers

from airflow_dbt_cloud.errors import DbtCloudConfigurationError
from airflow_dbt_cloud.operators import DbtCloudListJobsOperator


def operator(**parameters):
    """Return an operator."""
    return DbtCloudListJobsOperator(task_id="list", **parameters)


def answers(cloud, url, *ids, **query):
    """Answer with jobs, to exactly this query."""
    rows = [{"id": number, "name": f"job {number}"} for number in ids]
    exactly = matchers.query_param_matcher({"limit": "100", "offset": "0", **query})
    return cloud.get(url, json={"data": rows}, match=[exactly])


def test_all(cloud, account):
    """Without filters the ids of all jobs come back, however many pages that are."""
    answers(cloud, f"{account}/jobs/", *range(1, 101))
    answers(cloud, f"{account}/jobs/", 101, offset="100")
    assert operator().execute({}) == [*range(1, 102)]


def test_filters(cloud, account):
    """It is dbt Cloud that filters, by its own names, and what is not given is not sent."""
    query = {
        "project_id": "3",
        "project_id__in": "[3, 4]",
        "environment_id": "4",
        "name__icontains": "nightly",
        "triggers_schedule": "true",
        "dbt_version__in": '["latest"]',
        "state": "all",
        "order_by": "-id",
    }
    answers(cloud, f"{account}/jobs/", 9, 8, **query)
    task = operator(
        project_id="3",
        project_id__in=[3, "4"],
        environment_id=4,
        name__icontains="nightly",
        triggers_schedule=True,
        dbt_version__in=["latest"],
        state="all",
        order_by="-id",
    )
    assert task.execute({}) == [9, 8]


def test_limit(cloud, account):
    """With a limit no more is asked for."""
    asked = answers(cloud, f"{account}/jobs/", 1, 2, limit="2")
    assert operator(limit=2).execute({}) == [1, 2]
    assert asked.call_count == 1


def test_account(cloud):
    """The account may be another one than the connection's."""
    answers(cloud, "https://ab123.us1.dbt.com/api/v2/accounts/99/jobs/", 5)
    assert operator(account_id="99").execute({}) == [5]


def test_log(cloud, account, said):
    """The task says in one line how many jobs there are."""
    answers(cloud, f"{account}/jobs/", 1, 2)
    operator().execute({})
    assert said() == ["Jobs in dbt Cloud that match: 2."]


def test_templates(cloud, account, rendered):
    """Numbers, lists and flags may be templates, which make strings of them."""
    answers(cloud, f"{account}/jobs/", project_id__in="[3, 4]", triggers_schedule="false", limit="5")
    task = operator(project_id__in="{{ projects }}", triggers_schedule="{{ flag }}", limit="{{ number }}")
    assert rendered(task, projects=[3, "4"], flag=False, number=5).execute({}) == []


def test_official_templates():
    """What the official provider's operator renders is rendered."""
    assert {"account_id", "project_id", "dbt_cloud_conn_id"} <= set(DbtCloudListJobsOperator.template_fields)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"project_id": "ferry"}, "project_id must be a number"),
        ({"project_id__in": "{3: 4}"}, "project_id__in must be a list"),
        ({"environment_id": -1}, "environment_id must be a number"),
        ({"triggers_schedule": "daily"}, "triggers_schedule must be True or False"),
        ({"limit": 0}, "limit must be a whole number above 0"),
        ({"account_id": "ours"}, "account_id must be a number"),
        ({"hook_params": {"timeout": 3}}, "hook_params takes timeout_seconds"),
    ],
)
def test_bad_parameters(parameters, message):
    """What cannot be meant is refused when the DAG is parsed."""
    with pytest.raises(DbtCloudConfigurationError, match=message):
        operator(**parameters)
