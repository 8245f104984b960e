/**
 * The table of nodes, of which only the rows in view are drawn.
 *
 * Whatever scrolls, the tab's own box or the page, the rows in view follow; their elements are used again for
 * other rows. The keyboard has one row at a time, which `aria-activedescendant` tells.
 */

import { slowness } from "./earlier_runs.js";
import { h, memo, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./react.js";
import { nextOrder, windowOf } from "./rows.js";
import { count, duration } from "./words.js";

const ROW_HEIGHT = 30, PAGE = 15;

// By how many rows a key goes on.
const MOVES = {
  ArrowDown: 1, ArrowUp: -1, PageDown: PAGE, PageUp: -PAGE, Home: -Infinity, End: Infinity,
};

const COLUMNS = [
  { key: "status", label: "Status", width: "92px" },
  { key: "name", label: "Name", width: "minmax(0, 1fr)" },
  { key: "type", label: "Type", width: "70px" },
  { key: "seconds", label: "Duration", width: "88px" },
  { key: "factor", label: "Grew slow", width: "160px" },
  { key: "rows", label: "Rows", width: "80px" },
];

export function Table({ nodes, rows, order, onOrder, path, slow, onOpen }) {
  const body = useRef(null), { first, last, size } = useWindow(body, rows.length);
  const [chosen, setChosen] = useState(0);
  const active = Math.min(chosen, rows.length - 1), onPath = new Set(path);
  const drawn = Array.from({ length: Math.max(0, last - first) }, (_, place) => first + place);
  if (active >= 0 && (active < first || active >= last)) drawn.push(active);
  const onKeyDown = (event) => {
    if (event.target !== event.currentTarget || active < 0) return;
    const next = moveBy(event.key, active, rows.length);
    if (next === null && event.key !== "Enter") return;
    event.preventDefault();
    if (next === null) onOpen(nodes.ids[rows[active]], rows[active]);
    else setChosen(next);
  };
  useLayoutEffect(() => {
    // Not at first: nobody has asked to be taken there.
    const hasFocus = document.activeElement === body.current.parentElement;
    if (hasFocus) body.current.querySelector(".active")?.scrollIntoView({ block: "nearest" });
  }, [active]);
  const hasRows = useMemo(() => nodes.rows.some(Number.isFinite), [nodes]), hasSlow = slow.size > 0;
  const columns = COLUMNS.filter(({ key }) => (key !== "factor" || hasSlow) && (key !== "rows" || hasRows));
  return h("div", {
    id: "dbt-cloud-nodes-table", className: "box grid", role: "grid", tabIndex: 0, "aria-label": "Nodes",
    "aria-rowcount": rows.length + 1, "aria-activedescendant": active >= 0 ? `dbt-cloud-row-${active}` : null,
    style: { "--columns": columns.map(({ width }) => width).join(" ") }, onKeyDown,
  },
    h(Heads, { columns, order, onOrder }),
    h("div", { ref: body, className: "body", role: "rowgroup", style: { height: rows.length * ROW_HEIGHT } },
      drawn.map((place) => h(Row, {
        key: place < first || place >= last ? "active" : place % size, place, row: rows[place],
        nodes, hasSlow, hasRows, slow: slow.get(rows[place]), isOnPath: onPath.has(rows[place]),
        isActive: place === active, onOpen,
      }))),
    rows.length === 0 &&
      h("p", { className: "none", role: "row" }, h("span", { role: "gridcell" }, "No node is like that.")),
  );
}

function moveBy(key, active, count) {
  const next = active + (MOVES[key] ?? NaN);
  return Number.isNaN(next) ? null : Math.min(Math.max(0, next), count - 1);
}

function Heads({ columns, order, onOrder }) {
  const [arrow, direction] = order.isDescending ? [" ↓", "descending"] : [" ↑", "ascending"];
  return h("div", { className: "row heads", role: "row", "aria-rowindex": 1 }, columns.map(({ key, label }) =>
    h("div", {
      key, className: key, role: "columnheader", "aria-sort": order.key === key ? direction : "none",
    },
      h("button", { onClick: () => onOrder(nextOrder(order, key)) },
        label, order.key === key && h("span", { "aria-hidden": true }, arrow)))));
}

const Row = memo(({ place, row, nodes, hasSlow, hasRows, slow, isOnPath, isActive, onOpen }) => {
  const cell = (className, ...content) => h("div", { className, role: "gridcell" }, ...content);
  return h("div", {
    id: `dbt-cloud-row-${place}`, className: isActive ? "row active" : "row", role: "row",
    "aria-rowindex": place + 2, style: { top: place * ROW_HEIGHT },
    onClick: () => onOpen(nodes.ids[row], row),
  },
    cell(`status ${nodes.kinds[row]}`, nodes.statuses[row]),
    h("div", { className: "name", role: "gridcell", title: nodes.ids[row] },
      isOnPath && h("span", { className: "mark", title: "On the critical path" }, "◆"), nodes.names[row]),
    cell("type", nodes.types[row]),
    cell("seconds", nodes.kinds[row] === "skipped" ? "" : duration(nodes.seconds[row])),
    hasSlow && cell("factor", slow && slowness(slow)),
    hasRows && cell("rows", nodes.rows[row] === null ? "" : count(nodes.rows[row])),
  );
});

// Scrolling is heard on its way to whatever scrolls.
function useWindow(body, rowCount) {
  const [range, setRange] = useState({ first: 0, last: 0, size: 1 });
  const look = () => {
    if (!body.current) return;
    const top = body.current.getBoundingClientRect().top;
    const next = windowOf({ top, height: globalThis.innerHeight, rowHeight: ROW_HEIGHT, count: rowCount });
    setRange((before) => (Object.keys(next).every((key) => next[key] === before[key]) ? before : next));
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
