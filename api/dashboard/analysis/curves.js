// The curves of what is selected, over those of the best in grey.
import { useMemo } from "preact/hooks";
import { html } from "../lib/html.js";
import { api } from "../lib/api.js";
import { colorOf, dashesOf, themed } from "../lib/colors.js";
import { count, OUTCOMES } from "../lib/format.js";
import { href } from "../lib/route.js";
import { align, fit } from "../lib/series.js";
import { Failure, useRead } from "../ui/bits.js";
import { axis, Chart, Swatch } from "../ui/chart.js";

const MOST = 20; // as many as the server gives by name

/** @param {{view: import("./tab.js").View, path: string}} props */
export function SelectedCurves({ view, path }) {
  const { chosen, best, table, study } = view;
  const numbers = useMemo(() => {
    const inside = /** @type {Set<number>} */ (chosen);
    const first = best.filter((i) => inside.has(i));
    const known = new Set(first);
    return [...first, ...[...inside].filter((i) => !known.has(i))].slice(0, MOST).map((i) => table.columns.number[i]);
  }, [chosen, best]);
  const { found, error, again } = useRead((abort) => api(`${path}/curves?top=30&chosen=${numbers.join(",")}`, { signal: abort }), [path, numbers.join()]);
  if (!found) return error ? html`<${Failure} error=${error} again=${again} />` : html`<p class="boot">Loading the curves…</p>`;
  return html`<${Drawn} study=${study} curves=${found.curves} numbers=${numbers} total=${/** @type {Set<number>} */ (chosen).size} log=${view.log} />`;
}

function Drawn({ study, curves, numbers, total, log }) {
  const lines = useMemo(() => {
    const named = new Set(numbers);
    return [...curves.filter((c) => !named.has(c.number)), ...curves.filter((c) => named.has(c.number))];
  }, [curves, numbers]);
  const front = lines.filter((c) => numbers.includes(c.number));
  const dashOf = useMemo(() => dashesOf(front.map((c) => c.number)), [lines]);
  const data = useMemo(() => align(lines.map((c) => ({ x: c.step, y: c.value }))), [lines]);
  const range = useMemo(() => fit(lines.flatMap((c) => c.value), front.map((c) => c.value[c.value.length - 1])), [lines]);
  const canLog = log && lines.every((c) => c.value.every((v) => v === null || v > 0));
  const make = useMemo(() => () => ({
    scales: { x: { time: false }, y: canLog ? { distr: 3 } : { range: [range.low, range.high] } },
    axes: [axis("step"), axis(study.spec.objective.metric, { size: 62 })],
    series: [{}, ...lines.map((c) => (front.includes(c) ? { stroke: colorOf(c.number), dash: dashOf(c.number), width: 2, spanGaps: true, points: { show: c.step.length < 2 } } : { stroke: themed("ghost"), alpha: 0.55, width: 1, spanGaps: true, points: { show: false } }))],
  }), [lines, canLog]);
  const note = [total > numbers.length ? `the best ${numbers.length} of ${count(total)} selected` : `${count(total)} selected`, range.off ? `${count(range.off)} points off scale` : ""].filter(Boolean).join(" · ");
  const behind = { head: ["trial", "outcome", "points", "last value"], rows: () => front.map((c) => [String(c.number), OUTCOMES[c.outcome ?? c.state].word, c.step.length, c.value[c.value.length - 1] ?? NaN]) };
  return html`<${Chart} title="Curves of the selected" name=${`${study.name}-selected`} note=${note} make=${make} data=${data} height=${260} behind=${behind}
    legend=${html`${front.map((c) => html`<a class="nowrap" href=${href({ study: study.id, trial: c.number }, true)}><${Swatch} color=${colorOf(c.number)} dash=${dashOf(c.number)} />${c.number} ${OUTCOMES[c.outcome ?? c.state].mark}</a>`)}<span class="dim">grey: the best of the others</span>`} />`;
}
