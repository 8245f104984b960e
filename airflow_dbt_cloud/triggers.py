"""
The trigger that follows a run while its task is deferred, and the event that it fires.

All triggers of a triggerer that reach an account in the same way share one poller
(`airflow_dbt_cloud.poller`). A trigger keeps what is its task's own: the deadlines, the log, and the question
whether a person has ended the task.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError, AirflowTaskTimeout
from airflow.sdk.log import mask_secret
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_dbt_cloud import fields, metrics, options
from airflow_dbt_cloud.console import Console
from airflow_dbt_cloud.credentials import Credentials
from airflow_dbt_cloud.errors import (
    DbtCloudApiError,
    DbtCloudConfigurationError,
    DbtCloudLostTrack,
    DbtCloudRateLimited,
    DbtCloudUnreachable,
    DbtCloudWaitTimeout,
)
from airflow_dbt_cloud.get_provider_info import OPTIONS
from airflow_dbt_cloud.models import NOT_SEEN_YET, Run
from airflow_dbt_cloud.parameters import parse_id, parse_seconds
from airflow_dbt_cloud.pollers import get_poller
from airflow_dbt_cloud.retries import COOLDOWN, pause_after
from airflow_dbt_cloud.streaming import stream
from airflow_dbt_cloud.task_states import ENDED_WHILE_DEFERRED, question, read_state
from airflow_dbt_cloud.waiting import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from airflow_dbt_cloud.poller import Followed, Poller

__all__ = ["DbtCloudRunJobTrigger", "RunEvent"]

# How long a trigger sleeps before it looks at its deadline and at how the poller fares: not all at once.
GLANCE = (30.0, 60.0)
# How long at most it waits for the last answer at its deadline: as long as one request may take. While dbt
# Cloud wants to be left alone for longer than that, there is none.
LAST_PATIENCE = 30.0
# Airflow gives `on_kill` 30 s. The first answer of a triggerer that has just begun takes seconds.
STATE_BUDGET = 25.0
# Seconds between tries to cancel the run of a killed task: nobody else will.
CANCEL_PAUSES = (1, 3, 10, 30)
VERSION = 1

# Decisions about killed tasks that are on their way: the event loop itself holds tasks only weakly.
_decisions: set[asyncio.Task[None]] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """
    What a trigger tells its task: the only thing that crosses from triggerer to worker.

    `outcome` is `ended` (then `status` says how), `timeout`, `execution_timeout`, `lost_track` or
    `misconfigured`. `message` is dbt Cloud's status message if the run has ended, else why the wait has, and
    `href` the run's URL, empty if it is not known. `shown` is what the task's log has of the run's console;
    see `Console.shown`.
    """

    outcome: str
    run_id: int
    status: int = NOT_SEEN_YET
    message: str = ""
    href: str = ""
    shown: dict[str, Any] = field(default_factory=dict, repr=False)

    def to_payload(self) -> dict[str, Any]:
        """Return the payload of Airflow's event."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_payload(cls, payload: object) -> Self:
        """
        Read the payload of Airflow's event.

        :raises ValueError: it is none of ours, or of a version that we do not know: never a success.
        """
        if isinstance(payload, dict) and payload.get("version") == VERSION:
            known = {
                name: payload[name] for name, kind in _KINDS.items() if isinstance(payload.get(name), kind)
            }
            if known.keys() == _KINDS.keys():
                # Apart, because it decides nothing, and an older triggerer does not tell it.
                return cls(**known, shown=fields.member(payload, "shown"))
        msg = f"The trigger sent what this version of airflow-dbt-cloud does not understand: {payload!r}."
        raise ValueError(msg)

    def to_run(self) -> Run:
        """Return the run as far as the event knows it."""
        return Run(id=self.run_id, status=self.status, status_message=self.message, href=self.href)

    def raise_for_outcome(self) -> None:
        """
        Judge the event.

        :raises DbtCloudRunFailed: the run failed; and the other errors of `Run.raise_for_status`.
        :raises DbtCloudWaitTimeout: the task's `timeout` is over.
        :raises AirflowTaskTimeout: the task's `execution_timeout` is over.
        :raises DbtCloudLostTrack: nobody could tell for too long.
        :raises DbtCloudConfigurationError: the connection leads elsewhere.
        :raises ValueError: the outcome is unknown: never a success.
        """
        run = self.to_run()
        match self.outcome:
            case "ended":
                run.raise_for_status()
            case "timeout":
                raise DbtCloudWaitTimeout(run, self.message)
            case "execution_timeout":
                why = self.message.removesuffix(".")
                msg = f"dbt Cloud run {self.run_id} had not ended: {why}. {self.href}".rstrip()
                raise AirflowTaskTimeout(msg)
            case "lost_track":
                raise DbtCloudLostTrack(run, self.message)
            case "misconfigured":
                raise DbtCloudConfigurationError(self.message)
            case unknown:
                msg = f"The trigger of dbt Cloud run {self.run_id} sent the unknown outcome {unknown!r}."
                raise ValueError(msg)


