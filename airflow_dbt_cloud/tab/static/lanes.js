/**
 * Which lane of the timeline each node's bar is in: its thread's, or the first one that was free.
 *
 * A node that has no start has no bar.
 */

import { endOf } from "./nodes.js";

// More threads than a screen has lines for are no threads: some dbt may name one for each node.
const MOST_LANES = 128;

/** Return the lane of each row (-1 for no bar), the lanes' labels, and the rows in each as they began. */
export function assignLanes(nodes) {
  const drawn = [...nodes.starts.keys()].filter((row) => !Number.isNaN(nodes.starts[row]));
  drawn.sort((one, other) => nodes.starts[one] - nodes.starts[other] || one - other);
  const threads = new Set(drawn.map((row) => nodes.threads[row]));
  const isByThread = threads.size <= MOST_LANES && !(threads.size === 1 && threads.has(""));
  const { of, labels } = isByThread ? byThread(nodes, drawn, threads) : packed(nodes, drawn);
  const rows = labels.map(() => []);
  for (const row of drawn) rows[of[row]].push(row);
  return { of, labels, rows };
}

/** Return the row whose bar is at a time, or at most `slack` seconds away from it; -1 if there is none. */
export function findBar(nodes, rows, seconds, slack = 0) {
  let low = 0, high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (nodes.starts[rows[middle]] <= seconds) low = middle + 1;
    else high = middle;
  }
  const away = (row) => Math.max(nodes.starts[row] - seconds, seconds - endOf(nodes, row), 0);
  // A bar may lie below several later ones; where they are, the later ones are on top.
  const near = rows.slice(Math.max(0, low - 8), low + 1).reverse();
  const best = near.reduce((one, other) => (away(other) < away(one) ? other : one), near[0] ?? -1);
  return best >= 0 && away(best) <= slack ? best : -1;
}

function byThread(nodes, drawn, threads) {
  const inOrder = [...threads].sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
  const lanes = new Map(inOrder.map((thread, lane) => [thread, lane]));
  const of = new Int16Array(nodes.count).fill(-1);
  for (const row of drawn) of[row] = lanes.get(nodes.threads[row]);
  return { of, labels: inOrder.map(labelOf) };
}

function packed(nodes, drawn) {
  const of = new Int16Array(nodes.count).fill(-1), ends = [];
  for (const row of drawn) {
    let lane = ends.findIndex((end) => end <= nodes.starts[row]);
    if (lane < 0) lane = ends.length < MOST_LANES ? ends.length : ends.indexOf(Math.min(...ends));
    of[row] = lane;
    ends[lane] = endOf(nodes, row);
  }
  return { of, labels: ends.map((_, lane) => String(lane + 1)) };
}

// "Thread-12 (worker)" is the twelfth.
function labelOf(thread) {
  return /^Thread-(\d+)\b/.exec(thread)?.[1] ?? (thread || "–");
}
