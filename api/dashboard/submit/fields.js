// Fields of the form, made from the schema: each reads and writes one place of the document.
import { useId, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { at, put, shape } from "./schema.js";
import { inline, value as read } from "./yaml.js";

/** @typedef {{doc: any, change: (doc: any) => void, root: any, faults: {where: string, message: string}[], off: boolean}} Form */

/** Return the faults at a place, and at those within it unless these show their own.
 * @param {Form} form
 * @param {string[]} path
 * @param {boolean} [within]
 * @returns {string[]} */
export function faultsAt(form, path, within = false) {
  const place = path.join(".");
  return form.faults.filter((f) => f.where === place || (within && f.where.startsWith(`${place}.`))).map((f) => f.message);
}

/** What is wrong at a place. */
export function Faults({ id, faults }) {
  return faults.length ? html`<span class="bad small" id=${id} role="alert">${faults.join("; ")}</span>` : null;
}

/** Read a value as YAML would: 0.1, true, sgd.
 * @param {string} text
 * @returns {any} */
export function value(text) {
  if (!text.trim()) return undefined;
  try {
    return read(text);
  } catch {
    return text;
  }
}

/** Write a value on one line.
 * @param {any} v
 * @returns {string} */
export function words(v) {
  return v === undefined || v === null ? "" : typeof v === "string" ? v : inline(v);
}

/** A text field that keeps what is typed until it is left: `0.` is not made `0` under the fingers.
 * @param {{shown: string, take: (text: string) => void, [more: string]: any}} props */
export function Typed({ shown, take, ...more }) {
  const [raw, setRaw] = useState(/** @type {string | null} */ (null));
  return html`<input type="text" dir="auto" autocomplete="off" spellcheck=${false} ...${more} value=${raw ?? shown}
    onInput=${(e) => (setRaw(e.target.value), take(e.target.value))} onBlur=${() => setRaw(null)} />`;
}

/** One field, with its help and what is wrong in it.
 * @param {{form: Form, path: string[], schema: any, word?: string}} props */
export function Field({ form, path, schema, word }) {
  const id = useId();
  const found = shape(schema, form.root);
  const held = at(form.doc, path);
  const take = (v) => form.change(put(form.doc, path, v));
  const label = word ?? path[path.length - 1].replaceAll("_", " ");
  if (found.fields)
    return html`<div class="nested"><${Rest} word=${label} form=${form} path=${path} keys=${found.fields.map(([key]) => key)}>
      <small class="dim">${coded(found.help)}</small><${Group} form=${form} path=${path} fields=${found.fields} /><//></div>`;
  const faults = faultsAt(form, path, true);
  const common = { id, disabled: form.off, "aria-describedby": `${id}-help ${id}-fault`, "aria-invalid": faults.length ? "true" : undefined };
  return html`<div class="field" data-path=${path.join(".")}><label for=${id}>${label}</label>
    ${control(found, held, take, common)}
    <small class="dim" id=${`${id}-help`}>${coded(found.help)}</small><${Faults} id=${`${id}-fault`} faults=${faults} /></div>`;
}

function control(found, held, take, common) {
  if (found.kind === "bool")
    return html`<select ...${common} value=${held === undefined ? "" : String(held)} onChange=${(e) => take(e.target.value ? e.target.value === "true" : undefined)}>
      <option value="">${found.given ? "yes" : "no"} (default)</option><option value="true">yes</option><option value="false">no</option></select>`;
  if (found.kind === "choice") {
    const odd = held !== undefined && !found.choices.includes(held);
    return html`<select ...${common} value=${held === undefined ? "" : words(held)} onChange=${(e) => take(found.choices.find((c) => String(c) === e.target.value))}>
      <option value="">${found.given === undefined || found.given === null ? "–" : `${found.given} (default)`}</option>
      ${odd && html`<option value=${words(held)}>${words(held)}</option>`}
      ${found.choices.map((c) => html`<option value=${String(c)}>${String(c)}</option>`)}</select>`;
  }
  const hint = found.given === undefined || found.given === null ? "" : `${words(found.given)}`;
  const taken = found.kind === "text" ? (text) => text || undefined : value;
  return html`<${Typed} ...${common} shown=${words(held)} take=${(text) => take(taken(text))} placeholder=${hint}
    inputmode=${found.kind === "number" ? "decimal" : undefined} />`;
}

/** Show what stands in backticks as code.
 * @param {string} text */
export function coded(text) {
  return text.split("`").map((part, i) => (i % 2 ? html`<code>${part}</code>` : part));
}

/** Several fields side by side.
 * @param {{form: Form, path: string[], fields: [string, any][], only?: string[], but?: string[]}} props */
export function Group({ form, path, fields, only, but = [] }) {
  const shown = only ? only.flatMap((key) => fields.filter(([k]) => k === key)) : fields.filter(([k]) => !but.includes(k));
  return html`<div class="form-fields">${shown.map(([key, schema]) => html`<${Field} key=${key} form=${form} path=${[...path, key]} schema=${schema} />`)}</div>`;
}

/** What is seldom changed, folded; open where something is wrong in it.
 * @param {{word: string, form: Form, path: string[], keys: string[], children?: any}} props */
export function Rest({ word, form, path, keys, children }) {
  const wrong = keys.some((key) => faultsAt(form, [...path, key], true).length);
  const [open, setOpen] = useState(false);
  return html`<details open=${open || wrong} onToggle=${(e) => setOpen(e.currentTarget.open)}><summary>${word}</summary>${children}</details>`;
}

/** A choice among several kinds, and the fields of the one chosen.
 * @param {{form: Form, path: string[], schema: any, word: string, none: string, remove?: () => void}} props */
export function Kind({ form, path, schema, word, none, remove }) {
  const id = useId();
  const { tag = "name", options = {}, help } = shape(schema, form.root);
  const held = at(form.doc, path)?.[tag];
  const known = typeof held === "string" && Object.hasOwn(options, held);
  const fields = known ? shape(options[held], form.root) : null;
  const keys = (fields?.fields ?? []).map(([key]) => key).filter((key) => key !== tag);
  const faults = [...faultsAt(form, path), ...faultsAt(form, [...path, tag])];
  return html`<div class="kind"><div class="field" data-path=${path.join(".")}><label for=${id}>${word}</label>
    <select id=${id} disabled=${form.off} aria-describedby=${`${id}-help`} value=${known ? held : ""}
      onChange=${(e) => form.change(put(form.doc, path, e.target.value ? { [tag]: e.target.value } : undefined))}>
      ${none && html`<option value="">${none}</option>`}${Object.keys(options).map((name) => html`<option value=${name}>${name}</option>`)}</select>
    <small class="dim" id=${`${id}-help`}>${coded(fields?.help || help)}</small><${Faults} faults=${faults} /></div>
    ${keys.length > 0 && html`<${Rest} word=${`How ${held} works`} form=${form} path=${path} keys=${keys}><${Group} form=${form} path=${path} fields=${fields?.fields} but=${[tag]} /><//>`}
    ${remove && html`<button type="button" class="small" onClick=${remove} disabled=${form.off}>Remove</button>`}</div>`;
}
