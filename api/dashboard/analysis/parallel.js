// Parallel coordinates: a trial is a line; what is brushed on an axis goes into the search.
import { useRef } from "preact/hooks";
import { html } from "../lib/html.js";
import { themed } from "../lib/colors.js";
import { count, num } from "../lib/format.js";
import { query, set } from "../lib/route.js";
import { brushed, intervals, least, most, thin } from "./brush.js";
import { EChart } from "./echart.js";
import { bounds } from "./tab.js";

const MOST_LINES = 1000;
const TOP = 10;

/** @param {{view: import("./tab.js").View}} props */
export function Parallel({ view }) {
  const { axes, rows, best, chosen, study, table } = view;
  const top = best.slice(0, TOP);
  const inside = chosen ? rows.filter((i) => chosen.has(i)) : [];
  const drawn = thin(rows, MOST_LINES, top);
  const front = chosen ? thin(inside, MOST_LINES) : top;
  const latest = useRef(view);
  latest.current = view;
  const chart = useRef(/** @type {any} */ (null));
  const restore = (made) => {
    const { axes, q } = latest.current;
    axes.forEach((axis, i) => made.dispatchAction({ type: "axisAreaSelect", parallelAxisId: `axis${i}`, intervals: intervals(q, axis).map((pair) => clip(pair, axis, latest.current)) }, { silent: true }));
  };
  const onChart = (made) => {
    chart.current = made;
    restore(made);
    made.on("axisareaselected", (event) => {
      const axis = latest.current.axes[Number(String(event.parallelAxisId).replace("axis", ""))];
      if (!axis) return;
      const q = brushed(query.value.q ?? "", axis, event.intervals ?? []);
      if (q !== (query.value.q ?? "")) set({ q: q || null });
    });
  };
  const option = () => {
    queueMicrotask(() => chart.current && !chart.current.isDisposed() && restore(chart.current));
    return picture(view, drawn, front);
  };
  const note = drawn.length < rows.length ? `showing ${count(drawn.length)} of ${count(rows.length)} trials with a value` : `${count(rows.length)} trials with a value`;
  const listed = chosen ? inside : best.slice(0, 100);
  const behind = { head: ["trial", ...axes.map((a) => a.label)], rows: () => listed.slice(0, 500).map((i) => [String(table.columns.number[i]), ...axes.map((a) => a.values[i] ?? "–")]) };
  if (axes.length < 2) return html`<p class="panel empty">No parameter varies: there is nothing to compare.</p>`;
  return html`<${EChart} title="Parallel coordinates" name=${`${study.name}-parallel`} note=${note} option=${option} on=${[view]} height=${330} behind=${behind} onChart=${onChart}
    legend=${html`<span><i class="swatch" style="background:var(--best)"></i>${chosen ? "selected" : `the best ${top.length}`}</span><span class="hint">Drag along an axis to select; click an axis to take its brush away. The same words stand in the search, which takes the keyboard.</span>`} />`;
}

/** Return how opaque so many lines are, so that they do not run together. */
const seen = (lines) => Math.max(0.12, Math.min(0.85, 80 / Math.max(1, lines)));

function clip([low, high], axis, view) {
  if (axis.key !== "value") return [low, high];
  const { min, max } = bounds(view);
  return [Math.max(low, min), Math.min(high, max)];
}

function picture(view, drawn, front) {
  const { axes, chosen } = view;
  const { min, max } = bounds(view);
  const line = (i) => axes.map((a) => (a.values[i] === null || a.values[i] === undefined ? "-" : a.kind === "category" ? String(a.values[i]) : a.key === "value" ? Math.min(max, Math.max(min, a.values[i])) : a.values[i]));
  const known = new Set(front);
  const series = (rows, color, width, opacity) => ({ type: "parallel", lineStyle: { color, width, opacity }, inactiveOpacity: chosen ? 0.06 : 0.04, activeOpacity: opacity, smooth: false, progressive: 500, silent: true, data: rows.map(line) });
  return {
    parallel: { left: 46, right: 64, top: 38, bottom: 22, parallelAxisDefault: { realtime: false, areaSelectStyle: { width: 18, color: themed("accent"), borderColor: themed("accent"), opacity: 0.28 } } },
    parallelAxis: axes.map((a, dim) => ({
      id: `axis${dim}`, dim, name: a.label.length > 18 ? `${a.label.slice(0, 17)}…` : a.label,
      nameTextStyle: { color: themed("text"), fontSize: 12 }, nameLocation: "end",
      axisLine: { lineStyle: { color: themed("faint") } }, axisTick: { lineStyle: { color: themed("faint") } },
      axisLabel: { color: themed("text"), fontSize: 11, textBorderColor: themed("panel"), textBorderWidth: 3, ...(a.kind === "category" ? { width: 70, overflow: "truncate" } : { formatter: num, hideOverlap: true, ...(a.key === "value" ? { showMinLabel: false, showMaxLabel: false } : {}) }) },
      ...extent(a, view, min, max),
    })),
    series: [series(drawn.filter((i) => !known.has(i)), chosen ? themed("ghost") : themed("accent"), 1, chosen ? 0.25 : 0.35), series(front, themed("best"), 1.6, seen(front.length))],
  };
}

function extent(axis, view, min, max) {
  if (axis.kind === "category") return { type: "category", data: axis.categories };
  if (axis.key === "value") return { type: view.log ? "log" : "value", min, max };
  const numbers = axis.values.filter((v) => typeof v === "number");
  const low = Math.min(axis.range.min ?? Infinity, least(numbers));
  const high = Math.max(axis.range.max ?? -Infinity, most(numbers));
  return { type: axis.log ? "log" : "value", min: low, max: high };
}
