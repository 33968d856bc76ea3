// One trial: its curve with every decision in words, its attempts, what it was run with.
import { useEffect, useMemo } from "preact/hooks";
import uPlot from "uplot";
import { html } from "../lib/html.js";
import { api } from "../lib/api.js";
import { colorOf, themed } from "../lib/colors.js";
import { duration, factor, moment, num, ORIGINS, param } from "../lib/format.js";
import { listen } from "../lib/live.js";
import { href } from "../lib/route.js";
import { fit } from "../lib/series.js";
import { calm, Copy, Failure, Fact, Outcome, Panel, useRead } from "../ui/bits.js";
import { axis, Chart } from "../ui/chart.js";
import { CloneTrial } from "../ui/clone.js";

const stepped = uPlot.paths.stepped?.({ align: -1 });

/** @param {{study: string, number: string}} props */
export function Trial({ study, number }) {
  const path = `studies/${encodeURIComponent(study)}`;
  const { found, error, again } = useRead(async (signal) => {
    const [trial, of] = await Promise.all([api(`${path}/trials/${number}`, { signal }), api(path, { signal })]);
    return { trial, of };
  }, [path, number]);
  useEffect(() => {
    const soon = calm(() => again().catch(() => {}), 1000);
    return listen(`${path}/events`, (kind, message) => String(message.number) === number && kind !== "study" && soon(), again);
  }, [path, number]);
  const name = found?.of.name;
  useEffect(() => {
    if (name) document.title = `Trial ${number} of ${name} · tuner`;
  }, [name, number]);
  if (!found) return error ? html`<${Failure} error=${error} again=${again} />` : html`<p class="boot">Loading the trial…</p>`;
  return html`<${Shown} ...${found} />`;
}

function Shown({ trial, of }) {
  const near = (n, word) => n >= 0 && html`<a href=${href({ study: of.id, trial: n }, true)}>${word}</a>`;
  return html`
    <div class="row"><h1><a href=${href({ study: of.id }, true)}>${of.name}</a> / trial ${trial.number}</h1><${Outcome} name=${trial.outcome ?? trial.state} />
      <span class="grow"></span><${CloneTrial} study=${of} trial=${trial} /> ${near(trial.number - 1, "← previous")} ${near(trial.number + 1, "next →")}</div>
    ${trial.reason && html`<div class="notice"><pre>${trial.reason}</pre></div>`}
    <dl class="facts">
      <${Fact} name=${of.spec.objective.metric} more=${`${of.spec.objective.value} of its reports`}>${num(trial.value)}<//>
      <${Fact} name="Steps" more=${of.spec.budget.steps ? `of ${of.spec.budget.steps}` : ""}>${trial.last_step}<//>
      <${Fact} name="Rate now" more="of its start">${factor(trial.lr_factor)}<//>
      <${Fact} name="Took" more=${trial.started_at ? `started ${moment(trial.started_at)}` : "waits"}>${took(trial)}<//>
      <${Fact} name="Attempt" more=${trial.failures ? `${trial.failures} failed or lost` : ""}>${trial.attempt}<//>
      <${Fact} name="From" more=${`seed ${trial.seed}`}>${ORIGINS[trial.origin]}<//>
    </dl>
    <${Curve} trial=${trial} of=${of} />
    <div class="grid2"><${Parameters} trial=${trial} /><${Events} trial=${trial} /></div>
    <${Metrics} trial=${trial} of=${of} />`;
}

function took(trial) {
  if (!trial.started_at) return "–";
  return duration(((trial.ended_at ? Date.parse(trial.ended_at) : Date.now()) - Date.parse(trial.started_at)) / 1000);
}

/** Return the reports of a trial's present lineage: the newest attempt's word for each step. Pure.
 * @param {any[]} reports
 * @returns {any[]} */
export function lineage(reports) {
  const newest = new Map();
  for (const r of reports) if (!newest.has(r.step) || newest.get(r.step).attempt <= r.attempt) newest.set(r.step, r);
  return [...newest.values()].sort((a, b) => a.step - b.step);
}

