// Run a trial's parameters once more, after a look at them.
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { api, maySubmit } from "../lib/api.js";
import { param } from "../lib/format.js";
import { href } from "../lib/route.js";
import { Failure } from "../ui/bits.js";

/** @param {{trial: any, of: any, path: string}} props `path` is the study's */
export function Again({ trial, of, path }) {
  const [asked, setAsked] = useState(false);
  const [made, setMade] = useState(/** @type {number | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  if (!maySubmit()) return null;
  const why = of.state === "cancelled" ? "the study was cancelled: clone it" : of.state === "finished" ? "the study is over: extend its budget first" : of.stopping ? "the study is stopping" : "";
  const run = async () => {
    setAsked(false);
    try {
      const found = await api(`${path}/trials`, { method: "POST", body: { like: trial.number }, headers: { "Idempotency-Key": crypto.randomUUID() } });
      setMade(found.number);
      setError(null);
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<button disabled=${Boolean(why)} title=${why} onClick=${() => setAsked(true)}>Run again…</button>
    ${made !== null && html`<span role="status">Queued as <a href=${href({ study: of.id, trial: made }, true)}>trial ${made}</a></span>`}
    ${error && html`<${Failure} error=${error} />`}
    ${asked && html`<dialog ref=${(d) => d && !d.open && d.showModal()} onClose=${() => setAsked(false)} aria-label="Run again">
      <h2>Run these parameters again?</h2><p>A new trial of ${of.name} with a seed of its own; it is next in turn and counts towards the budget.</p>
      <div class="table tall"><table><tbody>${Object.entries(trial.params).map(([k, v]) => html`<tr><th scope="row">${k}</th><td class="num">${param(v)}</td></tr>`)}</tbody></table></div>
      <div class="row"><button class="primary" onClick=${run}>Run again</button><button onClick=${() => setAsked(false)}>Leave it</button></div></dialog>`}`;
}
