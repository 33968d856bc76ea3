// What policies did to a study's trials and why, newest first.
import { useEffect, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { api } from "../lib/api.js";
import { OUTCOMES } from "../lib/format.js";
import { href, query, set } from "../lib/route.js";
import { Failure, Outcome, Panel } from "../ui/bits.js";

const PAGE = 100;

/** @type {Record<string, string>} */
const RATES = { halved: "⤓ rate halved", scaled: "⇅ rate scaled" };

/** @type {Record<string, {word: string, has: (event: any) => boolean}>} */
const KINDS = {
  all: { word: "all", has: () => true },
  halved: { word: "rates", has: (e) => e.kind in RATES },
  pruned: { word: "prunings", has: (e) => e.data.outcome === "pruned" },
  trouble: { word: "failures", has: (e) => ["failed", "oom", "diverged"].includes(e.data.outcome) },
};

/** Return the newest and the older events as one list, without repetitions. Pure.
 * @param {any[]} newest
 * @param {any[]} older
 * @returns {any[]} newest first */
export function joined(newest, older) {
  const known = new Map([...older, ...newest].map((e) => [e.seq, e]));
  return [...known.values()].sort((a, b) => b.seq - a.seq);
}

/** @param {{study: any, path: string, newest: any[]}} props */
export function Decisions({ study, path, newest }) {
  const [older, setOlder] = useState(/** @type {any[]} */ ([]));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [done, setDone] = useState(false);
  // What falls off the end of the newest stays here, so that the list has no gap.
  useEffect(() => setOlder((had) => (had.length ? joined(newest, had) : had)), [newest]);
  const events = joined(newest, older);
  const kind = KINDS[query.value.decided] ? query.value.decided : "all";
  const shown = events.filter(KINDS[kind].has);
  const more = async () => {
    try {
      const page = await api(`${path}/decisions?limit=${PAGE}&before=${events[events.length - 1].seq}`);
      setOlder(joined(events, page.items));
      setDone(!page.next_cursor);
      setError(null);
    } catch (problem) {
      setError(problem);
    }
  };
  const pick = html`<select aria-label="Which decisions" value=${kind} onChange=${(e) => set({ decided: e.target.value === "all" ? null : e.target.value })}>
    ${Object.entries(KINDS).map(([name, { word }]) => html`<option value=${name} selected=${name === kind}>${word}</option>`)}</select>`;
  return html`<${Panel} title="What was decided, and why" tools=${pick}>
    ${shown.length ? html`<ol class="log" tabindex="0" aria-label="Decisions">${shown.map((e) => html`<${Decision} key=${e.seq} study=${study} event=${e} />`)}</ol>`
      : html`<p class="empty">${events.length ? `No ${KINDS[kind].word} among the newest ${events.length} decisions.` : "Nothing yet: halvings, prunings and ends will be listed here with their reasons."}</p>`}
    ${error && html`<${Failure} error=${error} again=${more} />`}
    ${events.length >= 60 && !done && html`<button class="plain small" onClick=${more}>Show older than these ${events.length}</button>`}<//>`;
}

function Decision({ study, event }) {
  const at = new Date(event.at);
  const link = html`<a href=${href({ study: study.id, trial: event.number }, true)}>trial ${event.number}</a>`;
  const what = event.kind in RATES ? html`<b>${RATES[event.kind]}</b>` : html`<${Outcome} name=${event.data.outcome} />`;
  const step = event.step === null ? "" : ` at step ${event.step}`;
  const why = event.data.reason || OUTCOMES[event.data.outcome]?.word || "";
  return html`<li><time class="dim" datetime=${event.at} title=${at.toLocaleString()}>${at.toLocaleTimeString(undefined, { hour12: false })}</time><span class="nowrap">${link}</span><p>${what}${step}: ${why}</p></li>`;
}
