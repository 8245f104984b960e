import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";

import { makeNodes, nameOf, readNodes, rowOf, unpack } from "../../airflow_dbt_cloud/tab/static/nodes.js";

const pack = (value) => deflateSync(JSON.stringify(value)).toString("base64");

test("What the task packed is read again, letters of all kinds included.", async () => {
  const value = { nodes: { unique_id: ["model.ferry.ørnes_🛳"] } };
  assert.deepEqual(await unpack(pack(value)), value);
});

test("What was not packed like that is refused.", async () => {
  await assert.rejects(unpack("?"));
  await assert.rejects(unpack(Buffer.from("no zlib").toString("base64")));
  await assert.rejects(unpack(deflateSync("no JSON").toString("base64")), SyntaxError);
});

test("A stored bomb is not unpacked.", async () => {
  await assert.rejects(unpack(deflateSync(Buffer.alloc(65 * 2 ** 20, " ")).toString("base64")), RangeError);
});

test("Nodes are read column by column.", () => {
  const columns = {
    unique_id: ["seed.ferry.ports", "model.ferry.berths"],
    status: ["success", "ERROR"],
    start: [1, 2.5],
    seconds: [1.5, 3],
    thread: ["Thread-1", "Thread-2"],
    rows: [7, null],
    step: [4, 4],
    parents: [[], [0]],
  };
  const nodes = readNodes({ version: 1, total: 3, nodes: columns });
  assert.equal(nodes.total, 3);
  assert.equal(nodes.count, 2);
  assert.deepEqual(nodes.names, ["ports", "berths"]);
  assert.deepEqual(nodes.types, ["seed", "model"]);
  assert.deepEqual(nodes.kinds, ["ok", "failed"]);
  assert.deepEqual([...nodes.starts], [1, 2.5]);
  assert.deepEqual(nodes.rows, [7, null]);
  assert.deepEqual(nodes.parents, [[], [0]]);
});

test("Columns that are missing, short or odd leave nodes that say less.", () => {
  for (const json of [null, [], {}, { nodes: 3 }, { nodes: { unique_id: "x" } }])
    assert.equal(readNodes(json).count, 0);
  const nodes = readNodes({
    nodes: { unique_id: ["model.a.b", 5], status: [null], start: ["x", null], parents: [[9, -1, "0"]] },
  });
  assert.deepEqual(nodes.ids, ["model.a.b", "5"]);
  assert.deepEqual(nodes.kinds, ["idle", "idle"]);
  assert.ok([...nodes.starts, ...nodes.seconds].every(Number.isNaN));
  assert.equal(nodes.parents, null);
});

test("A status that dbt may invent counts as failed, an error of any kind too.", () => {
  const kinds = (statuses) =>
    makeNodes({ ids: statuses, statuses, starts: statuses.map(() => null), seconds: [] }).kinds;
  assert.deepEqual(kinds(["runtime error", "partial success", "fail", "exploded"]), Array(4).fill("failed"));
  assert.deepEqual(kinds(["pass", "warn", "no-op", "skipped", "constructor"]), [
    "ok",
    "warned",
    "idle",
    "skipped",
    "failed",
  ]);
});

test("A node is called by what follows its project, a test without what tells it apart.", () => {
  assert.equal(nameOf("model.ferry.port_dues.v2"), "port_dues.v2");
  assert.equal(nameOf("test.ferry.unique_berths_berth.0123456789"), "unique_berths_berth");
  assert.equal(nameOf("model.ferry.0123456789"), "0123456789");
  assert.equal(nameOf("odd"), "odd");
});

test("Of a node that several steps ran the row that failed is found.", () => {
  const nodes = readNodes({ nodes: { unique_id: ["model.a.b", "model.a.b"], status: ["success", "error"] } });
  assert.equal(rowOf(nodes, "model.a.b"), 1);
  assert.equal(rowOf(nodes, "model.a.c"), -1);
  assert.equal(rowOf(null, "model.a.b"), -1);
});
