"""
The console of a run that is followed from an event loop: what its steps write, while it goes.

Only the step that runs is asked for, every fifteen seconds, and all of them when another one must have begun:
such an answer holds every step's log. The requests come out of the poller's budget, and keep it from nothing:
what cannot be read now is read later, and whoever follows the run does not wait for it. What was read when
the run has ended, but not yet written, counts as not shown.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from airflow_dbt_cloud.errors import DbtCloudAnswerTooLong, DbtCloudApiError, DbtCloudUnreachable
from airflow_dbt_cloud.models import DbtCloudJobRunStatus, Run

if TYPE_CHECKING:
    from airflow_dbt_cloud.client import Client
    from airflow_dbt_cloud.console import Console, Line
    from airflow_dbt_cloud.poller import Followed, Poller
    from airflow_dbt_cloud.waiting import Log

__all__ = ["stream"]

# Seconds between two questions: not all at once.
PAUSE = (15.0, 18.0)


async def stream(poller: Poller, followed: Followed, console: Console, log: Log) -> None:
    """
    Show what a run writes that is followed, until cancelled or there is nothing more to show.

    :param log: told once each time when the console cannot be read.
    """
    step_id, is_blind = 0, False
    while console.wants_steps:
        await asyncio.sleep(random.uniform(*PAUSE))
        if followed.status == DbtCloudJobRunStatus.QUEUED:
            continue
        try:
            lines, step_id = await poller.ask(partial(_read, followed.id, step_id, console))
        except DbtCloudAnswerTooLong:
            console.give_up("is too long to be followed here")
        except (DbtCloudApiError, DbtCloudUnreachable) as error:
            if not is_blind:
                log.warning("The console of dbt Cloud run %s cannot be read now. %s", followed.id, error)
            step_id, is_blind = 0, True
        except Exception as error:  # noqa: BLE001 - no log may decide what becomes of a task
            console.give_up(f"cannot be shown here ({error!r})")
        else:
            is_blind = False
            parts = console.write_by_parts(lines)
            try:
                for _ in parts:
                    await asyncio.sleep(0)
            finally:
                # Also if cancelled: what was begun counts as shown only when it is whole.
                deque(parts, maxlen=0)


def _read(run_id: int, step_id: int, console: Console, client: Client) -> tuple[list[Line], int]:
    """
    Return what is new, and the id of the step to ask for next; 0 means all.

    Runs in a thread, because a log may have megabytes.
    """
    if step_id:
        step = client.get_step(step_id)
        run = Run(id=run_id, status=DbtCloudJobRunStatus.RUNNING, steps=(step,))
    else:
        run = client.get_run(run_id, include_related=("run_steps",))
    going = [step.id for step in run.steps if not step.is_terminal and step.started_at]
    return console.read(run), next(reversed(going), 0)
