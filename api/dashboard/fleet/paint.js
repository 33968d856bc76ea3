// The timeline's picture: lanes of bars on a canvas, only what is in sight. Painting costs one pass over the bars.
import { colorOf, themed } from "../lib/colors.js";
import { OUTCOMES } from "../lib/format.js";
import { isBad } from "./lanes.js";

export const AXIS = 24;
const GAP = 8;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

/** @typedef {import("./lanes.js").Group} Group */
/** @typedef {import("./lanes.js").Bar} Bar */
/** @typedef {{group: Group, lane: number, top: number, height: number}} Row */
/** @typedef {{from: number, to: number, now: number, width: number, height: number, scroll: number, gutter: number, by: string}} View */

/** Return where each lane stands, below the axis.
 * @param {Group[]} groups
 * @returns {{rows: Row[], height: number}} */
export function arrange(groups) {
  const lanes = groups.reduce((n, g) => n + g.lanes.length, 0);
  const height = lanes > 200 ? 9 : lanes > 60 ? 13 : 20;
  /** @type {Row[]} */
  const rows = [];
  let top = AXIS + 4;
  for (const group of groups) {
    for (let lane = 0; lane < group.lanes.length; lane++) {
      rows.push({ group, lane, top, height });
      top += height + 2;
    }
    top += GAP;
  }
  return { rows, height: top };
}

/** Return the bar at a place, if there is one.
 * @param {Row[]} rows
 * @param {View} view
 * @param {number} x
 * @param {number} y within what is in sight
 * @returns {Bar | null} */
export function barAt(rows, view, x, y) {
  if (y < AXIS || x < view.gutter) return null;
  const row = rows.find((r) => y + view.scroll >= r.top && y + view.scroll < r.top + r.height);
  if (!row) return null;
  const second = (view.to - view.from) / (view.width - view.gutter);
  const at = view.from + (x - view.gutter) * second;
  let found = null;
  for (const bar of row.group.lanes[row.lane]) if (bar.start <= at + 2 * second && (bar.end ?? view.now) >= at - 2 * second) found = bar;
  return found;
}

/** @param {CanvasRenderingContext2D} pen
 * @param {Row[]} rows
 * @param {View} view */
export function paint(pen, rows, view) {
  const color = palette();
  pen.clearRect(0, 0, view.width, view.height);
  const perSecond = (view.width - view.gutter) / (view.to - view.from);
  const x = (at) => view.gutter + (at - view.from) * perSecond;
  const ticks = marks(view);
  pen.strokeStyle = color("grid");
  pen.lineWidth = 1;
  pen.beginPath();
  for (const t of ticks.at) line(pen, x(t), AXIS, view.height);
  pen.stroke();
  for (const row of rows) {
    const top = row.top - view.scroll;
    if (top + row.height < AXIS || top > view.height) continue;
    paintLane(pen, row, top, view, x, color);
  }
  names(pen, rows, view, color);
  pen.fillStyle = color("panel");
  pen.fillRect(0, 0, view.width, AXIS);
  pen.fillStyle = color("dim");
  pen.font = "11px system-ui";
  pen.textAlign = "center";
  for (const t of ticks.at) if (x(t) > view.gutter + 20 && x(t) < view.width - 24) pen.fillText(ticks.word(t), x(t), 15);
  if (view.now >= view.from && view.now <= view.to) {
    pen.strokeStyle = color("best");
    pen.beginPath();
    line(pen, x(view.now), AXIS - 4, view.height);
    pen.stroke();
  }
}

function line(pen, x, from, to) {
  pen.moveTo(Math.round(x) + 0.5, from);
  pen.lineTo(Math.round(x) + 0.5, to);
}

function palette() {
  const known = new Map();
  return (name) => {
    if (!known.has(name)) known.set(name, themed(name));
    return known.get(name);
  };
}

function paintLane(pen, row, top, view, x, color) {
  pen.fillStyle = color("bg");
  pen.fillRect(view.gutter, top, view.width - view.gutter, row.height);
  let painted = view.gutter;
  for (const bar of row.group.lanes[row.lane]) {
    const right = Math.min(x(bar.end ?? view.now), view.width);
    const left = Math.max(x(bar.start), view.gutter);
    if (right < view.gutter || left > view.width || (right <= painted && !isBad(bar.how))) continue;
    const width = Math.max(1, right - left - (right - left > 3 ? 1 : 0));
    pen.fillStyle = view.by === "study" ? colorOf(bar.study) : color(`s-${bar.how === "lost" ? "failed" : bar.how === "released" ? "waiting" : bar.how}`);
    pen.fillRect(left, top, width, row.height);
    if (bar.end === null) openEnd(pen, left + width, top, row.height, color);
    if (width > 16 && row.height > 12) word(pen, bar, left, top, width, row.height, color);
    painted = Math.max(painted, Math.floor(right));
  }
}

function openEnd(pen, right, top, height, color) {
  pen.fillStyle = color("panel");
  for (let y = top; y < top + height; y += 6) pen.fillRect(right - 2, y, 2, 3);
}

function word(pen, bar, left, top, width, height, color) {
  pen.save();
  pen.beginPath();
  pen.rect(left, top, width, height);
  pen.clip();
  pen.fillStyle = color("panel");
  pen.font = "11px system-ui";
  pen.textAlign = "left";
  const mark = bar.how === "lost" ? "?" : bar.how === "released" ? "↩" : (OUTCOMES[bar.how]?.mark ?? "");
  pen.fillText(width > 44 ? `${mark} ${bar.number}` : mark, left + 4, top + height / 2 + 4);
  pen.restore();
}

function names(pen, rows, view, color) {
  pen.fillStyle = color("panel");
  pen.fillRect(0, AXIS, view.gutter - 1, view.height);
  pen.textAlign = "left";
  for (const row of rows) {
    const top = row.top - view.scroll;
    if (row.lane || top < AXIS - row.height || top > view.height) continue;
    const lost = row.group.worker && !row.group.worker.alive;
    pen.font = "600 12px system-ui";
    pen.fillStyle = color(lost ? "bad" : row.group.worker ? "text" : "dim");
    const text = `${lost ? "✕ " : ""}${row.group.name}${row.group.worker || row.group.id === "own loops" ? "" : " (gone)"}`;
    pen.fillText(cut(pen, text, view.gutter - 12), 2, top + Math.max(11, row.height / 2 + 4));
  }
}

function cut(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let n = text.length;
  while (n > 1 && pen.measureText(`${text.slice(0, n)}…`).width > width) n--;
  return `${text.slice(0, n)}…`;
}

/** Return where the axis has its marks, and how each is written: in the reader's own zone.
 * @param {View} view */
function marks({ from, to, width, gutter }) {
  const wanted = ((to - from) / Math.max(2, (width - gutter) / 90)) || 1;
  const step = STEPS.find((s) => s >= wanted) ?? STEPS[STEPS.length - 1];
  const zone = new Date(from * 1000).getTimezoneOffset() * 60;
  const at = [];
  for (let t = Math.ceil((from - zone) / step) * step + zone; t <= to; t += step) at.push(t);
  /** @type {Intl.DateTimeFormatOptions} */
  const how = step >= 86400 ? { month: "short", day: "numeric" } : step < 60 ? { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false } : to - from > 86400 ? { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false } : { hour: "2-digit", minute: "2-digit", hour12: false };
  const form = new Intl.DateTimeFormat(undefined, how);
  return { at, word: (t) => form.format(t * 1000) };
}
