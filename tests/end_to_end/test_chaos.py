"""
What happens to a task when something dies: dbt Cloud has the one run that it should have, and no other.

Every story has a job of its own, so that it can count all runs of it. They run at the same time.
"""

import signal
from dataclasses import replace

import pytest

from .scenes import Job, Scene, assert_one_run_each, assert_resumed, eventually, signal_all

# The first test waits for its own story only, but shares two processors with the others.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

START = "/run/$"
LIST = "/runs/$"
NO_RUN = "Starting a run: no earlier try has left a run."


def assert_started_by_the_second_try(scene):
    """Check that there is one run, and that the second try has started it."""
    assert scene.end() == ("success", 2)
    assert scene.job.story == [(2, "Success")]
    assert scene.xcom() == scene.job.runs[0].id
    assert NO_RUN in scene.log(2)


def waiting(stack, dag_id="durable"):
    """Let a task wait for a run that hangs, and return the scene and the run."""
    scene = Scene.begin(stack, dag_id, Job(stack, hanging=1))
    return scene, scene.wait_for_run()


def worker_killed_before_the_start(stack):
    """A worker that dies before it has asked for a run leaves none: the next try starts the one run."""
    job = Job(stack)
    fault = stack.fault("delay", wait=50, method="GET", path="/jobs/$", times=1)
    scene = Scene.begin(stack, "durable_by_name", job)
    scene.wait_for_fault(fault)
    assert job.runs == []
    scene.kill_worker()
    assert_started_by_the_second_try(scene)


def worker_killed_after_a_start_that_got_lost(stack):
    """A worker that dies while it looks for the run of a start that never arrived leaves none."""
    job = Job(stack)
    job.fault("refuse", method="POST", path=START, times=1)
    scene = Scene.begin(stack, "durable", job)
    scene.wait_for_log("Looking whether there is a run all the same.")
    scene.kill_worker()
    assert_started_by_the_second_try(scene)


def worker_killed_before_it_knows_its_run(stack):
    """A worker that dies between the start and its answer leaves a run, which the next try finds."""
    job = Job(stack, hanging=1)
    job.fault("delay_reply", wait=50, method="POST", path=START, times=1)
    scene = Scene.begin(stack, "durable", job)
    eventually(lambda: job.runs, f"The run of {scene}")
    assert scene.xcom("job_run_id") is None
    scene.kill_worker()
    assert_resumed(scene, job.runs[0])


def worker_killed_while_it_waits(stack):
    """A worker that dies while it waits for a run leaves it alone, and the next try waits on."""
    scene, run = waiting(stack)
    scene.kill_worker()
    assert_resumed(scene, run)


def worker_killed_after_the_end(stack):
    """A worker that dies when its run has succeeded, but its task has not, needs no second run."""
    job = Job(stack)
    scene = Scene.begin(stack, "durable_until_the_end", job)
    run = scene.wait_for_run()
    scene.wait_for_log(f"dbt Cloud run {run.id} succeeded")
    scene.kill_worker()
    assert_resumed(scene, run)
    assert f"Resuming dbt Cloud run {run.id} (Success), started by try 1." in scene.log(2)


def worker_killed_before_it_defers(stack):
    """A worker that dies between the start and the deferral leaves a run, which the next try defers on."""
    job = Job(stack, hanging=1)
    fault = job.fault("delay", wait=50, method="GET", path=r"/runs/\d+/$", times=1)
    scene = Scene.begin(stack, "durable_deferred", job)
    scene.wait_for_fault(fault)
    scene.kill_worker()
    scene.wait("deferred", "success", "failed")
    assert_resumed(scene, job.runs[0])


def worker_of_a_mapped_task_killed(stack):
    """A worker that dies with one index of a mapped task costs neither it nor the others a second run."""
    job = Job(stack, hanging=1)
    scene = Scene.begin(stack, "durable_mapped", job, task_id="nightly.build", map_index=1)
    scene.wait_for_run()
    run_id = scene.xcom("job_run_id")
    scene.kill_worker()
    assert scene.end() == ("success", 2)
    assert scene.xcom() == run_id
    assert f"Resuming dbt Cloud run {run_id} (" in scene.log(2)
    others = [Scene(stack, job, scene.dag_run, scene.task_id, index) for index in (0, 2)]
    assert [other.end() for other in others] == [("success", 1)] * 2
    assert job.story == [(1, "Success")] * 3
    assert {run.id for run in job.runs} == {run_id, *(other.xcom() for other in others)}


