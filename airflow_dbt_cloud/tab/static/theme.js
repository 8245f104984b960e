/** The colours of the page for what is drawn on a canvas, which no style sheet reaches. */

import { KINDS } from "./statuses.js";

const NAMES = [...KINDS, "fg", "soft", "line", "on-solid", "bg"];

/** Return the colours that an element's style sheet names, as they are now. */
export function coloursOf(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--dbt-${name}`).trim()]));
}

/** Call back when the page turns light or dark; returns what ends that. */
export function watchTheme(callback) {
  const observer = new MutationObserver(callback);
  observer.observe(document.documentElement, { attributeFilter: ["class", "style", "data-theme"] });
  return () => observer.disconnect();
}
