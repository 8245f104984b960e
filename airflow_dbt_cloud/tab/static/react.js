/** The React that Airflow runs on: it hands it to plugins as globals, and there must not be a second one. */

export const { Component, createElement: h, memo, useEffect, useLayoutEffect, useMemo, useRef, useState } =
  globalThis.React;

/** What the page's address says, and again when that changes; Airflow's router tells. */
export const useLocation = globalThis.ReactRouterDOM?.useLocation ?? (() => globalThis.location);
