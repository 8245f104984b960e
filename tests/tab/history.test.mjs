import assert from "node:assert/strict";
import { test } from "node:test";

import { findSlow, usualDuration } from "../../airflow_dbt_cloud/tab/static/history.js";
import { readNodes } from "../../airflow_dbt_cloud/tab/static/nodes.js";

const run = (seconds, taken = {}, status = "Success") => ({
  status,
  seconds,
  taken: new Map(Object.entries(taken)),
});
const nodesOf = (seconds) =>
  readNodes({
    nodes: {
      unique_id: Object.keys(seconds),
      status: Object.keys(seconds).map(() => "success"),
      seconds: Object.values(seconds),
    },
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
