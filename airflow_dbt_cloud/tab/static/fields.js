/**
 * One value of foreign JSON at a time, read as what it should be.
 *
 * Nothing breaks a reader: what is missing, or of another kind, is null or empty.
 */

/** A text as it was written; a number as its digits. */
export function text(value) {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}

/** A finite number, or null. */
export function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** A list, or an empty one. */
export function items(value) {
  return Array.isArray(value) ? value : [];
}

/** An object, or an empty one. */
export function member(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
}

/** The objects of a list. */
export function objects(value) {
  return items(value).filter((item) => typeof item === "object" && item !== null && !Array.isArray(item));
}

/** The milliseconds since 1970 of a time in ISO's format, or null. */
export function time(value) {
  const written = Date.parse(text(value).replace(" ", "T"));
  return Number.isNaN(written) ? null : written;
}

/** The address of a page if a browser may be sent there, or nothing: `javascript:` and the like are none. */
export function address(value, base = globalThis.location?.href) {
  if (!text(value)) return "";
  try {
    const url = new URL(text(value), base);
    return ["http:", "https:"].includes(url.protocol) ? url.href : "";
  } catch {
    return "";
  }
}
