// What the reader may do to a study or a trial. A button that can't be used says why; what fails says so where it was pressed.
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { api, maySubmit } from "../lib/api.js";
import { edges } from "../lib/edges.js";
import { factor } from "../lib/format.js";
import { go } from "../lib/route.js";
import { Failure } from "./bits.js";
import { Buttons, Dialog } from "./dialog.js";
import { Remarks } from "./remarks.js";
import { Enqueue, Respace } from "./space.js";

const OVER = "the study is over: extend it, or clone it";
const LOOK = "You look on: a submitter's token may steer this study.";

/** Return the buttons as the reader's role has them.
 * @param {Button[]} buttons
 * @returns {Button[]} */
export const byRole = (buttons) => (maySubmit() ? buttons : buttons.map((b) => ({ ...b, may: false, why: LOOK })));

/** @typedef {{study: any, path: string, done: () => Promise<void>}} OfStudy */
/** @typedef {import("./dialog.js").Button} Button */

/** Return headers with which a request may be sent again. */
const once = () => ({ "Idempotency-Key": crypto.randomUUID() });

/** @param {OfStudy} props */
export function Actions({ study, path, done }) {
  const [asked, setAsked] = useState("");
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const change = async (/** @type {string} */ wanted) => {
    await api(path, { method: "PATCH", body: { state: wanted }, headers: once() });
    await done();
  };
  const at = (/** @type {string} */ wanted) => async () => {
    setBusy(true);
    await change(wanted).then(() => setError(null), setError);
    setBusy(false);
  };
  const close = () => setAsked("");
  return html`<${Buttons} busy=${busy} buttons=${byRole(ofStudy(study, at, setAsked))} />
    ${error && html`<${Failure} error=${error} />`}
    ${asked in CONFIRM && html`<${Confirm} ...${{ study, path, done, close, change, name: asked }} />`}
    ${asked === "extend" && html`<${More} ...${{ study, path, done, close }} />`}
    ${asked === "space" && html`<${Respace} ...${{ study, path, done, close }} />`}
    ${asked === "enqueue" && html`<${Enqueue} ...${{ study, path, done, close }} />`}`;
}

/** @param {any} study
 * @param {(wanted: string) => () => Promise<void>} at
 * @param {(name: string) => void} ask
 * @returns {Button[]} */
function ofStudy(study, at, ask) {
  const over = study.state === "finished" || study.state === "cancelled";
  const open = !over && !study.stopping;
  const why = study.stopping ? "it is stopping" : OVER;
  const wide = over ? [] : edges(study.spec.space, study.best?.params);
  const marked = wide.length ? ` ▲${wide.length}` : "";
  return [
    study.state === "paused"
      ? { word: "Resume", may: true, why: "", press: at("running") }
      : { word: "Pause", may: !over, why: OVER, press: at("paused") },
    { word: "Extend…", may: study.state !== "cancelled", why: "a cancelled study stays so: clone it", press: () => ask("extend") },
    { word: `Space${marked}…`, may: !over, why: OVER, press: () => ask("space"), hint: wide.length ? `the best sits at a bound of ${wide.map((e) => e.name).join(", ")}` : "narrow or widen the space" },
    { word: "Enqueue…", may: open, why, press: () => ask("enqueue"), hint: "run chosen parameters next" },
    { word: "Stop…", may: open, why, press: () => ask("stop") },
    { word: "Cancel…", may: !over, why: OVER, press: () => ask("cancel") },
    { word: "Delete…", may: over, why: "only a study that is over can be deleted: cancel it first", press: () => ask("delete") },
  ];
}

/** @type {Record<string, {word: string, text: string}>} */
const CONFIRM = {
  stop: { word: "Stop", text: "No further trial starts; those that run go on to their end." },
  cancel: { word: "Cancel", text: "All running trials are killed now. What they reported stays." },
  delete: { word: "Delete", text: "The study, its trials, curves, events and files are deleted for good." },
};

