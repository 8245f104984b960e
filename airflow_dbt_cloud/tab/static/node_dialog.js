/** All that is known of one node: for one that failed its message and its compiled SQL. */

import { slowness } from "./earlier_runs.js";
import { endOf, nameOf } from "./nodes.js";
import { h, useEffect, useRef, useState } from "./react.js";
import { kindOfNode } from "./statuses.js";
import { clock, count, duration } from "./words.js";

/** `row` is -1 if only the node's failure is known. */
export function NodeDialog({ id, row, picture, failures, zone, onClose }) {
  const dialog = useRef(null);
  useEffect(() => {
    // The browser keeps the focus inside, closes with Esc and gives the focus back.
    dialog.current.showModal();
  }, []);
  const { nodes, run, failed } = picture;
  const failure = failures.get(id) ?? { message: "", code: "", relation: "" };
  const message = failure.message || (failed.find((one) => one.id === id)?.message ?? "");
  const status = row >= 0 ? nodes.statuses[row] : failed.find((one) => one.id === id)?.status ?? "";
  const isFailed = kindOfNode(status) === "failed";
  const onClick = (event) => { if (isBeside(event, dialog.current)) dialog.current.close(); };
  const look = { id: "dbt-cloud-node", "aria-labelledby": "dbt-cloud-node-name" };
  return h("dialog", { ...look, ref: dialog, onClose, onClick },
    h("header", null,
      h("span", { className: `pill ${kindOfNode(status)}` }, status || "unknown"),
      h("h2", { id: "dbt-cloud-node-name" }, h("span", null, nameOf(id))),
      h("div", { className: "tools" },
        h("button", {
          id: "dbt-cloud-node-close", "aria-label": "Close", title: "Close (Esc)",
          onClick: () => dialog.current.close(),
        }, "✕")),
    ),
    h("dl", { className: "facts" }, factsOf({ id, row, picture, failure, zone }).map(([name, value]) =>
      h("div", { key: name }, h("dt", null, name), h("dd", null, h("span", null, value))))),
    h(Text, { id: "dbt-cloud-node-message", title: "Message", text: message, className: "said" }),
    h(Text, { id: "dbt-cloud-node-code", title: "Compiled SQL", text: failure.code }),
    isFailed && !message && h("p", { className: "note" }, "Its message is not stored here. ",
      run.url && h("a", { href: run.url, target: "_blank", rel: "noopener" }, "Look in dbt Cloud ↗")),
  );
}

// On its backdrop. The padding is inside, where a selection of text may end.
function isBeside({ target, clientX }, dialog) {
  const { left, right } = dialog.getBoundingClientRect();
  return target === dialog && (clientX < left || clientX > right);
}

function factsOf({ id, row, picture: { nodes, run, path, slow }, failure, zone }) {
  const facts = [["Unique id", id], ["Relation", failure.relation]];
  if (row >= 0) {
    const origin = nodes.origin ?? run.startedAt ?? NaN;
    const at = (seconds) => Number.isFinite(origin + seconds) && clock(origin + seconds * 1000, zone);
    facts.push(
      ["Duration", duration(nodes.seconds[row])],
      ["Started", at(nodes.starts[row])],
      ["Finished", nodes.kinds[row] !== "running" && at(endOf(nodes, row))],
      ["Thread", nodes.threads[row]],
      ["Rows", nodes.rows[row] !== null && count(nodes.rows[row])],
      ["Grew slow", slow.has(row) && slowness(slow.get(row))],
      ["Critical path", path.includes(row) && `${path.indexOf(row) + 1} of ${path.length}`],
    );
  }
  return facts.filter(([, value]) => value);
}

function Text({ id, title, text, className }) {
  const pre = useRef(null), [copied, setCopied] = useState("");
  if (!text) return null;
  const copy = async () => setCopied((await copyTextOf(pre.current)) ? "Copied" : "Selected");
  return h("section", null,
    h("h3", null, title, h("span", { className: "tools" },
      h("button", { id: `${id}-copy`, "aria-label": `Copy ${title}`, onClick: copy }, copied || "Copy"))),
    h("pre", { ref: pre, id, tabIndex: 0, className, "aria-label": title }, text),
  );
}

// A page that came by plain HTTP has no clipboard; then what to copy is selected at least.
async function copyTextOf(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    globalThis.getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}
