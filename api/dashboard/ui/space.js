// Forms made from a study's space: narrow or widen it, and a point to run next.
import { useRef } from "preact/hooks";
import { html } from "../lib/html.js";
import { api } from "../lib/api.js";
import { edges } from "../lib/edges.js";
import { changedSpace, givenParams, listed, ranges } from "../lib/fields.js";
import { param } from "../lib/format.js";
import { Dialog } from "./dialog.js";

/** Narrow or widen the space. Where the best sits at a bound, a wider one is offered.
 * @param {{study: any, path: string, done: () => Promise<void>, close: () => void}} props */
export function Respace({ study, path, done, close }) {
  const space = study.spec.space;
  const found = edges(space, study.best?.params);
  const run = async (field) => {
    const changed = changedSpace(space, field);
    if (!Object.keys(changed).length) throw new Error("Nothing is changed yet.");
    const headers = { "If-Match": `"${study.version}"`, "Idempotency-Key": crypto.randomUUID() };
    await api(path, { method: "PATCH", body: { space: changed }, headers });
    await done();
  };
  return html`<${Dialog} title=${`Space of ${study.name}`} word="Change the space" run=${run} close=${close}>
    <p class="dim small">From the next trial on. Waiting trials that lie outside are cancelled; those that run go on.</p>
    <div class="fields">${ranges(space).map(([name, range]) => html`<${Range} key=${name} name=${name} range=${range}
      edge=${found.find((e) => e.name === name)} best=${study.best?.params[name]} />`)}</div><//>`;
}

function Range({ name, range, edge, best }) {
  const low = useRef(/** @type {HTMLInputElement | null} */ (null));
  const high = useRef(/** @type {HTMLInputElement | null} */ (null));
  const known = best === undefined ? "" : html`<small class="dim">best ${param(best)}</small>`;
  if (range.values) {
    return html`<fieldset><legend>${name} ${known}</legend>
      <label>choices <input name=${`${name}.values`} value=${listed(range.values)} required /></label></fieldset>`;
  }
  const widen = () => {
    const field = edge.side === "lower" ? low.current : high.current;
    if (!field) return;
    field.value = String(edge.wider);
    field.focus();
  };
  return html`<fieldset><legend>${name} ${range.log ? html`<small class="dim">log</small>` : ""} ${known}</legend>
    <label>from <input ref=${low} name=${`${name}.min`} type="number" step="any" value=${range.min} required /></label>
    <label>to <input ref=${high} name=${`${name}.max`} type="number" step="any" value=${range.max} required /></label>
    ${edge && html`<p class="warn small">▲ The best sits at the ${edge.side} bound.
      <button type="button" class="small" onClick=${widen}>Widen to ${param(edge.wider)}</button></p>`}</fieldset>`;
}

/** Run chosen parameters next; what is left empty takes its middle.
 * @param {{study: any, path: string, done: () => Promise<void>, close: () => void}} props */
export function Enqueue({ study, path, done, close }) {
  const space = study.spec.space;
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const run = async (field) => {
    const headers = { "Idempotency-Key": crypto.randomUUID() };
    await api(`${path}/trials`, { method: "POST", body: { params: givenParams(space, field) }, headers });
    await done();
  };
  const fill = () => {
    for (const [name, value] of Object.entries(study.best.params)) {
      const field = /** @type {HTMLInputElement | null | undefined} */ (place.current?.querySelector(`[name="${CSS.escape(name)}"]`));
      if (field) field.value = String(space[name].values ? space[name].values.indexOf(value) : value);
    }
  };
  return html`<${Dialog} title=${`Run a point of ${study.name} next`} word="Enqueue the trial" run=${run} close=${close}>
    <p class="dim small">What is left empty takes the middle of its range.
      ${study.best && html` <button type="button" class="small" onClick=${fill}>Fill in the best, trial ${study.best.number}</button>`}</p>
    <div class="fields" ref=${place}>${ranges(space).map(([name, range]) => html`<label key=${name}>${name} <${Value} name=${name} range=${range} /></label>`)}</div><//>`;
}

function Value({ name, range }) {
  if (range.values) return html`<select name=${name}><option value="">middle</option>${range.values.map((v, i) => html`<option value=${i}>${param(v)}</option>`)}</select>`;
  return html`<input name=${name} type="number" step="any" min=${range.min} max=${range.max} placeholder=${`${param(range.min)} … ${param(range.max)}`} />`;
}
