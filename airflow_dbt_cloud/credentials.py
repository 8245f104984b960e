"""
Where dbt Cloud is and who we are there: an Airflow connection, read and checked.

`Credentials.from_connection` is the only reader of a connection. It sends nothing: what is wrong with a
connection is said before the first request.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import urlsplit

from airflow_dbt_cloud.errors import DbtCloudConfigurationError
from airflow_dbt_cloud.parameters import parse_id, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_TIMEOUT", "Credentials", "read_base_url"]

# What an empty host means; the official provider's default, and what connections in the field rely on.
DEFAULT_HOST = "cloud.getdbt.com"
DEFAULT_TIMEOUT = 30.0


class Connection(Protocol):
    """The part of an Airflow connection that is read here."""

    @property
    def conn_id(self) -> str: ...
    @property
    def host(self) -> str | None: ...
    @property
    def port(self) -> int | None: ...
    @property
    def login(self) -> str | None: ...
    @property
    def password(self) -> str | None: ...
    @property
    def extra_dejson(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    What a client needs to talk to one account.

    :param base_url: scheme and host, without a path: `https://ab123.us1.dbt.com`.
    :param account_id: the account.
    :param token: a service token or a personal access token; not part of the repr.
    :param timeout_seconds: how long to wait for each piece of an answer; 60 at most but for an artifact's.
    :param proxies: a URL for each scheme, as `requests` takes them; not part of the repr, for passwords.
    :param ca_bundle: a file of certificates to trust instead of the system's.
    """

    base_url: str
    account_id: int
    token: str = field(repr=False)
    timeout_seconds: float = DEFAULT_TIMEOUT
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_bundle: str | None = None

    @classmethod
    def from_connection(cls, connection: Connection, *, account_id: object = None) -> Self:
        """
        Read an Airflow connection of type `dbt_cloud`.

        :param connection: host = access URL, login = account id, password = token; `proxies`, `ca_bundle`,
            `timeout_seconds` and `allow_http` in the extra.
        :param account_id: beats the connection's login.
        :raises DbtCloudConfigurationError: names the connection, the field, what it holds and what it should.
        """
        extra = connection.extra_dejson
        try:
            return cls(
                base_url=read_base_url(
                    connection.host, connection.port, allow_http=_flag("allow_http", extra.get("allow_http"))
                ),
                account_id=_account_id(connection.login, account_id),
                token=_token(connection.password),
                timeout_seconds=parse_seconds(
                    "extra 'timeout_seconds'", extra.get("timeout_seconds") or DEFAULT_TIMEOUT
                ),
                proxies=_proxies(extra.get("proxies")),
                ca_bundle=_file("ca_bundle", extra.get("ca_bundle")),
            )
        except DbtCloudConfigurationError as error:
            msg = f"The connection {connection.conn_id!r} cannot be used: {error}"
            raise DbtCloudConfigurationError(msg) from None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not show in a log: the token as it is sent, and the proxies with their passwords."""
        return (self.token, *self.proxies.values())

    def blank(self, content: bytes | bytearray) -> bytes:
        """Return JSON without the token, as it stands or as JSON writes quotes and backslashes of it."""
        for written in {self.token, json.dumps(self.token)[1:-1]}:
            content = content.replace(written.encode(), b"***")
        return bytes(content)

    def check_place(self, base_url: str, account_id: int | None) -> None:
        """
        Make sure that a run which was started at `base_url` in `account_id` can be followed with these.

        :raises DbtCloudConfigurationError: they lead elsewhere; names both places.
        """
        if (self.base_url, self.account_id) != (base_url, account_id):
            msg = (
                f"The connection now leads to account {self.account_id} at {self.base_url}; the run is in "
                f"account {account_id} at {base_url}, and goes on."
            )
            raise DbtCloudConfigurationError(msg)


def read_base_url(host: str | None, port: int | None = None, *, allow_http: bool = False) -> str:
    """
    Return scheme, host and port of an access URL as people type it.

    `ab123.us1.dbt.com`, `https://ab123.us1.dbt.com/` and `https://ab123.us1.dbt.com/deploy/1` are the same.
    Plain http is for loopback only, unless `allow_http`.

    :raises DbtCloudConfigurationError: it is no such URL.
    """
    text = (host or "").strip() or DEFAULT_HOST
    scheme, name, url_port = _parts(text if "://" in text else f"https://{text}")
    if scheme not in {"http", "https"} or not _is_host_name(name):
        expected = "an access URL such as https://ab123.us1.dbt.com (Account settings in dbt Cloud)"
        shown = text.rpartition("@")[2]
        msg = f"the host {shown!r} is not usable; expected {expected}."
        raise DbtCloudConfigurationError(msg)
    if scheme == "http" and not (allow_http or _is_loopback(name)):
        msg = (
            f"the host {text!r} would send the token in clear text; use https, "
            'or set {"allow_http": true} in the extra if you must.'
        )
        raise DbtCloudConfigurationError(msg)
    # Airflow's form sends port 0 for "no port".
    number = url_port or port or None
    if number and not 0 < number < 2**16:
        msg = f"the port {number} is not usable; expected 1 to 65535, or none."
        raise DbtCloudConfigurationError(msg)
    return f"{scheme}://{_authority(name)}" + (f":{number}" if number else "")


def _parts(text: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a URL without a user; nothing if there is more or less to it."""
    try:
        url = urlsplit(text)
        name, port = url.hostname or "", url.port
    except ValueError:
        return "", "", None
    is_all = re.fullmatch(re.escape(_authority(name)) + "(:[0-9]*)?", url.netloc.lower())
    # `urlsplit` drops line breaks and tabs, also from the midst of a name.
    return (url.scheme, name, port) if is_all and _is_one_word(text) else ("", "", None)


