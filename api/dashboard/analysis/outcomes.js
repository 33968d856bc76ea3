// How trials ended and how long they took, and what failures have in common.
import { html } from "../lib/html.js";
import { api } from "../lib/api.js";
import { themed } from "../lib/colors.js";
import { count, duration, OUTCOMES } from "../lib/format.js";
import { href } from "../lib/route.js";
import { Failure, Outcome, Panel, useRead } from "../ui/bits.js";
import { axis, EChart } from "./echart.js";

const BINS = 16;
const ORDER = ["complete", "converged", "pruned", "diverged", "oom", "failed", "cancelled"];

/** Return counts of durations in bins of equal width, by outcome. Pure.
 * @param {Record<string, any[]>} columns
 * @returns {{edges: number[], counts: Record<string, number[]>, totals: Record<string, number>}} */
export function durations(columns) {
  /** @type {{outcome: string, took: number | null}[]} */
  const ended = columns.outcome.flatMap((o, i) => (o === null ? [] : [{ outcome: o, took: columns.started[i] === null || columns.ended[i] === null ? null : columns.ended[i] - columns.started[i] }]));
  const longest = ended.reduce((a, e) => Math.max(a, e.took ?? 0), 0) || 1;
  const width = longest / BINS;
  /** @type {Record<string, number[]>} */
  const counts = {};
  /** @type {Record<string, number>} */
  const totals = {};
  for (const { outcome, took } of ended) {
    totals[outcome] = (totals[outcome] ?? 0) + 1;
    if (took === null) continue;
    counts[outcome] ??= new Array(BINS).fill(0);
    counts[outcome][Math.min(BINS - 1, Math.floor(took / width))] += 1;
  }
  return { edges: Array.from({ length: BINS + 1 }, (_, k) => k * width), counts, totals };
}

/** @param {{view: import("./tab.js").View}} props */
export function Outcomes({ view }) {
  const { edges, counts, totals } = durations(view.table.columns);
  const names = ORDER.filter((o) => totals[o]);
  const said = edges[BINS] < 20 ? (s) => `${Number(s.toPrecision(2))} s` : duration;
  const option = () => ({
    grid: { left: 8, right: 16, top: 10, bottom: 30, containLabel: true },
    xAxis: axis("duration", { type: "category", data: edges.slice(1).map(said), axisLabel: { color: themed("dim"), fontSize: 11, hideOverlap: true } }),
    yAxis: axis("", { minInterval: 1 }),
    tooltip: { trigger: "axis", formatter: (ps) => [`up to ${ps[0].axisValue}`, ...ps.filter((p) => p.value).map((p) => `${p.seriesName}: ${count(p.value)}`)].join("\n") },
    series: names.map((o) => ({ name: OUTCOMES[o].word, type: "bar", stack: "all", itemStyle: { color: themed(`s-${o}`) }, barCategoryGap: "8%", data: counts[o] ?? [] })),
  });
  const behind = { head: ["up to", ...names.map((o) => OUTCOMES[o].word)], rows: () => [["all", ...names.map((o) => totals[o])], ...edges.slice(1).map((e, k) => [said(e), ...names.map((o) => counts[o]?.[k] ?? 0)])] };
  return html`<${EChart} title="Outcomes and durations" name=${`${view.study.name}-durations`} option=${option} on=${[view.table]} height=${230} behind=${behind}
    legend=${names.map((o) => html`<span class="nowrap"><${Outcome} name=${o} /> ${count(totals[o])}</span>`)} />`;
}

/** Failures grouped by cause.
 * @param {{path: string, study: any, progress: any}} props */
export function Failures({ path, study, progress }) {
  const { found, error, again } = useRead((abort) => api(`${path}/endings`, { signal: abort }), [path, progress]);
  if (!found) return error ? html`<${Failure} error=${error} again=${again} />` : null;
  const { causes } = found;
  if (!causes.length) return html`<${Panel} title="Failures by cause"><p class="dim">No trial failed, ran out of memory or diverged.</p><//>`;
  return html`<${Panel} title="Failures by cause"><div class="table" tabindex="0"><table>
    <thead><tr><th scope="col" class="num">Trials</th><th scope="col">Outcome</th><th scope="col">Cause</th><th scope="col">Which</th></tr></thead>
    <tbody>${causes.map((c) => html`<tr><td class="num">${count(c.n)}</td><td><${Outcome} name=${c.outcome} /></td>
      <td><details><summary>${c.cause}</summary><pre class="reason">${c.reason || c.cause}</pre></details></td>
      <td>${c.numbers.slice(-6).map((n) => html`<a href=${href({ study: study.id, trial: n }, true)}>${n}</a> `)}${c.n > 6 ? `and ${count(c.n - 6)} more` : ""}</td></tr>`)}</tbody></table></div><//>`;
}