def last_try_lost_its_worker(stack):
    """A worker that dies in the last try leaves a run that goes on, and a task that has failed."""
    scene = Scene.begin(stack, "durable_no_more", Job(stack, hanging=1, seconds=600))
    run = scene.wait_for_run()
    scene.kill_worker()
    assert scene.end() == ("failed", 1)
    assert scene.job.story == [(1, "Running")]
    assert "Cancelling" not in scene.log()
    stack.client.cancel_run(run.id)


def timed_out_while_it_waits(stack):
    """A task whose `timeout` is over leaves its run to go on, and the next try waits on for it."""
    time_out(stack, "durable_with_a_timeout")


def timed_out_while_deferred(stack):
    """So does a deferred task."""
    time_out(stack, "durable_deferred_with_a_timeout")


def time_out(stack, dag_id):
    """Let the time of a first try be over, and see that a later one takes up its run."""
    scene = Scene.begin(stack, dag_id, Job(stack, hanging=1, seconds=40))
    run = scene.wait_for_run()
    assert_resumed(scene, run, within=3)
    assert "the task's timeout is over, and the task stops waiting. The run goes on" in scene.log(1)


def out_of_time_while_it_waits(stack):
    """A task whose `execution_timeout` is over has its run cancelled, and its next try starts another."""
    run_out_of_time(stack, "durable_with_a_limit")


def out_of_time_while_deferred(stack):
    """So has a deferred task."""
    run_out_of_time(stack, "durable_deferred_with_a_limit")


def run_out_of_time(stack, dag_id):
    """Let the execution_timeout of a first try be over, and see that the second starts a run of its own."""
    scene = Scene.begin(stack, dag_id, Job(stack, hanging=1, seconds=600))
    assert scene.end() == ("success", 2)
    assert scene.job.story == [(1, "Cancelled"), (2, "Success")]
    first, second = scene.job.runs
    assert scene.xcom() == second.id
    why = "because the task's execution_timeout is over"
    assert f"Cancelling dbt Cloud run {first.id}, {why}" in scene.log(1)
    assert f"Starting a run: run {first.id} was cancelled." in scene.log(2)


def process_killed_while_it_waits(stack):
    """A task whose process alone dies, as for want of memory, has its run resumed."""
    scene, run = waiting(stack)
    signal_all(scene.processes()[1:], signal.SIGKILL)
    assert_resumed(scene, run)


def worker_drained_while_it_waits(stack):
    """A worker that is asked to stop, as in a drained pod, leaves the run alone; the next try waits on."""
    scene, run = waiting(stack)
    signal_all(scene.processes()[:1], signal.SIGTERM)
    assert_resumed(scene, run)
    assert "Airflow ends this process: nobody ended the task" in scene.log(1)


def worker_frozen_while_it_waits(stack):
    """A worker that freezes until the next try works, and thaws then, leaves the run to the next try."""
    scene, run = waiting(stack)
    pids = scene.processes()
    signal_all(pids, signal.SIGSTOP)
    try:
        scene.wait_for_try(2)
        scene.wait_for_log("Resuming dbt Cloud run", try_number=2)
    finally:
        signal_all(pids, signal.SIGCONT)
    assert_resumed(scene, run)
    scene.wait_for_log("Airflow ends this process: nobody ended the task")


def worker_frozen_before_the_start(stack):
    """A worker that freezes before its start, and thaws when the next try has a run, starts no second."""
    scene = Scene.begin(stack, "durable_and_slow", Job(stack, hanging=1, seconds=15))
    scene.wait_for_log("Lingering")
    pids = scene.processes()
    signal_all(pids, signal.SIGSTOP)
    try:
        scene.wait_for_log("Started dbt Cloud run", try_number=2)
    finally:
        signal_all(pids, signal.SIGCONT)
    scene.wait_for_log("Server indicated the task shouldn't be running anymore")
    assert_started_by_the_second_try(scene)


