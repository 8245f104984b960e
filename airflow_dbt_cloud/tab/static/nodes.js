/**
 * The nodes of a run in columns: row by row what each is, how it ended, when, and what it waited for.
 *
 * The columns are equally long. A time that is not known is NaN, a number of rows null, a text empty;
 * `parents` is null if nothing is known of any. `origin` is the moment that starts are counted from, in
 * milliseconds since 1970, null if it is the run's start.
 */

import { items, member, number, text, time } from "./fields.js";
import { kindOfNode } from "./statuses.js";

// Far above what 20,000 nodes need: a task's XComs can be edited, and a browser's memory ends.
const MOST_BYTES = 64 * 2 ** 20;
const MOST_ROWS = 100_000;

// What tells tests of the same name apart.
const HASH = /^[0-9a-f]{10}$/;

/** Return the JSON that was packed: base64 of zlib of its text. Raises if it was not. */
export async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const decoder = new TextDecoder();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  let written = "", size = 0;
  for await (const chunk of chunksOf(stream)) {
    size += chunk.length;
    if (size > MOST_BYTES) throw new RangeError("there is more than a page can hold");
    written += decoder.decode(chunk, { stream: true });
  }
  return JSON.parse(written + decoder.decode());
}

/** Read the nodes that a task stored. */
export function readNodes(json) {
  const columns = member(member(json).nodes);
  const ids = items(columns.unique_id).slice(0, MOST_ROWS).map(text);
  const of = (key, read) => ids.map((_, row) => read(items(columns[key])[row]));
  const parents = of("parents", (rows) => rowsAmong(rows, ids.length));
  return makeNodes({
    total: Math.max(ids.length, number(member(json).total) ?? 0),
    origin: time(member(json).origin),
    ids,
    names: ids.map(nameOf),
    types: ids.map((id) => id.split(".", 1)[0]),
    statuses: of("status", (word) => text(word).toLowerCase()),
    starts: of("start", number),
    seconds: of("seconds", number),
    threads: of("thread", text),
    rows: of("rows", number),
    steps: of("step", number),
    parents: parents.some((rows) => rows.length) ? parents : null,
  });
}

/** Make nodes of their columns; times may be null. */
export function makeNodes({ ids, starts, seconds, statuses, total = ids.length, origin = null, ...columns }) {
  return {
    ...columns,
    ids,
    statuses,
    total,
    origin,
    count: ids.length,
    kinds: statuses.map(kindOfNode),
    starts: Float64Array.from(starts, (start) => start ?? NaN),
    seconds: Float64Array.from(seconds, (taken) => (taken === null ? NaN : Math.max(0, taken))),
  };
}

/** The row of a node; if several steps ran it, one that failed. -1 if there is none, or no nodes at all. */
export function rowOf(nodes, id) {
  const rows = [...(nodes?.ids.keys() ?? [])].filter((row) => nodes.ids[row] === id);
  return rows.find((row) => nodes.kinds[row] === "failed") ?? rows[0] ?? -1;
}

/** When a node ended, in seconds since the run's start. */
export function endOf(nodes, row) {
  return nodes.starts[row] + (nodes.seconds[row] || 0);
}

/** What a person calls a node: `port_dues`, `port_dues.v2`, `unique_berths_berth`. */
export function nameOf(id) {
  const parts = id.split(".");
  const name = parts.slice(2);
  if (parts[0] === "test" && name.length > 1 && HASH.test(name.at(-1))) name.pop();
  return name.join(".") || id;
}

function rowsAmong(rows, count) {
  return items(rows).filter((row) => Number.isInteger(row) && row >= 0 && row < count);
}

// Not every browser can iterate over a stream.
async function* chunksOf(stream) {
  const reader = stream.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
}
