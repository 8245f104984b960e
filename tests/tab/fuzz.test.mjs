/** Whatever the server tells: it is read without an error, in time, and all that is shown is of its kind. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";

import { readAnswer, readLive } from "../../airflow_dbt_cloud/tab/static/answer.js";
import { assignLanes, findBar } from "../../airflow_dbt_cloud/tab/static/lanes.js";
import { readNodes, unpack } from "../../airflow_dbt_cloud/tab/static/nodes.js";
import { gist, makePicture, stepNow } from "../../airflow_dbt_cloud/tab/static/picture.js";
import { plain, readProgress } from "../../airflow_dbt_cloud/tab/static/progress.js";
import { ATTENTION, EVERYTHING, pick, sortRows } from "../../airflow_dbt_cloud/tab/static/rows.js";

const ROUNDS = Number(process.env.FUZZ ?? 0) || 1500;
const SEED = process.env.FUZZ ? Date.now() % 2 ** 32 : 7;
const IDS = { dagId: "ferry", runId: "r2", taskId: "build", mapIndex: "3" };
const pack = (value) => deflateSync(JSON.stringify(value)).toString("base64");

const NODES = {
  version: 1, total: 3, origin: "2026-11-23T04:00:00Z",
  nodes: {
    unique_id: ["seed.a.b", "model.a.c", "test.a.d.0123456789"], status: ["success", "error", "skipped"],
    start: [1, 2.5, null], seconds: [1.5, 3, 0], thread: ["Thread-1", "Thread-2 (worker)", ""],
    rows: [7, null, null], step: [4, 4, 4], parents: [[], [0], [1]],
  },
};
const FAILURE = { message: "Database Error\n  no", code: "x", relation: "y" };
const FAILURES = { version: 1, failures: { "model.a.c": FAILURE } };
const STEP = { index: 4, name: "Invoke dbt", status: "Running", started_at: "2026-11-23T04:00:10Z", seconds: 2 };
const ANSWER = {
  version: 1, is_ours: true, task: { state: "failed", try_number: 2 },
  run: {
    run_id: 70403105551234, url: "https://ab123.us1.dbt.com/runs/1", status: "Error", status_message: "no",
    cause: "by Airflow [airflow:0123456789abcdef:1.0.2]", created_at: "2026-11-23T04:00:00Z",
    started_at: "2026-11-23T04:00:01Z", finished_at: null, duration: 61.5, nodes: { success: 1, error: 1 },
    failed_count: 1, failed: [{ unique_id: "model.a.c", status: "error", message: "no" }], steps: [STEP],
  },
  nodes: null, failures: null,
  history: [{ dag_run_id: "r1", map_index: 3, try_number: 1, url: "/dags/x", status: "Success", duration: 60,
    started_at: "2026-11-22T04:00:00Z", slowest: [{ unique_id: "model.a.c", seconds: 1 }] }],
  others: [{ task_id: "x", map_index: -1, state: "success", url: "/dags/y" }], notes: ["a note"],
};
const CONSOLE = `04:00:11  1 of 3 START sql table model a.c .. [RUN]
04:00:12  1 of 3 ERROR creating sql table model a.c .. [ERROR in 0.1s]
`;
const LIVE = {
  version: 1, run: { ...ANSWER.run, status: "Running", blocked_by: [7] }, seen_at: "2026-11-23T04:00:20Z",
  is_stale: false, console: CONSOLE, message: "",
};

const ODD = [
  null, true, false, 0, -1, 0.5, 1e308, -1e308, 2 ** 53, 9e15, "", " ", "\0", "\ud800", "é🚢", "\x1b[31m", "<script>",
  "javascript:alert(1)", "__proto__", "constructor", "toString", "NaN", "9".repeat(400), "x".repeat(3000),
  " ".repeat(3000), "2026-99-99", "+275760-09-13T00:00:00Z", "-271821-04-20", "Success", "failed", [], {}, [[]],
  [null], [{}], { a: [1] },
  JSON.parse('{"__proto__": {"x": 1}, "constructor": 3}'), "1 of 9 OK created model x .... [OK in 9s]",
];

// A small generator of numbers (mulberry32), so that what fails can be seen again.
function makeRandom(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { below: (count) => Math.floor(next() * count), of: (values) => values[Math.floor(next() * values.length)] };
}

function mutate(random, sample) {
  const root = { value: structuredClone(sample) };
  for (let left = 1 + random.below(6); left > 0; left--) {
    let place = root, key = "value";
    while (typeof place[key] === "object" && place[key] !== null && random.below(5)) {
      const keys = Object.keys(place[key]);
      if (!keys.length) break;
      [place, key] = [place[key], random.of(keys)];
    }
    const action = random.below(5);
    const odd = structuredClone(random.of(ODD));
    if (action === 0 && Array.isArray(place)) place.splice(Number(key), 1);
    else if (action === 0 && place !== root) delete place[key];
    else if (action === 1 && Array.isArray(place)) place.push(random.of([structuredClone(place[key]), odd]));
    else place[key] = odd;
  }
  return root.value;
}

function assertShown(value, place) {
  if (value === null || ["string", "number", "boolean"].includes(typeof value)) return;
  assert.equal(typeof value, "object", `${place} is ${typeof value}`);
  const entries = value instanceof Map ? value.entries() : Object.entries(ArrayBuffer.isView(value) ? [] : value);
  for (const [key, inner] of entries) assertShown(inner, `${place}.${String(key)}`);
}

function assertNodes(nodes) {
  const words = ["ids", "names", "types", "statuses", "kinds", "threads"];
  for (const column of [...words, "rows", "steps", "starts", "seconds"])
    assert.equal(nodes[column].length, nodes.count, column);
  for (const column of words)
    assert.ok(nodes[column].every((word) => typeof word === "string"), column);
  for (const number of [...nodes.rows, ...nodes.steps]) assert.ok(number === null || Number.isFinite(number));
  for (const [column, numbers] of [["starts", nodes.starts], ["seconds", nodes.seconds]])
    assert.ok(numbers.every((number) => Number.isNaN(number) || Number.isFinite(number)), column);
  for (const rows of nodes.parents ?? []) assert.ok(rows.every((row) => row >= 0 && row < nodes.count));
  const lanes = assignLanes(nodes);
  assert.equal(lanes.labels.length, lanes.rows.length);
  for (const rows of lanes.rows) findBar(nodes, rows, 2, 1);
  sortRows(nodes, pick(nodes, { ...EVERYTHING, words: "a" }), ATTENTION);
}

test(`Odd answers are shown as far as they can be (seed ${SEED}).`, async () => {
  const random = makeRandom(SEED);
  for (let round = 0; round < ROUNDS; round++) {
    const packed = (sample) => random.of([null, pack(mutate(random, sample)), pack(sample), random.of(ODD)]);
    const json = { ...ANSWER, nodes: packed(NODES), failures: packed(FAILURES) };
    const given = [mutate(random, json), mutate(random, random.of([null, LIVE]))];
    try {
      const answer = await readAnswer(given[0]);
      const live = given[1] === null ? null : readLive(given[1]);
      const picture = makePicture({ answer, live }, IDS);
      assertShown(picture, "picture");
      assert.ok(answer.notes.every((note) => typeof note === "string"));
      for (const { url } of [answer.run, ...answer.history, ...answer.others].filter(Boolean))
        assert.match(url, /^(https?:\/\/|$)/);
      if (picture.run) stepNow(picture.run);
      for (const { message } of picture.failed) assert.equal(typeof gist(message), "string");
      if (picture.nodes) assertNodes(picture.nodes);
    } catch (error) {
      error.message += `\nround ${round}: ${JSON.stringify(given).slice(0, 5000)}`;
      throw error;
    }
  }
});

test("What is no packed text is refused with an error; what can be unpacked can be read.", async () => {
  const random = makeRandom(SEED);
  const good = deflateSync(JSON.stringify(NODES));
  for (let round = 0; round < ROUNDS / 10; round++) {
    const bytes = Buffer.from(good);
    for (let left = 1 + random.below(4); left > 0; left--) bytes[random.below(bytes.length)] = random.below(256);
    const packed = bytes.subarray(0, 1 + random.below(bytes.length)).toString("base64");
    let read = null;
    try {
      read = await unpack(packed);
    } catch (error) {
      // Browsers and node have kinds of their own.
      assert.ok(error instanceof Error, String(error));
      continue;
    }
    assertNodes(readNodes(read));
  }
});

test("What a task stores is bounded before it is drawn.", async () => {
  const many = Array(10 ** 6).fill("");
  assert.ok(readNodes({ nodes: { unique_id: many } }).count <= 10 ** 5);
  const deep = deflateSync("[".repeat(10 ** 6)).toString("base64");
  assert.match((await readAnswer({ ...ANSWER, nodes: deep })).notes.at(-1), /^The nodes cannot be read/);
});

test("No text takes long to read, however it is written.", async () => {
  const began = process.cpuUsage();
  const long = (piece, length = 250_000) => piece.repeat(Math.ceil(length / piece.length));
  const pieces = [".", " ", "[", "[x]", "\x1b", "\x1b[", "\x1b[0", "\x1b]", "1 of 2 ", "\n", " due to ", "12:00:00 "];
  for (const piece of pieces) {
    const console = `12:00:00  1 of 2 OK created sql model ${long(piece)}x [OK in 1s]\n`;
    readProgress(console);
    plain(console);
    gist(long(piece));
    const odd = { cause: `${long(piece)}x`, url: long(piece), started_at: long(piece) };
    await readAnswer({ ...ANSWER, run: { ...ANSWER.run, ...odd } });
  }
  const { user } = process.cpuUsage(began);
  assert.ok(user < 10e6, `${user / 1e6} s`);
});
