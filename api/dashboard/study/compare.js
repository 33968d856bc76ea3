// Up to six trials side by side: what differs in their parameters, their curves, how they ended.
import { useMemo } from "preact/hooks";
import { html } from "../lib/html.js";
import { api } from "../lib/api.js";
import { colorOf, dashesOf } from "../lib/colors.js";
import { factor, num, param, took } from "../lib/format.js";
import { href, query, set } from "../lib/route.js";
import { align, fit } from "../lib/series.js";
import { axis, Chart, LogButton, Swatch } from "../ui/chart.js";
import { Failure, Outcome, Panel, useRead } from "../ui/bits.js";
import { lineage } from "../lib/lineage.js";

const MOST = 6;

/** @param {{data: import("./data.js").StudyData}} props */
export function Compare({ data }) {
  const numbers = (query.value.trials ?? "").split(",").filter((n) => /^\d+$/.test(n)).slice(0, MOST);
  const { found, error, again } = useRead((signal) => Promise.all(numbers.map((n) => api(`${data.path}/trials/${n}`, { signal }))), [data.path, numbers.join(), data.progress.value]);
  if (numbers.length < 2) return html`<div class="panel empty"><p>Choose two to six trials in the table of trials to see them side by side.</p><a class="button" href=${href({ tab: "trials" })}>To the trials</a></div>`;
  if (error) return html`<${Failure} error=${error} again=${again} />`;
  if (!found) return html`<p class="boot">Loading the trials…</p>`;
  return html`<${Differences} study=${data.study.value} trials=${found} /><${Together} study=${data.study.value} trials=${found} />`;
}

/** Return the parameters of trials, those that differ first. Pure.
 * @param {any[]} trials
 * @returns {{name: string, differs: boolean}[]} */
export function parameters(trials) {
  const names = [...new Set(trials.flatMap((t) => Object.keys(t.params)))];
  const rows = names.map((name) => ({ name, differs: new Set(trials.map((t) => JSON.stringify(t.params[name]))).size > 1 }));
  return rows.sort((a, b) => Number(b.differs) - Number(a.differs));
}

function Differences({ study, trials }) {
  const dashOf = dashesOf(trials.map((t) => t.number));
  const row = (name, cell) => html`<tr><th scope="row">${name}</th>${trials.map((t) => html`<td class="num">${cell(t)}</td>`)}</tr>`;
  const drop = (t) => set({ trials: trials.filter((o) => o !== t).map((o) => o.number).join(",") });
  return html`<${Panel} title="Side by side"><div class="table" tabindex="0"><table>
    <thead><tr><td></td>${trials.map((t) => html`<th scope="col" class="num"><${Swatch} color=${colorOf(t.number)} dash=${dashOf(t.number)} />
      <a href=${href({ study: study.id, trial: t.number }, true)}>trial ${t.number}</a> <button aria-label=${`Take trial ${t.number} away`} onClick=${() => drop(t)}>×</button></th>`)}</tr></thead>
    <tbody>${row("outcome", (t) => html`<${Outcome} name=${t.outcome ?? t.state} />`)}${row(study.spec.objective.metric, (t) => html`<b>${num(t.value)}</b>`)}
      ${row("steps", (t) => t.last_step)}${row("rate at the end", (t) => `${factor(t.lr_factor)} of its start`)}
      ${row("took", (t) => (t.ended_at ? took((Date.parse(t.ended_at) - Date.parse(t.started_at)) / 1000) : "–"))}
      ${parameters(trials).map(({ name, differs }) => html`<tr class=${differs ? "" : "dim"}><th scope="row">${differs ? html`<b>${name}</b>` : name}</th>${trials.map((t) => html`<td class="num">${param(t.params[name])}</td>`)}</tr>`)}
    </tbody></table></div><//>`;
}

function Together({ study, trials }) {
  const curves = useMemo(() => trials.map((t) => ({ number: t.number, reports: lineage(t) })), [trials]);
  const data = useMemo(() => align(curves.map((c) => ({ x: c.reports.map((r) => r.step), y: c.reports.map((r) => r.value) }))), [curves]);
  const log = query.value.clog === "1";
  const canLog = curves.every((c) => c.reports.every((r) => r.value === null || r.value > 0));
  const names = curves.map((c) => c.number).join();
  const dashOf = dashesOf(curves.map((c) => c.number));
  const all = curves.flatMap((c) => c.reports.map((r) => r.value));
  const range = fit(all, curves.map((c) => c.reports[c.reports.length - 1]?.value).filter((v) => Math.abs(v ?? NaN) < 1e12), log && canLog);
  const make = useMemo(() => () => ({
    scales: { x: { time: false }, y: { distr: log && canLog ? 3 : 1, range: [range.low, range.high] } },
    axes: [axis("step"), axis(study.spec.objective.metric, { size: 62 })],
    series: [{}, ...curves.map((c) => ({ stroke: colorOf(c.number), dash: dashOf(c.number), width: 2, spanGaps: true, points: { show: c.reports.length < 40 } }))],
  }), [names, log && canLog, range.low, range.high]);
  const tools = html`<${LogButton} on=${log} can=${canLog} turn=${() => set({ clog: log ? null : 1 })} />`;
  const legend = curves.map((c) => html`<span><${Swatch} color=${colorOf(c.number)} dash=${dashOf(c.number)} />trial ${c.number}</span>`);
  const rows = () => curves.flatMap((c) => c.reports.map((r) => [String(c.number), String(r.step), r.value ?? r.status, factor(r.lr_factor)]));
  return html`<${Chart} title="Curves" name=${`${study.name}-compare`} make=${make} data=${data} height=${330} tools=${tools} legend=${legend}
    note=${range.off ? `${range.off} points off scale` : ""} behind=${{ head: ["trial", "step", study.spec.objective.metric, "rate × start"], rows }} />`;
}