def _authority(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _is_one_word(text: str) -> bool:
    return text.isprintable() and " " not in text


def _is_host_name(name: str) -> bool:
    # `https://https://ab123.us1.dbt.com` is not on a host called "https".
    label = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
    is_name = re.fullmatch(rf"(?!https?$){label}([.]{label})*", name) and len(name) <= 253
    return bool(is_name) or _ip_address(name) is not None


def _is_loopback(name: str) -> bool:
    address = _ip_address(name)
    return name == "localhost" or name.endswith(".localhost") or (address is not None and address.is_loopback)


def _ip_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _account_id(login: str | None, account_id: object) -> int:
    if account_id is not None:
        return parse_id("account_id", account_id)
    if not (login or "").strip():
        msg = "it has no account id; put it into the login, or pass account_id."
        raise DbtCloudConfigurationError(msg)
    return parse_id("the login (account id)", login)


def _token(password: str | None) -> str:
    token = (password or "").strip()
    if not token:
        msg = "the password is empty; it must hold a dbt Cloud token (service or personal)."
        raise DbtCloudConfigurationError(msg)
    # A line break or a letter beyond ASCII cannot travel in a header; the value itself must not be shown.
    if not token.isascii() or not _is_one_word(token):
        msg = "the password is no dbt Cloud token: it holds blanks, line breaks or letters beyond ASCII."
        raise DbtCloudConfigurationError(msg)
    return token


def _flag(name: str, value: object) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value.lower() in {"", "true", "false"}:
        return value.lower() == "true"
    msg = f"extra {name!r} must be true or false; got {value!r}."
    raise DbtCloudConfigurationError(msg)


def _file(name: str, value: object) -> str | None:
    if not value:
        return None
    if isinstance(value, str) and os.path.isfile(value) and os.access(value, os.R_OK):  # noqa: PTH113 - `Path` raises where there is no access
        return value
    msg = f"extra {name!r} must be the path of a file that this process can read; got {value!r}."
    raise DbtCloudConfigurationError(msg)


def _proxies(value: object) -> dict[str, str]:
    # Connections given as a URI and the form hold text, connections given as JSON an object.
    if not value:
        return {}
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    elif isinstance(value, str):
        value = {"http": value, "https": value}
    if isinstance(value, dict) and all(_is_proxy(*pair) for pair in value.items()):
        return value
    # The value is not shown: it may hold the proxy's password.
    msg = "extra 'proxies' must be a proxy's URL, or an object of URLs by scheme as `requests` takes it."
    raise DbtCloudConfigurationError(msg)


def _is_proxy(scheme: object, url: object) -> bool:
    if not isinstance(scheme, str) or not isinstance(url, str):
        return False
    # No URL at all is how `requests` is told to leave a proxy of the environment alone.
    if scheme == "no_proxy" or not url:
        return True
    scheme, rest = url.split("://", 1) if "://" in url else ("http", url)
    # Without user and password: what may stand there is between `requests` and the proxy.
    place = re.split("[/?#]", rest)[0].rpartition("@")[2]
    return _is_host_name(_parts(f"{scheme}://{place}")[1])
