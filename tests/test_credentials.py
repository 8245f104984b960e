"""What an Airflow connection may hold, and what is said of one that cannot be used."""

import json
import traceback
from dataclasses import dataclass, field

import pytest

from airflow_dbt_cloud.credentials import DEFAULT_TIMEOUT, Credentials, read_base_url
from airflow_dbt_cloud.errors import DbtCloudConfigurationError


@dataclass
class Connection:
    """What is read of an Airflow connection."""

    conn_id: str = "dbt_prod"
    host: str | None = "ab123.us1.dbt.com"
    port: int | None = None
    login: str | None = "7"
    password: str | None = "dbtc_S3cr3tT0ken0fNobody"
    extra_dejson: dict = field(default_factory=dict)


def read(account_id=None, **fields):
    """Read a good connection with some fields changed."""
    return Credentials.from_connection(Connection(**fields), account_id=account_id)


def read_extra(**extra):
    """Read a good connection with an extra."""
    return read(extra_dejson=extra)


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("ab123.us1.dbt.com", None, "https://ab123.us1.dbt.com"),
        ("https://ab123.us1.dbt.com/", None, "https://ab123.us1.dbt.com"),
        ("https://ab123.us1.dbt.com/deploy/7/projects/5?x=1#y", None, "https://ab123.us1.dbt.com"),
        ("ab123.us1.dbt.com/settings", None, "https://ab123.us1.dbt.com"),
        ("  AB123.us1.DBT.com \n", None, "https://ab123.us1.dbt.com"),
        ("HTTPS://ab123.us1.dbt.com", None, "https://ab123.us1.dbt.com"),
        (None, None, "https://cloud.getdbt.com"),
        ("", None, "https://cloud.getdbt.com"),
        ("   ", None, "https://cloud.getdbt.com"),
        ("dbt.example.com:8443", None, "https://dbt.example.com:8443"),
        ("dbt.example.com", 8443, "https://dbt.example.com:8443"),
        ("dbt.example.com:8443", 9, "https://dbt.example.com:8443"),
        ("dbt.example.com", 0, "https://dbt.example.com"),
        ("dbt.example.com:", None, "https://dbt.example.com"),
        ("http://localhost:8580", None, "http://localhost:8580"),
        ("http://localhost", 8580, "http://localhost:8580"),
        ("http://127.0.0.1:8580/x", None, "http://127.0.0.1:8580"),
        ("http://127.9.9.9", None, "http://127.9.9.9"),
        ("http://[::1]:8580", None, "http://[::1]:8580"),
        ("[2001:db8::1]", None, "https://[2001:db8::1]"),
        ("[2001:db8::1]", 8443, "https://[2001:db8::1]:8443"),
        ("dbt_cloud", 8443, "https://dbt_cloud:8443"),
        ("10.0.0.1", None, "https://10.0.0.1"),
    ],
)
def test_hosts(host, port, url):
    """An access URL is understood in every form that people type."""
    assert read_base_url(host, port) == url
    assert read(host=host, port=port).base_url == url


@pytest.mark.parametrize(
    "host",
    [
        *("https://", "https:///x", "/", "//ab123.us1.dbt.com", ":443", "?", "#", "."),
        *("ftp://ab123.us1.dbt.com", "ab123.us1.dbt.com://x", "http:ab123.us1.dbt.com"),
        *("https://https://ab123.us1.dbt.com", "http://http://localhost"),
        *("ab123 us1.dbt.com", "ab123.us1.dbt.com evil.com", "ab\r\n123.us1.dbt.com", "ab\t123.us1.dbt.com"),
        *("ab123.us1.dbt.com\r\nX-Evil: 1", "https://ab123.us1.dbt.com/\r\nX: y", "ab123\x00.dbt.com"),
        *("dbt.example.com:x", "dbt.example.com:65536", "dbt.example.com:-1", "dbt.example.com:1:2"),
        *("[::1", "::1", "[::1]x", "[nowhere]", "https://[", "http://[::1]]"),
        *("-dbt.com", "dbt-.com-", ".dbt.com", "a..dbt.com", "dbt*.com", "\u2100.com", "b\u00fccher.example"),
        *("x" * 64 + ".dbt.com", "x." * 127 + "com", "$(id).dbt.com", "{{ host }}"),
    ],
    ids=lambda host: repr(host)[:30],
)
def test_bad_hosts(host):
    """What is no access URL is refused before anything is sent, with an example of one."""
    with pytest.raises(DbtCloudConfigurationError, match=r"https://ab123.us1.dbt.com"):
        read_base_url(host)
    with pytest.raises(DbtCloudConfigurationError, match=r"^The connection 'dbt_prod' cannot be used"):
        read(host=host)


