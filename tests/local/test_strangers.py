"""What others manage to do than the person who started the server: other sites, and whoever floods it."""

import pytest
from starlette.testclient import TestClient

from airflow_dbt_cloud.local.application import LARGEST_BODY, Application
from airflow_dbt_cloud.local.artifacts import Snapshot, list_artifacts, take_snapshot

ACCOUNT = "/api/v2/accounts/70403103922125/"
KNOWN = {"Authorization": "Token dbtc_local_token"}
OWN = {"Authorization": "Token dbtc_of_my_own"}


def client(cloud, token, host="127.0.0.1"):
    """Return a client of a server that was started with a token, as a program on the same machine is one."""
    return TestClient(Application(cloud, {token: "local"}, host), "http://localhost", client=("127.0.0.1", 1))


@pytest.mark.parametrize("path", [f"{ACCOUNT}jobs/", "/local/faults/", "/local/requests/", "/"])
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8580", "192.0.2.7", "", "[::1"])
def test_a_name_that_suddenly_means_this_machine(cloud, path, host):
    """A site that got its name to mean this machine cannot use the token that everybody knows."""
    known = client(cloud, "dbtc_local_token")
    assert known.get(path, headers={**KNOWN, "Host": host}).status_code == 403
    assert known.post(f"{ACCOUNT}jobs/", headers={**KNOWN, "Host": host}, json={}).status_code == 403
    for own_name in ("localhost", "LOCALHOST:8580", "127.0.0.1:8580", "[::1]:8580"):
        assert known.get(path, headers={**KNOWN, "Host": own_name}).status_code == 200


def test_names_with_a_token_of_ones_own(cloud):
    """With a token of one's own the server may be called as people like: no site knows that token."""
    own = client(cloud, "dbtc_of_my_own")
    assert own.get(f"{ACCOUNT}jobs/", headers={**OWN, "Host": "host.docker.internal:8580"}).status_code == 200
    assert own.get(f"{ACCOUNT}jobs/", headers={"Host": "host.docker.internal:8580"}).status_code == 401


def test_the_name_to_listen_on(cloud):
    """The name that the server was told to listen on is one of its own."""
    known = client(cloud, "dbtc_local_token", "box.example")
    assert known.get(f"{ACCOUNT}jobs/", headers={**KNOWN, "Host": "box.example:8580"}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_what_a_page_may_send_without_leave(cloud, kind):
    """What a browser lets a page of another site send has no token, and is refused."""
    known = client(cloud, "dbtc_local_token")
    (job, *_) = known.get(f"{ACCOUNT}jobs/", headers=KNOWN).json()["data"]
    headers = {"Origin": "https://evil.example", "Content-Type": kind, "Cookie": "token=dbtc_local_token"}
    for path in (f"{ACCOUNT}jobs/{job['id']}/run/", f"{ACCOUNT}jobs/", "/local/faults/"):
        answer = known.post(path, headers=headers, content=b'{"cause": "evil"}')
        assert answer.status_code == 401
    assert known.get(f"{ACCOUNT}runs/", headers=KNOWN).json()["data"] == []


@pytest.mark.parametrize("path", [f"{ACCOUNT}jobs/", "/local/faults/", "/"])
def test_no_leave_to_send_more(cloud, path):
    """A browser that asks whether another site's page may send a token gets no leave, nor may it read."""
    origin = {"Origin": "https://evil.example"}
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    known = client(cloud, "dbtc_local_token")
    for answer in (
        known.options(path, headers={**origin, **asks}),
        known.get(path, headers={**origin, **KNOWN}),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", [f"{ACCOUNT}jobs/", "/local/faults/", "/", "/nowhere"])
@pytest.mark.parametrize("headers", [{}, KNOWN])
def test_floods(cloud, path, headers):
    """A body without end is not read to its end, whoever sends it."""
    sent = []

    def flood():
        while len(sent) < 1000:
            sent.append(2**16)
            yield b" " * 2**16

    answer = client(cloud, "dbtc_local_token").post(path, headers=headers, content=flood())
    assert answer.status_code == 413
    assert str(LARGEST_BODY) in answer.text


def test_links_out_of_the_target_folder(tmp_path):
    """A link in dbt's target folder that leads elsewhere is no artifact."""
    target, outside = tmp_path / "target", tmp_path / "secret.json"
    outside.write_text("{}")
    (target / "compiled").mkdir(parents=True)
    (target / "manifest.json").write_text("{}")
    (target / "run_results.json").symlink_to(outside)
    (target / "compiled" / "a.sql").symlink_to(outside)
    (target / "compiled" / "folder").symlink_to(tmp_path)
    take_snapshot(target, tmp_path / "1", Snapshot(None, {}))
    assert list_artifacts(tmp_path / "1") == ["manifest.json"]