function Curve({ trial, of }) {
  const reports = useMemo(() => lineage(trial.reports), [trial]);
  const values = reports.map((r) => r.value);
  const data = useMemo(() => [reports.map((r) => r.step), values, reports.map((r) => r.lr_factor)], [trial]);
  const range = fit(values, values);
  const make = useMemo(() => () => ({
    scales: { x: { time: false }, y: { range: [range.low, range.high] }, rate: { distr: 3, log: 2 } },
    axes: [axis("step"), axis(of.spec.objective.metric, { size: 62 }), axis("rate × start", { side: 1, scale: "rate", grid: { show: false }, values: (_, ticks) => ticks.map((t) => (t === null ? "" : factor(t))) })],
    series: [{}, { stroke: colorOf(trial.number), width: 2, points: { show: reports.length < 60 } }, { scale: "rate", stroke: themed("dim"), width: 1.5, dash: [5, 4], paths: stepped, points: { show: false } }],
  }), [range.low, range.high, of.id]);
  if (!reports.length) return html`<section class="panel empty"><p>No report yet.</p></section>`;
  const rows = () => reports.map((r) => [String(r.step), r.value ?? r.status, factor(r.lr_factor), String(r.attempt)]);
  return html`<${Chart} title="Curve, and the rate under it" name=${`${of.name}-${trial.number}`} make=${make} data=${data} height=${300}
    behind=${{ head: ["step", of.spec.objective.metric, "rate × start", "attempt"], rows }}
    legend=${html`<span><i class="swatch" style=${{ background: colorOf(trial.number) }}></i>${of.spec.objective.metric}</span><span>┄ rate, as a part of its start</span>`} />`;
}

function Parameters({ trial }) {
  const yaml = Object.entries(trial.params).map(([k, v]) => `${k}: ${v}`).join("\n");
  return html`<${Panel} title="Parameters" tools=${html`<${Copy} text=${yaml} label="Copy as YAML" />`}>
    <div class="table"><table><tbody>${Object.entries(trial.params).map(([k, v]) => html`<tr><th scope="row">${k}</th><td class="num" title=${String(v)}>${param(v)}</td></tr>`)}</tbody></table></div><//>`;
}

function Events({ trial }) {
  const events = [...trial.events].reverse();
  return html`<${Panel} title="What happened"><ol class="log" tabindex="0" aria-label="Events">${events.map((e) => html`<li key=${e.seq}>
    <time class="dim" datetime=${e.at}>${new Date(e.at).toLocaleTimeString(undefined, { hour12: false })}</time><span>${e.step === null ? "" : `step ${e.step}`}</span>
    <p><b>${e.kind}</b> ${e.data.reason ?? e.data.why ?? (e.data.worker ? `to ${e.data.worker}` : "")}</p></li>`)}</ol><//>`;
}

function Metrics({ trial, of }) {
  const reports = lineage(trial.reports);
  const names = [...new Set(reports.flatMap((r) => Object.keys(r.metrics)))].sort();
  return html`<div class="grid2">${names.map((name) => html`<${Metric} key=${name} name=${name} reports=${reports} trial=${trial} of=${of} />`)}</div>`;
}

function Metric({ name, reports, trial, of }) {
  const with_ = reports.filter((r) => name in r.metrics);
  const data = useMemo(() => [with_.map((r) => r.step), with_.map((r) => r.metrics[name])], [trial]);
  const make = useMemo(() => () => ({
    scales: { x: { time: false } }, axes: [axis("step"), axis("", { size: 62 })],
    series: [{}, { stroke: colorOf(trial.number), width: 1.6, points: { show: with_.length < 40 } }],
  }), [trial.number]);
  const last = with_[with_.length - 1]?.metrics[name];
  return html`<${Chart} title=${name} note=${`last ${num(last)}`} name=${`${of.name}-${trial.number}-${name}`} make=${make} data=${data} height=${150} />`;
}
