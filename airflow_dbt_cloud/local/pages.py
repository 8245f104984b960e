"""stub."""

from starlette.responses import HTMLResponse
from airflow_dbt_cloud.local.routes import Routes

PAGE_HEADERS = {}


def page_routes():
    r = Routes()
    r.add("GET", "/", lambda c, k: HTMLResponse("hi"))
    return r
