"""Pages for people: jobs and recent runs, a job, a run with its logs. They need no token, change nothing."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from starlette.responses import FileResponse

from airflow_dbt_cloud.local.artifacts import find_artifact, list_artifacts
from airflow_dbt_cloud.local.envelope import NotFound
from airflow_dbt_cloud.local.execution import RUN_DURATION_LIMIT
from airflow_dbt_cloud.local.markup import (
    PAGE_HEADERS,
    ago,
    badge,
    document,
    facts,
    link,
    log_html,
    table,
    took,
)
from airflow_dbt_cloud.local.records import DELETED, Job, Run, Status, Step
from airflow_dbt_cloud.local.routes import Call, Routes
from airflow_dbt_cloud.local.scheduler import SYSTEM
from airflow_dbt_cloud.local.serializers import read_log, run_path
from airflow_dbt_cloud.local.times import humanized_duration, run_time

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.responses import Response

    from airflow_dbt_cloud.local.cloud import Cloud

RECENT_RUNS = 50
SHOWN_LINES = 2000
_FIRST_ARTIFACTS = ("manifest.json", "run_results.json", "catalog.json", "sources.json")
_PROJECT = "/deploy/{account_id}/projects/{project_id}/"


def page_routes() -> Routes:
    """Make the table of all pages."""
    routes = Routes()
    routes.add("GET", "/", show_home)
    routes.add("GET", f"{_PROJECT}jobs/{{job_id}}/", show_job)
    routes.add("GET", f"{_PROJECT}runs/{{run_id}}/", show_run)
    routes.add("GET", f"{_PROJECT}runs/{{run_id}}/artifacts/{{remainder}}", show_artifact)
    return routes


def not_found() -> Response:
    """Say that there is no such page."""
    return document(
        "Not found", [link("/", "Home")], "<h1>There is no such page</h1>", refresh="never", code=404
    )


def show_home(cloud: Cloud, call: Call) -> Response:
    """Show jobs and recent runs."""
    folder = cloud.folder
    jobs = [job for job in cloud.store.jobs() if job.state != DELETED]
    runs = cloud.runs()[::-1]
    account, project = folder.account.name, folder.project.name
    content = (
        f"<h1>{escape(project)}</h1><h2>Airflow connection</h2>"
        + facts(
            [
                ("Type", "<code>dbt_cloud</code>", False),
                ("Host", f"<code>{escape(call.base_url)}</code>", False),
                ("Login", f"<code>{folder.account.id}</code>", False),
                ("Password", "the token, see the server's first lines", False),
            ]
        )
        + f"<h2>Jobs</h2>{_jobs_table(cloud, jobs)}"
        + f"<h2>Recent runs</h2>{_runs_table(cloud, runs, is_of_one_job=False)}"
    )
    names = ["Local dbt Cloud", *([account] if account != project else []), f"dbt Core {cloud.dbt_version}"]
    trail = [f"<span>{escape(' · '.join(names))}</span>"]
    return document(f"{project} · local dbt Cloud", trail, content, refresh=_rhythm(runs))


def show_job(cloud: Cloud, call: Call) -> Response:
    """Show a job and its recent runs."""
    _check_project(cloud, call)
    job = cloud.find_job(call.ids["job_id"])
    environment = cloud.environments.get(job.environment_id)
    runs = [run for run in reversed(cloud.runs()) if run.job.id == job.id]
    commands = "<br>".join(f"<code>{escape(command)}</code>" for command in job.commands)
    limit = f"{humanized_duration(RUN_DURATION_LIMIT)}, the account's limit"
    content = (
        f"<h1>{escape(job.name)}</h1>"
        + facts(
            [
                ("Description", escape(job.description), True),
                ("Job id", f"<code>{job.id}</code>", False),
                ("Environment", escape(environment.name) if environment else "", False),
                ("Threads", str(job.threads), False),
                ("Timeout", humanized_duration(job.timeout_seconds) if job.timeout_seconds else limit, False),
                ("Source freshness", _yes_or_no(job.run_generate_sources), False),
                ("Docs", _yes_or_no(job.generate_docs), False),
                ("Commands", commands, True),
            ]
        )
        + f"<h2>Runs</h2>{_runs_table(cloud, runs, is_of_one_job=True)}"
    )
    return document(
        f"{job.name} · job", [link("/", cloud.folder.project.name)], content, refresh=_rhythm(runs)
    )


def show_run(cloud: Cloud, call: Call) -> Response:
    """Show a run with its steps and their logs."""
    _check_project(cloud, call)
    run = cloud.find_run(call.ids["run_id"])
    message = ""
    if run.status_message:
        message = f'<p class="message {run.status.humanized}"><span>{escape(run.status_message)}</span></p>'
    steps = "".join(_step(cloud, run, step) for step in run.steps)
    content = (
        f"<h1>Run {run.id} {badge(run.status)}</h1><div>{message}</div>"
        + _run_facts(cloud, run)
        + '<h2>Steps</h2><div class="card">'
        + (steps or f'<p class="empty">{_why_no_steps(cloud, run)}</p>')
        + f"</div><h2>Artifacts</h2>{_artifacts(cloud, run)}"
    )
    trail = [link("/", cloud.folder.project.name), _job_link(cloud, run.job)]
    refresh = "never" if run.status.is_terminal else "going"
    return document(f"{run.status.humanized} · {run.job.name}", trail, content, refresh=refresh)


def show_artifact(cloud: Cloud, call: Call) -> Response:
    """Show an artifact as plain text."""
    _check_project(cloud, call)
    folder = _artifacts_folder(cloud, cloud.find_run(call.ids["run_id"]))
    file = None if folder is None else find_artifact(folder, call.remainder)
    if file is None:
        raise NotFound
    return FileResponse(file, media_type="text/plain; charset=utf-8", headers=PAGE_HEADERS)


def _rhythm(runs: list[Run]) -> str:
    return "going" if any(not run.status.is_terminal for run in runs) else "idle"


def _jobs_table(cloud: Cloud, jobs: list[Job]) -> str:
    rows = []
    for job in jobs:
        environment = cloud.environments.get(job.environment_id)
        latest = cloud.store.latest_run(job.id)
        latest = latest and cloud.faults.shown(latest)
        shown = f'<a href="{run_path(cloud, latest)}">{badge(latest.status)}</a>' if latest else ""
        rows.append(
            f"<tr><td>{link(_job_path(cloud, job), job.name)}</td>"
            f"<td>{escape(environment.name) if environment else ''}</td>"
            f'<td class="wide-only"><code>{job.id}</code></td><td>{shown}</td></tr>'
        )
    head = ("<th>Job</th>", "<th>Environment</th>", '<th class="wide-only">Id</th>', "<th>Latest run</th>")
    return table(head, rows, "There are no jobs.")


def _runs_table(cloud: Cloud, runs: list[Run], *, is_of_one_job: bool) -> str:
    now = cloud.store.clock()
    # A narrow page has room for one of the two: which job, or why it ran.
    cause = "cause" if is_of_one_job else "cause wide-only"
    rows = [
        f'<tr><td class="id">{link(run_path(cloud, run), str(run.id))}</td>'
        f"<td>{badge(run.status)}</td>"
        + ("" if is_of_one_job else f"<td>{_job_link(cloud, run.job)}</td>")
        + f'<td class="{cause}"><div>{escape(run.trigger.cause)}</div></td>'
        f'<td class="number wide-only">{ago(now, run.created_at)}</td>'
        f'<td class="number wide-only">{took(run.started_at, run.finished_at or now)}</td></tr>'
        for run in runs[:RECENT_RUNS]
    ]
    head = (
        "<th>Run</th>",
        "<th>Status</th>",
        "" if is_of_one_job else "<th>Job</th>",
        f'<th class="{cause}">Cause</th>',
        '<th class="number wide-only">Triggered</th>',
        '<th class="number wide-only">Took</th>',
    )
    return table(head, rows, "Nothing has run yet.")


def _run_facts(cloud: Cloud, run: Run) -> str:
    now = cloud.store.clock()
    environment = cloud.environments.get(run.job.environment_id)
    schema = run.schema_override or (environment.schema if environment else "")
    times = [("Triggered", run.created_at), ("Started", run.started_at), ("Finished", run.finished_at)]
    parent = cloud.store.find_run(run.retrying_run_id) if run.retrying_run_id else None
    return facts(
        [
            ("Cause", escape(run.trigger.cause), True),
            ("Triggered by", _actor(run.triggered_by), False),
            ("Cancelled by", _actor(run.cancelled_by) if run.status is Status.CANCELLED else "", False),
            ("Retries", link(run_path(cloud, parent), f"run {parent.id}") if parent else "", False),
            *((name, _moment(moment), False) for name, moment in times),
            ("Took", took(run.started_at, run.finished_at or now), False),
            ("Environment", escape(f"{environment.name}, schema {schema}") if environment else "", False),
            ("Git", escape(" ".join(filter(None, (run.git_branch, (run.git_sha or "")[:8])))), False),
            ("dbt", escape(run.dbt_version), False),
        ]
    )


def _actor(name: str | None) -> str:
    return escape(f"token {name}" if name and name != SYSTEM else name or "")


def _yes_or_no(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _moment(moment: float | None) -> str:
    return (run_time(moment) or "")[:19] + " UTC" if moment else ""


def _step(cloud: Cloud, run: Run, step: Step) -> str:
    log = read_log(cloud.store.step_folder(run.id, step.index) / "console.log", whole=step.status.is_terminal)
    lines = log.splitlines(keepends=True)
    left_out = (
        f"({len(lines) - SHOWN_LINES} earlier lines are left out)\n" if len(lines) > SHOWN_LINES else ""
    )
    is_open = step.status in (Status.ERROR, Status.RUNNING, Status.STARTING) or step is run.steps[-1]
    return (
        f"<details{' open' if is_open else ''}><summary>"
        f"<span class=name>{step.index}. {escape(step.name)}</span>"
        f"<span class=time>{took(step.started_at, step.finished_at or cloud.store.clock())}</span>"
        f"{badge(step.status)}</summary>"
        f"<pre>{left_out}{log_html(''.join(lines[-SHOWN_LINES:]))}</pre></details>"
    )


def _why_no_steps(cloud: Cloud, run: Run) -> str:
    if blocking := cloud.scheduler.blocked_by(run):
        return f"Waiting for run {blocking[0]} of the same job."
    return "Waiting for a run slot." if run.status is Status.QUEUED else "There are no steps."


def _artifacts(cloud: Cloud, run: Run) -> str:
    folder = _artifacts_folder(cloud, run)
    if folder is None:
        return '<div class="card"><p class="empty">There are none.</p></div>'
    base = run_path(cloud, run)
    files: dict[str, list[str]] = {}
    for path in list_artifacts(folder):
        top, slash, _ = path.partition("/")
        files.setdefault(f"{top}{slash}" if slash else "", []).append(path)
    first = files.pop("", [])
    first.sort(key=lambda path: (_FIRST_ARTIFACTS.index(path) if path in _FIRST_ARTIFACTS else 9, path))
    folded = "".join(
        f"<details><summary><span class=name>{escape(top)}</span>"
        f"<span class=time>{len(paths)} file{'s' if len(paths) > 1 else ''}</span></summary>"
        f"{_paths(base, paths)}</details>"
        for top, paths in sorted(files.items())
    )
    return f'<div class="card">{_paths(base, first) if first else ""}{folded}</div>'


def _paths(base: str, paths: list[str]) -> str:
    entries = "".join(f"<li>{link(f'{base}artifacts/{path}', path)}</li>" for path in paths)
    return f'<ul class="paths">{entries}</ul>'


def _artifacts_folder(cloud: Cloud, run: Run) -> Path | None:
    step = run.artifacts_step
    return None if step is None else cloud.store.step_folder(run.id, step.index) / "target"


def _job_link(cloud: Cloud, job: Job) -> str:
    """Link a run's job; one that is deleted has no page any more."""
    now = cloud.store.find_job(job.id)
    has_page = now is not None and now.state != DELETED
    return link(_job_path(cloud, job), job.name) if has_page else f"<span>{escape(job.name)}</span>"


def _job_path(cloud: Cloud, job: Job) -> str:
    return f"/deploy/{cloud.folder.account.id}/projects/{cloud.folder.project.id}/jobs/{job.id}/"


def _check_project(cloud: Cloud, call: Call) -> None:
    if call.ids["project_id"] != cloud.folder.project.id:
        raise NotFound
