import assert from "node:assert/strict";
import { test } from "node:test";

import { plain, readProgress } from "../../airflow_dbt_cloud/tab/static/progress.js";

const at = (time, day = "2026-11-23") => Date.parse(`${day}T${time}Z`);
const column = (lines, name) => readProgress(lines.join("\n"))[name];

test("Every word that dbt has for the end of a node is understood, coloured or not.", () => {
  const said = [
    ["OK created sql view model analytics.stg_ports ... [OK in 0.10s]", "success", "model.stg_ports"],
    ["PASS unique_id ... [\x1b[32mPASS\x1b[0m in 0.29s]\r", "pass", "unique_id"],
    ["OK loaded seed file a.fares ... [INSERT 7 in 0.62s]", "success", "seed.fares"],
    ["WARN 7 not_null_id ... [WARN 7 in 0.05s]", "warn", "not_null_id"],
    ["SKIP relation analytics.route_margin ... [SKIP]", "skipped", "route_margin"],
    ["SKIP relation a.b due to ephemeral model error [ERROR SKIP]", "skipped", "b"],
    ["NO-OP exposure briefing ... [NO-OP in 0.00s]", "no-op", "exposure.briefing"],
    ["REUSED model of_tomorrow ... [REUSED]", "reused", "model.of_tomorrow"],
    ["ERROR creating sql table model a.dues ... [ERROR in 0.1s]", "error", "model.dues"],
    ["FAIL 3 unique_id ... [FAIL 3 in 0.02s]", "fail", "unique_id"],
    ["PASS freshness of landing.sailings ... [PASS in 0.01s]", "pass", "freshness.landing.sailings"],
    ["PARTIALLY created sql model a.b ... [PARTIAL SUCCESS (2/3) in 1.1s]", "partial success", "model.b"],
  ];
  for (const [line, status, id] of said) {
    const nodes = readProgress(`\x1b[0m12:00:01  3 of 21 ${line}`);
    assert.deepEqual([nodes.statuses, nodes.ids, nodes.total], [[status], [id], 21], line);
  }
});

test("Lines that are not about a node tell nothing.", () => {
  const lines = [
    "",
    "12:00:01  Found 18 models, 58 data tests",
    "12:00:01  1 of 2 START hook: ferry.on-run-start.0 ... [RUN]",
    "12:00:01  0 of 21 OK created nothing ... [OK]",
    "12:00:01  22 of 21 OK created too much ... [OK]",
    "12:00:01  1 of 3 files loaded by a macro [OK]",
    "12:00:01  Batch 1 of 3 OK created batch of a.b ... [OK in 0.1s]",
    " of ".repeat(10_000),
    `1 of 3 OK ${"[".repeat(100_000)}`,
  ];
  for (const line of lines) assert.equal(readProgress(line).count, 0, line.slice(0, 80));
});

test("A node that has begun is running until it says otherwise, for as long as is known.", () => {
  const lines = [
    "12:00:01  1 of 2 START sql table model a.b .... [RUN]",
    "12:00:09  2 of 2 START test c .... [RUN]",
  ];
  assert.deepEqual(column(lines, "kinds"), ["running", "running"]);
  assert.deepEqual([...column(lines, "seconds")], [8, 0]);
  const ended = [...lines, "12:00:10  1 of 2 OK created sql table model a.b .... [OK in 8.50s]"];
  assert.deepEqual(column(ended, "statuses"), ["success", "running"]);
  assert.deepEqual([...column(ended, "seconds")], [8.5, 1]);
});

test("A node takes the first lane that is free when its line comes.", () => {
  const lines = [
    "12:00:00  1 of 4 START test a .... [RUN]",
    "12:00:00  2 of 4 START test b .... [RUN]",
    "12:00:00  1 of 4 PASS a ... [PASS in 0.70s]",
    "12:00:00  3 of 4 START test c .... [RUN]",
    "12:00:03  4 of 4 START test d .... [RUN]",
  ];
  assert.deepEqual(column(lines, "threads"), ["1", "2", "1", "3"]);
  // The third began when the first had ended, within the same second.
  assert.deepEqual([...column(lines, "starts")], [0, 0, 0.7, 3]);
});

test("Starts are counted from the run's start, over midnight, too.", () => {
  const lines = ["23:59:58  1 of 2 START test a .... [RUN]", "00:00:03  2 of 2 START test b .... [RUN]"];
  const when = { runStart: at("23:59:00"), stepStart: at("23:59:50"), now: at("00:00:10", "2026-11-24") };
  const nodes = readProgress(lines.join("\n"), when);
  assert.deepEqual([...nodes.starts], [58, 63]);
  assert.deepEqual([...nodes.seconds], [12, 7]);
});

test("A console that is cut in front is in its place, one of another zone moves to the step's start.", () => {
  const line = "12:30:00  9 of 9 START test a .... [RUN]",
    step = { runStart: at("12:00:00"), stepStart: at("12:00:10") };
  assert.deepEqual([...readProgress(line, { ...step, now: at("12:31:00") }).starts], [1800]);
  assert.deepEqual(
    [...readProgress(line.replace("12:30", "14:00"), { ...step, now: at("12:01:00") }).starts],
    [10],
  );
});

test("A clock that is a bit slow does not move a console by a day.", () => {
  const when = { runStart: at("12:00:00"), stepStart: at("12:00:10"), now: at("12:00:20") };
  assert.deepEqual([...readProgress("12:00:08  1 of 1 START test a .... [RUN]", when).starts], [8]);
});

test("Another command starts over.", () => {
  const nodes = readProgress(
    "1 of 2 OK loaded seed file a.b ... [INSERT 1 in 0.1s]\n1 of 9 START test c .... [RUN]",
  );
  assert.deepEqual([nodes.ids, nodes.total], [["test.c"], 9]);
});

test("A terminal's commands are no text.", () => {
  assert.equal(plain("\x1b[0m\x1b[32mPASS\x1b[0m \x1b]0;title\x07in"), "PASS in");
});
