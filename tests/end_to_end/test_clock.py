"""A triggerer whose wall clock is set while tasks wait in it."""

from pathlib import Path

import pytest

from demo.processes import wait_until

libfaketime = pytest.importorskip("libfaketime", reason="libfaketime is there for Linux on x86-64 only")

pytestmark = pytest.mark.slow

LIBRARY = Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
HOUR = 3600


class WallClock:
    """The wall clock of one process; what counts seconds from no certain moment is left alone."""

    def __init__(self, folder):
        self._file = folder / "offset"
        self.environment = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.set(0)

    def set(self, offset):
        """Make it wrong by some seconds."""
        # In one go: the process reads the file whenever it wants to know the time.
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{offset:+d}")
        draft.replace(self._file)


@pytest.fixture
def wall_clock(stack, tmp_path):
    """Let a triggerer with another clock take the place of the usual one."""
    clock = WallClock(tmp_path)
    stack.airflow.stop_component("triggerer")
    try:
        stack.airflow.start_component("triggerer", name="jumping-triggerer", environment=clock.environment)
        yield clock
    finally:
        stack.airflow.stop_component("jumping-triggerer")
        stack.airflow.start_component("triggerer")


def wait_for_looks(stack):
    """Wait until the triggerer has asked for its runs twice."""
    before, _ = stack.request_counts()
    wait_until(
        lambda: stack.request_counts()[0] >= before + 2,
        within=60,
        what="Two questions of the triggerer",
        watching=stack.airflow.processes.values(),
    )


def run_ids(stack):
    """Return the ids of all runs of the job that takes long to start."""
    return [run.id for run in stack.client.list_runs(job_definition_id=stack.fleet_job)]


def test_jumps(stack, wall_clock):
    """A triggerer follows a run while its clock is set; a deadline that it jumps over ends only the wait."""
    # Longer than a trigger sleeps before it looks at the clock by itself.
    stack.fault("slow_start", wait=65, job_id=stack.fleet_job, times=1)
    earlier = run_ids(stack)
    patient = stack.run("deferred", job_id=stack.fleet_job)
    run_id = stack.wait_for_xcom(patient, "build", "job_run_id")
    stack.wait_for_trigger(patient, "build")
    wall_clock.set(HOUR)
    wait_for_looks(stack)

    impatient = stack.run("deferred_for_half_an_hour", job_id=stack.slow_job)
    assert stack.wait_for_task(impatient, "build", "success", "failed")["state"] == "failed"
    assert "the task's timeout is over, and the task stops waiting. The run goes on" in stack.log(
        impatient, "build"
    )
    other_run_id = stack.airflow.xcom(*impatient, "build", "job_run_id")
    assert not stack.client.get_run(other_run_id).is_terminal
    stack.client.cancel_run(other_run_id)

    assert stack.airflow.task(*patient, "build")["state"] == "deferred"
    wall_clock.set(-HOUR)
    wait_for_looks(stack)
    assert stack.wait_for_task(patient, "build", "success", "failed", within=150)["state"] == "success"
    assert stack.airflow.xcom(*patient, "build") == run_id
    assert run_ids(stack) == [*earlier, run_id]
    assert "Cannot see" not in stack.log(patient, "build")
