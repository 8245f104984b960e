"""Whatever stands in XComs or comes from dbt Cloud: the tab has an answer, of one shape."""

import json
import re
import zlib
from base64 import b64encode

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st

from airflow_dbt_cloud.errors import DbtCloudError
from airflow_dbt_cloud.tab.application import _answer
from airflow_dbt_cloud.tab.database import KEYS, Past, Task
from airflow_dbt_cloud.tab.document import make_document
from airflow_dbt_cloud.tab.keys import TaskKey
from airflow_dbt_cloud.tab.sight import Subject, Unseen, look, subject_of
from tests.odd_json import bodies, fuzzed, mutated, odd_values

KEY = TaskKey("ferry", "manual__1", "build")
CONNECTION = {"conn_type": "dbt_cloud", "host": "https://ab123.us1.dbt.com", "login": "42", "password": "x"}
PACKED = b64encode(zlib.compress(b'{"version":1}')).decode()
SUMMARY = {
    "version": 1,
    "run_id": 7,
    "url": "https://ab123.us1.dbt.com/",
    "status": "Error",
    "started_at": "2026-01-01T12:00:00+00:00",
    "duration": 90.5,
    "nodes": {"error": 1, "success": 9},
    "slowest": [{"unique_id": "model.ferry.dues", "seconds": 9.5}],
    "notes": ["dbt Cloud has no results."],
}
XCOMS = dict(zip(KEYS, (SUMMARY, PACKED, PACKED, 7, SUMMARY["url"]), strict=True))
RENDERED = {"job_id": 5, "dbt_cloud_conn_id": "dbt_cloud_default", "account_id": "42", "run_id": "7"}
STEP = {
    "id": 1,
    "index": 1,
    "name": "Invoke dbt with `dbt build`",
    "status": 3,
    "logs": "1 of 2 OK",
    "started_at": "x",
}
RUN = {"data": {"id": 7, "status": 3, "trigger": {"cause": "x"}, "retrying_run_id": 7, "run_steps": [STEP]}}
SHAPE = {
    "version": int,
    "is_ours": bool,
    "task": dict,
    "run": dict | None,
    "nodes": str | None,
    "failures": str | None,
    "history": list,
    "others": list,
    "notes": list,
}


def task(xcoms=(), rendered=()):
    """Return a task that has stored this."""
    return Task(KEY, "failed", 1, "DbtCloudRunJobOperator", xcoms=dict(xcoms), rendered=dict(rendered))


def read_as_a_browser(response):
    """Return the JSON of an answer, if a browser would read it."""

    def refuse(name):
        pytest.fail(f"{name} is no JSON")

    return json.loads(response.body.decode("ascii"), parse_constant=refuse)


@fuzzed
@given(xcoms=mutated([XCOMS]), past=mutated([SUMMARY]) | odd_values)
def test_documents(xcoms, past):
    """Whatever is stored, the answer has one shape, and addresses that a browser may follow."""
    document = read_as_a_browser(_answer(make_document(task(xcoms), [Past(KEY, past, past)], [])))
    assert document.keys() == SHAPE.keys()
    for name, kind in SHAPE.items():
        assert isinstance(document[name], kind), name
    url = document["run"] and document["run"]["url"]
    assert not url or url.startswith(("https://", "http://"))
    assert all(past["url"].startswith("/dags/") for past in document["history"])
    assert all(isinstance(note, str) for note in document["notes"])


@fuzzed
@given(rendered=mutated([RENDERED, {**RENDERED, "job_id": None}]), xcoms=mutated([XCOMS]))
def test_subjects(rendered, xcoms):
    """Whatever is rendered, it names a run, or none, or it is said that it cannot be understood."""
    try:
        subject = subject_of(task(xcoms, rendered))
    except Unseen:
        return
    assert subject is None or 0 < subject.run_id < 2**63


@fuzzed
@given(body=bodies(RUN), mark=st.sampled_from(["", "0123456789abcdef"]), is_known=st.booleans())
def test_sights(body, mark, is_known):
    """Whatever dbt Cloud answers, there is something to see, or a reason why not."""
    with pytest.MonkeyPatch.context() as patch, responses.RequestsMock() as mock:
        patch.setenv("AIRFLOW_CONN_DBT_CLOUD_DEFAULT", json.dumps(CONNECTION))
        mock.add("GET", re.compile(".*"), body=body)
        try:
            sight = look(Subject(7, "dbt_cloud_default", marker_key=mark), is_known=is_known)
        except (DbtCloudError, Unseen):
            return
    seen = {"run": sight.run, "console": sight.console, "note": sight.note}
    assert read_as_a_browser(_answer(seen)) == seen
