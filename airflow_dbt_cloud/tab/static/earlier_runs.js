/** The earlier runs of the same task: how long each took, and what took longer now than it used to. */

import { h } from "./react.js";
import { isTerminal, kindOfRun } from "./statuses.js";
import { counted, duration, factor, time } from "./words.js";

const MOST_SLOW = 5;

export function EarlierRuns({ picture: { run, runs, usual, slow, nodes }, zone, onOpen }) {
  if (!runs.length) return null;
  const longest = Math.max(...runs.map((earlier) => earlier.seconds ?? 0), run?.seconds ?? 0) || 1;
  const heightOf = (seconds) => `${Math.max(3, ((seconds ?? 0) / longest) * 100)}%`;
  const now = `This run, ${duration(run?.seconds ?? null)}`;
  return h("section", { id: "dbt-cloud-history", "aria-label": "Earlier runs" },
    h("h3", null, h("span", null, counted(runs.length, "earlier run"),
      usual !== null && h("small", null, comparison(run, usual)))),
    h("div", { className: "history" },
      h("ol", { className: "bars", onKeyDown: moveFocus },
        runs.map((earlier, place) => h("li", { key: place },
          h(Bar, { earlier, zone, height: heightOf(earlier.seconds), isLast: place === runs.length - 1 }))),
        run && h("li", { key: "now" }, h("span", {
          className: `now ${kindOfRun(run.status)}`, style: { height: heightOf(run.seconds) },
          role: "img", "aria-label": now, title: now,
        })),
        usual !== null &&
          h("li", { className: "usual", style: { bottom: heightOf(usual) }, "aria-hidden": true }),
      ),
      h(Slow, { slow, nodes, onOpen }),
    ),
  );
}

function Bar({ earlier, zone, height, isLast }) {
  const { dagRunId, startedAt, status, seconds, url } = earlier;
  const label = `${time(startedAt, zone)}, ${status || "unknown"}, ${duration(seconds)}`;
  const words = { title: `${dagRunId}\n${label}`, "aria-label": label };
  const look = { ...words, className: kindOfRun(status), style: { height } };
  if (!url) return h("span", { ...look, role: "img" });
  // One stop for the Tab key; the arrows go on.
  return h("a", { ...look, href: url, tabIndex: isLast ? 0 : -1 });
}

function moveFocus(event) {
  const by = { ArrowLeft: "previousElementSibling", ArrowRight: "nextElementSibling" }[event.key];
  const bar = by && event.target.parentElement[by]?.querySelector("a");
  if (!bar) return;
  event.preventDefault();
  bar.focus();
}

function comparison(run, usual) {
  const words = `, usually ${duration(usual)}`;
  const canTell = run?.seconds && usual && isTerminal(run.status);
  return canTell ? `${words}; this one ${factor(run.seconds / usual)} that` : words;
}

function Slow({ slow, nodes, onOpen }) {
  if (!slow.size) return null;
  const gained = (row) => nodes.seconds[row] - slow.get(row).usual;
  const rows = [...slow.keys()].sort((one, other) => gained(other) - gained(one));
  return h("ul", { id: "dbt-cloud-slow", className: "slow", "aria-label": "Nodes that grew slow" },
    rows.slice(0, MOST_SLOW).map((row) => h("li", { key: row },
      h("button", {
        className: "plain cut", title: nodes.ids[row], onClick: () => onOpen(nodes.ids[row], row),
      }, nodes.names[row]),
      h("span", { className: "number" }, duration(nodes.seconds[row])),
      h("span", { className: "grew number" }, slowness(slow.get(row))))),
    rows.length > MOST_SLOW && h("li", { className: "soft" }, `and ${rows.length - MOST_SLOW} more`),
  );
}

/** As in "3.2x its usual 12.0 s". */
export function slowness(slow) {
  return `${factor(slow.factor)} its usual ${duration(slow.usual)}`;
}
