import assert from "node:assert/strict";
import { test } from "node:test";

import { assignLanes, findBar } from "../../airflow_dbt_cloud/tab/static/lanes.js";
import { makeNodes } from "../../airflow_dbt_cloud/tab/static/nodes.js";

const nodesOf = (bars) =>
  makeNodes({
    ids: bars.map((_, row) => `model.a.n${row}`),
    statuses: bars.map(() => "success"),
    starts: bars.map(([start]) => start),
    seconds: bars.map(([, taken]) => taken),
    threads: bars.map(([, , thread = ""]) => thread),
  });

test("Each thread has a lane, in the order of their numbers.", () => {
  const lanes = assignLanes(
    nodesOf([
      [0, 1, "Thread-10 (worker)"],
      [0, 1, "Thread-2 (worker)"],
      [1, 1, "Thread-2 (worker)"],
    ]),
  );
  assert.deepEqual(lanes.labels, ["2", "10"]);
  assert.deepEqual([...lanes.of], [1, 0, 0]);
  assert.deepEqual(lanes.rows, [[1, 2], [0]]);
});

test("Without threads a node takes the first lane that is free.", () => {
  const lanes = assignLanes(
    nodesOf([
      [0, 5],
      [1, 1],
      [2, 1],
      [2.5, 1],
      [5, 1],
    ]),
  );
  assert.deepEqual([...lanes.of], [0, 1, 1, 2, 0]);
  assert.deepEqual(lanes.labels, ["1", "2", "3"]);
});

test("Nodes without a start have no bar.", () => {
  const lanes = assignLanes(
    nodesOf([
      [null, 1],
      [0, 1],
    ]),
  );
  assert.deepEqual([...lanes.of], [-1, 0]);
  assert.deepEqual(assignLanes(nodesOf([])).labels, []);
  assert.deepEqual(assignLanes(nodesOf([[null, null]])).labels, []);
});

test("A thread for each node is no thread, and lanes do not grow without end.", () => {
  const lanes = assignLanes(
    nodesOf(Array.from({ length: 500 }, (_, row) => [row % 2, 400, `worker ${row}`])),
  );
  assert.equal(lanes.labels.length, 128);
  assert.equal(lanes.rows.flat().length, 500);
});

test("The bar that is pointed at is found, or the nearest within some slack.", () => {
  const nodes = nodesOf([
      [0, 1],
      [2, 1],
      [10, 0],
    ]),
    rows = [0, 1, 2];
  assert.equal(findBar(nodes, rows, 0.5), 0);
  assert.equal(findBar(nodes, rows, 2), 1);
  assert.equal(findBar(nodes, rows, 1.5), -1);
  assert.equal(findBar(nodes, rows, 9.9, 0.2), 2);
  assert.equal(findBar(nodes, rows, 1.9, 0.2), 1);
  assert.equal(findBar(nodes, [], 1), -1);
});

test("A long bar is found below short ones that came later.", () => {
  assert.equal(
    findBar(
      nodesOf([
        [0, 100],
        [1, 1],
        [3, 1],
      ]),
      [0, 1, 2],
      50,
    ),
    0,
  );
});
