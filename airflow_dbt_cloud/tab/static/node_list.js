/** The nodes of a run: what to filter them by, the timeline and the table, which show the same. */

import { secondsOf } from "./critical_path.js";
import { h, useMemo, useRef, useState } from "./react.js";
import { ATTENTION, countWords, EVERYTHING, pick, sortRows } from "./rows.js";
import { isTerminal, KINDS, kindOfNode } from "./statuses.js";
import { Table } from "./table.js";
import { Timeline, Zoom } from "./timeline.js";
import { count, counted, duration } from "./words.js";

export function NodeList({ picture: { run, nodes, path, slow }, onOpen }) {
  const [filter, setFilter] = useState(EVERYTHING);
  const [order, setOrder] = useState(ATTENTION);
  const chart = useRef(null), [isZoomed, setZoomed] = useState(false);
  const picked = useMemo(() => pick(nodes, filter, path), [nodes, filter, path]);
  const rows = useMemo(() => sortRows(nodes, picked, order, slow), [nodes, picked, order, slow]);
  const isAll = picked.length === nodes.count;
  const hasTimes = useMemo(() => nodes.starts.some((start) => !Number.isNaN(start)), [nodes]);
  return h("section", { id: "dbt-cloud-nodes", "aria-label": "Nodes" },
    h("div", { className: "title" },
      h("h3", null, h("span", null,
        isAll ? counted(nodes.total, "node") : `${count(picked.length)} of ${counted(nodes.total, "node")}`,
        h("small", null, remarkOn(nodes, path, run)))),
      hasTimes && h(Zoom, { chart, isZoomed })),
    nodes.count > 0 && h(Tools, { nodes, path, filter, setFilter }),
    hasTimes && h(Timeline, {
      nodes, picked: isAll ? null : picked, path, chart,
      onZoom: setZoomed, onOpen: (row) => onOpen(nodes.ids[row], row),
    }),
    nodes.count > 0 && h(Table, { nodes, rows, order, onOrder: setOrder, path, slow, onOpen }),
  );
}

function remarkOn(nodes, path, run) {
  const taken = secondsOf(nodes, path);
  const known = isTerminal(run.status) ? "are known here, and all in run_results.json" : "have begun";
  const whole = run.seconds ? ` of ${duration(run.seconds)}` : "";
  return [
    nodes.total > nodes.count && `, of which ${count(nodes.count)} ${known}`,
    path.length > 0 && `; the critical path is ${path.length} of them, ${duration(taken)}${whole}`,
  ].filter(Boolean).join("");
}

function Tools({ nodes, path, filter, setFilter }) {
  const statuses = useMemo(() => inOrder(countWords(nodes.statuses, filter.statuses)), [nodes, filter]);
  const types = useMemo(() => countWords(nodes.types, filter.types), [nodes, filter]);
  const toggle = (key, word) => {
    const words = new Set(filter[key]);
    if (!words.delete(word)) words.add(word);
    setFilter({ ...filter, [key]: words });
  };
  return h("div", { className: "tools", role: "group", "aria-label": "Filter nodes" },
    h("input", {
      id: "dbt-cloud-search", type: "search", placeholder: "Search nodes", "aria-label": "Search nodes",
      value: filter.words, onChange: (event) => setFilter({ ...filter, words: event.target.value }),
    }),
    statuses.map(([word, many]) => h(Toggle, {
      key: `status ${word}`, id: `dbt-cloud-status-${word || "none"}`, word: word || "no status",
      many, mark: `dot ${kindOfNode(word)}`, isOn: filter.statuses.has(word),
      onClick: () => toggle("statuses", word),
    })),
    h("span", { className: "gap" }),
    path.length > 0 && h(Toggle, {
      id: "dbt-cloud-path", word: "critical path", many: path.length, mark: "rule", isOn: filter.isOnPath,
      onClick: () => setFilter({ ...filter, isOnPath: !filter.isOnPath }),
    }),
    types.length > 1 && types.map(([word, many]) => h(Toggle, {
      key: `type ${word}`, id: `dbt-cloud-type-${word || "none"}`, word: word || "other", many,
      isOn: filter.types.has(word), onClick: () => toggle("types", word),
    })),
  );
}

function inOrder(counts) {
  const rank = ([word]) => KINDS.indexOf(kindOfNode(word));
  return counts.sort((one, other) => rank(one) - rank(other));
}

function Toggle({ id, word, many, mark, isOn, onClick }) {
  return h("button", { id, "aria-pressed": isOn, onClick },
    mark && h("span", { className: mark }), h("span", null, word), h("span", null, count(many)));
}
