/** What failed: each node in a line with the gist of its message; the rest opens. */

import { nameOf } from "./nodes.js";
import { gist } from "./picture.js";
import { h, useState } from "./react.js";
import { kindOfNode } from "./statuses.js";
import { counted } from "./words.js";

const SHOWN_AT_FIRST = 5;

/** There may be more than are listed. */
export function Failures({ failed, total, onOpen }) {
  const [isWhole, setWhole] = useState(false);
  if (!failed.length) return null;
  // Models before the tests that failed: the one may be why the other did.
  const inOrder = failed.toSorted((one, other) => (one.status === "fail") - (other.status === "fail"));
  const shown = isWhole ? inOrder : inOrder.slice(0, SHOWN_AT_FIRST);
  return h("section", { id: "dbt-cloud-failures", "aria-label": "Failed nodes" },
    h("h3", null, h("span", null, counted(Math.max(failed.length, total), "failed node")),
      shown.length < failed.length && h("small", null, ", ",
        h("button", { className: "plain", onClick: () => setWhole(true) }, "show all"))),
    h("ul", { className: "box lines failures" }, shown.map((failure, place) =>
      h("li", { key: place }, h(Failure, { failure, onOpen })))),
  );
}

function Failure({ failure: { id, status, message }, onOpen }) {
  return h("button", { onClick: () => onOpen(id), "aria-haspopup": "dialog" },
    h("span", { className: `word ${kindOfNode(status)}` }, status),
    h("span", { className: "name cut", title: id }, nameOf(id)),
    h("code", { className: "said cut soft" }, gist(message)),
  );
}