_KINDS = {"outcome": str, "run_id": int, "status": int, "message": str, "href": str}


class DbtCloudRunJobTrigger(BaseTrigger):
    """
    Fire when a run has ended, or a deadline is over.

    The arguments are stored in Airflow's database, in clear text, and outlive upgrades of this package.

    :param conn_id: the connection.
    :param run_id: the run.
    :param account_id: the task's own account id, which beats the connection's.
    :param poll_interval: seconds between two questions (default 60); of several triggers that follow the same
        run the shortest counts.
    :param end_time: when to stop waiting, in seconds since the epoch; None = never.
    :param execution_deadline: when the task's `execution_timeout` is over, likewise.
    :param hook_params: numbers for the hook; only `timeout_seconds` counts here.
    :param host: the access URL that the run was started at. If the connection leads elsewhere meanwhile, the
        run cannot be followed. Empty means that this is not looked at.
    :param run_account_id: the account that the run was started in, likewise; given together with `host`.
    :param run_url: where the run can be seen.
    :param cancel_on_kill: whether the run is the task's own, and is cancelled if a person ends the task
        (default True).
    :param stream_logs: whether the task's log shows what the run's steps write, for a request every 15 s
        (default False).
    :raises DbtCloudConfigurationError: `run_id` or `poll_interval` is none.
    """

    def __init__(  # noqa: PLR0913 - an argument each, because they are stored one by one
        self,
        *,
        conn_id: str,
        run_id: int,
        account_id: int | None = None,
        poll_interval: float = 60.0,
        end_time: float | None = None,
        execution_deadline: float | None = None,
        hook_params: dict[str, Any] | None = None,
        host: str = "",
        run_account_id: int | None = None,
        run_url: str = "",
        cancel_on_kill: bool = True,
        stream_logs: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.run_id = parse_id("run_id", run_id)
        self.account_id = account_id
        self.poll_interval = parse_seconds("poll_interval", poll_interval)
        self.end_time = end_time
        self.execution_deadline = execution_deadline
        self.hook_params = hook_params or {}
        self.host = host
        self.run_account_id = run_account_id
        self.run_url = run_url
        self.cancel_on_kill = cancel_on_kill
        self.stream_logs = stream_logs

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments that make this trigger again in a triggerer."""
        arguments = {
            "conn_id": self.conn_id,
            "run_id": self.run_id,
            "account_id": self.account_id,
            "poll_interval": self.poll_interval,
            "end_time": self.end_time,
            "execution_deadline": self.execution_deadline,
            "hook_params": self.hook_params,
            "host": self.host,
            "run_account_id": self.run_account_id,
            "run_url": self.run_url,
            "cancel_on_kill": self.cancel_on_kill,
            "stream_logs": self.stream_logs,
        }
        return "airflow_dbt_cloud.triggers.DbtCloudRunJobTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the end of the run or a deadline, and tell the task."""
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            event = await self._wait()
            # Airflow fails a task whose trigger fires before its worker has quite ended.
            await asyncio.sleep(max(0.0, began + self._option(options.min_deferral) - clock()))
        except asyncio.CancelledError:
            if not hasattr(BaseTrigger, "on_kill"):
                # Airflow 3.2 says "killed", "reassigned" and "shut down" in this one way.
                await self.on_kill()
            raise
        yield TriggerEvent(event.to_payload())  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """
        Cancel the run if a person ended the task; leave it alone if the trigger only moves or shuts down.

        Airflow calls this also when a trigger is given to another triggerer, so its word is not enough: the
        task's state decides, and if nobody knows it the run goes on.
        """
        if self.cancel_on_kill and time.time() < self._deadline:
            # A task of its own: Airflow cancels us again a second later, and once more, until we are gone.
            decision = asyncio.create_task(self._decide(), name=f"dbt-cloud-kill-{self.run_id}")
            _decisions.add(decision)
            decision.add_done_callback(_decisions.discard)
            await asyncio.shield(decision)

    async def _decide(self) -> None:
        try:
            await self._cancel_if_ended_by_a_person()
        except Exception as error:  # noqa: BLE001 - on Airflow 3.2 it would fail the task
            what = f"{type(error).__name__}: {error}"
            self.log.warning("dbt Cloud run %s may go on: it could not be cancelled. %s", self.run_id, what)

    async def _cancel_if_ended_by_a_person(self) -> None:
        try:
            why = await asyncio.wait_for(self._find_out_who_ended_it(), STATE_BUDGET)
        except TimeoutError as error:
            msg = f"Airflow has not said within {STATE_BUDGET:.0f} s how the task is."
            raise TimeoutError(msg) from error
        if why:
            self.log.info("Cancelling dbt Cloud run %s: %s.", self.run_id, why)
            await self._cancel()
        else:
            self.log.info("Nobody ended the task: dbt Cloud run %s goes on.", self.run_id)

    async def _cancel(self) -> None:
        client = self._poller().client
        for pause in CANCEL_PAUSES:
            try:
                await client.cancel_run(self.run_id)
            except (DbtCloudApiError, DbtCloudUnreachable) as error:
                # Sooner than dbt Cloud wants it another 429 would follow; its cooldown is no longer.
                asked = pause_after(error, 1) if isinstance(error, DbtCloudRateLimited) else pause
                seconds = min(asked, COOLDOWN[1])
                self.log.warning("%s Cancelling again in %.0f s.", error, seconds)
                await asyncio.sleep(seconds)
            else:
                break
        else:
            await client.cancel_run(self.run_id)
        metrics.count(metrics.RUNS_CANCELLED)

    async def _wait(self) -> RunEvent:
        watch = Watch(
            Run(self.run_id, href=self.run_url),
            end_time=None if self._deadline == float("inf") else self._deadline,
            lost_track_after=self._option(options.lost_track_after),
            # One for all: ten thousand of them would weigh megabytes.
            log=self.logger(),
        )
        poller = self._poller()
        console = Console(watch.run, self.logger()) if self.stream_logs else None
        streaming = None
        try:
            with poller.follow(self.run_id, self.poll_interval) as followed:
                streaming = self._stream(poller, followed, console) if console else None
                run = None
                while run is None:
                    is_over = watch.remaining <= 0
                    if is_over:
                        # Through the poller: whoever has the same deadline asks with us.
                        poller.hurry(followed)
                    nap = LAST_PATIENCE if is_over else min(random.uniform(*GLANCE), watch.remaining)
                    run = await followed.wait(nap)
                    if run is None:
                        _take_note(watch, followed)
                        if is_over:
                            # Unless the clock was put back meanwhile.
                            watch.check_deadline()
        except (DbtCloudWaitTimeout, DbtCloudLostTrack, DbtCloudConfigurationError) as error:
            event = self._event_of(error)
        else:
            event = self._event("ended", run.status_message)
            event = replace(event, status=run.status, href=run.href or self.run_url)
        finally:
            if streaming:
                streaming.cancel()
        if streaming:
            # It ends at once, and knows then what was shown; the task shows the rest when it goes on.
            await asyncio.wait({streaming})
        return replace(event, shown=console.shown) if console else event

    def _stream(self, poller: Poller, followed: Followed, console: Console) -> asyncio.Task[None]:
        streaming = stream(poller, followed, console, self.logger())
        return asyncio.create_task(streaming, name=f"dbt-cloud-console-{self.run_id}")

    def _event_of(
        self, error: DbtCloudWaitTimeout | DbtCloudLostTrack | DbtCloudConfigurationError
    ) -> RunEvent:
        if isinstance(error, DbtCloudLostTrack):
            return self._event("lost_track", error.explanation)
        if isinstance(error, DbtCloudConfigurationError):
            return self._event("misconfigured", str(error))
        if self._is_past_execution_deadline:
            return self._event("execution_timeout", "the task's execution_timeout is over")
        return self._event("timeout", error.explanation)

    def _event(self, outcome: str, message: str) -> RunEvent:
        return RunEvent(outcome=outcome, run_id=self.run_id, message=message, href=self.run_url)

    @property
    def _deadline(self) -> float:
        return min(self.end_time or float("inf"), self.execution_deadline or float("inf"))

    @property
    def _is_past_execution_deadline(self) -> bool:
        return self.execution_deadline is not None and time.time() >= self.execution_deadline

    def _poller(self) -> Poller:
        seconds = self.hook_params.get("timeout_seconds")
        way = (self.conn_id, self.account_id, self.host, self.run_account_id, seconds)
        limit = partial(self._option, options.requests_per_minute)
        return get_poller(way, partial(_connect, *way), requests_per_minute=limit, report=metrics.report)

    def _option(self, read: Callable[[], float]) -> float:
        try:
            return read()
        except DbtCloudConfigurationError as error:
            # The run goes on already: a slip of the pen in a triggerer's configuration must not lose it.
            self.log.warning("%s The default holds.", error)
            return float(OPTIONS[read.__name__]["default"])

    async def _find_out_who_ended_it(self) -> str:
        """Return what a person did to the task, or an empty string if nobody did anything."""
        from airflow.sdk.execution_time.comms import GetTaskStates, TaskStatesResult
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        ti = self.task_instance
        if ti is None:
            msg = "Only a trigger in a triggerer has a task whose state can be asked for."
            raise LookupError(msg)
        answer = await SUPERVISOR_COMMS.asend(GetTaskStates(**question(ti)))
        if not isinstance(answer, TaskStatesResult):
            msg = f"Airflow does not say how the task is: {answer!r}"
            raise TypeError(msg)
        state = read_state(answer.task_states, ti)
        is_ended = state in ENDED_WHILE_DEFERRED
        return f"a person ended the task (its state is {state or 'none'})" if is_ended else ""


def _take_note(watch: Watch, followed: Followed) -> None:
    if followed.error is None:
        watch.saw(replace(watch.run, status=followed.status))
    else:
        watch.missed(followed.error, age=asyncio.get_running_loop().time() - followed.asked)


async def _connect(
    conn_id: str, account_id: object, host: str, run_account_id: int | None, timeout_seconds: float | None
) -> Credentials:
    try:
        connection = await BaseHook.aget_connection(conn_id)
        # In a thread, because reading the extra masks it, which asks Airflow's supervisor and waits.
        credentials = await sync_to_async(_read)(connection, account_id)
    except (AirflowException, AirflowRuntimeError, DbtCloudConfigurationError) as error:
        reason = f"the connection {conn_id!r} cannot be read: {error}"
        raise DbtCloudUnreachable("GET", "the run", reason, may_have_arrived=False) from error
    if host:
        credentials.check_place(host, run_account_id)
    return replace(credentials, timeout_seconds=timeout_seconds) if timeout_seconds else credentials


def _read(connection: Any, account_id: object) -> Credentials:
    credentials = Credentials.from_connection(connection, account_id=account_id)
    for secret in credentials.secrets:
        mask_secret(secret)
    return credentials
