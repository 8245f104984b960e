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
import { makePicture } from "./picture.js";
import { Component, h, useEffect, useLayoutEffect, useMemo, useState, useLocation } from "./react.js";
import { Console } from "./steps.js";
import { adoptStyle } from "./style.js";
import { Watch } from "./watch.js";
import { chosenZone } from "./words.js";

adoptStyle();

// Airflow shows the name of the global as the tab's label.
globalThis.dbt = AirflowDbtCloudTab;
globalThis.AirflowDbtCloudTab = AirflowDbtCloudTab;

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
    return h("p", { className: "alert", role: "alert" }, h("span", null, `The dbt tab broke, nothing else did: ${error?.message ?? error}`));
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
  return h(Run, { known, ids, zone });
}

function Run({ known, ids, zone }) {
  const { answer, live, trouble, isLive } = known;
  const started = useMemo(() => performance.now(), [answer]);
  const picture = useMemo(() => makePicture({ answer, live }, ids), [answer, live]);
  const [opened, setOpened] = useState(null);
  useLayoutEffect(() => {
    // After uPlot, which draws in a microtask.
    queueMicrotask(() => performance.measure("dbt-cloud-tab picture", { start: started, end: performance.now() }));
  }, [answer]);
  const { run, nodes, failed } = picture;
  const open = (id, row = nodes ? nodes.ids.indexOf(id) : -1) => setOpened({ id, row });
  const notes = answer.notes.map((note) => h("p", { key: note, className: "note" }, h("span", null, note)));
  if (!run) return [h(Sentence, { key: "none" }, trouble || nothingYet(isLive)), notes, h(EarlierRuns, { key: "earlier", picture, zone })];
  return [
    h(Head, { key: "head", run, hasNodes: nodes !== null, progress: live && nodes, live, isLive, trouble, zone }),
    notes,
    h(Failures, { key: "failures", failed, onOpen: open }),
    h(EarlierRuns, { key: "earlier", picture, zone, onOpen: open }),
    live && h(Console, { key: "console", text: live.console }),
    nodes && h(NodeList, { key: "nodes", picture, onOpen: open }),
    opened && h(NodeDialog, {
      key: opened.id, node: opened, picture, failures: answer.failures, zone, onClose: () => setOpened(null),
    }),
  ];
}

function Foreign({ others }) {
  if (!others.length) return h(Sentence, null, "This task runs no dbt Cloud job, and no other task of this Dag run does.");
  return h(Sentence, null, "This task runs no dbt Cloud job. Those of this Dag run that do: ", others.map((task, place) => {
    const name = task.mapIndex >= 0 ? `${task.taskId} [${task.mapIndex}]` : task.taskId;
    const state = task.state && ` (${task.state})`;
    return h("span", { key: place }, place ? ", " : "", task.url ? h("a", { href: task.url }, name) : name, state);
  }));
}

function Sentence({ isBusy = false, children }) {
  return h("p", { id: "dbt-cloud-sentence", className: "soft", role: "status", "aria-busy": isBusy }, children);
}

function nothingYet(isLive) {
  return isLive ? "The task has not started a dbt Cloud run yet." : "Nothing is stored of a dbt Cloud run for this try.";
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
