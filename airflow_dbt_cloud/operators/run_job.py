"""Run a dbt Cloud job as an Airflow task."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator, conf
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRuntimeError,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferralTimeout,
)

from airflow_dbt_cloud import metrics, options
from airflow_dbt_cloud.attempt import STANDSTILL, Attempt, make_marker
from airflow_dbt_cloud.errors import (
    DbtCloudConfigurationError,
    DbtCloudJobBusy,
    DbtCloudRunCancelled,
    DbtCloudSuperseded,
)
from airflow_dbt_cloud.hooks import DEFAULT_WAIT_TIMEOUT, DbtCloudHook, make_hook
from airflow_dbt_cloud.links import RUN_ID, RUN_URL, DbtCloudJobRunLink
from airflow_dbt_cloud.parameters import (
    MAX_CAUSE,
    OVERRIDES,
    RunRequest,
    check_if_known,
    is_rendered_later,
    parse_flag,
    parse_id,
    parse_seconds,
    read_structure,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow.sdk import Context
    from airflow.sdk.definitions.mappedoperator import OperatorPartial
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

    from airflow_dbt_cloud.client import Client
    from airflow_dbt_cloud.console import Console
    from airflow_dbt_cloud.markers import Marker
    from airflow_dbt_cloud.models import Run
    from airflow_dbt_cloud.report import Report
    from airflow_dbt_cloud.starting import Taken
    from airflow_dbt_cloud.triggers import RunEvent

__all__ = ["DbtCloudJobRunLink", "DbtCloudRunJobOperator"]

# What a task may do about other runs of its job.
IF_JOB_RUNNING = ("queue", "reuse", "skip", "fail")
FLAGS = (
    "wait_for_termination",
    "durable",
    "reuse_existing_run",
    "retry_from_failure",
    "cancel_on_kill",
    "retry_on_cancel",
    "emit_assets",
    "stream_logs",
    "deferrable",
    "openlineage_inject_parent_job_info",
)
# The XCom that says whether the task may cancel its run: it outlives a deferral, however that ends.
IS_OWN = "job_run_is_own"
# A run of somebody else's, which is reused, is neither.
COUNTED = {"started": metrics.RUNS_STARTED, "resumed": metrics.RUNS_RESUMED}


class DbtCloudRunJobOperator(BaseOperator):
    """
    Start a run of a dbt Cloud job and wait until it has ended.

    The task succeeds only if dbt Cloud says Success. If a person marks or clears the task, or its
    `execution_timeout` is over, the run is cancelled. If a worker, a triggerer or the network dies, the run
    goes on, and the next try resumes it: it finds it by a marker at the end of the run's cause. A task that
    is cleared starts anew. Returns the run's id. As soon as the run is started its id and URL are in the
    XComs `job_run_id` and `job_run_url`, and behind the button "dbt Cloud run"; when it has ended, a summary
    is in `dbt_cloud_run`.

    :param dbt_cloud_conn_id: the connection (templated).
    :param job_id: the job, a number or a string of digits (templated).
    :param project_name: with `environment_name` and `job_name` another way to name the job, used only if
        there is no `job_id` (templated).
    :param environment_name: see `project_name` (templated).
    :param job_name: see `project_name` (templated).
    :param account_id: beats the account id of the connection (templated).
    :param trigger_reason: the run's cause, shown in dbt Cloud; ASCII without quotes; some 220 characters of
        it are kept beside the marker, 255 without one; by default it names the task and the DAG (templated).
    :param steps_override: dbt commands to run instead of the job's (templated).
    :param schema_override: schema to build in instead of the environment's (templated).
    :param git_branch: branch to check out (templated).
    :param git_sha: commit to check out (templated).
    :param target_name_override: value of `target.name` (templated).
    :param threads_override: number of threads (templated).
    :param dbt_version_override: dbt version or release track (templated).
    :param generate_docs_override: whether to generate docs (templated).
    :param timeout_seconds_override: seconds after which dbt Cloud cancels the run (templated).
    :param azure_pull_request_id: makes the run a CI run of this pull request (templated).
    :param github_pull_request_id: likewise (templated).
    :param gitlab_merge_request_id: likewise (templated).
    :param non_native_pull_request_id: likewise (templated).
    :param additional_run_config: the same fields of the start request as a dict, by dbt Cloud's names; one
        that dbt Cloud does not have, or that is also given as a parameter, is an error (templated).
    :param wait_for_termination: False ends the task as soon as the run is started.
    :param durable: whether a retry looks for the run of an earlier try and takes it up (default: `[dbt_cloud]
        durable`, True). Without it every try starts a run of its own, a start whose answer is lost is an
        error, and the run of a deferred task that is cleared may go on. What `airflow tasks test` runs never
        is.
    :param if_job_running: what to do if other runs of the job go: `queue` starts one, which dbt Cloud lets
        wait for them (default); `reuse` takes up the newest that has the same overrides and is of no pull
        request, and never cancels it; `skip` skips the task; `fail` fails it.
    :param reuse_existing_run: True means `if_job_running="reuse"`.
    :param retry_from_failure: whether a retry lets dbt Cloud do again only what failed in the run of the try
        before, and what came after it, if dbt Cloud can; else, by default, and after a clear it starts a full
        run. Needs `durable`.
    :param cancel_on_kill: whether the run is cancelled when a person ends or clears the task, or its
        `execution_timeout` is over (default True).
    :param retry_on_cancel: False fails the task without a further try if its run is cancelled in dbt Cloud.
    :param emit_assets: whether Airflow gets an asset event for each model, seed and snapshot that dbt built
        (default False); see `airflow_dbt_cloud.assets`. Needs `wait_for_termination`.
    :param stream_logs: whether the log shows what the run's steps write while the run goes. By default a task
        that is deferred shows it when the run has ended: in the triggerer it costs a request every 15 s.
        False shows none of it, but the table of nodes. 2,000 lines or 1 MiB at most.
    :param start_timeout: seconds within which the run must be looked for and started (default: `[dbt_cloud]
        start_timeout`, 15 minutes); to look for one whose start got lost may take two minutes more.
    :param check_interval: seconds between two questions whether the run has ended (default: `[dbt_cloud]
        check_interval`, 60).
    :param deferrable: wait in the triggerer, without holding a worker (default: `[operators]
        default_deferrable`).
    :param timeout: seconds after which to stop waiting, counted from the start of the wait (default 7 days).
        The run goes on; `execution_timeout` cancels it.
    :param openlineage_inject_parent_job_info: whether the run's cause is not `trigger_reason` but JSON that
        names the task as OpenLineage's parent of the run (default: `[openlineage]
        spark_inject_parent_job_info`). The marker is its last member; what does not fit is left out, the
        root first. The events that this package sends name the parent in any case.
    :param hook_params: numbers for the hook: `timeout_seconds`, `retry_limit`, `retry_delay`; see
        `DbtCloudHook`.
    :raises DbtCloudConfigurationError: a parameter or the connection is wrong; when the DAG is parsed, if it
        can be told by then.
    :raises DbtCloudApiError: dbt Cloud refused the start, or what had to be asked before it. Without
        `durable` a DbtCloudServerError also leaves open whether there is a run.
    :raises DbtCloudUnreachable: dbt Cloud could not be asked in time; no run was started. Without `durable`
        nobody knows if `may_have_arrived`.
    :raises DbtCloudStartUnconfirmed: nobody knows whether a run was started; a retry looks again.
    :raises DbtCloudSuperseded: a later try of the task is at work; this one starts no further run.
    :raises DbtCloudJobBusy: another run of the job goes, and `if_job_running` is `fail`.
    :raises AirflowSkipException: another run of the job goes, and `if_job_running` is `skip`.
    :raises DbtCloudRunFailed: the run failed.
    :raises DbtCloudRunCancelled: the run was cancelled in dbt Cloud; AirflowFailException if
        `retry_on_cancel` is False.
    :raises DbtCloudWaitTimeout: `timeout` is over.
    :raises AirflowTaskTimeout: `execution_timeout` is over.
    :raises DbtCloudWaitInterrupted: Airflow ends the process; the run goes on unless a person ended the task.
    :raises DbtCloudError: Airflow ends the process before there is a run, or it stood still for so long that
        another try may have one.
    :raises TaskDeferralError: the trigger broke down; the run goes on, and a retry resumes it.
    :raises ValueError: what the trigger told is not understood; likewise.
    :raises DbtCloudLostTrack: for `[dbt_cloud] lost_track_after` seconds (default 12 hours) nobody could tell
        how the run is.
    """

    template_fields: Sequence[str] = (
        "dbt_cloud_conn_id",
        "job_id",
        "project_name",
        "environment_name",
        "job_name",
        "account_id",
        "trigger_reason",
        *sorted(OVERRIDES),
        "additional_run_config",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "additional_run_config": "json",
        "steps_override": "json",
    }
    operator_extra_links = (DbtCloudJobRunLink(),)
    ui_color = "#ffe3dc"

    def __init__(  # noqa: PLR0913 - every field of the start request is a parameter
        self,
        *,
        dbt_cloud_conn_id: str = DbtCloudHook.default_conn_name,
        job_id: int | str | None = None,
        project_name: str | None = None,
        environment_name: str | None = None,
        job_name: str | None = None,
        account_id: int | str | None = None,
        trigger_reason: str | None = None,
        steps_override: list[str] | None = None,
        schema_override: str | None = None,
        git_branch: str | None = None,
        git_sha: str | None = None,
        target_name_override: str | None = None,
        threads_override: int | str | None = None,
        dbt_version_override: str | None = None,
        generate_docs_override: bool | str | None = None,
        timeout_seconds_override: int | str | None = None,
        azure_pull_request_id: int | str | None = None,
        github_pull_request_id: int | str | None = None,
        gitlab_merge_request_id: int | str | None = None,
        non_native_pull_request_id: int | str | None = None,
        additional_run_config: dict[str, Any] | str | None = None,
        wait_for_termination: bool = True,
        durable: bool | None = None,
        if_job_running: str = "queue",
        reuse_existing_run: bool = False,
        retry_from_failure: bool = False,
        cancel_on_kill: bool = True,
        retry_on_cancel: bool = True,
        emit_assets: bool = False,
        stream_logs: bool | None = None,
        start_timeout: float | None = None,
        check_interval: float | None = None,
        timeout: float = DEFAULT_WAIT_TIMEOUT,
        deferrable: bool | None = None,
        openlineage_inject_parent_job_info: bool | None = None,
        hook_params: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dbt_cloud_conn_id = dbt_cloud_conn_id
        self.job_id = job_id
        self.project_name = project_name
        self.environment_name = environment_name
        self.job_name = job_name
        self.account_id = account_id
        self.trigger_reason = trigger_reason
        self.steps_override = steps_override
        self.schema_override = schema_override
        self.git_branch = git_branch
        self.git_sha = git_sha
        self.target_name_override = target_name_override
        self.threads_override = threads_override
        self.dbt_version_override = dbt_version_override
        self.generate_docs_override = generate_docs_override
        self.timeout_seconds_override = timeout_seconds_override
        self.azure_pull_request_id = azure_pull_request_id
        self.github_pull_request_id = github_pull_request_id
        self.gitlab_merge_request_id = gitlab_merge_request_id
        self.non_native_pull_request_id = non_native_pull_request_id
        self.additional_run_config: Any = additional_run_config
        self.wait_for_termination = wait_for_termination
        self.durable = durable
        self.if_job_running = if_job_running
        self.reuse_existing_run = reuse_existing_run
        self.retry_from_failure = retry_from_failure
        self.cancel_on_kill = cancel_on_kill
        self.retry_on_cancel = retry_on_cancel
        self.emit_assets = emit_assets
        self.stream_logs = stream_logs
        self.start_timeout = start_timeout
        self.check_interval = check_interval
        self.timeout = parse_seconds("timeout", timeout)
        default_deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = default_deferrable if deferrable is None else deferrable
        self.openlineage_inject_parent_job_info = openlineage_inject_parent_job_info
        self.hook_params = hook_params or {}
        self.run_url: str | None = None
        self._attempt: Attempt | None = None
        self._console: Console | None = None
        self._is_telling = False
        self._check_parameters()
        if self.emit_assets and self.get_dag() is not None:
            from airflow_dbt_cloud.assets import outlets_with_alias

            self.outlets = outlets_with_alias(self.outlets, self.dag_id, self.task_id)

    @classmethod
    def partial(cls, **kwargs: Any) -> OperatorPartial:
        """Return what Airflow returns, with the outlets of a mapped task that emits assets."""
        partial = super().partial(**kwargs)
        dag, emit_assets = partial.kwargs["dag"], partial.kwargs.get("emit_assets", False)
        if dag is not None and parse_flag("emit_assets", emit_assets):
            from airflow_dbt_cloud.assets import outlets_with_alias

            outlets = partial.kwargs["outlets"]
            partial.kwargs["outlets"] = outlets_with_alias(outlets, dag.dag_id, partial.kwargs["task_id"])
        return partial

    def execute(self, context: Context) -> int:
        """Start the run, tell Airflow at once which one it is, and wait for its end."""
        # Known to be none, so that the link need not ask.
        self.run_url = ""
        hook = self._make_hook()
        self._attempt = attempt = Attempt(context["ti"], hook, self.log, cancel_on_kill=self.cancel_on_kill)
        hook.sleep = attempt.pause
        # Read before anything is started, because a slip in the configuration is an error.
        interval, patience = self.check_interval or options.check_interval(), options.lost_track_after()
        try:
            taken = self._take_run(context, hook, attempt)
            if not self.wait_for_termination:
                attempt.confirm()
                return taken.run.id
            if taken.run.is_terminal:
                ended = taken.run
            elif self.deferrable:
                ended = self._defer(taken, hook, attempt, interval)
            else:
                ended = self._wait(taken, hook, attempt, interval, patience)
        except AirflowTaskTimeout:
            attempt.cancel("the task's execution_timeout is over")
            if attempt.run is not None:
                self._tell(attempt.run, context, hook)
            raise
        except AirflowRuntimeError:
            # Airflow takes no XComs, maybe because a person has deleted the DAG run.
            attempt.confirm()
            raise
        finally:
            attempt.settle()
            self._attempt = None
        return self._finish(ended, context, hook)

    def execute_complete(self, context: Context, event: Any = None) -> int:
        """Go on when the trigger has fired: return the run's id, or raise what went wrong."""
        from airflow_dbt_cloud.triggers import RunEvent

        return self._conclude(RunEvent.from_payload(event), context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral, also if Airflow ended it because no triggerer was up at the deadline."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            from airflow_dbt_cloud.deferral import find_execution_deadline, stand_in_event

            run_id = _read_xcom(context["ti"], RUN_ID)
            event = stand_in_event(self._make_hook(), run_id, find_execution_deadline(self, context["ti"]))
            return self._conclude(event, context)

    def on_kill(self) -> None:
        """Cancel the run if a person ended the task; leave it alone if only this process has to go."""
        if self._is_telling:
            from airflow_dbt_cloud.outcome import TellingCutShort

            # Here, in the midst of it, as Airflow's own timeout does: Airflow waits for five seconds.
            raise TellingCutShort
        if self._attempt is not None:
            self._attempt.kill()

    def _check_parameters(self) -> None:
        """Raise now what can be told before templates are rendered."""
        if self.job_id is None and not (self.project_name and self.environment_name and self.job_name):
            msg = (
                f"Task {self.task_id!r} does not say which job to run: give job_id, or all of project_name, "
                "environment_name and job_name."
            )
            raise DbtCloudConfigurationError(msg)
        for name in ("job_id", "account_id"):
            check_if_known(parse_id, name, getattr(self, name))
        for name in ("check_interval", "start_timeout"):
            if getattr(self, name) is not None:
                setattr(self, name, parse_seconds(name, getattr(self, name)))
        self._read_wishes()
        given = self._overrides().items()
        known = {name: None if is_rendered_later(value) else value for name, value in given}
        RunRequest.from_parameters("", known)
        self._make_hook()

    def _read_wishes(self) -> None:
        """Read how the run is to be started and ended, and raise if the wishes contradict each other."""
        for name in FLAGS:
            if getattr(self, name) is not None:
                setattr(self, name, parse_flag(name, getattr(self, name)))
        if self.durable is False and self.retry_from_failure:
            msg = "retry_from_failure needs durable: a try that looks for no earlier run cannot retry it."
            raise DbtCloudConfigurationError(msg)
        if self.emit_assets and not self.wait_for_termination:
            msg = "emit_assets needs wait_for_termination: only a run that has ended tells what it built."
            raise DbtCloudConfigurationError(msg)
        if self.reuse_existing_run:
            if self.if_job_running not in {"queue", "reuse"}:
                msg = f"reuse_existing_run=True contradicts if_job_running={self.if_job_running!r}: give one."
                raise DbtCloudConfigurationError(msg)
            self.if_job_running = "reuse"
        if self.if_job_running not in IF_JOB_RUNNING:
            msg = f"if_job_running must be one of {', '.join(IF_JOB_RUNNING)}; got {self.if_job_running!r}."
            raise DbtCloudConfigurationError(msg)

    def _overrides(self) -> dict[str, Any]:
        """Return the fields of the start request that are given, wherever they are given."""
        given = {name: getattr(self, name) for name in OVERRIDES if getattr(self, name) is not None}
        more = read_structure(self.additional_run_config or {})
        if not isinstance(more, dict):
            if is_rendered_later(more):
                return given
            msg = f"additional_run_config must be a dict of fields of the start request; got {more!r}."
            raise DbtCloudConfigurationError(msg)
        if twice := given.keys() & more.keys():
            msg = f"{', '.join(sorted(twice))} is given twice: as a parameter and in additional_run_config."
            raise DbtCloudConfigurationError(msg)
        return {**given, **more}

    def _make_hook(self) -> DbtCloudHook:
        return make_hook(self.dbt_cloud_conn_id, self.account_id, self.hook_params)

    def _take_run(self, context: Context, hook: DbtCloudHook, attempt: Attempt) -> Taken:
        """Take up the run of an earlier try, or start one; and tell Airflow at once which one it is."""
        from airflow_dbt_cloud.starting import Starting

        client, bound = hook.get_conn(), self.start_timeout or options.start_timeout()
        deadline = time.monotonic() + bound
        is_durable = options.is_durable() if self.durable is None else self.durable
        if self.retry_from_failure and not is_durable:
            self.log.warning("retry_from_failure does nothing here, because [dbt_cloud] durable is off.")
        marker = make_marker(context) if is_durable else None
        starting = Starting(
            client=client,
            job_id=self._find_job_id(client.within(lambda: max(1.0, deadline - time.monotonic()))),
            request=self._make_request(context, marker),
            log=self.log,
            marker=marker,
            since=context["dag_run"].start_date,
            is_late=_is_late(context["ti"]),
            if_job_running=self.if_job_running,
            retry_from_failure=self.retry_from_failure,
            cancel_on_kill=self.cancel_on_kill,
            timeout=max(1.0, deadline - time.monotonic()),
            announce=partial(self._announce, attempt=attempt),
            on_cancel=partial(metrics.count, metrics.RUNS_CANCELLED),
            sleep=attempt.pause,
        )
        attempt.expect_run(starting.find_started)
        try:
            return starting.take()
        except DbtCloudJobBusy as busy:
            if self.if_job_running == "skip":
                raise AirflowSkipException(str(busy)) from busy
            raise
        except DbtCloudSuperseded:
            metrics.count(metrics.ATTEMPTS_SUPERSEDED)
            raise

    def _find_job_id(self, client: Client) -> int:
        if self.job_id is not None:
            return parse_id("job_id", self.job_id)
        names = self.project_name or "", self.environment_name or "", self.job_name or ""
        return client.find_job(*names).id

    def _make_request(self, context: Context, marker: Marker | None) -> RunRequest:
        reason = self.trigger_reason or (
            f"Triggered via Apache Airflow by task {self.task_id} in the {self.dag_id} DAG."
        )
        request = RunRequest.from_parameters(reason, self._overrides())
        is_wanted = self.openlineage_inject_parent_job_info
        if is_wanted is None:
            is_wanted = conf.getboolean("openlineage", "spark_inject_parent_job_info", fallback=False)
        cause = self._find_parent_cause(context, marker) if is_wanted else None
        return replace(request, cause=cause) if cause else request

    def _find_parent_cause(self, context: Context, marker: Marker | None) -> str | None:
        """Return the cause that names the task as OpenLineage's parent of the run, None if there is none."""
        from airflow_dbt_cloud.lineage import parent_causes

        try:
            causes = parent_causes(context["ti"])
        except Exception as error:  # noqa: BLE001 - lineage is not worth a task
            self.log.warning("The run's cause does not name its OpenLineage parent: %r", error)
            return None
        for cause in causes:
            if len(marker.mark(cause) if marker else cause) <= MAX_CAUSE:
                return cause
        self.log.warning("The run's cause does not name its OpenLineage parent, which has no room in it.")
        return None

    def _announce(self, taken: Taken, attempt: Attempt) -> None:
        run = taken.run
        self.run_url = run.href
        retry = f", a retry of run {run.retrying_run_id}" if run.retrying_run_id else ""
        self.log.info(
            "%s dbt Cloud run %s of job %s%s: %s", taken.how.capitalize(), run.id, run.job_id, retry, run.href
        )
        attempt.take_note(run, is_own=taken.is_own)
        if taken.how in COUNTED:
            metrics.count(COUNTED[taken.how])
        xcoms = {
            RUN_ID: run.id,
            RUN_URL: run.href,
            DbtCloudJobRunLink().xcom_key: run.href,
            IS_OWN: taken.is_own,
        }
        for key, value in xcoms.items():
            attempt.ti.xcom_push(key=key, value=value)

    def _defer(self, taken: Taken, hook: DbtCloudHook, attempt: Attempt, interval: float) -> Run:
        """Hand the run over to a trigger, unless it has ended already."""
        from airflow_dbt_cloud.deferral import defer_arguments, find_execution_deadline, look_once

        run = look_once(hook, taken.run, self.log)
        if not run.is_terminal:
            arguments = defer_arguments(
                hook,
                run,
                interval=interval,
                end_time=time.time() + self.timeout,
                execution_deadline=find_execution_deadline(self, attempt.ti),
                cancel_on_kill=taken.is_own and self.cancel_on_kill,
                stream_logs=self.stream_logs is True,
            )
            attempt.confirm()
            self.defer(**arguments)
        return run

    def _wait(
        self, taken: Taken, hook: DbtCloudHook, attempt: Attempt, interval: float, patience: float
    ) -> Run:
        from airflow_dbt_cloud.waiting import Watch

        end_time = time.time() + self.timeout
        watch = Watch(taken.run, end_time=end_time, lost_track_after=patience, log=self.log)
        self._console = self._make_console(taken.run)
        return hook.follow(watch, check_interval=interval, pause=attempt.pause, console=self._console)

    def _make_console(self, run: Run, shown: dict[str, Any] | None = None) -> Console | None:
        from airflow_dbt_cloud.console import Console

        return None if self.stream_logs is False else Console(run, self.log, shown=shown)

    def _conclude(self, event: RunEvent, context: Context) -> int:
        from airflow_dbt_cloud.deferral import end_overdue

        # None leaves the link as it is: the run was not seen.
        self.run_url = event.href or None
        hook, run = self._make_hook(), event.to_run()
        self._console = self._make_console(run, event.shown)
        if event.outcome == "execution_timeout":
            if self.cancel_on_kill and _read_xcom(context["ti"], IS_OWN) is True:
                end_overdue(hook, run, self.log)
            self._tell(run, context, hook)
        if not (event.outcome == "ended" and run.is_terminal):
            event.raise_for_outcome()
        return self._finish(run, context, hook)

    def _finish(self, ended: Run, context: Context, hook: DbtCloudHook) -> int:
        """Tell what the run did, and judge it."""
        report = self._tell(ended, context, hook)
        run = report.run
        with self._retried_as_wanted():
            run.raise_for_status(report.explanation, report.failure)
        seconds = run.duration.total_seconds()
        after = f" after {seconds:.0f} s" if seconds else ""
        self.log.info("dbt Cloud run %s succeeded%s: %s", run.id, after, run.href)
        return run.id

    def _tell(self, run: Run, context: Context, hook: DbtCloudHook) -> Report:
        from airflow_dbt_cloud.outcome import tell

        console = self._console or self._make_console(run)
        self._is_telling = True
        try:
            return tell(context, hook, run, self.log, console=console, with_assets=self.emit_assets)
        finally:
            self._is_telling = False

    @contextmanager
    def _retried_as_wanted(self) -> Iterator[None]:
        """Fail the task for good if its run was cancelled and it shall not be retried then."""
        try:
            yield
        except DbtCloudRunCancelled as error:
            if self.retry_on_cancel:
                raise
            raise AirflowFailException(str(error)) from error


def _is_late(ti: RuntimeTaskInstanceProtocol) -> bool:
    """Whether Airflow may have given up this process: a machine that stood still does not notice it."""
    return ti.start_date is not None and time.time() - ti.start_date.timestamp() > STANDSTILL


def _read_xcom(ti: RuntimeTaskInstanceProtocol, key: str) -> Any:
    from airflow.sdk.execution_time.xcom import XCom

    return XCom.get_value(key=key, ti_key=ti)
