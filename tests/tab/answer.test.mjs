import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";

import { readAnswer, readLive } from "../../airflow_dbt_cloud/tab/static/answer.js";
import { address } from "../../airflow_dbt_cloud/tab/static/fields.js";
import { gist, makePicture } from "../../airflow_dbt_cloud/tab/static/picture.js";

const pack = (value) => deflateSync(JSON.stringify(value)).toString("base64");
const ANSWER = {
  version: 1,
  is_ours: true,
  task: { state: "failed", try_number: 2 },
  run: {
    run_id: 70403105551234,
    url: "https://ab123.us1.dbt.com/runs/1",
    status: "Error",
    cause: "by Airflow [airflow:0123456789abcdef:1.0.2]",
    started_at: "2026-11-23T04:00:00Z",
    duration: 61.5,
    counts: { success: 1, error: 1 },
    failed: [{ unique_id: "model.a.b", status: "error" }],
    steps: [{ index: 1, name: "Clone git repository", status: "Success", seconds: 1.5 }],
  },
  nodes: pack({
    version: 1,
    nodes: { unique_id: ["model.a.b"], status: ["error"], start: [1], seconds: [2] },
  }),
  failures: pack({
    version: 1,
    failures: { "model.a.b": { message: "Database Error in model b\n  no such column", code: "select 1" } },
  }),
  history: [{ dag_run_id: "r1", status: "Success", duration: 60 }],
};

test("What is stored of a run is read, without the mark that tells Airflow's runs.", async () => {
  const { run, nodes, failures, notes } = await readAnswer(ANSWER);
  assert.equal(run.id, "70403105551234");
  assert.equal(run.cause, "by Airflow");
  assert.equal(run.startedAt, Date.UTC(2026, 10, 23, 4));
  assert.deepEqual(run.counts, [
    ["success", 1],
    ["error", 1],
  ]);
  assert.equal(nodes.count, 1);
  assert.equal(failures.get("model.a.b").code, "select 1");
  assert.deepEqual(notes, []);
});

test("Whatever is missing or odd makes a poorer picture, never an error.", async () => {
  const odd = [3, "x", null, [], {}, true];
  for (const value of odd)
    assert.ok(makePicture({ answer: await readAnswer(value), live: readLive(value) }));
  for (const key of Object.keys(ANSWER)) {
    for (const value of odd)
      assert.ok(makePicture({ answer: await readAnswer({ ...ANSWER, [key]: value }), live: null }), key);
  }
  for (const key of Object.keys(ANSWER.run)) {
    for (const value of odd) {
      const answer = await readAnswer({ ...ANSWER, run: { ...ANSWER.run, [key]: value } });
      assert.ok(makePicture({ answer, live: null }), key);
    }
  }
});

test("Of the latest earlier runs all nodes are known, of the others the slowest.", async () => {
  const slowest = [{ unique_id: "model.a.b", seconds: 60 }];
  const nodes = { unique_id: ["model.a.b", "model.a.c"], status: ["success", "success"], seconds: [60, 2] };
  const { history } = await readAnswer({
    ...ANSWER,
    history: [{ slowest, nodes: pack({ version: 1, nodes }) }, { slowest }, { slowest, nodes: "?" }],
  });
  const known = history.map(({ taken }) => Object.fromEntries(taken));
  const few = { "model.a.b": 60 };
  assert.deepEqual(known, [{ "model.a.b": 60, "model.a.c": 2 }, few, few]);
});

test("Nodes that cannot be unpacked are told of.", async () => {
  const { nodes, notes } = await readAnswer({ ...ANSWER, nodes: "?" });
  assert.equal(nodes, null);
  assert.match(notes[0], /^The nodes cannot be read: /);
});

test("A page that is older than the server says so.", async () => {
  assert.match((await readAnswer({ ...ANSWER, version: 2 })).notes[0], /load it again/);
});

test("Only pages are addresses, no scripts.", () => {
  assert.equal(address("https://ab123.us1.dbt.com/runs/1"), "https://ab123.us1.dbt.com/runs/1");
  assert.equal(address("/dags/a", "https://airflow.example/x/"), "https://airflow.example/dags/a");
  for (const odd of [
    "javascript:alert(1)",
    " JavaScript:alert(1)",
    "data:text/html,x",
    "",
    null,
    3,
    "http://[",
  ]) {
    assert.equal(address(odd, undefined), "", String(odd));
  }
});

test("While a run goes, what is seen now is shown of it, and its nodes by its console.", async () => {
  const answer = await readAnswer({
    ...ANSWER,
    task: { state: "deferred" },
    run: { ...ANSWER.run, status: "Running", steps: [], failed: [] },
    nodes: null,
  });
  const live = readLive({
    run: {
      status: "Running",
      created_at: "2026-11-23T03:59:55Z",
      started_at: "2026-11-23T04:00:00Z",
      steps: [{ index: 1, name: "Invoke dbt", status: "Running", started_at: "2026-11-23T04:00:10Z" }],
    },
    seen_at: "2026-11-23T04:00:20Z",
    console: "04:00:12  1 of 9 START test c .... [RUN]",
  });
  const { run, nodes } = makePicture({ answer, live });
  assert.equal(run.seconds, 25);
  assert.equal(run.steps.length, 1);
  assert.deepEqual([nodes.total, [...nodes.starts], [...nodes.seconds]], [9, [12], [8]]);
});

test("What failed is told by the run, else by its nodes.", async () => {
  const answer = await readAnswer({ ...ANSWER, run: { ...ANSWER.run, failed: [] } });
  assert.deepEqual(makePicture({ answer, live: null }).failed, [
    { id: "model.a.b", status: "error", message: "Database Error in model b\n  no such column" },
  ]);
});

test("The gist of a message is the line below its heading.", () => {
  assert.equal(
    gist("Database Error in model b (models/b.sql)\n\n  no such column\n  LINE 1"),
    "no such column",
  );
  assert.equal(gist("Got 3 results"), "Got 3 results");
  assert.equal(gist("Runtime Error"), "Runtime Error");
  assert.equal(gist(""), "");
});
