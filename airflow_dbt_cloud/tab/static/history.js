/**
 * What is usual for a task, by its earlier runs, and what grew slow.
 *
 * Of the latest runs all nodes are known, of the others the slowest. What is usual for a node is the median of
 * the runs that name it, two at least: rather too long than too short, so nothing is called slow that is not.
 */

const FEWEST_RUNS = 2;
const SLOW_FACTOR = 1.5, SLOW_SECONDS = 1;

/** Return how many seconds a run of this task takes, if it succeeds; null if nothing is known of any. */
export function usualDuration(runs) {
  const seconds = runs.filter((run) => run.status.toLowerCase() === "success" && run.seconds !== null);
  return seconds.length ? median(seconds.map((run) => run.seconds)) : null;
}

/** Return what grew slow: for its row what is usual for it, and by what factor it took longer. */
export function findSlow(nodes, runs) {
  const known = new Map();
  for (const [id, seconds] of runs.flatMap((run) => [...run.taken])) {
    if (seconds !== null) known.set(id, [...(known.get(id) ?? []), seconds]);
  }
  const slow = new Map();
  for (const [row, id] of nodes.ids.entries()) {
    if ((known.get(id)?.length ?? 0) < FEWEST_RUNS || !isMeasured(nodes, row)) continue;
    const usual = median(known.get(id)), taken = nodes.seconds[row];
    const isSlow = taken >= usual * SLOW_FACTOR && taken - usual >= SLOW_SECONDS;
    if (isSlow) slow.set(row, { usual, factor: taken / usual });
  }
  return slow;
}

function isMeasured(nodes, row) {
  return nodes.kinds[row] !== "running" && nodes.seconds[row] > 0;
}

function median(numbers) {
  const sorted = [...numbers].sort((one, other) => one - other), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
