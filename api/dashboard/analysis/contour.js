// Contour: two parameters, and the value between the trials, interpolated.
import { useMemo } from "preact/hooks";
import { html } from "../lib/html.js";
import { themed } from "../lib/colors.js";
import { count, num } from "../lib/format.js";
import { query, set } from "../lib/route.js";
import { thin } from "./brush.js";
import { EChart } from "./echart.js";
import { across } from "./slices.js";
import { bounds } from "./tab.js";

const CELLS = 32;
const MOST_POINTS = 600;
const SHADES = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // viridis

/** @param {{view: import("./tab.js").View, importance: any}} props `importance` as far as it is known */
export function Contour({ view, importance }) {
  const { study, table, rows, best } = view;
  const parameters = view.axes.filter((a) => a.key !== "value");
  const ranked = /** @type {any[]} */ ((importance?.items ?? []).map((i) => parameters.find((a) => a.name === i.name)).filter(Boolean));
  const leading = [...new Set([...ranked, ...parameters])];
  const named = (name, other) => parameters.find((a) => a.name === name) ?? leading.find((a) => a !== other);
  const x = named(query.value.cx, parameters.find((a) => a.name === query.value.cy));
  const y = named(query.value.cy, x);
  const has = useMemo(() => rows.filter((i) => isThere(x.values[i]) && isThere(y.values[i])), [rows, x, y]);
  const drawn = useMemo(() => thin(has, MOST_POINTS, best.slice(0, 50).filter((i) => isThere(x.values[i]) && isThere(y.values[i]))), [has]);
  const note = drawn.length < has.length ? `showing ${count(drawn.length)} of ${count(has.length)}` : "";
  const pick = (label, key, now, other) => html`<label class="small">${label} <select value=${now.name} onChange=${(e) => set({ [key]: e.target.value })}>
    ${parameters.map((a) => html`<option value=${a.name} disabled=${a.name === other.name}>${a.name}</option>`)}</select></label>`;
  const better = study.spec.objective.mode === "min" ? "lower" : "higher";
  const behind = { head: ["trial", x.label, y.label, study.spec.objective.metric], rows: () => drawn.map((i) => [String(table.columns.number[i]), x.values[i], y.values[i], table.columns.value[i]]) };
  const tools = html`${pick("across", "cx", x, y)} ${pick("up", "cy", y, x)}`;
  return html`<${EChart} title="Contour" name=${`${study.name}-contour`} note=${note} tools=${tools} height=${340} behind=${behind} option=${() => picture(view, x, y, drawn)} on=${[view.table, view.log, x, y]}
    legend=${html`<span>Interpolated between the trials (dots); bright is better (${better}). Where there are no dots it is a guess.</span><span><i class="swatch" style="background:var(--best)"></i>best</span>`} />`;
}

const isThere = (v) => v !== null && v !== undefined;

/** Return positions from 0 to 1 on an axis, and back.
 * @param {any} drawn its options
 * @returns {{to: (v: number) => number, from: (t: number) => number}} */
function ruler(drawn) {
  const log = drawn.type === "log";
  const [low, high] = log ? [Math.log(drawn.min), Math.log(drawn.max)] : [drawn.min, drawn.max];
  const width = high - low || 1;
  return { to: (v) => ((log ? Math.log(v) : v) - low) / width, from: (t) => (log ? Math.exp(low + t * width) : low + t * width) };
}

/** Return the values of a grid's cells, each weighing the trials by the inverse square of their distance. Pure.
 * @param {[number, number, number][]} points position across, position up, value
 * @param {number} cells along a side
 * @returns {number[]} */
export function interpolate(points, cells) {
  const found = [];
  for (let r = 0; r < cells; r++) {
    for (let c = 0; c < cells; c++) {
      let [sum, weight] = [0, 0];
      for (const [x, y, value] of points) {
        const w = 1 / ((x - (c + 0.5) / cells) ** 2 + (y - (r + 0.5) / cells) ** 2 + 4e-4);
        sum += w * w * value;
        weight += w * w;
      }
      found.push(sum / weight);
    }
  }
  return found;
}

function shade(t) {
  const at = Math.min(1, Math.max(0, t)) * (SHADES.length - 1);
  const i = Math.min(SHADES.length - 2, Math.floor(at));
  return `rgb(${SHADES[i].map((a, k) => Math.round(a + (SHADES[i + 1][k] - a) * (at - i))).join(",")})`;
}

function picture(view, x, y, drawn) {
  const { table, best, log, study } = view;
  const { min, max } = bounds(view);
  const [ax, ay] = [across(x), { ...across(y), nameGap: 48 }];
  const [rx, ry] = [ruler(ax), ruler(ay)];
  const at = (a, i) => (a.kind === "category" ? a.categories.indexOf(String(a.values[i])) : a.values[i]);
  const scale = log ? Math.log : (v) => v;
  const points = drawn.map((i) => /** @type {[number, number, number]} */ ([rx.to(at(x, i)), ry.to(at(y, i)), scale(Math.min(max, Math.max(min, table.columns.value[i])))]));
  const cells = points.length ? interpolate(points, CELLS) : [];
  const [low, high] = [Math.min(...cells), Math.max(...cells)];
  const bright = (v) => (study.spec.objective.mode === "min" ? 1 - (v - low) / (high - low || 1) : (v - low) / (high - low || 1));
  const first = best.filter((i) => isThere(x.values[i]) && isThere(y.values[i]))[0];
  const renderItem = (params, api) => {
    const k = params.dataIndex;
    const [c, r] = [k % CELLS, Math.floor(k / CELLS)];
    const [left, bottom] = api.coord([rx.from(c / CELLS), ry.from(r / CELLS)]);
    const [right, top] = api.coord([rx.from((c + 1) / CELLS), ry.from((r + 1) / CELLS)]);
    return { type: "rect", shape: { x: left, y: top, width: right - left + 0.6, height: bottom - top + 0.6 }, style: { fill: shade(bright(cells[k])) }, silent: true };
  };
  const dot = (rows, color, size, more = {}) => ({ type: "scatter", symbolSize: size, itemStyle: { color, borderColor: "#fff", borderWidth: 0.8 }, data: rows.map((i) => ({ value: [at(x, i), at(y, i)], row: i })), ...more });
  return {
    grid: { left: 62, right: 26, top: 12, bottom: 44 },
    xAxis: ax,
    yAxis: ay,
    tooltip: { formatter: (p) => (p.data?.row === undefined ? "" : `trial ${table.columns.number[p.data.row]}\n${x.label}: ${label(x, p.data.row)}\n${y.label}: ${label(y, p.data.row)}\n${study.spec.objective.metric}: ${num(table.columns.value[p.data.row])}`) },
    series: [
      { type: "custom", renderItem, data: cells.map((v, k) => [rx.from(((k % CELLS) + 0.5) / CELLS), ry.from((Math.floor(k / CELLS) + 0.5) / CELLS), v]), silent: true, z: 0 },
      dot(drawn, "#1b2430", 4.5),
      dot(first === undefined ? [] : [first], themed("best"), 13, { symbol: "diamond", z: 5 }),
    ],
  };
}

const label = (axis, i) => (axis.kind === "category" ? String(axis.values[i]) : num(axis.values[i]));
