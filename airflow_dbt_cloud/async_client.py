"""
The client for whoever lives on an event loop: its requests are sent from a few threads of its own.

It repeats nothing, but for a request that a kept-alive connection swallowed. After a token was refused the
connection is read anew.
"""

from __future__ import annotations

import asyncio
import contextvars
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from airflow_dbt_cloud.errors import DbtCloudAnswerTooLong, DbtCloudUnauthorized, DbtCloudUnreachable
from airflow_dbt_cloud.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from airflow_dbt_cloud.client import Client
    from airflow_dbt_cloud.credentials import Credentials
    from airflow_dbt_cloud.filters import RunFilters
    from airflow_dbt_cloud.models import Run

__all__ = ["MOST_AT_ONCE", "MOST_BESIDE", "AsyncClient"]

MOST_AT_ONCE = 4
MOST_BESIDE = 2
# In a triggerer others wait while an answer is taken apart: one of 8 MiB stalls the event loop by 50 ms, one
# of 32 MiB by 170 ms.
LONGEST_ANSWER = 8 * 2**20
# A connection that the server has closed fails at once; after so many seconds it was something else.
SWALLOWED_WITHIN = 5.0

Answer = TypeVar("Answer")


class AsyncClient:
    """
    Asks dbt Cloud about runs.

    :param connect: returns the credentials, read anew each time it is called: at first, and after a token was
        refused. Raises `DbtCloudUnreachable` if they cannot be read now, `DbtCloudConfigurationError` if they
        do not lead to the account any more.
    :param threads: where requests are sent from.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Credentials]], *, threads: Threads | None = None
    ) -> None:
        self._connect = connect
        self._threads = threads or Threads(MOST_AT_ONCE, "dbt-cloud")
        self._threads_beside = threads or Threads(MOST_BESIDE, "dbt-cloud-beside")
        self._client: Client | None = None
        self._connecting: asyncio.Task[Client] | None = None

    async def list_runs(self, ids: Sequence[int], *, statuses: Sequence[int] = ()) -> list[Run]:
        """
        Return those of the runs that exist and have one of the statuses, in one request.

        :param ids: a hundred at most.
        :param statuses: all if there are none.
        """
        filters: RunFilters = {"pk__in": ids}
        if statuses:
            filters["status__in"] = statuses
        return await self._ask(lambda client: list(islice(client.list_runs(**filters), len(ids))))

    async def get_run(self, run_id: int) -> Run:
        """Return a run, with who cancelled it."""
        return await self._ask(lambda client: client.get_run(run_id, include_related=("audit",)))

    async def cancel_run(self, run_id: int) -> Run:
        """Ask dbt Cloud to cancel a run, and return it."""
        return await self._ask(lambda client: client.cancel_run(run_id))

    async def ask(self, call: Callable[[Client], Answer]) -> Answer:
        """Return what a call of the client returns; however long it takes, the questions above go on."""
        return await self._ask(call, self._threads_beside)

    async def _ask(self, call: Callable[[Client], Answer], threads: Threads | None = None) -> Answer:
        threads = threads or self._threads
        client = self._client or await self._make_client()
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            return await threads.run(lambda: call(client))
        except DbtCloudUnauthorized:
            # The token may have been rotated: the next question reads the connection anew. Unless another one
            # has done so while this one was on its way.
            if self._client is client:
                self._client = None
            raise
        except DbtCloudAnswerTooLong:
            raise
        except DbtCloudUnreachable as error:
            if not error.may_have_arrived or clock() - began > SWALLOWED_WITHIN:
                raise
        # The server may have closed a kept-alive connection meanwhile; a new one does not suffer from that.
        return await threads.run(lambda: call(client))

    async def _make_client(self) -> Client:
        if self._connecting is None:
            # In an empty context, else its log lines would land in the log of the task that came first.
            self._connecting = asyncio.get_running_loop().create_task(
                self._read_connection(), name="dbt-cloud-connect", context=contextvars.Context()
            )
            # Read once, so that asyncio does not complain if whoever asked has gone when it fails.
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        # Shielded: whoever asks may be cancelled, and others wait for the same connection.
        return await asyncio.shield(self._connecting)

    async def _read_connection(self) -> Client:
        try:
            credentials = await self._connect()
            self._client = await self._threads.run(lambda: _make_client(credentials))
        finally:
            self._connecting = None
        return self._client


def _make_client(credentials: Credentials) -> Client:
    # In a thread, because importing `requests` would stall the event loop.
    from airflow_dbt_cloud.client import Client
    from airflow_dbt_cloud.retries import Retries
    from airflow_dbt_cloud.transport import Transport

    transport = Transport(credentials, longest=LONGEST_ANSWER)
    return Client(credentials, retries=Retries(limit=1), transport=transport)
