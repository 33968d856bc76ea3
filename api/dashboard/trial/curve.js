// The objective's curve with every decision on it, and the rate's staircase under it on the same axis.
import { useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";
import { html } from "../lib/html.js";
import { colorOf, themed } from "../lib/colors.js";
import { factor, num, OUTCOMES } from "../lib/format.js";
import { leftBehind, lineage } from "../lib/lineage.js";
import { query, set } from "../lib/route.js";
import { align, fit } from "../lib/series.js";
import { axis, Chart } from "../ui/chart.js";
import { cutoffs, decisions, rungsAhead } from "./story.js";

const stepped = uPlot.paths.stepped?.({ align: -1 });
const SYNC = "trial-curve";
const DOTS = 60;
const EDGE = 12; // marks at the curve's ends are drawn whole
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 1e6, 1e7, 1e8];

/** Return the axis of steps: whole numbers only.
 * @param {string} label */
export const steps = (label = "step") => axis(label, { incrs: WHOLE, ...(label ? {} : { size: 24 }) });

/** @typedef {{marks: ReturnType<typeof decisions>, rungs: ReturnType<typeof cutoffs>, ahead: number[], color: string, reports: any[]}} Shown */

export function Curve({ trial, of }) {
  const reports = useMemo(() => lineage(trial), [trial]);
  const left = useMemo(() => leftBehind(trial), [trial]);
  const shown = useRef(/** @type {any} */ (null));
  shown.current = {
    reports, marks: decisions(trial.events), rungs: cutoffs(trial.events), color: colorOf(trial.number),
    ahead: trial.state === "ended" ? [] : rungsAhead(of.spec.pruner, trial.last_step),
  };
  const metric = of.spec.objective.metric;
  const values = reports.map((r) => r.value);
  const range = fit([...values, ...left.map((r) => r.value)], [...values, ...shown.current.rungs.map((r) => r.cutoff)]);
  const canLog = values.every((v) => v === null || v > 0);
  const log = query.value.tlog === "1" && canLog;
  const data = useMemo(() => align([{ x: reports.map((r) => r.step), y: values }, { x: left.map((r) => r.step), y: left.map((r) => r.value) }]), [trial]);
  const rates = useMemo(() => [data[0], align([{ x: data[0], y: [] }, { x: reports.map((r) => r.step), y: reports.map((r) => r.lr_factor) }])[2]], [data]);
  const few = data[0].length < DOTS;
  const make = useMemo(() => () => curveOptions(metric, log ? null : range, few, shown), [log, range.low, range.high, few, metric]);
  const makeRate = useMemo(() => () => rateOptions(shown), []);
  if (!trial.reports.length) return html`<section class="panel empty"><p>No report yet. The curve begins with the first one.</p></section>`;
  const bad = reports.filter((r) => r.value === null).length;
  const note = [range.off ? `${range.off} off scale` : "", bad ? `${bad} not finite` : ""].filter(Boolean).join(" · ");
  const at = (step) => shown.current.marks.filter((m) => m.step === step).map((m) => m.text).join("; ");
  const rows = () => reports.map((r) => [String(r.step), r.value ?? r.status, factor(r.lr_factor), String(r.attempt), at(r.step)]);
  const tools = html`<button class="plain small" aria-pressed=${log} disabled=${!canLog} title=${canLog ? "" : "some values are not above zero"} onClick=${() => set({ tlog: log ? null : 1 })}>log</button>`;
  return html`<${Chart} title="Curve and decisions" note=${note} name=${`${of.name}-${trial.number}`} make=${make} data=${data} height=${300} tools=${tools}
      behind=${{ head: ["step", metric, "rate × start", "attempt", "decided"], rows }}
      legend=${html`<${Legend} shown=${shown.current} metric=${metric} left=${left.length} bad=${bad} />`} />
    <${Chart} title="Rate, as a part of its start" name=${`${of.name}-${trial.number}-rate`} make=${makeRate} data=${rates} height=${130} />`;
}

function Legend({ shown, metric, left, bad }) {
  const end = shown.marks.find((m) => m.kind === "ended");
  const has = (kind) => shown.marks.some((m) => m.kind === kind);
  return html`<span><i class="swatch" style=${{ background: shown.color }}></i>${metric}</span>
    ${left > 0 && html`<span><i class="swatch ghost"></i>earlier attempts, not gone on from</span>`}
    ${has("halved") && html`<span>▼ rate cut</span>`}
    ${has("scaled") && html`<span>⇅ rate scaled</span>`}
    ${has("resumed") && html`<span>┊ went on from here</span>`}
    ${end && html`<span>${OUTCOMES[end.outcome ?? ""]?.mark ?? "●"} ${OUTCOMES[end.outcome ?? ""]?.word ?? "ended"}</span>`}
    ${shown.rungs.length > 0 && html`<span>━ cut-off of a rung</span>`}
    ${shown.ahead.length > 0 && html`<span>┆ rungs ahead: ${shown.ahead.join(", ")}</span>`}
    ${bad > 0 && html`<span>✕ not finite</span>`}`;
}

function curveOptions(metric, range, few, shown) {
  return {
    scales: { x: { time: false }, y: range ? { range: [range.low, range.high] } : { distr: 3 } },
    axes: [steps(), axis(metric, { size: 62 })],
    series: [
      {},
      { stroke: shown.current.color, width: 2, points: { show: few } },
      { stroke: themed("ghost"), width: 1.5, spanGaps: true, points: { show: few } },
    ],
    cursor: { sync: { key: SYNC } },
    hooks: { drawAxes: [(plot) => drawRungs(plot, shown.current)], draw: [(plot) => drawMarks(plot, shown.current)], setCursor: [(plot) => tell(plot, shown.current, metric)] },
  };
}

