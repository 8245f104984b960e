"""The command line: options, start, the block that says where the server is, and the end."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import socket
import ssl
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from airflow_dbt_cloud.local.application import DEFAULT_TOKEN, Application, DroppableProtocol
from airflow_dbt_cloud.local.cloud import Cloud
from airflow_dbt_cloud.local.dbt_process import check_installation, preload
from airflow_dbt_cloud.local.errors import StartError
from airflow_dbt_cloud.local.faults import FaultError, Faults, read_fault
from airflow_dbt_cloud.local.hosts import is_loopback
from airflow_dbt_cloud.local.manual import ASSUMPTIONS, DESCRIPTION
from airflow_dbt_cloud.local.project import read_project
from airflow_dbt_cloud.local.records import DELETED
from airflow_dbt_cloud.local.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_dbt_cloud.local.records import Job

STATE_FOLDER = ".dbt_cloud_local"
_CANNOT_START = 2
_LARGEST_PORT = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until it is told to stop; gives the exit code."""
    options = make_parser().parse_args(arguments)
    try:
        _serve(options)
    except StartError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a command line prints
        return _CANNOT_START
    except KeyboardInterrupt:
        return 130
    return 0


def _serve(options: argparse.Namespace) -> None:
    tokens = _read_tokens(options.token or [DEFAULT_TOKEN])
    _check_host(options.host, tokens)
    dbt_version = check_installation()
    folder = read_project(_project_folder(options.project))
    faults = _read_faults(options.fault)
    with _listen(options.host, options.port) as listener:
        config = _uvicorn_config(options)
        store = Store((options.state or folder.path / STATE_FOLDER).resolve(), folder.jobs)
        cloud = Cloud(
            folder,
            store,
            faults,
            dbt_version=dbt_version,
            run_slots=options.run_slots,
            queue_limit=options.queue_limit,
        )
        config.app = Application(cloud, tokens, options.host)
        preload()
        # uvicorn raises the signal that ended it once more when it is done, and we are not done then.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        try:
            _Server(config, cloud, tokens).run(sockets=[listener])
        finally:
            cloud.stop()
            store.close()


class _Server(uvicorn.Server):
    """Says when it is ready."""

    def __init__(self, config: uvicorn.Config, cloud: Cloud, tokens: dict[str, str]) -> None:
        super().__init__(config)
        self._cloud, self._tokens = cloud, tokens

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._cloud.start()
        for listener in sockets or ():
            print(_ready_block(self.config, listener, self._cloud, self._tokens), flush=True)  # noqa: T201


def _ready_block(
    config: uvicorn.Config, listener: socket.socket, cloud: Cloud, tokens: dict[str, str]
) -> str:
    scheme = "https" if config.is_ssl else "http"
    host, port = listener.getsockname()[:2]
    account_id = cloud.folder.account.id
    # One's own token is a secret: it would stand in every log that this output goes to.
    token = DEFAULT_TOKEN if DEFAULT_TOKEN in tokens else None
    connection = _connection(scheme, host, port, account_id, token or "<your token>")
    jobs = [job for job in cloud.store.jobs() if job.state != DELETED]
    return "\n".join(
        [
            f"Ready: {_url(scheme, host, port)}",
            f"Account: {account_id}",
            f"Token: {token or 'as given with --token'}",
            f"Project: {cloud.folder.project.name}",
            *(f"Job: {job.id}  {_environment_name(cloud, job)} / {job.name}" for job in jobs),
            "# To connect Airflow, in the shell that starts it:",
            f"export AIRFLOW_CONN_DBT_CLOUD_DEFAULT={shlex.quote(json.dumps(connection))}",
        ]
    )


def _environment_name(cloud: Cloud, job: Job) -> str:
    environment = cloud.environments.get(job.environment_id)
    return environment.name if environment else "(not in dbt_cloud.yml any more)"


