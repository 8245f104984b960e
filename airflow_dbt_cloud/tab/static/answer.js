/**
 * What the plugin's routes tell of a task, as the pictures need it.
 *
 * The contract has a version, and a page may be older or younger than the server: nothing that is missing or
 * odd breaks a reader, it makes a poorer picture.
 */

import { address, member, number, objects, items, text, time } from "./fields.js";
import { readNodes, unpack } from "./nodes.js";

const VERSION = 1;

// What the task writes behind a run's cause to know the run again.
const MARKER = /\[airflow:[0-9a-f]+:[\d.]+\]$/;

/** Read all that is known of a task; nodes and failures are unpacked. */
export async function readAnswer(json) {
  const answer = member(json), task = member(answer.task);
  const notes = items(answer.notes).map(text).filter(Boolean);
  if (number(answer.version) > VERSION) notes.push("This page is older than the server: load it again.");
  const [nodes, failures, history] = await Promise.all([
    unpacked(answer.nodes, "The nodes", notes),
    unpacked(answer.failures, "The failures' messages", notes),
    Promise.all(objects(answer.history).map(readEarlierRun)),
  ]);
  return {
    isOurs: answer.is_ours !== false,
    task: {
      state: text(task.state),
      tryNumber: number(task.try_number),
      isLastTry: task.is_last_try !== false,
    },
    run: readRunIfAny(answer.run),
    nodes: nodes && readNodes(nodes),
    failures: readFailures(failures),
    history,
    others: objects(answer.others).map(readTask),
    notes,
  };
}

/** Read what is stored of a run. */
export function readRun(json) {
  return {
    id: text(json.run_id),
    jobId: text(json.job_id),
    environmentId: text(json.environment_id),
    url: address(json.url),
    status: text(json.status),
    message: text(json.status_message),
    cause: text(json.cause).trimEnd().replace(MARKER, "").trimEnd(),
    createdAt: time(json.created_at),
    startedAt: time(json.started_at),
    finishedAt: time(json.finished_at),
    seconds: number(json.duration),
    branch: text(json.git_branch),
    sha: text(json.git_sha),
    dbtVersion: text(json.dbt_version),
    counts: Object.entries(member(json.counts ?? json.nodes)).filter(([, count]) => number(count)),
    failedCount: number(json.failed_count) ?? 0,
    blockers: items(json.blocked_by).map(text).filter(Boolean),
    steps: objects(json.steps).map(readStep),
    failed: objects(json.failed).map(readFailed),
  };
}

/** Read what is known of a run while it goes; the run is null if it cannot be seen. */
export function readLive(json) {
  const live = member(json);
  return {
    run: readRunIfAny(live.run),
    seenAt: time(live.seen_at),
    isStale: live.is_stale === true,
    console: text(live.console),
    message: text(live.message),
  };
}

function readRunIfAny(json) {
  return typeof json === "object" && json !== null ? readRun(json) : null;
}

function readStep(json) {
  return {
    index: number(json.index),
    name: text(json.name),
    status: text(json.status),
    startedAt: time(json.started_at),
    seconds: number(json.seconds),
  };
}

function readFailed(json) {
  return { id: text(json.unique_id), status: text(json.status).toLowerCase(), message: text(json.message) };
}

function readFailures(json) {
  const failures = Object.entries(member(member(json).failures));
  return new Map(failures.map(([id, failure]) => [id, readFailure(member(failure))]));
}

function readFailure(json) {
  return { message: text(json.message), code: text(json.code), relation: text(json.relation) };
}

async function readEarlierRun(json) {
  // Only of the latest ones all nodes are told, of the others the slowest.
  const nodes = await unpacked(json.nodes, "The nodes", []);
  return {
    dagRunId: text(json.dag_run_id),
    url: address(json.url),
    status: text(json.status),
    startedAt: time(json.started_at),
    seconds: number(json.duration),
    taken: nodes ? takenBy(readNodes(nodes)) : new Map(objects(json.slowest).map(readSlowest)),
  };
}

function readSlowest(json) {
  return [text(json.unique_id), number(json.seconds)];
}

// A node that several steps ran took as long as the longest of them.
function takenBy(nodes) {
  const taken = new Map();
  for (const [row, id] of nodes.ids.entries()) {
    if (nodes.seconds[row] > (taken.get(id) ?? 0)) taken.set(id, nodes.seconds[row]);
  }
  return taken;
}

function readTask(json) {
  return {
    taskId: text(json.task_id),
    mapIndex: number(json.map_index) ?? -1,
    state: text(json.state),
    url: address(json.url),
  };
}

async function unpacked(packed, what, notes) {
  if (!text(packed)) return null;
  try {
    return await unpack(packed);
  } catch (error) {
    notes.push(`${what} cannot be read: ${error.message}.`);
    return null;
  }
}
