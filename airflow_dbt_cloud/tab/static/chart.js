/**
 * The timeline's picture: a bar for each node in its lane, drawn on uPlot's canvas.
 *
 * uPlot has the axes, the zoom by dragging and the canvas; the bars are drawn in its `draw` hook, so nothing
 * is kept for each bar. What was zoomed to stays when new nodes come.
 */

import { assignLanes, findBar } from "./lanes.js";
import { endOf } from "./nodes.js";
import { coloursOf } from "./theme.js";
import uPlot from "./vendor/uPlot.esm.js";
import { stopwatch } from "./words.js";

const AXIS_HEIGHT = 26, LABELS_WIDTH = 34;
const MOST_HEIGHT = 320, THICKEST = 22, THINNEST = 3;
// Steps between the axis' labels, in seconds, that a clock has.
const INCREMENTS = [
  0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30,
  60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400,
];
// A bar is at least so wide, in pixels, so that it can be seen; one that failed is wider.
const NARROWEST = 1, NARROWEST_FAILED = 3;
const LETTER_WIDTH = 6.2, FEWEST_LETTERS = 4;
const CLICK_DISTANCE = 4;
// What can be zoomed to, in seconds.
const SHORTEST = 0.05;

export class Chart {
  #plot = null;
  #picture = null;
  #colours = {};
  #zoom = null;

  /** `onPoint(row, x, y)` tells which bar is pointed at (-1: none), `onOpen(row)` which was clicked. */
  constructor(element, { onPoint, onOpen, onZoom }) {
    this.element = element;
    this.onPoint = onPoint;
    this.onOpen = onOpen;
    this.onZoom = onZoom;
  }