def _connection(scheme: str, host: str, port: int, account_id: int, token: str) -> dict[str, Any]:
    address = ip_address(host)
    if address.is_unspecified:
        host = "::1" if address.version == 6 else "127.0.0.1"
    connection = {
        "conn_type": "dbt_cloud",
        "host": _url(scheme, host, port),
        "login": str(account_id),
        "password": token,
    }
    # Else the hook refuses to send the token in clear text.
    needs_leave = scheme == "http" and not is_loopback(host)
    return {**connection, "extra": {"allow_http": True}} if needs_leave else connection


def _url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _uvicorn_config(options: argparse.Namespace) -> uvicorn.Config:
    if bool(options.tls_cert) != bool(options.tls_key):
        raise StartError("--tls-cert and --tls-key go together: give both, or none")
    config = uvicorn.Config(
        app=_not_yet,
        http=DroppableProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
    )
    if options.tls_cert:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
                options.tls_cert, options.tls_key
            )
        except OSError as error:  # ssl.SSLError is one
            reason = error.strerror or str(error)
            raise StartError(
                f"certificate {options.tls_cert} with key {options.tls_key} cannot be used: {reason}: "
                "both must be PEM files that belong together"
            ) from error
    return config


async def _not_yet(*_: Any) -> None:
    """Stand in for the application until the state is open."""


def _project_folder(path: Path) -> Path:
    if not path.is_dir():
        found = "is no folder" if path.exists() else "does not exist"
        raise StartError(
            f"--project {path} {found}: expected a dbt project's folder, with dbt_cloud.yml in it"
        )
    return path.resolve()


def _read_faults(texts: Sequence[str]) -> Faults:
    faults = Faults()
    for position, text in enumerate(texts, start=1):
        try:
            faults.add(read_fault(text))
        except FaultError as error:
            raise StartError(f"--fault number {position}: {error}") from error
    return faults


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= _LARGEST_PORT:
        raise StartError(f"cannot listen on {host} port {port}: expected 0 to {_LARGEST_PORT}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio turns off Nagle's algorithm if the socket names its protocol; else each answer takes 40 ms.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StartError(
            f"cannot listen on {host} port {port}: {reason}; choose another --port (0 picks a free one)"
        ) from error
    return listener


def _read_tokens(texts: Sequence[str]) -> dict[str, str]:
    """Give the name of each token; one without a name is called after its place."""
    tokens: dict[str, str] = {}
    for position, text in enumerate(texts, start=1):
        name, equals, token = text.partition("=")
        if not equals:
            name, token = ("local" if position == 1 else f"local-{position}"), text
        if not name or not token.strip():
            raise StartError(f"--token number {position} is empty: expected TOKEN or NAME=TOKEN")
        tokens[token] = name
    return tokens


def _check_host(host: str, tokens: dict[str, str]) -> None:
    if not is_loopback(host) and DEFAULT_TOKEN in tokens:
        raise StartError(
            f"--host {host} opens the server to other machines, and everybody knows the default token; "
            "give one of your own with --token"
        )


def make_parser() -> argparse.ArgumentParser:
    """Return the reader of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_dbt_cloud.local",
        description=DESCRIPTION,
        epilog=ASSUMPTIONS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--project", type=Path, required=True, metavar="DIR", help="the dbt project, with dbt_cloud.yml in it"
    )
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    add("--port", type=int, default=8580, help="port to listen on; 0 picks a free one (default: %(default)s)")
    add("--tls-cert", metavar="FILE", help="certificate, PEM: serve https")
    add("--tls-key", metavar="FILE", help="its key, PEM")
    add(
        "--state",
        type=Path,
        metavar="DIR",
        help=f"where runs and the warehouse are kept (default: DIR/{STATE_FOLDER})",
    )
    add(
        "--token",
        action="append",
        metavar="[NAME=]TOKEN",
        help=f"what clients must send; audits show the name; repeatable (default: {DEFAULT_TOKEN})",
    )
    add(
        "--run-slots",
        type=_positive,
        default=2,
        metavar="N",
        help="how many jobs run at a time (default: %(default)s)",
    )
    add(
        "--queue-limit",
        type=_positive,
        default=50,
        metavar="N",
        help="how many runs may wait (default: %(default)s)",
    )
    add("--fault", action="append", default=[], metavar="SPEC", help="misbehave, see below; repeatable")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"found {value}, expected at least 1")
    return value