def one_reply_in_ten_lost(stack):
    """Of twelve starts on one job whose replies get lost now and then, each makes one run."""
    job = Job(stack)
    fault = job.fault("lose_reply", method="POST", path=START, rate=0.1, seed=9)
    scene = Scene.begin(stack, "durable_many", job)
    assert_one_run_each(stack, scene.dag_run, job, 12)
    assert 0 < count_found(scene, 12) <= stack.fired(fault)


def replies_lost_before_a_deferral(stack):
    """Of six mapped tasks that defer, those whose start loses its reply defer on the run that they find."""
    job = Job(stack)
    fault = job.fault("lose_reply", method="POST", path=START, times=2)
    scene = Scene.begin(stack, "durable_deferred_many", job)
    assert_one_run_each(stack, scene.dag_run, job, 6)
    assert 0 < count_found(scene, 6) <= stack.fired(fault) == 2


def count_found(scene, tasks):
    """Return how many mapped tasks tell in their first try that they found the run of a lost reply."""
    logs = [replace(scene, map_index=index).log() for index in range(tasks)]
    return sum("Looking whether" in log and "There is: dbt Cloud run " in log for log in logs)


def every_reply_lost_for_a_while(stack):
    """While every reply to a start gets lost, and new runs cannot be seen at once, each task has one run."""
    job = Job(stack)
    fault = job.fault("lose_reply", method="POST", path=START, seconds=120)
    job.fault("hide_run", wait=6)
    scene = Scene.begin(stack, "durable_mapped", job, task_id="nightly.build", map_index=0)
    scene.wait("success", "failed")
    # Whatever is lost was lost before the first task had ended.
    fired = stack.fired(fault)
    assert_one_run_each(stack, scene.dag_run, job, 3)
    assert fired == 3
    assert "Looking whether there is a run all the same." in scene.log()
    assert f"There is: dbt Cloud run {scene.xcom()}." in scene.log()


def lists_fail_for_a_while(stack):
    """While dbt Cloud cannot list runs, the next try asks again before it does anything."""
    scene, run = waiting(stack)
    fault = scene.job.fault("status", code=500, method="GET", path=LIST, times=3)
    scene.kill_worker()
    eventually(lambda: stack.fired(fault) == 3, "Three answers 500")
    assert_resumed(scene, run)
    assert "Asking again in" in scene.log(2)


def lists_fail_for_too_long(stack):
    """If dbt Cloud cannot list runs within `start_timeout`, the next try fails rather than start a second."""
    scene, run = waiting(stack, "durable_in_a_hurry")
    scene.job.fault("status", code=500, method="GET", path=LIST, seconds=600)
    scene.kill_worker()
    assert scene.end() == ("failed", 3)
    for number in (2, 3):
        assert "Starting" not in scene.log(number)
        assert "A fault that was asked for." in scene.log(number)
    stack.wait_for_run(run.id, 10, within=120)
    assert "Cancelling" not in scene.log(1)


def retries_exhausted(stack):
    """A job that fails in every try has one run for each, and then the task has failed."""
    job = Job(stack, command="dbt clean --no-such-flag")
    scene = Scene.begin(stack, "durable_once_more", job)
    assert scene.end() == ("failed", 2)
    assert job.story == [(1, "Error"), (2, "Error")]
    first, second = job.runs
    assert f"dbt Cloud run {first.id} failed" in scene.log(1)
    assert f"Starting a run: run {first.id} failed." in scene.log(2)
    assert f"dbt Cloud run {second.id} failed" in scene.log(2)


STORIES = [
    worker_killed_before_the_start,
    worker_killed_after_a_start_that_got_lost,
    worker_killed_before_it_knows_its_run,
    worker_killed_while_it_waits,
    worker_killed_after_the_end,
    worker_killed_before_it_defers,
    worker_of_a_mapped_task_killed,
    last_try_lost_its_worker,
    timed_out_while_it_waits,
    timed_out_while_deferred,
    out_of_time_while_it_waits,
    out_of_time_while_deferred,
    process_killed_while_it_waits,
    worker_drained_while_it_waits,
    worker_frozen_while_it_waits,
    worker_frozen_before_the_start,
    one_reply_in_ten_lost,
    replies_lost_before_a_deferral,
    every_reply_lost_for_a_while,
    lists_fail_for_a_while,
    lists_fail_for_too_long,
    retries_exhausted,
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_story(story, told):
    """What happens when a machine dies: see the stories."""
    told[story].result()
