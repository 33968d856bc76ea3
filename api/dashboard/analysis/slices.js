// Slices: the value against each parameter, with a mark where the best sits at a bound.
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { themed } from "../lib/colors.js";
import { count, num } from "../lib/format.js";
import { go, href } from "../lib/route.js";
import { byRole } from "../ui/actions.js";
import { Panel } from "../ui/bits.js";
import { Buttons } from "../ui/dialog.js";
import { Respace } from "../ui/space.js";
import { least, most, thin } from "./brush.js";
import { axis as axisOf, EChart } from "./echart.js";
import { bounds } from "./tab.js";

const MOST_POINTS = 1500;

/** @param {{view: import("./tab.js").View, data: import("../study/data.js").StudyData}} props */
export function Slices({ view, data }) {
  const shown = view.axes.filter((a) => a.key !== "value");
  return html`<${Edges} view=${view} data=${data} names=${Object.keys(view.edges).filter((name) => view.edges[name].at && shown.some((a) => a.name === name))} />
    <div class="slices">${shown.map((a) => html`<${Slice} key=${a.key} view=${view} axis=${a} />`)}</div>`;
}

function Edges({ view, data, names }) {
  const [asked, setAsked] = useState(false);
  if (!names.length) return null;
  const over = view.study.state === "finished" || view.study.state === "cancelled";
  const buttons = byRole([{ word: "Widen…", may: !over, why: "the study is over: clone it with a wider space", press: () => setAsked(true) }]);
  return html`<${Panel} title="At the edge of the range"><ul class="edges">${names.map((name) => html`<li class="warn"><span aria-hidden="true">▲ </span><b>${name}</b>: ${view.edges[name].words}. Better values may lie beyond.</li>`)}</ul>
    <${Buttons} buttons=${buttons} />
    ${asked && html`<${Respace} study=${view.study} path=${data.path} done=${() => data.refresh()} close=${() => setAsked(false)} />`}<//>`;
}

function Slice({ view, axis }) {
  const { study, table, rows, best, bare, chosen } = view;
  const edge = view.edges[axis.name];
  const has = rows.filter((i) => axis.values[i] !== null && axis.values[i] !== undefined);
  const lost = bare.filter((i) => axis.values[i] !== null && axis.values[i] !== undefined);
  const drawn = thin(has, MOST_POINTS, best.slice(0, 50));
  const note = [drawn.length < has.length ? `showing ${count(drawn.length)} of ${count(has.length)}` : "", axis.log ? "log" : ""].filter(Boolean).join(" · ");
  const onChart = (made) => made.on("click", (event) => event.data?.row !== undefined && go(href({ study: study.id, trial: table.columns.number[event.data.row] }, true)));
  const behind = { head: ["trial", axis.label, study.spec.objective.metric], rows: () => thin(has, 500, best.slice(0, 20)).map((i) => [String(table.columns.number[i]), axis.values[i], table.columns.value[i]]) };
  return html`<${EChart} title=${`Slice: ${axis.label}`} name=${`${study.name}-slice-${axis.label}`} note=${note} height=${220} behind=${behind} onChart=${onChart}
    option=${() => picture(view, axis, drawn, thin(lost, 300))} on=${[view]}
    legend=${html`<span><i class="swatch" style="background:var(--best)"></i>best</span>${chosen && html`<span><i class="swatch" style="background:var(--s-running)"></i>selected</span>`}${lost.length > 0 && html`<span>✕ ${count(lost.length)} without a value, at the lower border</span>`}
      ${edge?.at && html`<span class="warn">▲ ${edge.words}</span>`}`} />`;
}

function picture(view, axis, drawn, lost) {
  const { table, best, chosen } = view;
  const { min, max } = bounds(view);
  const spread = (i) => (((table.columns.number[i] * 0.618034) % 1) - 0.5) * 0.5;
  const x = (i) => (axis.kind === "category" ? axis.categories.indexOf(String(axis.values[i])) + spread(i) : axis.values[i]);
  const points = (rows) => rows.filter((i) => table.columns.value[i] >= min && table.columns.value[i] <= max).map((i) => ({ value: [x(i), table.columns.value[i]], row: i }));
  const dots = (rows, color, size, opacity, more = {}) => ({ type: "scatter", symbolSize: size, itemStyle: { color, opacity }, data: points(rows), ...more });
  const first = best.filter((i) => axis.values[i] !== null && axis.values[i] !== undefined).slice(0, 1);
  const edge = view.edges[axis.name];
  const mark = edge?.at ? { markLine: { silent: true, symbol: "none", lineStyle: { color: themed("warn"), type: "dashed", width: 1.5 }, label: { show: true, color: themed("warn"), formatter: "▲ edge" }, data: [{ xAxis: edge.bound }] } } : {};
  return {
    grid: { left: 8, right: 26, top: 22, bottom: 30, containLabel: true },
    xAxis: across(axis),
    yAxis: axisOf("", { type: view.log ? "log" : "value", min, max, axisLabel: inner() }),
    tooltip: { formatter: (p) => (p.data?.row === undefined ? "" : `trial ${table.columns.number[p.data.row]}\n${axis.label}: ${axis.kind === "category" ? axis.values[p.data.row] : num(axis.values[p.data.row])}\n${view.study.spec.objective.metric}: ${num(table.columns.value[p.data.row])}`) },
    series: [
      dots(chosen ? drawn.filter((i) => !chosen.has(i)) : drawn, chosen ? themed("ghost") : themed("accent"), 5, chosen ? 0.35 : 0.5),
      dots(chosen ? drawn.filter((i) => chosen.has(i)) : [], themed("s-running"), 6, 0.9),
      dots(first, themed("best"), 12, 1, { symbol: "diamond", z: 5, ...mark }),
      { type: "scatter", symbol: "path://M0 0L4 4M4 0L0 4", symbolSize: 7, itemStyle: { color: "transparent", borderColor: themed("s-failed"), borderWidth: 1.5 }, data: lost.map((i) => ({ value: [x(i), min], row: i })) },
    ],
  };
}

/** Return labels of the round values only, not of the bounds. */
function inner() {
  return { color: themed("dim"), fontSize: 11, hideOverlap: true, showMinLabel: false, showMaxLabel: false, formatter: num };
}

/** Return a parameter's axis: its range on its own scale, or its values side by side.
 * @param {import("./brush.js").Axis} axis
 * @returns {any} */
export function across(axis) {
  if (axis.kind === "category") {
    return axisOf(axis.label, { type: "value", min: -0.5, max: axis.categories.length - 0.5, interval: 1, splitLine: { show: false }, axisLabel: { color: themed("dim"), fontSize: 11, customValues: axis.categories.map((_, i) => i), formatter: (i) => axis.categories[i] ?? "" } });
  }
  const numbers = axis.values.filter((v) => typeof v === "number");
  return axisOf(axis.label, { type: axis.log ? "log" : "value", min: Math.min(axis.range.min ?? Infinity, least(numbers)), max: Math.max(axis.range.max ?? -Infinity, most(numbers)) });
}
