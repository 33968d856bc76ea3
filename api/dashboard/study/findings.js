// What was found of the trials' trainings, rule by rule, with the advice of the newest.
import { html } from "../lib/html.js";
import { count } from "../lib/format.js";
import { href } from "../lib/route.js";
import { Panel } from "../ui/bits.js";

const SHOWN = 8;

/** Gather findings by rule, the rule of most trials first. Pure.
 * @param {any[]} events newest first
 * @returns {{rule: string, trials: number[], newest: any}[]} */
export function byRule(events) {
  const found = new Map();
  for (const event of events) {
    const known = found.get(event.data.rule) ?? { rule: String(event.data.rule), trials: [], newest: event };
    if (!known.trials.includes(event.number)) known.trials.push(event.number);
    found.set(event.data.rule, known);
  }
  return [...found.values()].sort((a, b) => b.trials.length - a.trials.length);
}

/** @param {{study: any, events: any[]}} props */
export function Findings({ study, events }) {
  const rules = byRule(events);
  if (!rules.length) return null;
  const ailing = new Set(events.map((e) => e.number)).size;
  const link = (number) => html`<a href=${href({ study: study.id, trial: number, tab: null }, true)}>${number}</a> `;
  return html`<${Panel} title="What was found" tools=${html`<span class="dim small">in ${ailing === 1 ? "1 trial" : `${count(ailing)} trials`}</span>`}>
    <ul class="found">${rules.map((r) => html`<li key=${r.rule}>
      <p><b class="warn">! ${r.rule.replaceAll("_", " ")}</b> <span class="dim small">${r.trials.length === 1 ? "trial" : `${count(r.trials.length)} trials:`} ${r.trials.slice(0, SHOWN).map(link)}${r.trials.length > SHOWN ? "…" : ""}</span></p>
      <p>${r.newest.data.seen}</p><p><span aria-hidden="true">→ </span>${r.newest.data.advice}</p></li>`)}</ul><//>`;
}
