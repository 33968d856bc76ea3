// What the training says of its health, and all else it reported.
import { useMemo } from "preact/hooks";
import { html } from "../lib/html.js";
import { colorOf, themed } from "../lib/colors.js";
import { num } from "../lib/format.js";
import { lineage } from "../lib/lineage.js";
import { axis, Chart } from "../ui/chart.js";
import { Panel } from "../ui/bits.js";
import { align } from "../lib/series.js";
import { steps } from "./curve.js";
import { Layers, ofLayer } from "./layers.js";

const HEALTHY = [3e-4, 3e-3];
/** The updates' size beside the weights': about 1e-3 is healthy (Karpathy, "makemore" part 3). */

const PARTS = /^(train|training|val|valid|validation|dev|eval)([_/.-])(.+)$/;

/** Sort metrics into what they tell. Pure.
 * @param {string[]} names
 * @returns {{grad: string[], ratio: string[], pairs: {name: string, train: string, val: string}[], rest: string[]}} */
export function grouped(names) {
  const grad = names.filter((n) => /grad(ient)?s?[_/.-]?norm/i.test(n));
  const ratio = names.filter((n) => /update[_/.-]?(to[_/.-]?weight[_/.-]?)?ratio/i.test(n));
  const sides = new Map();
  for (const name of names) {
    const found = PARTS.exec(name);
    if (!found) continue;
    const side = found[1].startsWith("train") ? "train" : "val";
    sides.set(found[3], { ...sides.get(found[3]), [side]: name });
  }
  const pairs = [...sides].filter(([, s]) => s.train && s.val).map(([name, s]) => ({ name, train: s.train, val: s.val }));
  const used = new Set([...grad, ...ratio, ...pairs.flatMap((p) => [p.train, p.val])]);
  return { grad, ratio, pairs, rest: names.filter((n) => !used.has(n)) };
}

export function Diagnostics({ trial, of }) {
  const reports = useMemo(() => lineage(trial), [trial]);
  const objective = of.spec.objective.metric;
  const names = useMemo(() => [...new Set(reports.flatMap((r) => Object.keys(r.metrics)))].filter((n) => !ofLayer(n)).sort(), [reports]);
  const shown = useMemo(() => grouped([...new Set([...names, ...(PARTS.test(objective) ? [objective] : [])])]), [names]);
  const line = (name) => reports.map((r) => [r.step, name in r.metrics ? r.metrics[name] : name === objective ? r.value : undefined]).filter(([, v]) => v !== undefined);
  if (!reports.length) return null;
  const props = { trial, of, line };
  const clip = typeof trial.params.clip_norm === "number" ? trial.params.clip_norm : null;
  return html`
    <div class="grid2">
      ${shown.pairs.map((p) => html`<${Lines} key=${p.name} title=${`Train, validation: ${p.name}`} names=${[p.train, p.val]} gap ...${props} />`)}
      ${shown.grad.map((n) => html`<${Lines} key=${n} title="Gradient norm" names=${[n]} log level=${clip} word="clipped above" ...${props} />`)}
      ${shown.ratio.map((n) => html`<${Lines} key=${n} title="Update ratio" names=${[n]} log band=${HEALTHY} ...${props} />`)}
    </div>
    ${!shown.grad.length && !shown.ratio.length && html`<${Panel} title="Diagnostics"><p class="dim">This training reported neither gradient norm nor update ratio. With them this page shows how healthy it was:</p>
      <pre>trial.report(step, loss, {"grad_norm": norm, "update_ratio": ratio})</pre><//>`}
    <${Layers} trial=${trial} of=${of} reports=${reports} />
    ${shown.rest.length > 0 && html`<section aria-label="All metrics" class="small-charts">${shown.rest.map((n) => html`<${Lines} key=${n} title=${n} names=${[n]} height=${130} ...${props} />`)}</section>`}`;
}

function Lines({ title, names, trial, of, line, log = false, band = null, level = null, word = "", gap = false, height = 190 }) {
  const data = useMemo(() => align(names.map((n) => { const l = line(n); return { x: l.map((p) => p[0]), y: l.map((p) => p[1]) }; })), [trial, names.join()]);
  const positive = data.slice(1).flat().every((v) => v === undefined || v === null || v > 0);
  const few = data[0].length < 40;
  const make = useMemo(() => () => ({
    scales: { x: { time: false }, y: log && positive ? { distr: 3 } : {} },
    axes: [steps(height < 150 ? "" : "step"), axis("", { size: 62, label: undefined })],
    series: [{}, ...names.map((_, i) => ({ stroke: i ? themed("best") : gap ? themed("accent") : colorOf(trial.number), dash: i ? [6, 3] : [], width: 1.8, spanGaps: true, points: { show: few } }))],
    hooks: { drawAxes: [(plot) => drawBand(plot, band, level)] },
  }), [trial.number, log && positive, few, level, height]);
  const last = (i) => data[i + 1].findLast((v) => v !== undefined && v !== null);
  const note = gap ? `gap ${num(last(1) - last(0))}` : `${title === names[0] ? "" : `${names[0]}, `}last ${num(last(0))}`;
  const legend = [
    ...(gap ? names.map((n, i) => html`<span><i class="swatch" style=${{ background: `var(--${i ? "best" : "accent"})` }}></i>${n}${i ? " ┄" : ""}</span>`) : []),
    ...(band ? [html`<span><i class="swatch" style=${{ background: "var(--band-inner)", height: "9px" }}></i>healthy: about 1e-3</span>`] : []),
    ...(level !== null ? [html`<span>┄ ${word} ${num(level)}</span>`] : []),
  ];
  const rows = () => data[0].map((step, i) => [String(step), ...names.map((_, k) => data[k + 1][i] ?? NaN)]);
  return html`<${Chart} title=${title} note=${note} name=${`${of.name}-${trial.number}-${names[0].replaceAll(/[^\w-]/g, "-")}`} make=${make} data=${data} height=${height}
    behind=${{ head: ["step", ...names], rows }} legend=${legend.length ? legend : null} />`;
}

function drawBand(plot, band, level) {
  const pen = plot.ctx;
  const { left, top, width, height } = plot.bbox;
  pen.save();
  pen.beginPath();
  pen.rect(left, top, width, height);
  pen.clip();
  if (band) {
    const [low, high] = band.map((v) => plot.valToPos(v, "y", true));
    pen.fillStyle = themed("band");
    pen.fillRect(left, high, width, low - high);
  }
  if (level !== null) {
    const y = plot.valToPos(level, "y", true);
    pen.strokeStyle = themed("dim");
    pen.setLineDash([5, 4]);
    pen.beginPath();
    pen.moveTo(left, y);
    pen.lineTo(left + width, y);
    pen.stroke();
  }
  pen.restore();
}
