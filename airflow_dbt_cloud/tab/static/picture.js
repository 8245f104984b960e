/** What is shown of a task: what is stored of its run and what is seen of it now, put together. */

import { readRun } from "./answer.js";
import { findCriticalPath } from "./critical_path.js";
import { findSlow, usualDuration } from "./history.js";
import { readProgress } from "./progress.js";
import { isTerminal } from "./statuses.js";

/** Return what there is to show; `run` and `nodes` may be null. */
export function makePicture({ answer, live }) {
  const { failures } = answer;
  const run = live ? runNow(live.run ?? answer.run ?? readRun({}), live.seenAt) : answer.run;
  const nodes = answer.nodes ?? (live ? progressOf(run, live) : null);
  // The oldest first, as bars stand.
  const runs = answer.history.toReversed();
  return {
    run,
    nodes,
    failed: failedOf(run, nodes, failures),
    path: nodes ? findCriticalPath(nodes) : [],
    runs,
    usual: usualDuration(runs),
    slow: nodes ? findSlow(nodes, runs) : new Map(),
  };
}

/** The step that is going; null if none is known. */
export function stepNow(run) {
  return run.steps.findLast((step) => step.startedAt !== null && !isTerminal(step.status)) ?? null;
}

/** The line of a dbt message that says what is wrong: the one below "Database Error in model …". */
export function gist(message) {
  const lines = message.split("\n").map((line) => line.trim()).filter(Boolean);
  return lines.find((line) => !/^\w+ Error(?: in .*)?:?$/.test(line)) ?? lines[0] ?? "";
}

// How long it has been going, which dbt Cloud tells only of what has ended.
function runNow(run, seenAt) {
  const since = run.createdAt ?? run.startedAt;
  const isOver = isTerminal(run.status) || seenAt === null || since === null;
  return { ...run, seconds: isOver ? run.seconds : (seenAt - since) / 1000 };
}

function progressOf(run, live) {
  const stepStart = stepNow(run)?.startedAt ?? null;
  const runStart = run.startedAt ?? stepStart;
  const nodes = readProgress(live.console, { stepStart, runStart, now: live.seenAt });
  return nodes.count ? nodes : null;
}

function failedOf(run, nodes, failures) {
  if (run?.failed.length) return run.failed;
  const rows = nodes ? [...nodes.ids.keys()].filter((row) => nodes.kinds[row] === "failed") : [];
  return rows.map((row) => {
    const id = nodes.ids[row];
    return { id, status: nodes.statuses[row], message: failures.get(id)?.message ?? "" };
  });
}