@pytest.mark.parametrize("port", [-1, 65536, 10**9])
def test_bad_ports(port):
    """A port that does not exist is refused before anything is sent."""
    with pytest.raises(DbtCloudConfigurationError, match="port"):
        read(port=port)


@pytest.mark.parametrize(
    "host",
    [
        "https://me:hunter2@ab123.us1.dbt.com",
        "me:hunter2@ab123.us1.dbt.com",
        "hunter2@ab123.us1.dbt.com",
        "https://me:hun/ter2@ab123.us1.dbt.com",
        "https://me:hunter2@\u2100.com",
        "https://me:hunter2@[::1",
        "https://me:hunter2@ab123.us1.dbt.com:x",
        "http://me:hunter2@evil.example",
    ],
)
def test_a_password_in_the_host_is_refused_and_not_shown(host):
    """A host with a user or password is refused, and the message does not repeat it."""
    with pytest.raises(DbtCloudConfigurationError) as caught:
        read(host=host)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__context__)
    assert "hunter2" not in shown
    assert "ter2" not in shown


@pytest.mark.parametrize(
    "host",
    [
        *("http://ab123.us1.dbt.com", "http://10.0.0.1:8580", "http://127.0.0.1.example.com"),
        *("http://localhost.example.com", "http://notlocalhost", "http://[2001:db8::1]", "http://0.0.0.0"),
        "HTTP://ab123.us1.dbt.com",
    ],
)
def test_plain_http_is_for_loopback(host):
    """The token does not travel in clear text, unless somebody says it must."""
    with pytest.raises(DbtCloudConfigurationError, match=r"clear text.*allow_http"):
        read(host=host)
    for allowed in (True, "true", "True"):
        url = read(host=host, extra_dejson={"allow_http": allowed}).base_url
        assert url == host.lower()
    for refused in (False, "false", "", None):
        with pytest.raises(DbtCloudConfigurationError, match="clear text"):
            read(host=host, extra_dejson={"allow_http": refused})


@pytest.mark.parametrize("value", ["yes", 1, 0, "1", [], {}], ids=repr)
def test_allow_http_is_a_flag(value):
    """A flag that is not clearly true or false is refused rather than guessed."""
    with pytest.raises(DbtCloudConfigurationError, match="'allow_http' must be true or false"):
        read_extra(allow_http=value)


@pytest.mark.parametrize(
    ("login", "account_id", "number"),
    [
        ("7", None, 7),
        (" 70403103922125 ", None, 70403103922125),
        ("7", 8, 8),
        ("7", "9", 9),
        (None, 8, 8),
        ("x", 8, 8),
    ],
)
def test_account(login, account_id, number):
    """The login is the account, unless the operator names another one."""
    assert read(login=login, account_id=account_id).account_id == number


@pytest.mark.parametrize(
    ("login", "account_id", "words"),
    [
        (None, None, "no account id"),
        ("", None, "no account id"),
        (" ", None, "no account id"),
        ("me@example.com", None, r"the login \(account id\) must be a number.*'me@example.com'"),
        ("0", None, "login"),
        ("-7", None, "login"),
        ("7.0", None, "login"),
        ("7", 0, "account_id must be a number"),
        ("7", "x", "account_id must be a number"),
        ("7", "", "account_id must be a number"),
        ("7", True, "account_id must be a number"),
    ],
)
def test_bad_accounts(login, account_id, words):
    """An account id that is none is a clear error, of the field that holds it."""
    with pytest.raises(DbtCloudConfigurationError, match=words):
        read(login=login, account_id=account_id)


@pytest.mark.parametrize("password", [None, "", "  ", "\n"])
def test_no_token(password):
    """A connection without a token is refused before anything is sent."""
    with pytest.raises(DbtCloudConfigurationError, match="the password is empty"):
        read(password=password)


def test_a_token_is_stripped():
    """The line break that a secret's file ends with is not sent."""
    assert read(password=" dbtc_x\n").token == "dbtc_x"


@pytest.mark.parametrize(
    "password", ["Tok3n x", "Tok3n\r\nX: y", "Tok3n\u00fc", "Tok3n\x00", "Tok3n\tx", "\u2028Tok3n\u2028x"]
)
def test_bad_tokens(password):
    """A token that cannot travel in a header is refused, and not shown."""
    with pytest.raises(DbtCloudConfigurationError, match="the password is no dbt Cloud token") as caught:
        read(password=password)
    assert "Tok3n" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, DEFAULT_TIMEOUT), ("", DEFAULT_TIMEOUT), (5, 5.0), ("5", 5.0), (0.5, 0.5), ("0.5", 0.5)],
)
def test_timeout(value, seconds):
    """The timeout is read as a number or as text, as connections that are URIs hold it."""
    assert read_extra(timeout_seconds=value).timeout_seconds == seconds