function Confirm({ study, path, close, change, name }) {
  const { word, text } = CONFIRM[name];
  const run = async () => {
    if (name !== "delete") return change(name === "stop" ? "stopped" : "cancelled");
    await api(path, { method: "DELETE", headers: once() });
    go("./");
  };
  return html`<${Dialog} title=${`${word} ${study.name}?`} word=${`${word} the study`} danger run=${run} close=${close}><p>${text}</p><//>`;
}

function More({ study, path, done, close }) {
  const hours = study.spec.budget.hours;
  const run = async (field) => {
    const body = { trials: Number(field("trials") || 0), hours: Number(field("hours") || 0) };
    await api(`${path}/extend`, { method: "POST", body, headers: once() });
    await done();
  };
  return html`<${Dialog} title=${`Extend ${study.name}`} word="Extend the budget" run=${run} close=${close}>
    <p class="dim small">It has ${study.spec.budget.trials} trials${hours ? ` and ${hours} hours` : ""}.${study.state === "finished" ? " A finished study goes on." : ""}</p>
    <div class="fields"><label>Add trials <input name="trials" type="number" min="0" max="1000000" step="1" value="20" required /></label>
    ${hours && html`<label>Add hours <input name="hours" type="number" min="0" max="100000" step="any" value="0" /></label>`}</div><//>`;
}

/** What the reader may do to one trial: stop it, halve its rate, note, tags. One line in the trial's page:
 * `<${TrialActions} study=${of} trial=${trial} done=${again} />`.
 * @param {{study: any, trial: any, done?: () => Promise<void>}} props */
export function TrialActions({ study, trial, done }) {
  const [asked, setAsked] = useState("");
  const path = `studies/${study.id}/trials/${trial.number}`;
  const close = () => setAsked("");
  const ended = trial.state === "ended";
  const over = "the trial has ended";
  /** @type {Button[]} */
  const buttons = [
    { word: "Stop the trial…", may: !ended, why: over, press: () => setAsked("stop") },
    { word: "Halve its rate…", may: trial.state === "running", why: ended ? over : "it waits: its rate can be cut while it runs", press: () => setAsked("halve") },
  ];
  return html`<${Buttons} buttons=${byRole(buttons)} />
    <${Remarks} of=${trial} path=${path} done=${done} />
    ${asked === "stop" && html`<${StopTrial} ...${{ trial, path, done, close }} />`}
    ${asked === "halve" && html`<${Halve} ...${{ trial, path, done, close }} />`}`;
}

function StopTrial({ trial, path, done, close }) {
  const run = async (field) => {
    await api(`${path}/stop`, { method: "POST", body: { why: field("why") }, headers: once() });
    await done?.();
  };
  return html`<${Dialog} title=${`Stop trial ${trial.number}?`} word="Stop the trial" danger run=${run} close=${close}>
    <p>It ends as cancelled, and its worker is told by its next report. Its curve stays; it has no value, and teaches the sampler nothing.</p>
    <${Why} /><//>`;
}

function Halve({ trial, path, done, close }) {
  const run = async (field) => {
    await api(`${path}/rate`, { method: "POST", body: { factor: Number(field("factor")), why: field("why") }, headers: once() });
    await done?.();
  };
  return html`<${Dialog} title=${`Cut the rate of trial ${trial.number}`} word="Cut the rate" run=${run} close=${close}>
    <p>It is at ${factor(trial.lr_factor)} of its start, after ${trial.last_step} steps. The cut holds from its next report on, and can't be taken back.</p>
    <div class="fields"><label>Multiply the rate by <input name="factor" type="number" min="0.01" max="0.99" step="any" value="0.5" required /></label></div>
    <${Why} /><//>`;
}

function Why() {
  return html`<div class="fields wide"><label>Why, if you like <input name="why" maxlength="500" dir="auto" /></label></div>`;
}
