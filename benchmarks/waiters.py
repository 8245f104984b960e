"""
One triggerer's worth of triggers in one process: what they cost, and how late they learn of an end.

`python benchmarks/waiters.py ours|official|idle RUNS INTERVAL URL` prints one JSON object. `official` needs a
Python that has apache-airflow-providers-dbt-cloud; `idle` waits as long with as many waiters that ask nobody.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from stub import length

TICK = 0.01


async def follow(kind: str, run_id: int, interval: float, began: float) -> float:
    """Wait for a run, and return how late its end was known."""
    end = began + length(run_id)
    if kind == "idle":
        await asyncio.sleep(end - time.monotonic())
    else:
        async for _ in make_trigger(kind, run_id, interval).run():
            break
    return time.monotonic() - end


def make_trigger(kind: str, run_id: int, interval: float) -> Any:
    """Return a trigger of this package or of the official provider; their arguments are the same."""
    if kind == "ours":
        from airflow_dbt_cloud.triggers import DbtCloudRunJobTrigger
    else:
        from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger
    return DbtCloudRunJobTrigger(
        conn_id="dbt_cloud_default",
        run_id=run_id,
        account_id=42,
        poll_interval=interval,
        end_time=time.time() + 3600,
        execution_deadline=None,
        hook_params={},
    )


async def watch_the_loop(stalls: list[float]) -> None:
    """Note by how much the loop is late, for ever."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(TICK)
        stalls.append(time.monotonic() - before - TICK)


def memory() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def cpu() -> float:
    """Return the CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(kind: str, runs: int, interval: float, url: str) -> dict[str, float]:
    """Follow the runs and return the figures."""
    if kind != "idle":
        from airflow.sdk import BaseHook

        make_trigger(kind, 1, interval)
        # Airflow's first look-up of a connection loads modules of its own, whoever asks.
        await BaseHook.aget_connection("dbt_cloud_default")
    # As in a process that has been up for a while: what was imported is old, and no longer looked through.
    gc.collect()
    began = time.monotonic() + 1
    if kind != "idle":
        urllib.request.urlopen(f"{url}/start?at={began}").read()
    stalls: list[float] = []
    watcher = asyncio.create_task(watch_the_loop(stalls))
    cpu_before, memory_before, peak = cpu(), memory(), 0.0
    tasks = []
    for run_id in range(1, runs + 1):
        tasks.append(asyncio.create_task(follow(kind, run_id, interval, began)))
        # As a triggerer starts them: it lets the loop go on after each.
        await asyncio.sleep(0)
    while not all(task.done() for task in tasks):
        await asyncio.sleep(1)
        peak = max(peak, memory())
    used = cpu() - cpu_before
    watcher.cancel()
    delays = [task.result() for task in tasks]
    counts = json.load(urllib.request.urlopen(f"{url}/counts")) if kind != "idle" else {}
    stalls.sort()
    return {
        **counts,
        "events": len(delays),
        "cpu": used,
        "memory": peak - memory_before,
        "stall p99": stalls[int(len(stalls) * 0.99)] * 1000,
        "stall max": stalls[-1] * 1000,
        "delay": sum(delays) / len(delays),
    }


if __name__ == "__main__":
    _, kind, runs, interval, url = sys.argv
    print(json.dumps(asyncio.run(measure(kind, int(runs), float(interval), url))))
