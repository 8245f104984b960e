import assert from "node:assert/strict";
import { test } from "node:test";

import { readNodes } from "../../airflow_dbt_cloud/tab/static/nodes.js";
import {
  ATTENTION,
  countWords,
  EVERYTHING,
  nextOrder,
  pick,
  sortRows,
  windowOf,
} from "../../airflow_dbt_cloud/tab/static/rows.js";

const NODES = readNodes({
  nodes: {
    unique_id: ["model.ferry.stg_ports", "test.ferry.unique_ports", "model.ferry.Dues", "seed.ferry.fares"],
    status: ["success", "fail", "error", "skipped"],
    seconds: [3, 1, 2, null],
    rows: [10, null, 2, 0],
  },
});
const ALL = [0, 1, 2, 3];

test("A node must pass every filter, and be one of those that a filter names.", () => {
  assert.deepEqual(pick(NODES, EVERYTHING), ALL);
  assert.deepEqual(pick(NODES, { ...EVERYTHING, types: new Set(["model", "seed"]) }), [0, 2, 3]);
  assert.deepEqual(
    pick(NODES, { ...EVERYTHING, types: new Set(["model"]), statuses: new Set(["error", "fail"]) }),
    [2],
  );
  assert.deepEqual(pick(NODES, { ...EVERYTHING, isOnPath: true }, [3, 0]), [3, 0]);
});

test("A search finds all its words anywhere in the unique id, whatever their case.", () => {
  assert.deepEqual(pick(NODES, { ...EVERYTHING, words: " PORTS  ferry" }), [0, 1]);
  assert.deepEqual(pick(NODES, { ...EVERYTHING, words: "dues" }), [2]);
  assert.deepEqual(pick(NODES, { ...EVERYTHING, words: "(" }), []);
});

test("What failed comes first, then what took long.", () => {
  assert.deepEqual(sortRows(NODES, ALL, ATTENTION), [2, 1, 0, 3]);
});

test("Each column sorts both ways, and what is not known comes last both times.", () => {
  const sorted = (key, isDescending) =>
    sortRows(
      NODES,
      ALL,
      { key, isDescending },
      new Map([
        [1, { factor: 2 }],
        [2, { factor: 3 }],
      ]),
    );
  assert.deepEqual(sorted("name", false), [2, 3, 0, 1]);
  assert.deepEqual(sorted("type", true), [1, 3, 0, 2]);
  assert.deepEqual(sorted("seconds", true), [0, 2, 1, 3]);
  assert.deepEqual(sorted("seconds", false), [1, 2, 0, 3]);
  assert.deepEqual(sorted("rows", true), [0, 2, 3, 1]);
  assert.deepEqual(sorted("factor", true).slice(0, 2), [2, 1]);
});

test("A second click on a column's head turns its order round; numbers begin with the largest.", () => {
  assert.deepEqual(nextOrder(ATTENTION, "seconds"), { key: "seconds", isDescending: true });
  assert.deepEqual(nextOrder({ key: "seconds", isDescending: true }, "seconds"), {
    key: "seconds",
    isDescending: false,
  });
  assert.deepEqual(nextOrder(ATTENTION, "name"), { key: "name", isDescending: false });
});

test("What is filtered by is listed also when no row is like that any more.", () => {
  assert.deepEqual(countWords(["a"], new Set(["running"])), [
    ["a", 1],
    ["running", 0],
  ]);
  assert.deepEqual(pick(NODES, { ...EVERYTHING, isOnPath: true }, []), ALL);
});

test("Words are counted, most first.", () => {
  assert.deepEqual(countWords(["b", "a", "c", "c"]), [
    ["c", 2],
    ["a", 1],
    ["b", 1],
  ]);
});

test("Rows in view are drawn, half as many again above and below, and no others.", () => {
  const windowAt = (top, count = 5000) => {
    const { first, last, size } = windowOf({ top, height: 300, rowHeight: 30, count });
    assert.equal(size, 32);
    return [first, last];
  };
  assert.deepEqual(windowAt(0), [0, 24]);
  assert.deepEqual(windowAt(-30_000), [992, 1024]);
  assert.deepEqual(windowAt(-149_700), [4984, 5000]);
  assert.deepEqual(windowAt(900), [0, 0]);
  assert.deepEqual(windowAt(-9e9), [5000, 5000]);
  assert.deepEqual(windowAt(0, 0), [0, 0]);
  for (let top = 400; top > -3000; top -= 7) {
    const [first, last] = windowAt(top);
    assert.ok(first * 30 + top <= 0 || first === 0, `${top}`);
    assert.ok(last * 30 + top >= 300 || top > 300, `${top}`);
  }
});
