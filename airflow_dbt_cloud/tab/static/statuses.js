/**
 * What dbt's and dbt Cloud's words for a status mean: one of a few kinds, which have a colour and a rank.
 *
 * A word of a node that nobody knows is worth a look: it counts as failed.
 */

/** The kinds of status, those that want attention first. */
export const KINDS = ["failed", "running", "warned", "ok", "idle", "skipped"];

const OF_NODES = {
  "": "idle",
  "no-op": "idle",
  pass: "ok",
  reused: "idle",
  running: "running",
  skipped: "skipped",
  success: "ok",
  warn: "warned",
};

const OF_RUNS = {
  cancelled: "skipped",
  error: "failed",
  queued: "idle",
  running: "running",
  starting: "running",
  success: "ok",
};

// Of an Airflow task whose run may still go, or is yet to be started.
const GOING = new Set([
  "", "deferred", "queued", "restarting", "running", "scheduled", "up_for_reschedule", "up_for_retry",
]);

/** The kind of a node's status, in dbt's word. */
export function kindOfNode(status) {
  return Object.hasOwn(OF_NODES, status) ? OF_NODES[status] : "failed";
}

/** The kind of the status of a run or of a step, in dbt Cloud's word. */
export function kindOfRun(status) {
  const word = status.toLowerCase();
  return Object.hasOwn(OF_RUNS, word) ? OF_RUNS[word] : "idle";
}

/** Whether a run has ended: a word that nobody knows does not end it. */
export function isTerminal(status) {
  return ["success", "error", "cancelled"].includes(status.toLowerCase());
}

/** Whether there may be more to see of a task in this state. */
export function isGoing(state) {
  return GOING.has(state);
}
