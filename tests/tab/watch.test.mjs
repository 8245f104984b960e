import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { INTERVAL, Watch } from "../../airflow_dbt_cloud/tab/static/watch.js";

const IDS = { dagId: "ferry", runId: "r", taskId: "build" };

class Page extends EventTarget {
  hidden = false;

  turn(hidden) {
    this.hidden = hidden;
    this.dispatchEvent(new Event("visibilitychange"));
  }
}

// Lets all answers arrive.
const settle = async () => {
  for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
};

async function watching(context, answers) {
  mock.timers.enable({ apis: ["setTimeout"] });
  context.after(() => mock.timers.reset());
  const asked = [],
    told = [],
    page = new Page();
  const fetch = async (url, { signal }) => {
    signal.throwIfAborted();
    const kind = url.includes("/live/") ? "live" : "api";
    asked.push(kind);
    const next = answers[kind];
    const answer = Array.isArray(next) ? (next.length > 1 ? next.shift() : next[0]) : next;
    if (answer instanceof Error) throw answer;
    return typeof answer === "number" ? new Response("", { status: answer }) : Response.json(answer);
  };
  const watch = new Watch(IDS, null, (known) => told.push(known), { page, fetch });
  context.after(() => watch.stop());
  await watch.start();
  const wait = async () => {
    mock.timers.tick(INTERVAL);
    await settle();
  };
  return { asked, told, page, watch, wait, now: () => told.at(-1) };
}

const going = { is_ours: true, task: { state: "deferred" }, run: { run_id: 1, status: "Running" } };
const ended = { is_ours: true, task: { state: "success" }, run: { run_id: 1, status: "Success" } };
const running = { run: { status: "Running" }, seen_at: "2026-11-23T04:00:00Z" };

test("A task that has ended is asked about once.", async (context) => {
  const { asked, wait, now } = await watching(context, { api: ended });
  await wait();
  assert.deepEqual(asked, ["api"]);
  assert.equal(now().answer.run.status, "Success");
  assert.equal(now().isLive, false);
});

test("While the run goes the live route is asked, and what is stored when it has ended.", async (context) => {
  const { asked, wait, now } = await watching(context, {
    api: [going, ended],
    live: [running, running, { run: { status: "Success" } }],
  });
  await wait();
  await wait();
  assert.deepEqual(asked, ["api", "live", "live", "live"]);
  await wait();
  assert.deepEqual(asked.slice(4), ["api"]);
  assert.equal(now().live, null);
  await wait();
  assert.equal(asked.length, 5);
});

test("What is stored is told before dbt Cloud has answered.", async (context) => {
  const { told } = await watching(context, { api: going, live: running });
  assert.deepEqual(
    told.map(({ live }) => live?.run.status),
    [undefined, "Running"],
  );
});

test("What is stored is read again once a minute.", async (context) => {
  const { asked, wait } = await watching(context, { api: going, live: running });
  for (let turn = 0; turn < 12; turn += 1) await wait();
  assert.equal(asked.filter((kind) => kind === "api").length, 2);
});

test("Nothing is asked while nobody looks, and at once when somebody does again.", async (context) => {
  const { asked, page, wait } = await watching(context, { api: going, live: running });
  page.turn(true);
  await wait();
  await wait();
  assert.equal(asked.length, 2);
  page.turn(false);
  await settle();
  assert.equal(asked.length, 3);
  page.turn(true);
  page.turn(false);
  await settle();
  assert.equal(asked.length, 3);
});

test("A task that has no run yet is asked about until it has.", async (context) => {
  const { asked, wait, now } = await watching(context, {
    api: [{ ...going, run: null }, going],
    live: [404, running],
  });
  assert.equal(now().trouble, "");
  await wait();
  assert.equal(now().live.run.status, "Running");
  assert.deepEqual(asked, ["api", "live", "api", "live"]);
});

test("What was seen stays when a question fails, with the reason, and is asked again.", async (context) => {
  const { wait, now } = await watching(context, {
    api: going,
    live: [running, new TypeError("Failed to fetch"), 500, running],
  });
  await wait();
  assert.deepEqual([now().live.run.status, now().trouble], ["Running", "Airflow cannot be reached."]);
  await wait();
  assert.equal(now().trouble, "Airflow answered 500.");
  await wait();
  assert.equal(now().trouble, "");
});

test("A question that is of no use is not asked again.", async (context) => {
  const { asked, wait, now } = await watching(context, { api: 403 });
  await wait();
  assert.deepEqual(asked, ["api"]);
  assert.match(now().trouble, /may not see/);
  assert.equal(now().isLive, false);
});

test("A first question that fails is asked again.", async (context) => {
  const { asked, wait, now } = await watching(context, { api: [502, ended] });
  assert.equal(now().trouble, "Airflow answered 502.");
  await wait();
  assert.equal(now().answer.run.status, "Success");
  assert.equal(asked.length, 2);
});

test("A run that goes on when its task has ended is followed to its end.", async (context) => {
  const left = { is_ours: true, task: { state: "success" }, run: { run_id: 1 } };
  const { asked, wait, now } = await watching(context, {
    api: left,
    live: [running, { run: { status: "Success" }, seen_at: "2026-11-23T04:00:05Z" }],
  });
  assert.equal(now().live.run.status, "Running");
  await wait();
  assert.deepEqual([now().live.run.status, now().isLive], ["Success", false]);
  await wait();
  assert.deepEqual(asked, ["api", "live", "live"]);
});

test("A run that may not be seen is not asked for again when its task has ended.", async (context) => {
  const left = { is_ours: true, task: { state: "success" }, run: { run_id: 1 } };
  const { asked, wait, now } = await watching(context, { api: left, live: { run: null, message: "No." } });
  await wait();
  assert.deepEqual(asked, ["api", "live"]);
  assert.equal(now().live.message, "No.");
});

test("A task between two tries, and one that has not begun, are followed.", async (context) => {
  for (const state of ["up_for_retry", null]) {
    const { now, watch } = await watching(context, { api: { ...going, task: { state } }, live: running });
    assert.equal(now().isLive, true);
    watch.stop();
    mock.timers.reset();
  }
});

test("Nothing is followed on the page of an earlier try.", async (context) => {
  const task = { state: "failed", is_last_try: false };
  const { asked, wait } = await watching(context, { api: { ...going, task }, live: running });
  await wait();
  assert.deepEqual(asked, ["api"]);
});

test("A task that is not ours is not followed.", async (context) => {
  const { asked, wait } = await watching(context, { api: { is_ours: false, task: { state: "running" } } });
  await wait();
  assert.deepEqual(asked, ["api"]);
});

test("After a stop nothing is asked or told.", async (context) => {
  const { asked, told, watch, wait, page } = await watching(context, { api: going, live: running });
  watch.stop();
  await wait();
  page.turn(false);
  await settle();
  assert.deepEqual([asked.length, told.length], [2, 2]);
});
