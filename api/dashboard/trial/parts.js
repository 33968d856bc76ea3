// The trial's smaller parts: facts, parameters, events, findings.
import { html } from "../lib/html.js";
import { factor, moment, num, ORIGINS, OUTCOMES, param, took } from "../lib/format.js";
import { lineage } from "../lib/lineage.js";
import { now } from "../lib/now.js";
import { afterCuts } from "../lib/series.js";
import { Copy, Fact, Panel } from "../ui/bits.js";
import { MARKS, words } from "./story.js";

export function Facts({ trial, of }) {
  const end = trial.ended_at ? Date.parse(trial.ended_at) : now.value;
  const lasted = trial.started_at ? took((end - Date.parse(trial.started_at)) / 1000) : "–";
  return html`<dl class="facts">
    <${Fact} name=${of.spec.objective.metric} more=${`${of.spec.objective.value} of its reports, ${of.spec.objective.mode === "min" ? "lower" : "higher"} is better`}>${num(trial.value ?? trial.last_value)}<//>
    <${Fact} name="Steps" more=${of.spec.budget.steps ? `of ${of.spec.budget.steps}` : ""}>${trial.last_step}<//>
    <${Fact} name="Rate now" more="of its start">${factor(trial.lr_factor)}<//>
    <${Fact} name=${trial.ended_at ? "Took" : "For"} more=${trial.started_at ? `started ${moment(trial.started_at)}` : "waits"}>${lasted}<//>
    <${Fact} name="Attempt" more=${trial.failures ? `${trial.failures} failed or lost` : ""}>${trial.attempt}<//>
    <${Fact} name="From" more=${`seed ${trial.seed}`}>${ORIGINS[trial.origin]}<//>
  </dl>`;
}

/** Return a value as one writes it in YAML and on a command line. Pure.
 * @param {unknown} value
 * @returns {string} */
export function written(value) {
  if (typeof value === "string") return /^[A-Za-z_][\w./-]*$/.test(value) && !/^(true|false|null|yes|no|on|off|nan|inf)$/i.test(value) ? value : JSON.stringify(value);
  if (typeof value === "number" && Number.isFinite(value)) return String(value).replace(/^(-?\d+)e/, "$1.0e");
  return String(value);
}

/** Return the command that runs parameters next. Pure.
 * @param {string} study
 * @param {Record<string, unknown>} params
 * @returns {string} */
export function command(study, params) {
  const quoted = (text) => (/^[\w./=:@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
  return ["tuner", "enqueue", study, ...Object.entries(params).map(([k, v]) => `${k}=${written(v)}`)].map(quoted).join(" ");
}

export function Parameters({ trial, of }) {
  const yaml = Object.entries(trial.params).map(([k, v]) => `${k}: ${written(v)}`).join("\n");
  return html`<${Panel} title="Parameters" tools=${html`<${Copy} text=${yaml} label="Copy YAML" /><${Copy} text=${command(of.name, trial.params)} label="Copy as command" />`}>
    <div class="table"><table><tbody>${Object.entries(trial.params).map(([k, v]) => html`<tr><th scope="row">${k}</th><td class="num" title=${String(v)}>${param(v)}</td></tr>`)}</tbody></table></div><//>`;
}

/** Say what came after a cut of the rate, until the next one.
 * @param {ReturnType<typeof afterCuts>[number] | undefined} found */
function aftermath(found) {
  if (!found) return "";
  const when = found.points === 1 ? "at the one step after" : `in the ${found.points} steps after`;
  return html`<span class="dim small"> ${when}: ${found.better ? `best ${num(found.before)} → ${num(found.after)}` : `no better than ${num(found.before)}`}</span>`;
}

/** @param {{trial: any, of: any}} props */
export function Events({ trial, of }) {
  const reports = lineage(trial);
  const curve = { step: reports.map((r) => r.step), value: reports.map((r) => r.value), lr_factor: reports.map((r) => r.lr_factor) };
  const after = new Map(afterCuts(curve, of.spec.objective.mode).map((a) => [a.step, a]));
  const events = [...trial.events].reverse();
  const time = (at) => new Date(at).toLocaleTimeString(undefined, { hour12: false });
  return html`<${Panel} title="What happened, and why" tools=${html`<span class="dim small">newest first</span>`}><ol class="log" tabindex="0" aria-label="Events">${events.map((e) => html`<li key=${e.seq}>
    <time class="dim" datetime=${e.at} title=${moment(e.at)}>${time(e.at)}</time><span class="nowrap">${e.step === null ? "" : `step ${e.step}`}</span>
    <p><span aria-hidden="true">${MARKS[e.kind] ?? OUTCOMES[e.data.outcome]?.mark ?? "●"}</span> ${words(e)}${e.kind === "halved" && aftermath(after.get(e.step))}</p></li>`)}</ol><//>`;
}

export function Findings({ trial }) {
  const found = trial.events.filter((e) => e.kind === "finding");
  if (!found.length) return null;
  return html`<${Panel} title="Findings"><ul class="findings">${found.map((e) => html`<li key=${e.seq}><b>${(e.data.rule ?? "").replaceAll("_", " ")}</b>${e.step === null ? "" : html` <span class="dim small">step ${e.step}</span>`} ${e.data.seen ?? e.data.reason ?? ""}${e.data.advice && html`<div class="dim">${e.data.advice}</div>`}</li>`)}</ul><//>`;
}
