/**
 * The tab's looks: Airflow's own colours and sizes, with others where Airflow does not name them.
 *
 * An adopted style sheet is no `<style>`, which a proxy's Content-Security-Policy may forbid.
 */

const UPLOT = `
  .uplot, .uplot * { box-sizing: border-box; }
  .uplot { width: min-content; }
  .u-wrap { position: relative; user-select: none; }
  .u-over, .u-under { position: absolute; }
  .u-under { overflow: hidden; }
  .uplot canvas { display: block; position: relative; width: 100%; height: 100%; }
  .u-axis { position: absolute; }
  .u-select { position: absolute; pointer-events: none; background: var(--dbt-fg); opacity: 0.12; }
  .u-cursor-x, .u-cursor-y { position: absolute; inset: 0 auto auto 0; pointer-events: none; }
  .u-hz .u-cursor-x { height: 100%; border-inline-end: 1px solid var(--dbt-soft); opacity: 0.5; }
  .u-off { display: none; }
`;

const SHEET = `
.dbt-cloud-tab {
  --dbt-bg: var(--chakra-colors-bg, #fff);
  --dbt-panel: var(--chakra-colors-bg-subtle, #f8fafc);
  --dbt-hover: var(--chakra-colors-bg-muted, #eef1f5);
  --dbt-fg: var(--chakra-colors-fg, #18202e);
  --dbt-soft: var(--chakra-colors-fg-muted, #3f5670);
  --dbt-line: var(--chakra-colors-border, #dfe4ea);
  --dbt-edge: var(--chakra-colors-border-emphasized, #c6cfda);
  --dbt-link: var(--chakra-colors-fg-info, #155dfc);
  --dbt-focus: var(--chakra-colors-brand-focus-ring, #22335a);
  --dbt-on-solid: #fff;
  --dbt-ok: var(--chakra-colors-success-solid, #007a1f);
  --dbt-failed: var(--chakra-colors-failed-solid, #e7000b);
  --dbt-failed-fg: var(--chakra-colors-failed-fg, #9f0712);
  --dbt-failed-bg: var(--chakra-colors-failed-subtle, #ffe2e2);
  /* Darker than Airflow's, so that white letters can be read on them. */
  --dbt-warned: color-mix(in srgb, var(--chakra-colors-warning-solid, #e17100) 78%, black);
  --dbt-warned-fg: var(--chakra-colors-warning-fg, #973c00);
  --dbt-running: color-mix(in srgb, var(--chakra-colors-running-solid, #0092b8) 82%, black);
  --dbt-skipped: var(--chakra-colors-skipped-solid, #e60076);
  --dbt-idle: var(--chakra-colors-queued-solid, #57534d);
  --dbt-mono: var(--chakra-fonts-mono, ui-monospace, Menlo, Consolas, monospace);
  box-sizing: border-box; height: 100%; overflow: auto; padding: 12px 4px 24px; container-type: inline-size;
  color: var(--dbt-fg); background: var(--dbt-bg); font-size: 14px; line-height: 20px;

  & :is(span, a, b, code, time, bdi) { unicode-bidi: plaintext; }
  & a { color: var(--dbt-link); text-decoration: none; }
  & a:hover { text-decoration: underline; }
  & :is(a, button, input, [tabindex]):focus-visible {
    outline: 2px solid var(--dbt-focus); outline-offset: 1px;
  }
  & button { cursor: pointer; font: inherit; color: inherit; }
  & code, & pre { font-family: var(--dbt-mono); font-size: 12px; line-height: 18px; }
  & section { margin-block-end: 20px; }
  & h3 { margin: 0 0 6px; font-size: 13px; line-height: 20px; font-weight: 600; color: var(--dbt-soft); }
  & h3 small { font-size: 13px; font-weight: 400; }
  & ol, & ul, & dl, & p { margin: 0; padding: 0; list-style: none; }
  & .soft { color: var(--dbt-soft); }
  & .number { text-align: end; font-variant-numeric: tabular-nums; white-space: nowrap; }
  & .cut { min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  & .box { border: 1px solid var(--dbt-line); border-radius: 6px; }

  & .ok { --kind: var(--dbt-ok); }
  & .failed { --kind: var(--dbt-failed); }
  & .warned { --kind: var(--dbt-warned); }
  & .running { --kind: var(--dbt-running); }
  & .skipped { --kind: var(--dbt-skipped); }
  & .idle { --kind: var(--dbt-idle); }
  & .dot {
    flex: none; display: inline-block; width: 8px; height: 8px; border-radius: 50%; background: var(--kind);
  }
  & .dot.failed { border-radius: 1px; }
  & .pill {
    display: inline-block; padding: 0 10px; border-radius: 99px; line-height: 22px; font-size: 13px;
    color: var(--dbt-on-solid); background: var(--kind); white-space: nowrap;
  }
  & .pill::first-letter { text-transform: uppercase; }
  & .grew { color: var(--dbt-warned-fg); }

  & .head { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 12px; margin-block-end: 8px; }
  & .head .beside { margin-inline-start: auto; font-size: 12px; }
  & .facts { display: flex; flex-wrap: wrap; gap: 2px 20px; font-size: 13px; }
  & .facts > div { display: flex; gap: 6px; min-width: 0; }
  & dt { flex: none; color: var(--dbt-soft); }
  & dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
  & .steps { display: flex; flex-wrap: wrap; gap: 2px 20px; margin-block-start: 6px; font-size: 13px; }
  & .steps li { display: flex; align-items: center; gap: 6px; min-width: 0; max-width: 100%; }
  & .note { margin-block: 8px 0; color: var(--dbt-soft); }
  & .trouble { color: var(--dbt-warned-fg); }
  & .alert {
    margin-block: 10px 0; padding: 6px 12px; border-radius: 4px; overflow-wrap: anywhere;
    color: var(--dbt-failed-fg); background: var(--dbt-failed-bg); white-space: pre-wrap;
  }

  & .lines > li + li { border-block-start: 1px solid var(--dbt-line); }
  & .lines > li > :is(div, button) {
    display: flex; align-items: baseline; gap: 10px; width: 100%; padding: 5px 12px; text-align: start;
  }
  & .lines button { border: 0; background: none; }
  & .lines button:hover { background: var(--dbt-hover); }
  & .lines button:focus-visible { outline-offset: -2px; }
  & .lines .name { flex: 1; }
  & .failures .word { flex: none; width: 44px; color: var(--dbt-failed-fg); }
  & .failures .name { flex: none; max-width: 45%; font-weight: 500; }
  & .failures .said { flex: 1; }
  &:dir(rtl) .failures .said { text-align: right; }
  & .plain { border: 0; background: none; padding: 0; color: var(--dbt-link); }

  & .history { display: flex; flex-wrap: wrap; align-items: flex-end; gap: 8px 24px; }
  & .bars { display: flex; gap: 2px; height: 44px; width: fit-content; max-width: 100%; position: relative; }
  & .bars li {
    flex: 0 1 16px; min-width: 3px; width: 16px; height: 100%; display: flex; align-items: flex-end;
  }
  & .bars :is(a, span) {
    display: block; width: 100%; min-height: 2px; background: var(--kind); border-radius: 1px; opacity: 0.55;
  }
  & .bars :is(a:hover, a:focus-visible, .now) { opacity: 1; }
  & .bars .usual {
    position: absolute; inset-inline: 0; width: auto; border-block-start: 1px dashed var(--dbt-soft);
    height: 0; pointer-events: none;
  }
  & .slow { flex: 1 1 320px; min-width: 0; display: flex; flex-wrap: wrap; gap: 0 20px; font-size: 13px; }
  & .slow li { display: flex; gap: 6px; min-width: 0; }

  & .title { display: flex; align-items: flex-end; gap: 12px; margin-block-end: 6px; }
  & .title h3 { flex: 1; margin: 0; }
  & .title .tools { flex: none; flex-wrap: nowrap; margin: 0; }
  & .tools { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; margin-block-end: 8px; }
  & .tools .gap { flex: 1; }
  & .tools :is(button, input) {
    display: inline-flex; align-items: center; gap: 6px; height: 26px; padding: 0 9px; font-size: 13px;
    border: 1px solid var(--dbt-line); border-radius: 4px; background: var(--dbt-bg); color: inherit;
  }
  & .tools input { width: 180px; }
  & .tools input::placeholder { color: var(--dbt-soft); opacity: 1; }
  & .tools button:hover { background: var(--dbt-hover); }
  & .tools button[aria-pressed="true"] {
    border-color: var(--dbt-fg); box-shadow: inset 0 0 0 1px var(--dbt-fg);
  }
  & .tools button:disabled { color: var(--dbt-soft); opacity: 0.5; cursor: default; background: none; }
  & .tools button span:last-child:not(:first-child) {
    color: var(--dbt-soft); font-variant-numeric: tabular-nums;
  }
  & .rule { width: 10px; height: 2px; background: var(--dbt-fg); }

  & .timeline {
    position: relative; direction: ltr; padding-block-start: 4px; margin-block-end: 12px; min-height: 50px;
  }
  & .tip {
    position: absolute; z-index: 3; pointer-events: none; max-width: 340px; padding: 4px 8px;
    border-radius: 4px; font-size: 12px; line-height: 17px; overflow-wrap: anywhere;
    color: var(--dbt-bg); background: var(--dbt-fg);
  }
  & .tip b { font-weight: 600; display: block; }

  & .grid { position: relative; }
  & .row {
    display: grid; grid-template-columns: var(--columns); align-items: center; column-gap: 12px;
    height: 30px; padding-inline: 12px;
  }
  & .heads {
    position: sticky; inset-block-start: -12px; z-index: 2; font-size: 12px; color: var(--dbt-soft);
    background: var(--dbt-panel); border-block-end: 1px solid var(--dbt-line); border-radius: 6px 6px 0 0;
  }
  & .heads button { border: 0; padding: 0; background: none; font-weight: 600; }
  & :is(.seconds, .rows) { text-align: end; font-variant-numeric: tabular-nums; }
  & .body { position: relative; }
  & .body .row {
    position: absolute; inset-inline: 0; cursor: pointer; border-block-end: 1px solid var(--dbt-line);
    scroll-margin-block: 34px; contain: strict;
  }
  & .body .row:last-child { border-block-end-color: transparent; }
  & .body .row:hover { background: var(--dbt-hover); }
  & .grid:focus-visible { outline: none; }
  & .grid:focus-visible .active { outline: 2px solid var(--dbt-focus); outline-offset: -2px; }
  & .body .row > div {
    min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; unicode-bidi: plaintext;
    text-align: left;
  }
  &:dir(rtl) .body .row > div, & .body .row > :is(.seconds, .rows) { text-align: right; }
  &:dir(rtl) .body .row > :is(.seconds, .rows) { text-align: left; }
  & .body .status::before {
    content: ""; display: inline-block; width: 8px; height: 8px; margin-right: 8px; border-radius: 50%;
    background: var(--kind);
  }
  & .body .status.failed::before { border-radius: 1px; }
  & .body .type { color: var(--dbt-soft); }
  & .body .factor { color: var(--dbt-warned-fg); }
  & .mark { margin-right: 6px; color: var(--dbt-soft); font-size: 10px; line-height: 1; }
  & .none { padding: 12px; color: var(--dbt-soft); }

  & dialog {
    margin: 0; margin-inline-start: auto; inset: 0 0 0 auto; width: min(720px, 100vw); max-width: none;
    height: 100dvh; max-height: none;
    padding: 16px 20px; border: 0; border-inline-start: 1px solid var(--dbt-edge); overflow: auto;
    color: var(--dbt-fg); background: var(--dbt-bg);
  }
  & dialog:dir(rtl) { inset: 0 auto 0 0; }
  & dialog::backdrop { background: rgb(0 0 0 / 0.35); }
  & dialog header { display: flex; align-items: flex-start; gap: 12px; margin-block-end: 14px; }
  & dialog h2 {
    flex: 1; margin: 0; font-size: 16px; line-height: 22px; font-weight: 600; overflow-wrap: anywhere;
  }
  & dialog section { margin-block: 16px 0; }
  & dialog pre {
    margin: 0; padding: 10px 12px; overflow: auto; border-radius: 4px; background: var(--dbt-panel);
    border: 1px solid var(--dbt-line); direction: ltr; text-align: left; tab-size: 4;
  }
  & pre.said { white-space: pre-wrap; overflow-wrap: anywhere; }
  & dialog .tools { margin: 0; }
  & dialog h3 { display: flex; align-items: center; gap: 10px; }
  & .console pre {
    max-height: 220px; overflow: auto; margin: 0; padding: 8px 12px; direction: ltr; text-align: left;
    white-space: pre-wrap; overflow-wrap: anywhere;
  }
  & summary {
    cursor: pointer; color: var(--dbt-soft); font-size: 13px; font-weight: 600; padding-block: 2px;
  }
  ${UPLOT}

  @container (max-width: 760px) {
    & .row { grid-template-columns: 84px minmax(0, 1fr) 76px; }
    & .row > :is(.type, .factor, .rows) { display: none; }
    & .failures li > button { flex-wrap: wrap; row-gap: 0; }
    & .failures .name { max-width: 100%; }
    & .failures .said { flex: 1 0 100%; }
    & .tools input { width: 100%; }
  }
}
.dark .dbt-cloud-tab {
  --dbt-bg: var(--chakra-colors-bg, #18202e);
  --dbt-panel: var(--chakra-colors-bg-subtle, #0c1420);
  --dbt-hover: var(--chakra-colors-bg-muted, #1f2b3a);
  --dbt-fg: var(--chakra-colors-fg, #f7f9fb);
  --dbt-soft: var(--chakra-colors-fg-muted, #aab9c9);
  --dbt-line: var(--chakra-colors-border, #243243);
  --dbt-edge: var(--chakra-colors-border-emphasized, #33465b);
  --dbt-link: var(--chakra-colors-fg-info, #8ec5ff);
  --dbt-focus: var(--chakra-colors-brand-focus-ring, #d9e3f4);
  --dbt-failed-fg: var(--chakra-colors-failed-fg, #ffc9c9);
  --dbt-failed-bg: var(--chakra-colors-failed-subtle, #82181a);
  --dbt-warned-fg: var(--chakra-colors-warning-fg, #fee685);
}
@media (prefers-reduced-motion: no-preference) {
  .dbt-cloud-tab .beat { animation: dbt-cloud-beat 1.6s ease-in-out infinite; }
  @keyframes dbt-cloud-beat { 50% { opacity: 0.3; } }
}
`;

/** Give the page the tab's looks, once. */
export function adoptStyle(page = document) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(SHEET);
  page.adoptedStyleSheets = [...page.adoptedStyleSheets, sheet];
}