  /** Draw nodes; `picked` are the rows that are not dimmed, or null for all; `path` is the critical path. */
  show({ nodes, picked, path }) {
    if (this.#picture?.nodes !== nodes) {
      this.#picture = { nodes, lanes: assignLanes(nodes), ...spanOf(nodes) };
    }
    Object.assign(this.#picture, { picked: picked && new Set(picked), path });
    if (!this.#plot) this.#make();
    this.#zoomTo(this.#zoom);
  }

  /** Draw again, in another size or in other colours. */
  redraw() {
    if (!this.#plot) return;
    this.#colours = coloursOf(this.element);
    const size = this.#size;
    if (size.width !== this.#plot.width || size.height !== this.#plot.height) this.#plot.setSize(size);
    else this.#plot.redraw(false, true);
  }

  /** Show a part that is `factor` times as long, around its middle or around `at`; null shows everything. */
  zoom(factor, at = null) {
    if (factor === null) return this.#zoomTo(null);
    const { min, max } = this.#plot.scales.x, length = (max - min) * factor, middle = at ?? (min + max) / 2;
    const first = middle - ((middle - min) / (max - min)) * length;
    return this.#zoomTo({ min: first, max: first + length });
  }

  /** Show what comes before or after, by a part of what is shown. */
  pan(part) {
    const { min, max } = this.#plot.scales.x, by = (max - min) * part;
    const far = Math.min(Math.max(by, this.#picture.start - min), this.#picture.end - max);
    this.#zoomTo({ min: min + far, max: max + far });
  }

  destroy() {
    this.#plot?.destroy();
    this.#plot = null;
  }

  get #thickness() {
    const lanes = this.#picture.lanes.labels.length || 1;
    return Math.min(THICKEST, Math.max(THINNEST, Math.floor(MOST_HEIGHT / lanes)));
  }

  get #size() {
    const height = this.#thickness * (this.#picture.lanes.labels.length || 1) + AXIS_HEIGHT;
    return { width: Math.max(120, this.element.clientWidth), height };
  }

  #zoomTo(zoom) {
    const { start, end } = this.#picture;
    if (zoom && zoom.max - zoom.min < SHORTEST) return;
    const isAll = zoom === null || zoom.max - zoom.min >= end - start;
    this.#zoom = isAll ? null : { min: Math.max(start, zoom.min), max: Math.min(end, zoom.max) };
    const size = this.#size;
    if (size.height !== this.#plot.height || size.width !== this.#plot.width) this.#plot.setSize(size);
    this.#plot.setScale("x", this.#zoom ?? { min: start, max: end });
    this.onZoom(!isAll);
    this.onPoint(-1);
  }

  #make() {
    this.#colours = coloursOf(this.element);
    const lanes = () => this.#picture.lanes.labels;
    const axis = { stroke: () => this.#colours.soft, font: this.#font(11), ticks: { show: false } };
    const grid = { stroke: () => this.#colours.line, width: 1 };
    const options = {
      ...this.#size,
      padding: [0, 12, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: true, y: false, setScale: false },
        bind: { dblclick: () => null },
      },
      scales: { x: { time: false }, y: { range: () => [0, lanes().length || 1], dir: -1 } },
      axes: [
        {
          ...axis,
          grid,
          size: AXIS_HEIGHT,
          space: 70,
          incrs: INCREMENTS,
          values: (_, splits) => splits.map(stopwatch),
        },
        {
          ...axis,
          grid: { show: false },
          gap: 4,
          size: LABELS_WIDTH,
          splits: () => lanes().map((_, lane) => lane + 0.5),
          filter: (_, splits) => splits.map((split, lane) => (lane % this.#labelStep ? null : split)),
          values: (_, splits) => splits.map((split) => (split === null ? null : lanes()[Math.floor(split)])),
        },
      ],
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: { draw: [(plot) => this.#draw(plot)], setSelect: [(plot) => this.#select(plot)] },
    };
    const { start, end } = this.#picture;
    this.#plot = new uPlot(options, [[start, end], [null, null]], this.element);
    this.#listen(this.#plot.over);
  }

  // So that labels do not touch.
  get #labelStep() {
    return Math.ceil(14 / this.#thickness);
  }

  #font(size) {
    return `${size}px ${getComputedStyle(this.element).fontFamily}`;
  }

  #select(plot) {
    const { left, width } = plot.select;
    if (width < CLICK_DISTANCE) return;
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.#zoomTo({ min: plot.posToVal(left, "x"), max: plot.posToVal(left + width, "x") });
  }

  #listen(over) {
    let pressed = 0;
    over.addEventListener("mousedown", (event) => { pressed = event.clientX; });
    over.addEventListener("mousemove", (event) => this.#point(event));
    over.addEventListener("mouseleave", () => this.onPoint(-1));
    over.addEventListener("dblclick", () => this.#zoomTo(null));
    over.addEventListener("click", (event) => {
      const row = this.#barAt(event);
      if (row >= 0 && Math.abs(event.clientX - pressed) < CLICK_DISTANCE) this.onOpen(row);
    });
    const onWheel = (event) => {
      // Without a key the wheel scrolls the page.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.#plot.posToVal(event.offsetX, "x"));
    };
    over.addEventListener("wheel", onWheel, { passive: false });
  }

  #point(event) {
    const row = this.#barAt(event), over = this.#plot.over;
    over.style.cursor = row >= 0 ? "pointer" : "";
    const box = this.element.getBoundingClientRect();
    this.onPoint(row, event.clientX - box.left, event.clientY - box.top);
  }

  #barAt(event) {
    const box = this.#plot.over.getBoundingClientRect(), { nodes, lanes } = this.#picture;
    const rows = lanes.rows[Math.floor((event.clientY - box.top) / this.#thickness)];
    if (!rows) return -1;
    const [seconds, beside] = [0, 3].map((more) => this.#plot.posToVal(event.clientX - box.left + more, "x"));
    return findBar(nodes, rows, seconds, beside - seconds);
  }

  #draw({ ctx, bbox, scales: { x } }) {
    const { nodes, picked, path } = this.#picture, ratio = globalThis.devicePixelRatio || 1;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    // In CSS pixels from here on, like everything that is decided about bars.
    ctx.translate(bbox.left, bbox.top);
    ctx.scale(ratio, ratio);
    const scale = bbox.width / ratio / (x.max - x.min);
    const bars = this.#barsBetween(x, scale);
    for (const bar of bars) this.#fill(ctx, bar, picked === null || picked.has(bar.row));
    ctx.globalAlpha = 1;
    this.#drawNames(ctx, bars, picked);
    this.#drawPath(ctx, path, nodes, (seconds) => (seconds - x.min) * scale);
    ctx.restore();
  }

  // What failed comes last, on top of its neighbours.
  #barsBetween({ min, max }, scale) {
    const { nodes, lanes } = this.#picture, bars = [], failed = [];
    const thickness = this.#thickness, gap = thickness > 8 ? 2 : thickness > 4 ? 1 : 0;
    for (const [lane, rows] of lanes.rows.entries()) {
      for (const row of rows) {
        const start = nodes.starts[row], end = endOf(nodes, row);
        if (start > max) break;
        if (end < min) continue;
        const isFailed = nodes.kinds[row] === "failed";
        const length = (end - start) * scale - (gap ? 0.5 : 0);
        const width = Math.max(length, isFailed ? NARROWEST_FAILED : NARROWEST);
        const x = (start - min) * scale, y = lane * thickness + gap / 2;
        (isFailed ? failed : bars).push({ row, x, y, width, height: thickness - gap });
      }
    }
    return [...bars, ...failed];
  }

  #fill(ctx, { row, x, y, width, height }, isPicked) {
    ctx.globalAlpha = isPicked ? 1 : 0.18;
    ctx.fillStyle = this.#colours[this.#picture.nodes.kinds[row]];
    ctx.fillRect(x, y, width, height);
  }

  #drawNames(ctx, bars, picked) {
    if (this.#thickness < 14) return;
    ctx.font = this.#font(11);
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    ctx.fillStyle = this.#colours["on-solid"];
    for (const { row, x, y, width, height } of bars) {
      // A bar that begins to the left of what is shown has its name where it can be read.
      const left = Math.max(x, 0), letters = Math.floor((width - (left - x) - 8) / LETTER_WIDTH);
      if (letters < FEWEST_LETTERS || (picked && !picked.has(row))) continue;
      const name = this.#picture.nodes.names[row];
      const said = name.length > letters ? `${name.slice(0, letters - 1)}…` : name;
      ctx.fillText(said, left + 4, y + height / 2 + 0.5);
    }
  }

  // A line below each bar, and one from the end of each to the start of the next.
  #drawPath(ctx, path, nodes, xOf) {
    const thickness = this.#thickness, { of } = this.#picture.lanes;
    const lines = path.map((row) => ({
      start: xOf(nodes.starts[row]),
      end: xOf(endOf(nodes, row)),
      y: (of[row] + 1) * thickness - 1,
    }));
    ctx.strokeStyle = this.#colours.fg;
    ctx.lineWidth = 1;
    ctx.globalAlpha = 0.6;
    ctx.beginPath();
    for (const { start, end, y } of lines) {
      ctx.lineTo(start, y);
      ctx.lineTo(end, y);
    }
    ctx.stroke();
    ctx.lineWidth = thickness > 8 ? 3 : 2;
    ctx.globalAlpha = 1;
    ctx.beginPath();
    for (const { start, end, y } of lines) {
      ctx.moveTo(start, y);
      ctx.lineTo(Math.max(end, start + 2), y);
    }
    ctx.stroke();
  }
}

// What is before the first node, cloning and installing, is in the list of steps.
function spanOf(nodes) {
  let start = Infinity, end = 0;
  for (const row of nodes.ids.keys()) {
    if (nodes.starts[row] < start) start = nodes.starts[row];
    end = Math.max(end, endOf(nodes, row) || 0);
  }
  return start < end ? { start, end } : { start: 0, end: end || 1 };
}
