/**
 * The table of nodes, of which only the rows in view are drawn.
 *
 * Whatever scrolls, this table's own box or the page, the rows in view follow. The keyboard has one row at a
 * time, which is told by `aria-activedescendant`: the element of a row that is out of view may not be there.
 */

import { slowness } from "./earlier_runs.js";
import { h, memo, useEffect, useLayoutEffect, useRef, useState } from "./react.js";
import { nextOrder, windowOf } from "./rows.js";
import { count, duration } from "./words.js";

const ROW_HEIGHT = 30, PAGE = 15;

const COLUMNS = [
  { key: "status", label: "Status" },
  { key: "name", label: "Name" },
  { key: "type", label: "Type", className: "type" },
  { key: "seconds", label: "Duration", className: "number" },
  { key: "factor", label: "Grew slow", className: "usual" },
  { key: "rows", label: "Rows", className: "number rows" },
];

export function Table({ nodes, rows, order, onOrder, path, slow, onOpen }) {
  const body = useRef(null), [first, last] = useWindow(body, rows.length);
  const [active, setActive] = useState(0);
  const at = Math.min(active, rows.length - 1), onPath = new Set(path);
  const drawn = Array.from({ length: Math.max(0, last - first) }, (_, place) => first + place);
  if (at >= 0 && (at < first || at >= last)) drawn.push(at);
  const onKeyDown = (event) => {
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + PAGE, PageUp: at - PAGE, Home: 0, End: rows.length - 1 }[event.key];
    if (event.target !== event.currentTarget || (next === undefined && event.key !== "Enter") || !rows.length) return;
    event.preventDefault();
    if (next === undefined) return onOpen(nodes.ids[rows[at]], rows[at]);
    return setActive(Math.min(Math.max(0, next), rows.length - 1));
  };
  useLayoutEffect(() => {
    // Not at first: nobody has asked to be taken there.
    if (document.activeElement === body.current.parentElement) body.current.querySelector(".active")?.scrollIntoView({ block: "nearest" });
  }, [at]);
  return h("div", {
    id: "dbt-cloud-nodes-table", className: "box grid", role: "grid", tabIndex: 0, "aria-label": "Nodes", "aria-rowcount": rows.length + 1,
    "aria-activedescendant": at >= 0 ? `dbt-cloud-row-${at}` : null, onKeyDown,
  },
    h(Heads, { order, onOrder }),
    h("div", { ref: body, className: "body", role: "rowgroup", style: { height: rows.length * ROW_HEIGHT } }, drawn.map((place) =>
      h(Row, {
        key: place, place, row: rows[place], nodes, slow: slow.get(rows[place]), isOnPath: onPath.has(rows[place]),
        isActive: place === at, onOpen,
      }))),
    rows.length === 0 && h("p", { className: "none", role: "row" }, h("span", { role: "gridcell" }, "No node is like that.")),
  );
}

function Heads({ order, onOrder }) {
  return h("div", { className: "row heads", role: "row", "aria-rowindex": 1 }, COLUMNS.map(({ key, label, className }) => {
    const isSorted = order.key === key, arrow = isSorted ? (order.isDescending ? " ↓" : " ↑") : "";
    const direction = isSorted ? (order.isDescending ? "descending" : "ascending") : "none";
    return h("div", { key, className, role: "columnheader", "aria-sort": direction },
      h("button", { onClick: () => onOrder(nextOrder(order, key)) }, label, h("span", { "aria-hidden": true }, arrow)));
  }));
}

const Row = memo(({ place, row, nodes, slow, isOnPath, isActive, onOpen }) => {
  const cell = (className, ...content) => h("div", { className, role: "gridcell" }, ...content);
  return h("div", {
    id: `dbt-cloud-row-${place}`, className: isActive ? "row active" : "row", role: "row", "aria-rowindex": place + 2,
    "aria-haspopup": "dialog", style: { top: place * ROW_HEIGHT }, onClick: () => onOpen(nodes.ids[row], row),
  },
    cell("status cut", h("span", { className: `dot ${nodes.kinds[row]}` }), h("span", { className: "cut" }, nodes.statuses[row])),
    cell("cut", isOnPath && h("span", { className: "mark", title: "On the critical path" }, "◆"), h("span", { title: nodes.ids[row] }, nodes.names[row])),
    cell("type cut soft", h("span", null, nodes.types[row])),
    cell("number", h("span", null, duration(nodes.seconds[row]))),
    cell("usual cut grew", slow && h("span", null, slowness(slow))),
    cell("number rows", nodes.rows[row] === null ? "" : h("span", null, count(nodes.rows[row]))),
  );
});

// Scrolling is heard on its way to whatever scrolls.
function useWindow(body, rowCount) {
  const [range, setRange] = useState([0, Math.min(rowCount, 40)]);
  const look = () => {
    if (!body.current) return;
    const top = body.current.getBoundingClientRect().top;
    const next = windowOf({ top, height: globalThis.innerHeight, rowHeight: ROW_HEIGHT, count: rowCount });
    setRange((before) => (before[0] === next[0] && before[1] === next[1] ? before : next));
  };
  useLayoutEffect(look, [rowCount]);
  useEffect(() => {
    const passive = { capture: true, passive: true };
    document.addEventListener("scroll", look, passive);
    globalThis.addEventListener("resize", look, passive);
    return () => {
      document.removeEventListener("scroll", look, passive);
      globalThis.removeEventListener("resize", look, passive);
    };
  }, [rowCount]);
  return range;
}
