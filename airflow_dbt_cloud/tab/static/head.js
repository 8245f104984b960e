/** The head of the tab: how the run is, when it was, what started it, and where it is in dbt Cloud. */

import { h } from "./react.js";
import { isTerminal, kindOfRun } from "./statuses.js";
import { Steps } from "./steps.js";
import { count, duration, time } from "./words.js";

/** `state` is the task's, for as long as nothing is known of the run's status. */
export function Head({ run, state, hasNodes, progress, live, isLive, trouble, zone }) {
  const kind = kindOfRun(run.status);
  return h("section", { id: "dbt-cloud-run", "aria-label": "dbt Cloud run" },
    h("div", { className: "head" },
      h("span", { id: "dbt-cloud-status", role: "status", className: `pill ${kind}` },
        run.status || (isLive && state) || "unknown"),
      h(RunLink, run),
      h("span", { className: "beside soft" }, isLive && h(Beat, { live, zone })),
    ),
    h("dl", { className: "facts" }, factsOf(run, hasNodes, zone).map(([name, value]) =>
      h("div", { key: name }, h("dt", null, name), h("dd", null, value)))),
    h(Steps, { steps: run.steps, progress }),
    run.message && h("p", { className: kind === "failed" ? "alert" : "note" }, h("span", null, run.message)),
    [trouble, live?.message].filter(Boolean).map((sentence) =>
      h("p", { key: sentence, className: "note trouble", role: "status" }, h("span", null, sentence))),
  );
}

function RunLink({ id, url }) {
  const words = id ? `dbt Cloud run ${id}` : "dbt Cloud run";
  if (!url) return h("span", null, words);
  return h("a", { id: "dbt-cloud-link", href: url, target: "_blank", rel: "noopener" }, `${words} ↗`);
}

function Beat({ live, zone }) {
  const seen = live?.seenAt ? `as of ${time(live.seenAt, zone).split(" ")[1]}` : "waiting for dbt Cloud";
  return [
    h("span", { key: "dot", className: `dot running ${live?.isStale ? "" : "beat"}` }), " ",
    h("span", { key: "words" }, live?.isStale ? `${seen}, which is a while ago` : `Live, ${seen}`),
  ];
}

function factsOf(run, hasNodes, zone) {
  const waited = run.startedAt && run.createdAt ? (run.startedAt - run.createdAt) / 1000 : 0;
  const taken = run.seconds !== null && duration(run.seconds);
  const git = [run.branch, run.sha.slice(0, 7)].filter(Boolean).join(" @ ");
  const counts = run.counts.map(([word, many]) => `${count(many)} ${word}`).join(", ");
  const facts = [
    ["Queued since", run.startedAt === null && run.createdAt !== null && h(Time, { at: run.createdAt, zone })],
    ["Started", run.startedAt !== null && h(Time, { at: run.startedAt, zone })],
    ["Finished", run.finishedAt !== null && h(Time, { at: run.finishedAt, zone })],
    ["Duration", taken && (isTerminal(run.status) ? taken : `${taken} so far`)],
    ["Queued", waited >= 1 && duration(waited)],
    ["Behind", run.startedAt === null && run.blockers.map((id) => `run ${id}`).join(", ")],
    // The filters of the table tell these, too.
    ["Nodes", !hasNodes && counts],
    ["Git", git],
    ["dbt", run.dbtVersion],
    ["Job", run.jobId],
    ["Environment", run.environmentId],
    ["Started by", run.cause, "dbt-cloud-cause"],
  ];
  return facts.filter(([, value]) => value).map(([name, value, id]) => [name, h("span", { id }, value)]);
}

function Time({ at, zone }) {
  return h("time", { dateTime: new Date(at).toISOString(), title: zone }, time(at, zone));
}
