"""The plugin, as Airflow sees it."""

import asyncio
from importlib.metadata import entry_points

import pytest
from airflow.plugins_manager import is_valid_plugin

from airflow_dbt_cloud import __version__
from airflow_dbt_cloud.plugin import DbtCloudPlugin, LateApplication
from airflow_dbt_cloud.tab.files import read_files


def test_airflow_takes_it():
    """Airflow takes the plugin for one."""
    assert is_valid_plugin(DbtCloudPlugin)


def test_entry_point():
    """Airflow finds the plugin by its entry point."""
    (found,) = entry_points(group="airflow.plugins", name="dbt_cloud")
    assert found.load() is DbtCloudPlugin


def test_the_tab():
    """The tab is on the page of a task instance, and all that its entry names is there."""
    (tab,) = DbtCloudPlugin.react_apps
    assert (tab["name"], tab["destination"], tab["url_route"]) == ("dbt", "task_instance", "dbt-cloud")
    files = read_files()
    for place in ("bundle_url", "icon", "icon_dark_mode"):
        prefix, _, name = tab[place].partition(f"/static/{__version__}/")
        assert prefix.endswith("/dbt-cloud")
        assert name in files


def test_one_application():
    """The application is made when the first request comes, and once however many come at once."""
    made, asked = [], []

    async def answer(*request):
        asked.append(request)

    def make():
        made.append(1)
        return answer

    async def story():
        application = LateApplication(make)
        assert not made
        await asyncio.gather(*(application(number, "receive", "send") for number in range(3)))
        await application(3, "receive", "send")

    asyncio.run(story())
    assert made == [1]
    assert sorted(asked) == [(number, "receive", "send") for number in range(4)]


def test_an_application_that_cannot_be_made():
    """A request fails if the application cannot be made, and the next one tries again."""
    made = []

    def make():
        made.append(1)
        if len(made) == 1:
            raise ImportError
        return lambda *_: asyncio.sleep(0)

    async def story():
        application = LateApplication(make)
        with pytest.raises(ImportError):
            await application({}, None, None)
        await application({}, None, None)
        await application({}, None, None)

    asyncio.run(story())
    assert len(made) == 2
