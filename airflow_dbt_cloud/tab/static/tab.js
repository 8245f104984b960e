/**
 * The tab "dbt" on the page of a task instance: what Airflow loads.
 *
 * Airflow imports this module and takes the component from the global of this name. It has one React and one
 * page for everything: what breaks in here must not leave here.
 */

import { EarlierRuns } from "./earlier_runs.js";
import { Failures } from "./failures.js";
import { Head } from "./head.js";
import { NodeDialog } from "./node_dialog.js";
import { NodeList } from "./node_list.js";
import { rowOf } from "./nodes.js";
import { makePicture } from "./picture.js";
import { Component, h, useEffect, useLayoutEffect, useMemo, useState, useLocation } from "./react.js";
import { Console } from "./steps.js";
import { adoptStyle } from "./style.js";
import { Watch } from "./watch.js";
import { chosenZone } from "./words.js";

adoptStyle();

// Airflow shows the name of the global as the tab's label.
globalThis.dbt = AirflowDbtCloudTab;

function AirflowDbtCloudTab({ dagId, runId, taskId, mapIndex }) {
  const ids = { dagId, runId, taskId, mapIndex };
  return h("div", { id: "dbt-cloud-tab", className: "dbt-cloud-tab" },
    h(Boundary, { key: JSON.stringify(ids) }, h(Page, { ids })));
}

class Boundary extends Component {
  state = { error: null };

  static getDerivedStateFromError(error) {
    return { error };
  }

  render() {
    const { error } = this.state;
    if (error === null) return this.props.children;
    const words = `The dbt tab broke, nothing else did: ${error?.message ?? error}`;
    return h("p", { className: "alert", role: "alert" }, h("span", null, words));
  }
}

function Page({ ids }) {
  const tryNumber = new URLSearchParams(useLocation().search).get("try_number");
  return h(Task, { key: tryNumber, ids, tryNumber });
}

function Task({ ids, tryNumber }) {
  const [known, setKnown] = useState(null), zone = useZone();
  useEffect(() => {
    const watch = new Watch(ids, tryNumber, setKnown);
    watch.start();
    return () => watch.stop();
  }, []);
  if (!known?.answer) return h(Sentence, { isBusy: !known?.trouble }, known?.trouble || "Loading…");
  if (!known.answer.isOurs) return h(Foreign, { others: known.answer.others });
  return h(Run, { known, zone });
}

function Run({ known, zone }) {
  const { answer, live, trouble, isLive } = known;
  const started = useMemo(() => performance.now(), [answer]);
  const picture = useMemo(() => makePicture({ answer, live }), [answer, live]);
  const [opened, setOpened] = useState(null);
  useLayoutEffect(() => {
    // After uPlot, which draws in a microtask.
    queueMicrotask(() => performance.measure("dbt-cloud-tab picture", { start: started }));
  }, [answer]);
  const { run, nodes, failed } = picture;
  const open = (id, row = -1) => setOpened({ id, row });
  // Rows are others when the run has ended.
  const rowNow = ({ id, row }) => (nodes?.ids[row] === id ? row : rowOf(nodes, id));
  const notes = answer.notes.map((note) => h("p", { key: note, className: "note" }, h("span", null, note)));
  const earlier = h(EarlierRuns, { key: "earlier", picture, zone, onOpen: open });
  if (!run) return [h(Sentence, { key: "none" }, trouble || nothingYet(isLive)), notes, earlier];
  const progress = live && nodes;
  return [
    h(Head, {
      key: "head", run, state: answer.task.state, hasNodes: nodes !== null, progress,
      live, isLive, trouble, zone,
    }),
    notes,
    h(Failures, { key: "failures", failed, total: run.failedCount, onOpen: open }),
    earlier,
    live && h(Console, { key: "console", text: live.console }),
    nodes && h(NodeList, { key: "nodes", picture, onOpen: open }),
    opened && h(NodeDialog, {
      key: opened.id, id: opened.id, row: rowNow(opened), picture, failures: answer.failures, zone,
      onClose: () => setOpened(null),
    }),
  ];
}

function Foreign({ others }) {
  const words = "This task runs no dbt Cloud job.";
  if (!others.length) return h(Sentence, null, `${words} Nor does any other of this Dag run.`);
  return h(Sentence, null, `${words} Those of this Dag run that do: `, others.map((task, place) =>
    h("span", { key: place }, place ? ", " : "", h(Other, task))));
}

function Other({ taskId, mapIndex, state, url }) {
  const name = mapIndex >= 0 ? `${taskId} [${mapIndex}]` : taskId;
  return [url ? h("a", { key: "link", href: url }, name) : name, state && ` (${state})`];
}

function Sentence({ isBusy = false, children }) {
  const look = { id: "dbt-cloud-sentence", className: "soft", role: "status", "aria-busy": isBusy };
  return h("p", look, children);
}

function nothingYet(isLive) {
  if (isLive) return "The task has not started a dbt Cloud run yet.";
  return "Nothing is stored of a dbt Cloud run for this try.";
}

// The time zone can be changed while the page is open; Airflow tells in an event of its own.
function useZone() {
  const [zone, setZone] = useState(() => chosenZone());
  useEffect(() => {
    const look = () => setZone(chosenZone());
    const events = ["storage", "local-storage"];
    events.forEach((event) => globalThis.addEventListener(event, look));
    return () => events.forEach((event) => globalThis.removeEventListener(event, look));
  }, []);
  return zone;
}
