/** The steps of a run, as dbt Cloud lists them, and what the one that is going writes. */

import { plain } from "./progress.js";
import { h, useLayoutEffect, useRef } from "./react.js";
import { kindOfRun } from "./statuses.js";
import { counted, duration } from "./words.js";

const MOST_LINES = 200;

export function Steps({ steps, progress }) {
  if (!steps.length) return null;
  return h("ol", { id: "dbt-cloud-steps", className: "steps", "aria-label": "Steps" },
    steps.map((step, place) => h("li", { key: place }, h(Step, { ...step, progress }))));
}

/** The end of what the step that is going has written. */
export function Console({ text }) {
  const pre = useRef(null);
  const lines = plain(text).trimEnd().split(/\r?\n/).slice(-MOST_LINES).join("\n");
  useLayoutEffect(() => { if (pre.current) pre.current.scrollTop = pre.current.scrollHeight; }, [lines]);
  if (!lines) return null;
  const onToggle = () => { pre.current.scrollTop = pre.current.scrollHeight; };
  return h("section", { id: "dbt-cloud-console", className: "console" },
    h("details", { onToggle }, h("summary", null, "Console"),
      h("pre", { ref: pre, className: "box", tabIndex: 0, "aria-label": "Console" }, lines)));
}

function Step({ name, status, seconds, progress }) {
  const command = /^Invoke dbt with `(.*)`$/s.exec(name)?.[1], kind = kindOfRun(status);
  const isGoing = kind === "running";
  return [
    h("span", {
      key: "dot", className: `dot ${kind} ${isGoing ? "beat" : ""}`,
      role: "img", "aria-label": status || "not begun", title: status,
    }),
    h("span", { key: "name", className: "cut", title: name }, command ? h("code", null, command) : name),
    isGoing && progress && h("span", { key: "progress", className: "number" }, progressIn(progress)),
    h("span", { key: "time", className: "number soft" }, seconds === null ? "" : duration(seconds)),
  ];
}

function progressIn(nodes) {
  const running = nodes.kinds.filter((kind) => kind === "running").length;
  const failed = nodes.kinds.filter((kind) => kind === "failed").length;
  return `${nodes.count - running} of ${counted(nodes.total, "node")}${failed ? `, ${failed} failed` : ""}`;
}
