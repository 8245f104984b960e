"""
The plugin that puts the tab "dbt" on Airflow's page of a task instance.

Every Airflow process imports it, and only the API server has a use for it: the application is made when the
first request for it comes, and nothing of it is imported before.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow.sdk.plugins_manager import AirflowPlugin

from airflow_dbt_cloud.tab.addresses import PREFIX
from airflow_dbt_cloud.tab.files import address_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]

__all__ = ["DbtCloudPlugin"]


class LateApplication:
    """
    An ASGI application that is made when it is called first.

    :param make: makes it; takes time.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._making: asyncio.Future[Any] | None = None

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if self._making is None or (self._making.done() and self._making.exception()):
            self._making = asyncio.ensure_future(asyncio.to_thread(self._make))
        # Whoever goes away meanwhile does not end what others wait for.
        application = await asyncio.shield(self._making)
        await application(scope, receive, send)


def _make_application() -> Any:
    from airflow_dbt_cloud.tab.application import make_application

    return make_application()


class DbtCloudPlugin(AirflowPlugin):
    """What Airflow is told of the tab."""

    name = "dbt_cloud"
    fastapi_apps = [  # noqa: RUF012 - as Airflow declares it
        {"app": LateApplication(_make_application), "url_prefix": PREFIX, "name": "dbt Cloud"}
    ]
    react_apps = [  # noqa: RUF012 - as above
        {
            # What the tab is called; also the name of a global variable of the page that leads to it.
            "name": "dbt",
            "url_route": "dbt-cloud",
            "destination": "task_instance",
            "bundle_url": address_of("tab.js"),
            "icon": address_of("dbt.svg"),
            "icon_dark_mode": address_of("dbt-dark.svg"),
        }
    ]
