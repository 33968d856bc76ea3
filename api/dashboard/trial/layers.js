// What was measured layer by layer: a chart a measure, a line a layer, from the input upward.
import { useMemo } from "preact/hooks";
import { html } from "../lib/html.js";
import { colorOf, dashesOf } from "../lib/colors.js";
import { align } from "../lib/series.js";
import { axis, Chart, Swatch } from "../ui/chart.js";
import { steps } from "./curve.js";

const NAME = /^layer\/(.+)\/(grad|update|var|dead)$/;
const MEASURES = [
  { what: "grad", title: "Gradient norm by layer", log: true },
  { what: "update", title: "Update ratio by layer", log: true },
  { what: "var", title: "Activation variance by layer", log: true },
  { what: "dead", title: "Dead ReLUs by layer, as a part", log: false },
];

/** Tell whether a metric is of a layer, so that it has no chart of its own. Pure.
 * @param {string} name
 * @returns {boolean} */
export const ofLayer = (name) => NAME.test(name);

/** Gather the metrics of layers by what they measure, in the order in which they were reported. Pure.
 * @param {string[]} names
 * @returns {{what: string, title: string, log: boolean, layers: {name: string, metric: string}[]}[]} */
export function byMeasure(names) {
  const found = names.map((metric) => ({ metric, parts: NAME.exec(metric) }));
  return MEASURES.map((m) => ({
    ...m,
    layers: found.filter(({ parts }) => parts?.[2] === m.what).map(({ metric, parts }) => ({ metric, name: /** @type {RegExpExecArray} */ (parts)[1] })),
  })).filter((m) => m.layers.length);
}

/** The charts; nothing where no layer was measured. */
export function Layers({ trial, of, reports }) {
  const names = useMemo(() => [...new Set(reports.flatMap((r) => Object.keys(r.metrics)))], [reports]);
  const measured = useMemo(() => byMeasure(/** @type {string[]} */ (names)), [names]);
  if (!measured.length) return null;
  return html`<section aria-label="Layers" class="grid2">
    ${measured.map((m) => html`<${Measure} key=${m.what} measure=${m} trial=${trial} of=${of} reports=${reports} />`)}
  </section>`;
}

function Measure({ measure, trial, of, reports }) {
  const { what, title, log, layers } = measure;
  const data = useMemo(() => align(layers.map(({ metric }) => {
    const told = reports.filter((r) => metric in r.metrics);
    return { x: told.map((r) => r.step), y: told.map((r) => r.metrics[metric]) };
  })), [reports, measure]);
  const positive = data.slice(1).flat().every((v) => v === undefined || v === null || v > 0);
  const dash = dashesOf(layers.map((_, i) => i));
  const make = useMemo(() => () => ({
    scales: { x: { time: false }, y: log && positive ? { distr: 3 } : what === "dead" ? { range: [0, 1] } : {} },
    axes: [steps("step"), axis("", { size: 62, label: undefined })],
    series: [{}, ...layers.map((_, i) => ({ stroke: colorOf(i), dash: dash(i), width: 1.8, spanGaps: true, points: { show: data[0].length < 3 } }))],
  }), [measure, positive]);
  const legend = layers.map(({ name }, i) => html`<span><${Swatch} color=${colorOf(i)} dash=${dash(i)} />${name}</span>`);
  const rows = () => data[0].map((step, i) => [String(step), ...layers.map((_, k) => data[k + 1][i] ?? NaN)]);
  return html`<${Chart} title=${title} name=${`${of.name}-${trial.number}-layers-${what}`} make=${make} data=${data} height=${190}
    behind=${{ head: ["step", ...layers.map((l) => l.name)], rows }} legend=${legend} />`;
}
