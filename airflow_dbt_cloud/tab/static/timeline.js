/** The timeline: the chart, what is pointed at in it, and how to zoom it without a mouse. */

import { Chart } from "./chart.js";
import { h, useEffect, useLayoutEffect, useRef, useState } from "./react.js";
import { watchTheme } from "./theme.js";
import { counted, duration, stopwatch } from "./words.js";

const KEYS = {
  "+": (chart) => chart.zoom(0.5),
  "=": (chart) => chart.zoom(0.5),
  "-": (chart) => chart.zoom(2),
  0: (chart) => chart.zoom(null),
  ArrowLeft: (chart) => chart.pan(-0.2),
  ArrowRight: (chart) => chart.pan(0.2),
};

/** `chart` is a ref that gets the chart, `onZoom` is told whether only a part of it is shown. */
export function Timeline({ nodes, picked, path, chart, onZoom, onOpen }) {
  const box = useRef(null), open = useRef(onOpen);
  const [pointed, setPointed] = useState({ row: -1 });
  open.current = onOpen;
  useLayoutEffect(() => {
    const onPoint = (row, x, y) =>
      setPointed((before) => (row < 0 && before.row < 0 ? before : { row, x, y }));
    chart.current = new Chart(box.current, { onPoint, onOpen: (row) => open.current(row), onZoom });
    return () => chart.current.destroy();
  }, []);
  useLayoutEffect(() => chart.current.show({ nodes, picked, path }), [nodes, picked, path]);
  useEffect(() => {
    const observer = new ResizeObserver(() => chart.current.redraw());
    observer.observe(box.current);
    const unwatch = watchTheme(() => chart.current.redraw());
    return () => { observer.disconnect(); unwatch(); };
  }, []);
  const onKeyDown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key](chart.current);
  };
  const keys = "Plus and minus zoom, arrows move, 0 shows everything.";
  const label = `Timeline of ${counted(nodes.count, "node")}. ${keys}`, { row } = pointed;
  return h("div", { className: "timeline box", dir: "ltr" },
    h("div", {
      ref: box, id: "dbt-cloud-timeline", role: "group", tabIndex: 0, "aria-label": label, onKeyDown,
    }),
    row >= 0 && row < nodes.count && h(Tip, { ...pointed, nodes, isOnPath: path.includes(row) }),
  );
}

/** Buttons that zoom a chart. */
export function Zoom({ chart, isZoomed }) {
  const button = (id, label, sign, by, disabled = false) => h("button", {
    id: `dbt-cloud-zoom-${id}`, "aria-label": label, title: label, disabled,
    onClick: () => chart.current.zoom(by),
  }, sign);
  return h("div", { className: "tools", role: "group", "aria-label": "Zoom" },
    button("out", "Zoom out", "−", 2, !isZoomed),
    button("in", "Zoom in", "+", 0.5),
    button("reset", "Show everything", "All", null, !isZoomed));
}

function Tip({ row, x, y, nodes, isOnPath }) {
  const facts = [
    nodes.types[row], nodes.statuses[row], duration(nodes.seconds[row]),
    `from ${stopwatch(Math.round(nodes.starts[row]))}`, isOnPath && "on the critical path",
  ];
  const style = { left: Math.max(0, x - 120), top: y + 18 };
  return h("div", { className: "tip", id: "dbt-cloud-tip", style },
    h("b", null, nodes.names[row]), facts.filter(Boolean).join(", "));
}
