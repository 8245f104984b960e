/**
 * The plugin's two routes, asked as the person who is signed in to Airflow.
 *
 * A question that fails raises a `Refusal`, whose message is a sentence to show.
 */

// This module's own folder bears a version, and its parent is called `static`.
const BASE = new URL("../../", import.meta.url);

const REASONS = {
  401: "You are signed out of Airflow: load the page again.",
  403: "You may not see what the tasks of this Dag stored (XComs).",
  404: "Airflow does not know this try of the task, or no longer.",
};

/** Why a question has no answer; `status` is 0 if Airflow was not reached. */
export class Refusal extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }

  /** Whether it is of no use to ask again. */
  get isFinal() {
    return this.status in REASONS;
  }
}

/** Where all that is stored of a task is told; without a number, of its newest try. */
export function answerUrl(ids, tryNumber = null, base = BASE) {
  const query = tryNumber === null ? "" : `?try_number=${encodeURIComponent(tryNumber)}`;
  return new URL(`api/${pathOf(ids)}${query}`, base).href;
}

/** Where it is told how far the task's run is. */
export function liveUrl(ids, base = BASE) {
  return new URL(`live/${pathOf(ids)}`, base).href;
}

/** Return the JSON that an address answers. */
export async function ask(url, { signal, fetch = globalThis.fetch } = {}) {
  let answer;
  try {
    answer = await fetch(url, { signal, headers: { Accept: "application/json" }, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("Airflow cannot be reached.");
  }
  const { ok, status } = answer;
  if (!ok) throw new Refusal(REASONS[status] ?? `Airflow answered ${status}.`, status);
  try {
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("Airflow answered with something else than JSON.", status);
  }
}

// The index of a mapped task; -1 of any other, however Airflow says so.
function indexOf({ mapIndex }) {
  return /^\d+$/.test(mapIndex ?? "") ? mapIndex : "-1";
}

function pathOf(ids) {
  return [ids.dagId, ids.runId, ids.taskId, indexOf(ids)].map((id) => encodeURIComponent(id)).join("/");
}
