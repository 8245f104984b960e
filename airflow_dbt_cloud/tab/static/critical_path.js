/**
 * The critical path: the chain of nodes that decided when a run ended.
 *
 * It is followed from the node that ended last: of the nodes that it was made from, the one that ended last
 * held it up, and so on. What began no earlier than the node itself did not hold it up, so every chain ends.
 */

import { endOf } from "./nodes.js";

/** Return the rows on the path, the first one first; none if nothing is known of parents. */
export function findCriticalPath(nodes) {
  if (!nodes.parents) return [];
  const timed = [...nodes.starts.keys()].filter((row) => !Number.isNaN(nodes.starts[row]));
  const path = [];
  let row = lastToEnd(nodes, timed);
  while (row !== null) {
    path.unshift(row);
    const start = nodes.starts[row];
    row = lastToEnd(nodes, nodes.parents[row].filter((parent) => nodes.starts[parent] < start));
  }
  return path.length > 1 ? path : [];
}

/** How long the nodes on a path took together, in seconds. */
export function secondsOf(nodes, path) {
  return path.reduce((sum, row) => sum + (nodes.seconds[row] || 0), 0);
}

function lastToEnd(nodes, rows) {
  const later = (one, other) => (one === null || endOf(nodes, other) > endOf(nodes, one) ? other : one);
  return rows.reduce(later, null);
}
