import assert from "node:assert/strict";
import { test } from "node:test";

import { answerUrl, ask, liveUrl } from "../../airflow_dbt_cloud/tab/static/api.js";

const BASE = new URL("https://airflow.example/team/dbt-cloud/");
const IDS = {
  dagId: "a.b",
  runId: "manual__2026-11-23T04:00:00+00:00",
  taskId: "group.build it/ü",
  mapIndex: "-1",
};
const answering = (status, body) => async () => new Response(body, { status });

test("The routes are beside the modules, below a sub-path, too, and ids cannot leave their place.", () => {
  const path = "a.b/manual__2026-11-23T04%3A00%3A00%2B00%3A00/group.build%20it%2F%C3%BC/-1";
  assert.equal(answerUrl(IDS, null, BASE), `https://airflow.example/team/dbt-cloud/api/${path}`);
  assert.equal(answerUrl(IDS, "2", BASE), `https://airflow.example/team/dbt-cloud/api/${path}?try_number=2`);
  assert.equal(liveUrl(IDS, BASE), `https://airflow.example/team/dbt-cloud/live/${path}`);
  assert.match(liveUrl(IDS), /airflow_dbt_cloud\/live\//);
});

test("A task that is not mapped has the index -1, however Airflow says so.", () => {
  for (const mapIndex of [undefined, null, "-1", "{MAP_INDEX}"])
    assert.match(liveUrl({ ...IDS, mapIndex }, BASE), /\/-1$/);
  assert.match(liveUrl({ ...IDS, mapIndex: "12" }, BASE), /\/12$/);
});

test("What goes wrong is told in a sentence, and whether it is of use to ask again.", async () => {
  const refusal = async (fetch) =>
    ask("x", { fetch }).then(
      () => assert.fail(),
      (error) => [error.message, error.isFinal],
    );
  assert.deepEqual(await refusal(answering(500)), ["Airflow answered 500.", false]);
  assert.deepEqual(await refusal(answering(401)), [
    "You are signed out of Airflow: load the page again.",
    true,
  ]);
  assert.deepEqual(await refusal(answering(200, "<html>")), [
    "Airflow answered with something else than JSON.",
    false,
  ]);
  assert.deepEqual(
    await refusal(async () => {
      throw new TypeError("Failed to fetch");
    }),
    ["Airflow cannot be reached.", false],
  );
});

test("JSON is handed on.", async () => {
  assert.deepEqual(await ask("x", { fetch: answering(200, '{"version": 1}') }), { version: 1 });
});
