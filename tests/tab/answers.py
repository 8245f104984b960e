"""
What the plugin's routes would tell of made-up runs, for looking at the tab without Airflow.

A case is a word and a number of nodes, `failed-1000`. Nodes are run by threads as dbt does it: each as soon
as a thread is free and its parents have ended. The same case is the same run each time.
"""

import base64
import heapq
import json
import random
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

SUBJECTS = ("sailings", "tickets", "ports", "fares", "vessels", "weather", "routes", "crews", "berths")
ASPECTS = ("daily", "by_route", "by_port", "history", "margin", "delays", "latest", "summary")
LAYERS = ("stg", "int", "mart")
MESSAGE = """Database Error in model port_dues (models/marts/port_dues.sql)
  Conversion Error: Could not convert string 'not agreed' to DECIMAL(18,3)

  LINE 14:     cast(tariff as decimal) * gross_tonnage as dues
               ^
  compiled code at target/run/ferry_line/models/marts/port_dues.sql"""
CODE = """with calls as (
    select port, vessel_id, gross_tonnage, called_on
    from "ferry"."analytics"."stg_port_calls"
),

tariffs as (
    select port, tariff, valid_from, valid_to
    from "ferry"."analytics"."stg_tariffs"
)

select
    calls.port,
    date_trunc('month', calls.called_on) as month,
    -- Ørnes has not agreed its tariff yet.
    sum(cast(tariff as decimal) * gross_tonnage) as dues
from calls
left join tariffs
    on calls.port = tariffs.port
    and calls.called_on between tariffs.valid_from and tariffs.valid_to
group by 1, 2
order by dues desc"""
TESTED = "Got 3 results, configured to fail if != 0"
CAUSE = "Airflow: task nightly_build of Dag ferry_line, run scheduled__2026-11-23, try 2"
SCRIPT = "model.ferry_line.<script>alert('told as markup')</script>"
VERBS = {"model": "sql table model analytics.", "seed": "seed file analytics.", "test": "test "}
WORDS = {"error": "ERROR creating ", "fail": "FAIL 3 ", "pass": "PASS ", "warn": "WARN 1 "}
ENDS = {"model": "OK created ", "seed": "OK loaded "}


@dataclass
class Nodes:
    """Nodes in columns, as the contract has them."""

    unique_id: list = field(default_factory=list)
    status: list = field(default_factory=list)
    start: list = field(default_factory=list)
    seconds: list = field(default_factory=list)
    thread: list = field(default_factory=list)
    rows: list = field(default_factory=list)
    step: list = field(default_factory=list)
    parents: list = field(default_factory=list)

    @property
    def end(self):
        """When the last node ended, in seconds."""
        ends = (
            start + taken for start, taken in zip(self.start, self.seconds, strict=True) if start is not None
        )
        return max(ends, default=0.0)

    def add(self, unique_id, status, parents, *, seconds, rows=None):
        """Add a node that has not run yet."""
        row = (unique_id, status, None, seconds, "", rows, 4, parents)
        for column, value in zip(vars(self).values(), row, strict=True):
            column.append(value)

    def run(self, threads):
        """Let threads run all nodes that are not skipped, from the twelfth second on."""
        children = {row: [] for row in range(len(self.parents))}
        missing = {row: len(parents) for row, parents in enumerate(self.parents)}
        for row, parents in enumerate(self.parents):
            for parent in parents:
                children[parent].append(row)
        free = [(12.0, thread) for thread in range(threads)]
        ready = [(12.0, row) for row, count in missing.items() if not count]
        while ready:
            possible, row = heapq.heappop(ready)
            end = possible
            if self.status[row] != "skipped":
                at, thread = heapq.heappop(free)
                start = max(at, possible)
                end = start + self.seconds[row]
                self.start[row], self.thread[row] = round(start, 3), f"Thread-{thread + 1} (worker)"
                heapq.heappush(free, (end + 0.02, thread))
            for child in children[row]:
                missing[child] -= 1
                if not missing[child]:
                    heapq.heappush(ready, (end, child))


