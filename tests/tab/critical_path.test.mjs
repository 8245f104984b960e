import assert from "node:assert/strict";
import { test } from "node:test";

import { findCriticalPath, secondsOf } from "../../airflow_dbt_cloud/tab/static/critical_path.js";
import { makeNodes } from "../../airflow_dbt_cloud/tab/static/nodes.js";

const nodesOf = (bars, parents) =>
  makeNodes({
    ids: bars.map((_, row) => `model.a.n${row}`),
    statuses: bars.map(() => "success"),
    starts: bars.map(([start]) => start),
    seconds: bars.map(([, taken]) => taken),
    parents,
  });

test("The path goes back from what ended last, always to the parent that ended last.", () => {
  const bars = [
    [0, 2],
    [0, 5],
    [5, 1],
    [2, 9],
    [6, 6],
  ];
  const nodes = nodesOf(bars, [[], [], [0, 1], [0], [2]]);
  assert.deepEqual(findCriticalPath(nodes), [1, 2, 4]);
  assert.equal(secondsOf(nodes, [1, 2, 4]), 12);
});

test("Without parents there is no path.", () => {
  assert.deepEqual(findCriticalPath(nodesOf([[0, 1]], null)), []);
  assert.deepEqual(
    findCriticalPath(
      nodesOf(
        [
          [0, 1],
          [0, 2],
        ],
        [[], []],
      ),
    ),
    [],
  );
  assert.deepEqual(findCriticalPath(nodesOf([], [])), []);
});

test("Circles, parents without times and those that began later are passed over.", () => {
  assert.deepEqual(
    findCriticalPath(
      nodesOf(
        [
          [1, 1],
          [1, 2],
        ],
        [[1], [0]],
      ),
    ),
    [],
  );
  assert.deepEqual(
    findCriticalPath(
      nodesOf(
        [
          [null, null],
          [0, 1],
          [5, 1],
          [2, 2],
        ],
        [[], [], [], [0, 1, 2, 3]],
      ),
    ),
    [],
  );
  assert.deepEqual(
    findCriticalPath(
      nodesOf(
        [
          [null, null],
          [0, 1],
          [2, 9],
        ],
        [[], [], [0, 1, 2]],
      ),
    ),
    [1, 2],
  );
});

test("The path of 20,000 nodes in a chain is found at once.", () => {
  const bars = Array.from({ length: 20_000 }, (_, row) => [row, 1]);
  assert.equal(
    findCriticalPath(
      nodesOf(
        bars,
        bars.map((_, row) => (row ? [row - 1] : [])),
      ),
    ).length,
    20_000,
  );
});
