"""A person at a browser without a screen, and what the pages that he sees ask for and complain of."""

import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
MISSING = "There is no Chromium on this machine (Debian: apt-get install chromium): its pages are not tested."
# The last ones keep it from looking for hosts that are not this machine.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZE = {"width": 1440, "height": 900}
# Milliseconds; two processors may have two Airflows to run.
PATIENCE = 60_000
TRACED = ("__metadata", "blink.user_timing", "disabled-by-default-devtools.timeline", "devtools.timeline")
# Where pictures go that are kept; `make screenshots` says so.
PICTURES = os.environ.get("SCREENSHOTS")


@contextmanager
def chromium():
    """Start a Chromium; where there is none, say so."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.fail(MISSING) if os.environ.get("CI") else pytest.skip(MISSING)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


class Person:
    """
    Somebody who looks at Airflow's pages.

    :param url: where Airflow is.
    :param looks: of the browser: `color_scheme`, `viewport`.
    :param before: a script that each page runs first.
    """

    def __init__(self, browser, url, before="", **looks):
        self.url = url
        self.asked = []
        self.complaints = []
        self.context = browser.new_context(**{"viewport": SIZE, "device_scale_factor": 1, **looks})
        self.context.set_default_timeout(PATIENCE)
        if before:
            self.context.add_init_script(before)
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._listen)

    def open(self, path):
        """Go to one of Airflow's pages, and return it."""
        self.page.goto(f"{self.url}{path}")
        return self.page

    def open_task(self, dag_run, task_id, tab="plugin/dbt-cloud", *, map_index=-1, **query):
        """Go to a tab of a task's page, and return it."""
        path = task_path(dag_run, task_id, map_index)
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        return self.open(f"{path}/{tab}" + (f"?{asked}" if asked else ""))

    def asked_of(self, route):
        """Return how often a route of the tab was asked."""
        return sum(f"/dbt-cloud/{route}/" in url for url in self.asked)

    def assert_calm(self):
        """Check that no page has complained, or asked another host for anything."""
        assert self.complaints == []
        hosts = {urlsplit(url).netloc for url in self.asked if url.startswith("http")}
        assert hosts == {urlsplit(self.url).netloc}

    def _listen(self, message):
        # That the API refuses something is part of the story where it does.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)


def task_path(dag_run, task_id, map_index=-1):
    """Return the path of a task's page."""
    dag_id, run_id = (quote(part, safe="") for part in dag_run)
    mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
    return f"/dags/{dag_id}/runs/{run_id}/tasks/{quote(task_id, safe='')}{mapped}"


def photograph(page, name):
    """Keep a picture of a page, if somebody wants pictures."""
    if PICTURES:
        # Without a tip on what the mouse happens to be over.
        page.mouse.move(0, 0)
        page.screenshot(path=Path(PICTURES) / f"{name}.png", animations="disabled")


@contextmanager
def traced(person):
    """Trace what a page's main thread does meanwhile; gives a `Trace` that can be read afterwards."""
    trace = Trace()
    person.context.browser.start_tracing(page=person.page, categories=TRACED)
    try:
        yield trace
    finally:
        trace.events = json.loads(person.context.browser.stop_tracing())["traceEvents"]


class Trace:
    """What the main threads of pages did, in milliseconds of a processor: others' work does not count."""

    events = ()

    @property
    def longest(self):
        """How much the longest task took."""
        return max(map(_taken, self._tasks()))

    def within(self, measure):
        """Return how much the tasks took that a measure of the page spans."""
        ends = {event["ph"]: event["ts"] for event in self.events if event["name"] == measure}
        return sum(
            _taken(task)
            for task in self._tasks()
            if task["ts"] < ends["e"] and task["ts"] + task["dur"] > ends["b"]
        )

    def _tasks(self):
        mains = {
            (event["pid"], event["tid"])
            for event in self.events
            if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
        }
        for event in self.events:
            if event["name"] == "RunTask" and "dur" in event and (event["pid"], event["tid"]) in mains:
                yield event


def _taken(task):
    return task["tdur"] / 1000
