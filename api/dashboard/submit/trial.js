// One trial again, with changes: in its study or in one of its own, from scratch or from its checkpoint.
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { api } from "../lib/api.js";
import { isNumber } from "../lib/real.js";
import { go, href } from "../lib/route.js";
import { Failure } from "../ui/bits.js";
import { Typed, value, words } from "./fields.js";

/** @typedef {{step: number | null, steps: "on" | "anew"}} From `step` null: from scratch */

/** Return a number as the one of the choices that it equals: 1 where 1.0 is one of them.
 * @param {any} given
 * @param {any[]} [choices]
 * @returns {any} */
export function among(given, choices = []) {
  return isNumber(given) ? (choices.find((one) => isNumber(one) && Number(one) === Number(given)) ?? given) : given;
}

/** @param {{study: any, spec: any, trial: any, kept: any[], fill: (params: Record<string, any>, from: From) => void}} props */
export function CloneTrial({ study, spec, trial, kept, fill }) {
  const [params, setParams] = useState(trial.params);
  const [where, setWhere] = useState(study.ended_why || study.state === "cancelled" || study.stopping ? "new" : "same");
  const [from, setFrom] = useState(/** @type {From} */ ({ step: null, steps: "on" }));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const over = ["finished", "cancelled"].includes(study.state) || study.stopping;
  const changed = Object.keys(params).filter((name) => JSON.stringify(params[name]) !== JSON.stringify(trial.params[name]));
  const run = async (event) => {
    event.preventDefault();
    if (where === "new") return fill(params, from);
    setBusy(true);
    try {
      const given = Object.fromEntries(changed.map((name) => [name, params[name]]));
      const body = { like: trial.number, params: given, ...(from.step !== null && { source: { study: String(study.id), trial: trial.number, ...from } }) };
      const made = await api(`studies/${study.id}/trials`, { method: "POST", body, headers: { "Idempotency-Key": crypto.randomUUID() } });
      go(href({ study: study.id, trial: made.number }, true));
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  const radio = (name, word, checked, take, off = "") => html`<label class="nowrap"><input type="radio" name=${name} checked=${checked} disabled=${Boolean(off)} onChange=${take} /> ${word}${off && html` <span class="dim small">(${off})</span>`}</label>`;
  const none = kept.length ? "" : "it keeps none";
  return html`<form class="panel clone" onSubmit=${run}><h1>Trial ${trial.number} of <bdi>${study.name}</bdi> again, with changes</h1>
    <div class="form-fields">${Object.keys(trial.params).map((name) => html`<div class="field" key=${name}><label for=${`p-${name}`}>${name}${changed.includes(name) && html` <span class="warn small">was ${words(trial.params[name])}</span>`}</label>
      <${Typed} id=${`p-${name}`} shown=${words(params[name])} take=${(t) => setParams({ ...params, [name]: among(value(t) ?? trial.params[name], spec.space?.[name]?.values) })} /></div>`)}</div>
    <fieldset><legend>Where</legend>${radio("where", "next in the same study", where === "same", () => setWhere("same"), over ? "it is over: extend it first" : "")}
      ${radio("where", "in a new study with these values fixed", where === "new", () => setWhere("new"))}</fieldset>
    <fieldset><legend>Begin</legend>${radio("begin", "from scratch", from.step === null, () => setFrom({ ...from, step: null }))}
      ${radio("begin", "from its checkpoint", from.step !== null, () => setFrom({ ...from, step: kept.at(-1)?.step ?? null }), none)}
      ${from.step !== null && html`<label>of step <select value=${from.step} onChange=${(e) => setFrom({ ...from, step: Number(e.target.value) })}>
        ${kept.map((k) => html`<option value=${k.step}>${k.step}${k.best ? " (best)" : k.last ? " (last)" : ""}</option>`)}</select></label>
      <label>steps <select value=${from.steps} onChange=${(e) => setFrom({ ...from, steps: e.target.value })}>
        <option value="on">go on from there, at the rate reached</option><option value="anew">count anew, at its own rate</option></select></label>
      <p class="dim small">It takes over the weights and the optimizer's memory; rate and other settings are those above.</p>`}</fieldset>
    ${error && html`<${Failure} error=${error} />`}
    <div class="row"><button class="primary" disabled=${busy}>${where === "same" ? "Enqueue it" : "Fill in the new study"}</button>
      <a href=${href({ study: study.id, trial: trial.number }, true)}>Leave it</a></div></form>`;
}
