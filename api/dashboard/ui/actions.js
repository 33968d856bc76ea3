// What the reader may do to a study. A button that can't be used says why; what fails says so where it was pressed.
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { api, maySubmit } from "../lib/api.js";
import { go } from "../lib/route.js";
import { Failure } from "./bits.js";

/** @typedef {{word: string, run: () => Promise<any>, may: boolean, why: string, ask?: string, danger?: boolean}} Action */

/** @param {{study: any, path: string, done: () => Promise<void>}} props */
export function Actions({ study, path, done }) {
  const [error, setError] = useState(/** @type {any} */ (null));
  const [asked, setAsked] = useState(/** @type {Action | null} */ (null));
  const [busy, setBusy] = useState(false);
  const state = (wanted) => () => api(path, { method: "PATCH", body: { state: wanted } });
  const over = study.state === "finished" || study.state === "cancelled";
  const ended = "the study is over: extend it, or clone it";
  /** @type {Action[]} */
  const actions = [
    study.state === "paused"
      ? { word: "Resume", run: state("running"), may: true, why: "" }
      : { word: "Pause", run: state("paused"), may: !over, why: ended },
    { word: "Stop", run: state("stopped"), may: !over && !study.stopping, why: study.stopping ? "it is stopping" : ended, ask: "No further trial starts; those that run go on to their end." },
    { word: "Cancel", run: state("cancelled"), may: !over, why: ended, ask: "All running trials are killed now. What they reported stays.", danger: true },
    { word: "Delete", run: () => api(path, { method: "DELETE" }).then(() => go("./")), may: over, why: "only a study that is over can be deleted: cancel it first", ask: "The study, its trials, curves, events and checkpoints are deleted for good.", danger: true },
  ];
  const run = async (/** @type {Action} */ action) => {
    setAsked(null);
    setBusy(true);
    try {
      await action.run();
      setError(null);
      if (action.word !== "Delete") await done();
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  if (!maySubmit()) return html`<span class="dim small">You look on: a submitter's token may steer this study.</span>`;
  return html`<span class="row">${actions.map((a) => html`<button disabled=${!a.may || busy} title=${a.may ? "" : a.why} onClick=${() => (a.ask ? setAsked(a) : run(a))}>${a.word}</button>`)}</span>
    ${error && html`<${Failure} error=${error} />`}
    ${asked && html`<dialog ref=${(d) => d && !d.open && d.showModal()} onClose=${() => setAsked(null)} aria-label=${asked.word}>
      <h2>${asked.word} ${study.name}?</h2><p>${asked.ask}</p>
      <div class="row"><button class=${asked.danger ? "danger" : "primary"} onClick=${() => run(asked)}>${asked.word} the study</button><button onClick=${() => setAsked(null)}>Leave it</button></div></dialog>`}`;
}

/** Add to a study's budget.
 * @param {{study: any, path: string, done: () => Promise<void>}} props */
export function Extend({ study, path, done }) {
  const [error, setError] = useState(/** @type {any} */ (null));
  if (!maySubmit()) return null;
  const submit = async (event) => {
    event.preventDefault();
    const trials = Number(new FormData(event.target).get("trials"));
    try {
      await api(`${path}/extend`, { method: "POST", body: { trials }, headers: { "Idempotency-Key": crypto.randomUUID() } });
      setError(null);
      await done();
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<form class="row" onSubmit=${submit}><label>Add <input name="trials" type="number" min="1" max="100000" value="20" required style="width:6em" /> trials</label>
    <button disabled=${study.state === "cancelled"} title=${study.state === "cancelled" ? "a cancelled study stays so: clone it" : ""}>Extend</button>${error && html`<${Failure} error=${error} />`}</form>`;
}

/** What the reader may do to one trial: stop it, halve its rate, note, tags. One line in the trial's page:
 * `<${TrialActions} study=${of} trial=${trial} done=${again} />`.
 * @param {{study: any, trial: any, done?: () => Promise<void>}} props */
export function TrialActions({ study, trial, done }) {
  return null;
}
