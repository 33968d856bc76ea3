// The first screen of a study: where it stands, how it got there, and what was decided on the way.
import { useMemo } from "preact/hooks";
import { html } from "../lib/html.js";
import { count, duration, endsAt, factor, num, param, some, span } from "../lib/format.js";
import { now } from "../lib/now.js";
import { afterCuts } from "../lib/series.js";
import { Copy, Fact, Outcome, Panel } from "../ui/bits.js";
import { Matters } from "../ui/importance.js";
import { BestSoFar } from "./best-so-far.js";
import { Curves } from "./curves.js";
import { Decisions } from "./decisions.js";
import { Findings } from "./findings.js";

/** @param {{data: import("./data.js").StudyData}} props */
export function Overview({ data }) {
  const [study, progress, curves] = [data.study.value, data.progress.value, data.curves.value];
  if (!progress || !curves) return html`<p class="boot">Loading…</p>`;
  return html`
    <${Facts} study=${study} progress=${progress} curves=${curves} />
    <div class="first"><${BestSoFar} study=${study} progress=${progress} /><${Best} study=${study} data=${data} />
      <${Decisions} study=${study} path=${data.path} newest=${data.decisions.value} /></div>
    <${Curves} study=${study} curves=${curves} />
    <${Findings} study=${study} events=${data.findings.value} />`;
}

function Facts({ study, progress, curves }) {
  const followed = useMemo(() => curves.curves.flatMap((c) => afterCuts(c, study.spec.objective.mode)), [curves]);
  const counts = study.counts;
  const open = counts.waiting + counts.running;
  const total = Object.values(counts).reduce((a, b) => a + b, 0);
  const words = Object.entries(counts).filter(([, n]) => n).map(([name, n]) => html`<span class="nowrap"><${Outcome} name=${name} /> ${count(n)}</span> `);
  const gain = progress.since_best_trials === null ? "no value yet"
    : progress.since_best_trials === 0 ? "with the last trial"
    : `${some(progress.since_best_trials, "trial")}, ${duration(progress.since_best_s)} ago`;
  const runs = study.started_at ? `${study.ended_at ? "ran" : "runs"} for ${duration(elapsed(study))}` : "not started";
  const left = progress.eta_s ? span(progress.eta_s) : "–";
  const ends = progress.eta_s ? `ends ${endsAt(progress.eta_s, now.value)}, ${runs}` : `${noEnd(study, counts)} ${runs}`;
  const spared = progress.steps_saved + progress.epochs;
  return html`<dl class="facts">
    <${Fact} name=${`Best ${study.spec.objective.metric}`} more=${study.best ? bestNote(study.best) : ""}>${num(study.best?.value)}<//>
    <${Fact} name="Last gain" more=${gainNote(progress)}>${gain}<//>
    <${Fact} name="Trials" more=${words}>${count(total - open)} of ${count(Math.max(planned(study.spec), total - open))}<//>
    <${Fact} name="Time left" more=${ends}>${left}<//>
    <${Fact} name=${study.spec.run === "external" ? "In training" : "Workers"} more=${crewNote(study, progress.crew)}>${crewWord(study, progress.crew)}<//>
    <${Fact} name="Halvings" more=${study.halving_worth?.text ?? halvingNote(followed)}>${count(study.halvings)}<//>
    <${Fact} name="Steps trained" more=${spared ? `${count(progress.steps_saved)} saved by stopping early (${Math.round((100 * progress.steps_saved) / spared)} %)` : ""}>${count(progress.epochs)}<//>
  </dl>`;
}

/** Count the trials of the search and its finalists' runs on fresh seeds.
 * @param {any} spec */
function planned(spec) {
  return spec.budget.trials + (spec.repeats ? spec.repeats.finalists * spec.repeats.seeds : 0);
}

/** Say where the best value is from, and what it is on fresh seeds.
 * @param {any} best */
function bestNote(best) {
  const fresh = best.mean !== null && best.mean !== undefined ? `; ${num(best.mean)} over fresh seeds` : "";
  return `trial ${best.number}, step ${best.step}${fresh}`;
}

/** Say how often a trial's value got better than before once its rate was cut: what came after, not because of it.
 * @param {ReturnType<typeof afterCuts>} followed */
