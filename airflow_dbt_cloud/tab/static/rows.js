/** Which rows of a table are shown: those that a person asked for, in the order asked for, now in view. */

import { KINDS } from "./statuses.js";

/** What nothing is filtered by. */
export const EVERYTHING = { statuses: new Set(), types: new Set(), words: "", isOnPath: false };

/** By what rows are sorted at first: what needs attention, then what took long. */
export const ATTENTION = { key: "status", isDescending: false };

// What is sorted by first wants the largest on top.
const LARGEST_FIRST = new Set(["seconds", "rows", "factor"]);

/** Return the rows of the nodes that pass a filter; `path` is the critical path. */
export function pick(nodes, filter, path = []) {
  const words = filter.words.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = filter.isOnPath && path.length ? path : nodes.ids.keys();
  const picked = [];
  for (const row of rows) {
    if (filter.statuses.size && !filter.statuses.has(nodes.statuses[row])) continue;
    if (filter.types.size && !filter.types.has(nodes.types[row])) continue;
    const id = nodes.ids[row].toLowerCase();
    if (words.every((word) => id.includes(word))) picked.push(row);
  }
  return picked;
}

/** Return the rows sorted; what is not known comes last. `slow` tells by what factor a row grew slow. */
export function sortRows(nodes, rows, { key, isDescending }, slow = new Map()) {
  const compare = comparisonOf(nodes, key, slow), sign = isDescending ? -1 : 1;
  const longest = (one, other) => compareNumbers(nodes.seconds[one], nodes.seconds[other], -1);
  return [...rows].sort((one, other) => compare(one, other, sign) || longest(one, other) || one - other);
}

/** Return the order after a click on a column's head. */
export function nextOrder(order, key) {
  return { key, isDescending: order.key === key ? !order.isDescending : LARGEST_FIRST.has(key) };
}

/** Return how many rows there are of each word in a column, most first, and of each that is filtered by. */
export function countWords(column, chosen = []) {
  const counts = new Map([...chosen].map((word) => [word, 0]));
  for (const word of column) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].sort(([one, few], [other, many]) => many - few || one.localeCompare(other));
}

/**
 * Return the first row to draw, the one after the last, and how many are drawn at most, which is always the
 * same: those in view, and half as many again on either side.
 *
 * `top` is where the table's first row is, in pixels below the top of what is in view, `height` pixels high.
 */
export function windowOf({ top, height, rowHeight, count, step = 8 }) {
  const size = (Math.ceil((2 * height) / rowHeight / step) + 1) * step;
  const first = Math.floor((-top - height / 2) / rowHeight / step) * step;
  const within = (row) => Math.min(Math.max(0, row), count);
  return { first: within(first), last: within(first + size), size };
}

function comparisonOf(nodes, key, slow) {
  if (key === "name") return (one, other, sign) => sign * compareTexts(nodes.names[one], nodes.names[other]);
  if (key === "type") return (one, other, sign) => sign * compareTexts(nodes.types[one], nodes.types[other]);
  if (key === "status") return (one, other, sign) => sign * (rankOf(nodes, one) - rankOf(nodes, other));
  const value = key === "factor" ? (row) => slow.get(row)?.factor : (row) => nodes[key][row];
  return (one, other, sign) => compareNumbers(value(one) ?? NaN, value(other) ?? NaN, sign);
}

function compareTexts(one, other) {
  return one < other ? -1 : one > other ? 1 : 0;
}

function rankOf(nodes, row) {
  return KINDS.indexOf(nodes.kinds[row]);
}

function compareNumbers(one, other, sign) {
  if (Number.isNaN(one) || Number.isNaN(other)) return Number.isNaN(one) - Number.isNaN(other);
  return sign * (one - other);
}
