"""Wait for a dbt Cloud run that another task, or somebody else, has started."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseSensorOperator, conf
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferralError,
    TaskDeferralTimeout,
)

from airflow_dbt_cloud import options
from airflow_dbt_cloud.errors import (
    DbtCloudError,
    DbtCloudJobRunException,
    DbtCloudNotFound,
    DbtCloudWaitTimeout,
)
from airflow_dbt_cloud.hooks import DbtCloudHook, make_hook
from airflow_dbt_cloud.links import RUN_URL, DbtCloudJobRunLink
from airflow_dbt_cloud.models import Run
from airflow_dbt_cloud.parameters import check_if_known, is_rendered_later, parse_flag, parse_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow.sdk import Context

    from airflow_dbt_cloud.console import Console
    from airflow_dbt_cloud.triggers import RunEvent
    from airflow_dbt_cloud.waiting import Watch

__all__ = ["DbtCloudJobRunLink", "DbtCloudJobRunSensor"]

# Seconds, as in the official provider; all deferred tasks share their questions.
DEFERRED_POKE_INTERVAL = 5
# What ends the wait because of the run or the time, and not because the sensor cannot do its work.
VERDICTS = DbtCloudJobRunException | AirflowSensorTimeout | AirflowTaskTimeout | TaskDeferralError


class DbtCloudJobRunSensor(BaseSensorOperator):
    """
    Wait until a run has ended, and succeed only if dbt Cloud says Success.

    Whatever keeps the run from being seen is waited out. The sensor never cancels a run. `poke_interval`,
    `timeout`, `mode`, `soft_fail` and `never_fail` mean what they mean for every sensor; a sensor that defers
    has a `poke_interval` of 5 s if none is given. Returns the run's id. The URL is in the XCom `job_run_url`
    and behind the button "dbt Cloud run" as soon as the run was seen, a summary in `dbt_cloud_run` when it
    has ended.

    :param run_id: the run, a number or a string of digits (templated).
    :param dbt_cloud_conn_id: the connection (templated).
    :param account_id: beats the account id of the connection (templated).
    :param deferrable: wait in the triggerer, without holding a worker (default: `[operators]
        default_deferrable`).
    :param stream_logs: whether the log shows what the run's steps write (default False), 2,000 lines or
        1 MiB at most: while the run goes, or when it has ended if `mode` is `reschedule`. In the triggerer it
        costs a request every 15 s. A table of the nodes is shown in any case.
    :param hook_params: numbers for the hook: `timeout_seconds`, `retry_limit`, `retry_delay`; see
        `DbtCloudHook`.
    :raises DbtCloudConfigurationError: a parameter or the connection is wrong.
    :raises DbtCloudRunFailed: the run failed.
    :raises DbtCloudRunCancelled: the run was cancelled.
    :raises DbtCloudLostTrack: for `[dbt_cloud] lost_track_after` seconds (default 12 hours) nobody could tell
        how the run is; not if `mode` is `reschedule`, where no poke knows of the one before.
    :raises AirflowSensorTimeout: `timeout` is over; Airflow makes no further try then.
    :raises AirflowTaskTimeout: `execution_timeout` is over.
    :raises AirflowSkipException: instead of these, as `soft_fail` and `never_fail` say.
    """

    template_fields: Sequence[str] = ("dbt_cloud_conn_id", "run_id", "account_id")
    operator_extra_links = (DbtCloudJobRunLink(),)
    ui_color = "#ffe3dc"

    def __init__(
        self,
        *,
        run_id: int | str,
        dbt_cloud_conn_id: str = DbtCloudHook.default_conn_name,
        account_id: int | str | None = None,
        deferrable: bool | None = None,
        stream_logs: bool = False,
        hook_params: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        deferrable = parse_flag("deferrable", deferrable)
        # What a DAG says for all of its tasks comes in here, too, and counts as given.
        if deferrable and "poke_interval" not in (kwargs.get("default_args") or {}):
            kwargs.setdefault("poke_interval", DEFERRED_POKE_INTERVAL)
        super().__init__(**kwargs)
        self.run_id = run_id
        self.dbt_cloud_conn_id = dbt_cloud_conn_id
        self.account_id = account_id
        self.deferrable = deferrable
        self.stream_logs = parse_flag("stream_logs", stream_logs)
        self.hook_params = hook_params or {}
        self.run_url: str | None = None
        self._ask: Callable[[], Run] | None = None
        self._watch: Watch | None = None
        self._console: Console | None = None
        self._is_telling = False
        if not is_rendered_later(run_id):
            parse_id("run_id", run_id)
        check_if_known(parse_id, "account_id", account_id)
        self._make_hook()

    def poke(self, context: Context) -> bool:
        """Return whether the run has succeeded; raise if it has ended otherwise."""
        from airflow_dbt_cloud.waiting import Watch

        if self._ask is None or self._watch is None:
            run_id = parse_id("run_id", self.run_id)
            run = Run(run_id)
            self._console = self._make_console(run)
            # Whoever pokes next does not know what was shown.
            has_one_poke = self.deferrable or self.reschedule
            self._ask = self._make_hook().asking(run_id, None if has_one_poke else self._console)
            self._watch = Watch(run, lost_track_after=options.lost_track_after(), log=self.log)
        error = self._watch.look(self._ask)
        if self.reschedule and isinstance(error, DbtCloudNotFound):
            # For the watch, which is a new one each time, the run may just have been started.
            self.log.info("dbt Cloud run %s is not visible. %s", self.run_id, error)
        run = self._watch.run
        if run.href and self.run_url is None:
            self.log.info("Waiting for dbt Cloud run %s: %s", run.id, run.href)
            self._push_url(run.href, context)
        if run.is_terminal:
            self._finish(run, context)
        return run.is_terminal

    def execute(self, context: Context) -> int:
        """Wait for the run, and return its id."""
        with self._softly():
            run_id = parse_id("run_id", self.run_id)
            if not self.deferrable:
                super().execute(context)
            elif not self.poke(context):
                self._defer(context)
        return run_id

    def execute_complete(self, context: Context, event: Any = None) -> int:
        """Go on when the trigger has fired."""
        from airflow_dbt_cloud.triggers import RunEvent

        return self._conclude(RunEvent.from_payload(event), context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral, also if Airflow ended it because no triggerer was up at the deadline."""
        from airflow_dbt_cloud.deferral import find_execution_deadline, stand_in_event

        with self._softly():
            try:
                # Not the base sensor's: it would give up without the last question.
                return BaseOperator.resume_execution(self, next_method, next_kwargs, context)
            except TaskDeferralTimeout:
                deadline = find_execution_deadline(self, context["ti"])
                event = stand_in_event(self._make_hook(), self.run_id, deadline)
                return self._conclude(event, context)

    def on_kill(self) -> None:
        """Say how the run ended before the process has to go, if that is known."""
        if self._is_telling:
            from airflow_dbt_cloud.outcome import TellingCutShort

            raise TellingCutShort

    def _defer(self, context: Context) -> None:
        from airflow_dbt_cloud.deferral import defer_arguments, find_execution_deadline

        run = self._watch.run if self._watch else Run(parse_id("run_id", self.run_id))
        arguments = defer_arguments(
            self._make_hook(),
            run,
            interval=max(1.0, self.poke_interval),
            end_time=time.time() + self.timeout,
            execution_deadline=find_execution_deadline(self, context["ti"]),
            cancel_on_kill=False,
            stream_logs=self.stream_logs,
        )
        self.defer(**arguments)

    def _conclude(self, event: RunEvent, context: Context) -> int:
        if event.href:
            # Anew, because the run may not have been seen before the task was deferred.
            self._push_url(event.href, context)
        run = event.to_run()
        self._console = self._make_console(run, event.shown)
        if not (event.outcome == "ended" and run.is_terminal):
            try:
                event.raise_for_outcome()
            except DbtCloudWaitTimeout as error:
                raise AirflowSensorTimeout(str(error)) from error
        self._finish(run, context)
        return run.id

    def _finish(self, run: Run, context: Context) -> None:
        """Tell what the run did, and raise if it did not succeed."""
        from airflow_dbt_cloud.outcome import tell

        self._is_telling = True
        try:
            report = tell(context, self._make_hook(), run, self.log, console=self._console)
        finally:
            self._is_telling = False
        report.run.raise_for_status(report.explanation, report.failure)
        self.log.info("dbt Cloud run %s succeeded: %s", run.id, run.href)

    def _make_console(self, run: Run, shown: dict[str, Any] | None = None) -> Console | None:
        from airflow_dbt_cloud.console import Console

        return Console(run, self.log, shown=shown) if self.stream_logs else None

    def _push_url(self, url: str, context: Context) -> None:
        self.run_url = url
        for key in (RUN_URL, DbtCloudJobRunLink().xcom_key):
            context["ti"].xcom_push(key=key, value=url)

    def _make_hook(self) -> DbtCloudHook:
        return make_hook(self.dbt_cloud_conn_id, self.account_id, self.hook_params)

    @contextmanager
    def _softly(self) -> Iterator[None]:
        """Skip the task instead of failing it, as `soft_fail` and `never_fail` say."""
        try:
            yield
        except (AirflowSkipException, AirflowRescheduleException):
            raise
        except (DbtCloudError, AirflowException, AirflowTaskTimeout) as error:
            if self.never_fail or (self.soft_fail and isinstance(error, VERDICTS)):
                raise AirflowSkipException(str(error)) from error
            raise