def make_nodes(count, *, failing=0, threads=8):
    """Make nodes of a project: seeds, models, and tests of them; some fail, what reads them is skipped."""
    chance = random.Random(count)
    middle = range(count // 3, count * 2 // 3 + 1)
    nodes, bad, models = Nodes(), {*chance.sample(middle, min(failing, len(middle)))}, []
    for row in range(count):
        kind = kind_of(row, count, models, chance)
        near = models[-max(12, count // 12) :]
        most = 0 if kind == "seed" else 1 if kind == "test" else 3
        parents = chance.sample(near, min(len(near), most and chance.randint(1, most)))
        status = outcome_of(nodes, row, kind, parents, bad, chance)
        usual = -0.4 if kind == "test" else 1.0
        seconds = 0.0 if status == "skipped" else round(chance.lognormvariate(usual, 1.1), 3)
        rows = chance.randint(0, 10**6) if kind == "model" and status == "success" else None
        unique_id = id_of(row, kind, parents, nodes, bad, chance)
        nodes.add(unique_id, status, parents, seconds=seconds, rows=rows)
        if kind != "test":
            models.append(row)
    nodes.run(threads)
    return nodes


def kind_of(row, count, models, chance):
    """Return what a node is: there are seeds first, and nothing is tested before it is made."""
    if row < min(8, count // 20):
        return "seed"
    return chance.choice(("model", "model", "test", "test", "test")) if models else "model"


def outcome_of(nodes, row, kind, parents, bad, chance):
    """Return how a node ends."""
    if any(nodes.status[parent] in {"error", "skipped"} for parent in parents):
        return "skipped"
    if row in bad:
        return "fail" if kind == "test" else "error"
    if kind == "test":
        return "warn" if chance.random() < 0.01 else "pass"
    return "success"


def id_of(row, kind, parents, nodes, bad, chance):
    """Return a name that a person might have given a node."""
    subject = SUBJECTS[row % len(SUBJECTS)]
    if kind == "test":
        tested = nodes.unique_id[parents[0]].split(".")[-1]
        check = chance.choice(("not_null", "unique", "relationships", "accepted_values"))
        return f"test.ferry_line.{check}_{tested}_{subject[:-1]}_id.{row:010x}"
    if row in bad and "model.ferry_line.port_dues" not in nodes.unique_id:
        return "model.ferry_line.port_dues"
    aspect = chance.choice(ASPECTS)
    return f"{kind}.ferry_line.{'raw' if kind == 'seed' else chance.choice(LAYERS)}_{subject}_{aspect}_{row}"


def make_answer(case, count):
    """Return what is stored of a run, as the first route tells it."""
    if case == "foreign":
        tasks = [("nightly_build", -1, "success"), ("refresh", 0, "failed"), ("refresh", 1, "running")]
        others = [
            {"task_id": task, "map_index": at, "state": state, "url": f"#{task}"} for task, at, state in tasks
        ]
        return {"version": 1, "is_ours": False, "task": {"state": "success"}, "others": others}
    if case == "nothing":
        return {"version": 1, "is_ours": True, "task": {"state": "failed"}, "run": None}
    nodes = make_nodes(count, failing=7 if case == "failed" else 0)
    mend(case, nodes)
    ended = datetime(2026, 11, 23, 4, 0, 12, tzinfo=UTC)
    return {
        "version": 1,
        "is_ours": True,
        "task": {"state": "failed" if case == "failed" else "success", "try_number": 2},
        "run": make_run(nodes, ended, "Error" if "error" in nodes.status else "Success"),
        "nodes": pack({"version": 1, "total": count, "nodes": vars(nodes)}),
        "failures": pack({"version": 1, "failures": dict(failures_of(nodes))}),
        "history": make_history(nodes, ended),
        "notes": [],
    }


def mend(case, nodes):
    """Make nodes odd in the way that a case is about."""
    if case == "nulls":
        nodes.start = [None] * len(nodes.start)
        nodes.seconds = [None] * len(nodes.seconds)
    if case == "script":
        nodes.unique_id[0], nodes.status[0] = SCRIPT, "error"
    if case == "orphans":
        nodes.parents = None


def failures_of(nodes):
    """Yield what is stored of each node that failed."""
    for unique_id, status in zip(nodes.unique_id, nodes.status, strict=True):
        if status in {"error", "fail"}:
            name = unique_id.split(".")[2]
            message = MESSAGE.replace("port_dues", name) if status == "error" else TESTED
            yield unique_id, {"message": message, "code": CODE, "relation": f'"ferry"."analytics"."{name}"'}


def make_run(nodes, started, status):
    """Return the summary of a run."""
    timed = [taken for taken in nodes.seconds if taken is not None]
    seconds = round(nodes.end + 9, 1) if timed else 61.0
    commands = ("dbt deps", "dbt source freshness", "dbt build --exclude tag:weekly")
    names = ["Clone git repository", "Create profile from connection Ferry warehouse"]
    names += [f"Invoke dbt with `{command}`" for command in commands]
    spans = [1.4, 0.3, 4.1, 6.0, max(1.0, seconds - 12)]
    failures = dict(failures_of(nodes))
    return {
        "version": 1,
        "run_id": 70403105551234,
        "job_id": 70403100000001,
        "environment_id": 70403100000101,
        "url": "https://ab123.us1.dbt.com/deploy/70403103922125/projects/70403100000301/runs/70403105551234/",
        "status": status,
        "status_message": "" if status == "Success" else "The command `dbt build` failed.",
        "cause": f"{CAUSE} [airflow:0123456789abcdef:1.0.2]",
        "created_at": (started - timedelta(seconds=8)).isoformat(),
        "started_at": started.isoformat(),
        "finished_at": (started + timedelta(seconds=seconds)).isoformat(),
        "duration": seconds,
        "git_branch": "main",
        "git_sha": "8d1f0c2b7a5e4f3d9c6b",
        "dbt_version": "1.11.16",
        "nodes": {word: nodes.status.count(word) for word in sorted(set(nodes.status))},
        "failed_count": len(failures),
        "steps": [
            {
                "index": index,
                "name": name,
                "status": status if index == len(names) else "Success",
                "seconds": taken,
            }
            for index, (name, taken) in enumerate(zip(names, spans, strict=True), 1)
        ],
        "failed": [
            {"unique_id": key, "status": nodes.status[nodes.unique_id.index(key)], "message": told["message"]}
            for key, told in failures.items()
        ],
        "slowest": [],
    }


def make_history(nodes, ended):
    """Return 18 earlier runs; the two nodes that took longest in this one were quicker in those."""
    chance = random.Random(18)
    timed = [row for row, taken in enumerate(nodes.seconds) if taken]
    slowest = sorted(timed, key=lambda row: -nodes.seconds[row])[:20]
    history = []
    for back in range(1, 19):
        usual = {nodes.unique_id[row]: nodes.seconds[row] * chance.uniform(0.9, 1.1) for row in slowest}
        for unique_id in list(usual)[:2]:
            usual[unique_id] /= 3.2 if unique_id == next(iter(usual)) else 1.9
        status = "Error" if back in {4, 5} else "Success"
        history.append(
            {
                "dag_run_id": f"scheduled__{ended - timedelta(days=back):%FT%T}+00:00",
                "map_index": -1,
                "try_number": 1,
                "url": f"#back-{back}",
                "status": status,
                "started_at": (ended - timedelta(days=back)).isoformat(),
                "duration": (nodes.end or 60)
                * chance.uniform(0.75, 0.95)
                * (0.4 if status == "Error" else 1),
                "slowest": [{"unique_id": key, "seconds": round(taken, 2)} for key, taken in usual.items()],
            }
        )
    return history


def make_live(count, began, now):
    """Return what the second route tells of a run that began a while ago."""
    nodes, elapsed = make_nodes(count, failing=2), (now - began).total_seconds() + 40
    started = now - timedelta(seconds=elapsed)
    status = "Error" if elapsed > nodes.end + 9 else "Running"
    clone = {"index": 1, "name": "Clone git repository", "status": "Success", "seconds": 4.2}
    build = {"index": 2, "name": "Invoke dbt with `dbt build`", "status": status, "seconds": None}
    steps = [
        {**clone, "started_at": started.isoformat()},
        {**build, "started_at": (started + timedelta(seconds=11)).isoformat()},
    ]
    run = {"run_id": 70403105551234, "url": "https://ab123.us1.dbt.com/", "cause": CAUSE, "status": status}
    times = {"created_at": started.isoformat(), "started_at": started.isoformat()}
    return {
        "version": 1,
        "run": {**run, **times, "steps": steps},
        "seen_at": now.isoformat(),
        "is_stale": False,
        "console": "\n".join(console_of(nodes, started, elapsed)),
        "message": "",
    }


def console_of(nodes, started, elapsed):
    """Return dbt's lines so far, in the order of their times."""
    count = len(nodes.unique_id)
    lines = [(11.0, "Running with dbt=1.11.16"), (11.5, f"Found {count} nodes")]
    for row, (unique_id, start) in enumerate(zip(nodes.unique_id, nodes.start, strict=True)):
        if start is None:
            continue
        kind, _, name, *_ = unique_id.split(".")
        subject, number, taken = VERBS[kind] + name, f"{row + 1} of {count}", nodes.seconds[row]
        word = WORDS.get(nodes.status[row]) or ENDS[kind]
        lines.append((start, f"{number} START {subject} ".ljust(80, ".") + " [RUN]"))
        said = f"{number} {word}{subject if kind != 'test' else name} ".ljust(80, ".")
        lines.append((start + taken, f"{said} [\x1b[32m{word.split(maxsplit=1)[0]}\x1b[0m in {taken:.2f}s]"))
    return [f"{started + timedelta(seconds=at):%T}  {line}" for at, line in sorted(lines) if at <= elapsed]


def make_going(count, began, now):
    """Return what is stored of a run that goes."""
    live = make_live(count, began, now)
    run = live["run"]
    if run["status"] != "Running":
        return make_answer("failed", count)
    return {
        "version": 1,
        "is_ours": True,
        "task": {"state": "deferred", "try_number": 1},
        "run": {"run_id": run["run_id"], "url": run["url"]},
        "history": make_history(make_nodes(count), now),
    }


def pack(value):
    """Pack JSON as the task does."""
    return base64.b64encode(zlib.compress(json.dumps(value).encode())).decode()