@pytest.mark.parametrize(
    "value", [-1, "-1", "0", "soon", "nan", "inf", [5], True, 10**400], ids=lambda v: repr(v)[:9]
)
def test_bad_timeouts(value):
    """There is always a timeout, and it is a number of seconds."""
    with pytest.raises(DbtCloudConfigurationError, match=r"extra 'timeout_seconds' must be a number"):
        read_extra(timeout_seconds=value)


BOTH = {"http": "http://proxy:3128", "https": "http://proxy:3128"}


@pytest.mark.parametrize(
    ("value", "proxies"),
    [
        (None, {}),
        ("", {}),
        ({}, {}),
        (BOTH, BOTH),
        (json.dumps(BOTH), BOTH),
        (" " + json.dumps(BOTH), BOTH),
        ("http://proxy:3128", BOTH),
        ({"https": "proxy:3128"}, {"https": "proxy:3128"}),
        ({"https": "http://me:pw@proxy:3128"}, {"https": "http://me:pw@proxy:3128"}),
        (
            {"https": "socks5h://proxy", "no_proxy": "localhost,.corp"},
            {"https": "socks5h://proxy", "no_proxy": "localhost,.corp"},
        ),
    ],
)
def test_proxies(value, proxies):
    """Proxies are an object, its text, or one URL for all."""
    assert read_extra(proxies=value).proxies == proxies


@pytest.mark.parametrize(
    "value",
    [
        *(
            5,
            True,
            ["http://me:hunter2@proxy"],
            {"https": 5},
            {"https": None},
            {5: "http://me:hunter2@proxy"},
        ),
        *('{"https": "http://me:hunter2@proxy"', '{"https": 5}', '["http://me:hunter2@proxy"]'),
        *("http://me:hunter2@[proxy", {"https": "http://me:hunter2@[proxy"}, "http://me:hunter2@proxy:x"),
        *("http://me:hun/ter2@proxy:1", "http://", "http://me:hunter2@", "http://me:hunter2@a b:1"),
    ],
    ids=repr,
)
def test_bad_proxies(value):
    """Proxies that cannot be used are refused before anything is sent, and no password of theirs is shown."""
    with pytest.raises(DbtCloudConfigurationError, match=r"extra 'proxies' must be") as caught:
        read_extra(proxies=value)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__context__)
    assert "hunter2" not in shown
    assert "ter2" not in shown


@pytest.mark.parametrize("value", [None, ""])
def test_no_ca_bundle(value):
    """Without a file of certificates, the system's are trusted."""
    assert read_extra(ca_bundle=value).ca_bundle is None


def test_ca_bundle(tmp_path):
    """A file of certificates is named by its path."""
    path = tmp_path / "ca.pem"
    path.touch()
    assert read_extra(ca_bundle=str(path)).ca_bundle == str(path)


def test_bad_ca_bundles(tmp_path):
    """A file that is not there, or is the certificate itself instead of its path, is refused by name."""
    pasted = "-----BEGIN CERTIFICATE-----\n" + "MIIB" * 500
    for value in (str(tmp_path / "no.pem"), str(tmp_path), True, 5, ["ca.pem"], "ca\x00.pem", pasted):
        with pytest.raises(DbtCloudConfigurationError, match=r"extra 'ca_bundle' must be the path of a file"):
            read_extra(ca_bundle=value)


def test_repr_shows_no_secret():
    """Neither the token nor a proxy's password is in the repr."""
    credentials = read_extra(proxies="http://me:hunter2@proxy")
    assert "hunter2" in credentials.proxies["https"]
    assert "hunter2" not in repr(credentials)
    assert credentials.token not in repr(credentials)


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "a b"},
        {"host": "http://evil.example"},
        {"login": "x"},
        {"port": -1},
        {"extra_dejson": {"proxies": 5}},
        {"extra_dejson": {"timeout_seconds": "x"}},
        {"extra_dejson": {"ca_bundle": "nowhere"}},
        {"extra_dejson": {"allow_http": "x"}},
    ],
    ids=repr,
)
def test_no_error_shows_the_token(fields, token):
    """Whatever is wrong with a connection, its token is not told."""
    with pytest.raises(
        DbtCloudConfigurationError, match=r"^The connection 'dbt_prod' cannot be used: "
    ) as caught:
        read(**fields)
    assert token not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)