function rateOptions(shown) {
  return {
    scales: { x: { time: false }, y: { distr: 3, log: 2, range: (_, low, high) => [2 ** Math.floor(Math.log2(Math.min(low ?? 1, 0.5))), 2 ** Math.ceil(Math.log2(Math.max(high ?? 1, 1)))] } },
    axes: [steps(), axis("× start", { size: 62, values: (_, ticks) => ticks.map((t) => (t === null ? "" : factor(t))) })],
    series: [{}, { stroke: shown.current.color, width: 2, paths: stepped, spanGaps: true, points: { show: shown.current.reports.length === 1 } }],
    cursor: { sync: { key: SYNC } },
  };
}

function clipped(plot, paint) {
  const pen = plot.ctx;
  pen.save();
  pen.beginPath();
  const ratio = devicePixelRatio || 1;
  pen.rect(plot.bbox.left - EDGE * ratio, plot.bbox.top - EDGE * ratio, plot.bbox.width + 2 * EDGE * ratio, plot.bbox.height + EDGE * ratio);
  pen.clip();
  paint(pen, ratio);
  pen.restore();
}

/** @param {any} plot
 * @param {Shown} shown */
function drawRungs(plot, shown) {
  clipped(plot, (pen, ratio) => {
    const upright = (step, dash, color) => {
      const x = plot.valToPos(step, "x", true);
      pen.strokeStyle = color;
      pen.lineWidth = ratio;
      pen.setLineDash(dash.map((d) => d * ratio));
      pen.beginPath();
      pen.moveTo(x, plot.bbox.top);
      pen.lineTo(x, plot.bbox.top + plot.bbox.height);
      pen.stroke();
    };
    for (const step of shown.ahead) upright(step, [2, 5], themed("faint"));
    for (const mark of shown.marks) if (mark.kind === "resumed") upright(mark.step, [1, 3], themed("s-running"));
    for (const rung of shown.rungs) {
      const [x, y] = [plot.valToPos(rung.step, "x", true), plot.valToPos(rung.cutoff, "y", true)];
      upright(rung.step, [2, 5], themed("ghost"));
      pen.setLineDash([]);
      pen.strokeStyle = themed(rung.promoted ? "s-complete" : "s-pruned");
      pen.lineWidth = 3 * ratio;
      pen.beginPath();
      pen.moveTo(x - 18 * ratio, y);
      pen.lineTo(x + 18 * ratio, y);
      pen.stroke();
    }
  });
}

/** @param {any} plot
 * @param {Shown} shown */
function drawMarks(plot, shown) {
  const value = new Map(shown.reports.map((r) => [r.step, r.value]));
  clipped(plot, (pen, ratio) => {
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const bottom = plot.bbox.top + plot.bbox.height - 8 * ratio;
    const write = (text, x, y, color, size) => {
      pen.font = `${size * ratio}px system-ui`;
      pen.lineWidth = 3 * ratio;
      pen.strokeStyle = themed("panel");
      pen.strokeText(text, x, y);
      pen.fillStyle = color;
      pen.fillText(text, x, y);
    };
    for (const [step, v] of value) if (v === null) write("✕", plot.valToPos(step, "x", true), bottom, themed("s-diverged"), 12);
    for (const mark of shown.marks) {
      const v = value.get(mark.step);
      const x = plot.valToPos(mark.step, "x", true);
      const y = v === null || v === undefined ? bottom : plot.valToPos(v, "y", true);
      if (mark.kind === "scaled") write("⇅", x, y - 9 * ratio, themed("text"), 13);
      if (mark.kind === "halved") write("▼", x, y - 9 * ratio, themed("text"), 13);
      if (mark.kind === "ended") write(OUTCOMES[mark.outcome ?? ""]?.mark ?? "●", x, y, themed(`s-${mark.outcome ?? "complete"}`), 17);
    }
  });
}

/** Say beside the cursor what was reported and decided there.
 * @param {any} plot
 * @param {Shown} shown
 * @param {string} metric */
function tell(plot, shown, metric) {
  let box = plot.over.querySelector(".tip");
  const step = plot.cursor.idx === null || plot.cursor.idx === undefined ? null : plot.data[0][plot.cursor.idx];
  if (step === null || plot.cursor.left < 0) return box?.remove();
  if (!box) {
    box = document.createElement("div");
    box.className = "tip lines";
    plot.over.append(box);
  }
  const report = shown.reports.find((r) => r.step === step);
  const rung = shown.rungs.find((r) => r.step === step);
  const rate = !report || report.lr_factor === 1 ? "" : `, rate ${factor(report.lr_factor)} of its start`;
  const first = report ? `step ${step}: ${metric} ${report.value === null ? report.status : num(report.value)}${rate}` : `step ${step}`;
  const decided = shown.marks.filter((m) => m.step === step).map((m) => m.text);
  box.textContent = [first, ...(rung ? [rung.text] : []), ...decided.filter((t) => !rung || !t.endsWith(rung.text))].join("\n");
  const right = plot.cursor.left > plot.over.clientWidth / 2;
  box.style.left = right ? "" : `${plot.cursor.left + 14}px`;
  box.style.right = right ? `${plot.over.clientWidth - plot.cursor.left + 14}px` : "";
  box.style.top = "4px";
}
