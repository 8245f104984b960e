/**
 * The nodes of the step that is going, as its console tells: `12 of 40 OK created sql view model …`.
 *
 * dbt Core numbers the nodes of a command as they begin and says the number again as they end. The lines name
 * no thread: a node takes the first lane that is free when it begins. Their times are UTC's, without a day.
 */

import { makeNodes } from "./nodes.js";

// A terminal's commands: colours and cursor, titles and links.
const COMMANDS = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])?/g;
// After the time, and what a debug log puts between: level and thread. Hooks are numbered by themselves.
const TIME = /^(?:(\d\d):(\d\d):(\d\d)[\d.]* +)?(?:\[[^\]]{1,40}\]:? *)*/;
const NODE = new RegExp(`${TIME.source}${/(\d{1,6}) of (\d{1,6}) ([A-Z][A-Z-]+) (?!hook: )(.*)\]/.source}`);
const SECONDS = / in ([\d.]{1,12})s$/;
const STATUSES = {
  ERROR: "error", FAIL: "fail", OK: "success", PARTIALLY: "partial success", PASS: "pass", REUSED: "reused",
  SKIP: "skipped", START: "running", WARN: "warn",
};
const TYPES = /\b(model|seed|snapshot|unit_test|test|freshness|exposure|function|relation)\b/;
// Of what has a relation the name is the last part, behind its schema.
const RELATIONS = new Set(["model", "relation", "seed", "snapshot"]);
const DAY = 86400, SKEW = 300;

/** A console's text without a terminal's commands. */
export function plain(text) {
  return text.replace(COMMANDS, "");
}

/**
 * Return the nodes that a console tells of; `total` is how many there will be.
 *
 * `stepStart` is when the step began, in milliseconds since 1970, `runStart` what starts are counted from,
 * `now` when the console was read. Each may be null: then starts are counted from the first line.
 */
export function readProgress(console, { stepStart = null, runStart = null, now = null } = {}) {
  const clock = makeClock(stepStart, now);
  let nodes = new Map(), lanes = [], total = 0;
  for (const line of plain(console).split(/[\r\n]+/)) {
    const told = line.includes(" of ") && NODE.exec(line.trim());
    if (!told) continue;
    const [, hours, minutes, seconds, index, of, word, rest] = told;
    if (Number(index) < 1 || Number(index) > Number(of)) continue;
    // Another command.
    if (Number(of) !== total) [nodes, lanes, total] = [new Map(), [], Number(of)];
    if (!nodes.has(index)) nodes.set(index, { name: "", type: "", start: null, seconds: null, lane: -1 });
    const at = hours === undefined ? null : clock.read(hours * 3600 + minutes * 60 + Number(seconds));
    take(nodes.get(index), { word, rest, at }, lanes);
  }
  const offset = secondsBetween(runStart, stepStart) ?? 0;
  const end = secondsBetween(stepStart, now) ?? clock.last ?? 0;
  return columnsOf([...nodes.values()], { total, offset, end });
}

function take(node, { word, rest, at }, lanes) {
  node.status = STATUSES[word] ?? word.toLowerCase();
  const { name, type } = subjectOf(rest);
  node.name ||= name;
  node.type ||= type;
  if (word === "START") {
    const free = lanes.findIndex((lane) => !lane.isBusy);
    node.lane = free < 0 ? lanes.length : free;
    // Lines tell whole seconds: what follows in a lane began no earlier than what was there ended.
    node.start = at === null ? null : Math.max(at, lanes[node.lane]?.end ?? at);
    lanes[node.lane] = { isBusy: true, end: at };
  } else {
    node.seconds = Number(SECONDS.exec(rest)?.[1] ?? NaN);
    if (node.lane >= 0) lanes[node.lane] = { isBusy: false, end: node.start + (node.seconds || 0) };
  }
}

// "created sql view model analytics.stg_ports ......... [OK in 0.10s", "7 not_null_id .... [WARN 7 in 0.05s"
function subjectOf(rest) {
  const told = rest.slice(0, Math.max(0, rest.lastIndexOf("["))).split(" due to ", 1)[0];
  let end = told.length;
  // No regular expression: one takes minutes for a line that is full of dots.
  while (end > 0 && " .".includes(told[end - 1])) end -= 1;
  const subject = told.slice(0, end);
  const kind = TYPES.exec(subject)?.[1] ?? "";
  const last = subject.split(" ").at(-1);
  const name = RELATIONS.has(kind) ? last.slice(last.lastIndexOf(".") + 1) : last;
  return { type: kind === "relation" ? "" : kind, name };
}

// Turns times of the day into seconds since the step's start, over midnight, too.
function makeClock(stepStart, now) {
  let origin = null;
  const clock = {
    last: null,
    read(timeOfDay) {
      origin ??= originOf(timeOfDay, stepStart, now);
      let at = timeOfDay - origin;
      while (clock.last !== null && at < clock.last - DAY / 2) at += DAY;
      clock.last = Math.max(clock.last ?? at, at);
      return at;
    },
  };
  return clock;
}

function originOf(timeOfDay, stepStart, now) {
  if (stepStart === null) return timeOfDay;
  // A console that is cut in front begins later than its step; one whose clock is a bit slow earlier.
  const late = ((timeOfDay - (stepStart / 1000) % DAY + SKEW + DAY) % DAY) - SKEW;
  const isPossible = now === null || late <= secondsBetween(stepStart, now) + SKEW;
  return isPossible ? timeOfDay - late : timeOfDay;
}

function secondsBetween(earlier, later) {
  return later === null || earlier === null ? null : (later - earlier) / 1000;
}

function columnsOf(told, { total, offset, end }) {
  const secondsOf = (node) => (node.status === "running" ? end - (node.start ?? end) : node.seconds);
  return makeNodes({
    total,
    ids: told.map((node) => [node.type, node.name].filter(Boolean).join(".")),
    names: told.map((node) => node.name),
    types: told.map((node) => node.type),
    statuses: told.map((node) => node.status),
    starts: told.map((node) => (node.start === null ? null : node.start + offset)),
    seconds: told.map(secondsOf),
    threads: told.map((node) => (node.lane < 0 ? "" : String(node.lane + 1))),
    rows: told.map(() => null),
    steps: told.map(() => null),
    parents: null,
  });
}
