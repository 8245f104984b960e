import assert from "node:assert/strict";
import { test } from "node:test";

import {
  chosenZone,
  clock,
  counted,
  duration,
  factor,
  stopwatch,
  time,
} from "../../airflow_dbt_cloud/tab/static/words.js";

test("Durations have the two units that matter.", () => {
  const said = [
    [0, "0.00 s"],
    [0.324, "0.32 s"],
    [0.999, "1.0 s"],
    [12.34, "12.3 s"],
    [59.96, "1 min"],
    [125, "2 min 5 s"],
    [3599.6, "1 h"],
    [3780, "1 h 3 min"],
    [86399, "1 d"],
    [97200, "1 d 3 h"],
    [null, "–"],
    [NaN, "–"],
    [-1, "0.00 s"],
  ];
  for (const [seconds, words] of said) assert.equal(duration(seconds), words);
});

test("A stopwatch shows parts of a second only where there are some.", () => {
  const said = [
    [0, "0:00"],
    [5, "0:05"],
    [0.5, "0:00.5"],
    [0.05, "0:00.05"],
    [750, "12:30"],
    [3723, "1:02:03"],
    [-5, "-0:05"],
  ];
  for (const [seconds, words] of said) assert.equal(stopwatch(seconds), words);
});

test("Times are in the chosen zone, written as Airflow writes them.", () => {
  const moment = Date.UTC(2026, 10, 23, 23, 0, 12);
  assert.equal(time(moment, "Europe/Oslo"), "2026-11-24 00:00:12");
  assert.equal(clock(moment, "UTC"), "23:00:12");
  assert.equal(time(null, "UTC"), "–");
});

test("The zone is what Airflow keeps; what is no zone is not taken.", () => {
  const storage = (value) => ({ getItem: () => value });
  assert.equal(chosenZone(storage('"Asia/Kolkata"')).replace("Calcutta", "Kolkata"), "Asia/Kolkata");
  const own = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  assert.equal(chosenZone(storage(null)), own);
  assert.equal(chosenZone(storage('"Mars/Olympus"')), undefined);
  assert.equal(chosenZone(storage("no JSON")), undefined);
  assert.equal(chosenZone(undefined), undefined);
});

test("Numbers are told with their nouns.", () => {
  assert.equal(counted(1, "node"), "1 node");
  assert.equal(counted(20_000, "node"), "20,000 nodes");
  assert.equal(factor(3.21), "3.2x");
  assert.equal(factor(1400), "1,400x");
});