function halvingNote(followed) {
  if (!followed.length) return "of the rate, by policy";
  return `a new best of the trial came after ${count(followed.filter((f) => f.better).length)} of ${count(followed.length)} drawn`;
}

function noEnd(study, counts) {
  if (study.state === "finished" || study.state === "cancelled") return "over;";
  if (study.state === "paused") return "paused;";
  return counts.running ? "too early to tell;" : "nothing trains now;";
}

function crewWord(study, crew) {
  if (study.spec.run === "external") return count(crew.here);
  return crew.workers ? `${count(crew.workers)} alive` : "none fits";
}

function crewNote(study, crew) {
  if (study.spec.run === "external") return "by its own loop";
  if (!crew.workers) return "no worker alive may run it";
  const gpus = crew.gpus ? ` on ${count(crew.gpus)} GPU${crew.gpus === 1 ? "" : "s"}` : "";
  return `${count(crew.busy)} of ${count(crew.slots)} slots busy${gpus}, ${count(crew.here)} here`;
}

function elapsed(study) {
  const end = study.ended_at ? Date.parse(study.ended_at) : now.value;
  return (end - Date.parse(study.started_at)) / 1000;
}

function gainNote(progress) {
  const best = progress.best.value;
  if (progress.folk === null || !best.length) return "";
  return `best rule of thumb: ${num(progress.folk)}`;
}

function Best({ study, data }) {
  const best = study.best;
  if (!best) return html`<${Panel} title="Best trial"><p class="empty">No trial has trained to its end yet.</p><//>`;
  const rates = best.schedule.map((p) => `${factor(p.lr_factor)}${p.step ? ` after step ${p.step}` : ""}`).join(", ");
  const yaml = Object.entries(best.params).map(([k, v]) => `${k}: ${v}`).join("\n");
  return html`<${Panel} title=${`Best trial: ${best.number}`} tools=${html`<${Copy} text=${yaml} label="Copy YAML" />
      <a class="button small" download href=${`api/v1/studies/${study.id}/export`} title="A study document that replays it, its rate schedule included">Replay</a>`}>
    <div class="table"><table><tbody>
      ${Object.entries(best.params).map(([k, v]) => html`<tr><th scope="row">${k}</th><td class="num">${param(v)}</td><td>${edge(study, k, v)}</td></tr>`)}
      <tr><th scope="row">rate over time</th><td class="num">${rates}</td><td class="dim small">of its start</td></tr>
      ${best.mean !== null && best.mean !== undefined ? html`<tr><th scope="row">fresh seeds</th><td class="num">${num(best.mean)} ± ${num(best.std)}</td><td class="dim small">${freshSeeds(best)}</td></tr>` : ""}
    </tbody></table></div>
    ${study.drift ? html`<p class=${study.drift.pays ? "warn" : "dim"}>${study.drift.text}</p>` : ""}
    <${Matters} path=${data.path} progress=${data.progress.value} /><//>`;
}

/** Say how sure the mean over fresh seeds is, and how lucky the value was that it was chosen for.
 * @param {any} best
 * @returns {string} */
function freshSeeds(best) {
  const range = best.low !== null && best.high !== null ? `, 95 %: ${num(best.low)} to ${num(best.high)}` : "";
  const luck = best.luck ? `; the first value was ${num(Math.abs(best.luck))} ${best.luck > 0 ? "better" : "worse"}` : "";
  return `${best.seeds} seeds${range}${luck}`;
}

/** Say if a value sits at the edge of its range: there may be better ones beyond.
 * @param {any} study
 * @param {string} name
 * @param {any} value
 * @returns {any} */
function edge(study, name, value) {
  const range = study.spec.space?.[name];
  if (!range || range.min === undefined || typeof value !== "number") return "";
  const scale = range.log ? Math.log : (v) => v;
  const share = (scale(value) - scale(range.min)) / (scale(range.max) - scale(range.min) || 1);
  if (share > 0.05 && share < 0.95) return html`<span class="dim small nowrap">in ${num(range.min)} … ${num(range.max)}</span>`;
  return html`<span class="warn small">▲ at the ${share <= 0.05 ? "lower" : "upper"} edge of ${num(range.min)} … ${num(range.max)}</span>`;
}
