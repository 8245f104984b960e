/**
 * Durations, times and numbers as a person reads them.
 *
 * Times are in the zone that was chosen in Airflow, written as Airflow writes them.
 */

const DAY = 86400, HOUR = 3600, MINUTE = 60;

const NUMBERS = new Intl.NumberFormat("en");

/** As in "0.32 s", "1.3 s", "2 min 5 s", "1 h 3 min"; a dash for null. */
export function duration(seconds) {
  if (seconds === null || !Number.isFinite(seconds)) return "–";
  if (seconds < 0.995) return `${Math.max(0, seconds).toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < HOUR) return join(whole, MINUTE, "min", 1, "s");
  const minutes = Math.round(seconds / MINUTE) * MINUTE;
  if (minutes < DAY) return join(minutes, HOUR, "h", MINUTE, "min");
  return join(Math.round(seconds / HOUR) * HOUR, DAY, "d", HOUR, "h");
}

/** As in "0:05", "12:30", "1:02:03": seconds since the start, as on a stopwatch. */
export function stopwatch(seconds) {
  const sign = seconds < 0 ? "-" : "", tenths = Math.round(Math.abs(seconds) * 100) / 100;
  const whole = Math.floor(tenths), fraction = tenths - whole;
  const hours = Math.floor(whole / HOUR), minutes = Math.floor(whole / MINUTE) % 60;
  const front = hours ? `${hours}:${String(minutes).padStart(2, "0")}` : String(minutes);
  const back = fraction ? String(Number(fraction.toFixed(2))).slice(1) : "";
  return `${sign}${front}:${String(whole % MINUTE).padStart(2, "0")}${back}`;
}

/** As in "2026-11-23 04:00:12"; a dash for null. */
export function time(milliseconds, zone) {
  if (milliseconds === null) return "–";
  const parts = formatOf(zone).formatToParts(milliseconds).map(({ type, value }) => [type, value]);
  const part = Object.fromEntries(parts);
  return `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}:${part.second}`;
}

/** The time of day alone, as in "04:00:12". */
export function clock(milliseconds, zone) {
  return time(milliseconds, zone).split(" ").at(-1);
}

/** As in "20,000". */
export function count(number) {
  return NUMBERS.format(number);
}

/** As in "1 node", "2 nodes". */
export function counted(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** As in "3.2x", "14x". */
export function factor(times) {
  return `${times < 9.95 ? times.toFixed(1) : count(Math.round(times))}x`;
}

/** The time zone that was chosen in Airflow; the browser's own if none was, or if it is unknown here. */
export function chosenZone(storage = globalThis.localStorage) {
  try {
    const zone = JSON.parse(storage.getItem("timezone"));
    return new Intl.DateTimeFormat("en", { timeZone: zone ?? undefined }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}

function join(seconds, large, largeWord, small, smallWord) {
  const rest = Math.floor((seconds % large) / small);
  return `${Math.floor(seconds / large)} ${largeWord}${rest ? ` ${rest} ${smallWord}` : ""}`;
}

const formats = new Map();

// Making a format takes longer than using it a hundred times.
function formatOf(zone) {
  if (!formats.has(zone)) {
    const shape = { dateStyle: "short", timeStyle: "medium", hourCycle: "h23", timeZone: zone };
    formats.set(zone, new Intl.DateTimeFormat("en-GB", shape));
  }
  return formats.get(zone);
}
