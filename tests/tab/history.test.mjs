import assert from "node:assert/strict";
import { test } from "node:test";

import { findSlow, runsBefore, usualDuration } from "../../airflow_dbt_cloud/tab/static/history.js";
import { readNodes } from "../../airflow_dbt_cloud/tab/static/nodes.js";

const run = (seconds, slowest = {}, status = "Success") => ({
  status,
  seconds,
  slowest: Object.entries(slowest).map(([id, taken]) => ({ id, seconds: taken })),
});
const nodesOf = (seconds) =>
  readNodes({
    nodes: {
      unique_id: Object.keys(seconds),
      status: Object.keys(seconds).map(() => "success"),
      seconds: Object.values(seconds),
    },
  });

test("The run that is looked at is none of the earlier ones; they begin with the oldest.", () => {
  const entry = (dagRunId, mapIndex, tryNumber) => ({ dagRunId, mapIndex, tryNumber });
  const history = [entry("b", 0, 2), entry("b", 0, 1), entry("b", 1, 2), entry("a", 0, 1)];
  assert.deepEqual(runsBefore(history, { runId: "b", mapIndex: 0, tryNumber: 2 }), [
    history[3],
    history[2],
    history[1],
  ]);
});

test("A run usually takes the median of those that succeeded.", () => {
  assert.equal(usualDuration([run(10), run(30), run(20), run(1, {}, "Error"), run(null)]), 20);
  assert.equal(usualDuration([run(10), run(20)]), 15);
  assert.equal(usualDuration([run(5, {}, "Cancelled")]), null);
});

test("A node that takes far longer than usual grew slow.", () => {
  const slow = findSlow(nodesOf({ a: 36, b: 12 }), [
    run(1, { a: 10, b: 10 }),
    run(1, { a: 12, b: 11 }),
    run(1, { a: 14 }),
  ]);
  assert.deepEqual([...slow], [[0, { usual: 12, factor: 3 }]]);
});

test("One run makes nothing usual, a second more nothing slow.", () => {
  assert.equal(findSlow(nodesOf({ a: 36 }), [run(1, { a: 1 })]).size, 0);
  assert.equal(findSlow(nodesOf({ a: 0.9 }), [run(1, { a: 0.1 }), run(1, { a: 0.1 })]).size, 0);
  assert.equal(findSlow(nodesOf({ a: 36 }), [run(1, { a: null }), run(1, { a: null })]).size, 0);
});
