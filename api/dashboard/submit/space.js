// The space as a table: a row a parameter.
import { html } from "../lib/html.js";
import { isNumber, Real } from "../lib/real.js";
import { Faults, faultsAt, Typed, value, words } from "./fields.js";

/** @typedef {import("./fields.js").Form} Form */

const KINDS = { real: "real numbers", whole: "whole numbers", choices: "choices", fixed: "fixed" };

/** Return of which kind a parameter is.
 * @param {any} p
 * @returns {keyof typeof KINDS} */
export function kindOf(p) {
  if (p?.values !== undefined) return "choices";
  if (p?.value !== undefined) return "fixed";
  if (p?.type) return p.type === "int" ? "whole" : "real";
  return [p?.min, p?.max, p?.step].every((n) => n === undefined || n === null || Number.isInteger(n)) ? "whole" : "real";
}

/** Return a parameter as one of another kind.
 * @param {any} p
 * @param {string} kind
 * @returns {any} */
export function as(p, kind) {
  const { when } = p;
  const more = when && Object.keys(when).length ? { when } : {};
  const first = p.min ?? p.value ?? p.values?.[0];
  if (kind === "choices") return { values: p.values ?? [first ?? 1], ...more };
  if (kind === "fixed") return { value: first ?? 1, ...more };
  const numbers = (p.values ?? [p.min ?? 0, p.max ?? 1]).filter(isNumber).map(Number);
  const [low, high] = [Math.min(...numbers, 1), Math.max(...numbers, 1)];
  const [min, max] = kind === "whole" ? [Math.floor(low), Math.ceil(high)] : [low, high];
  return numbered({ ...(p.log && { log: true }), min, max: max > min ? max : min + 1, ...more }, kind);
}

/** Say of which numbers a range is where its bounds do not tell. */
function numbered(p, kind) {
  const { type, ...rest } = p;
  const bounds = [p.min, p.max, p.step].filter((n) => n !== undefined);
  if (kind === "real") return bounds.every(Number.isInteger) ? { ...rest, type: "float" } : rest;
  return type && bounds.some((n) => n instanceof Real) ? p : rest;
}

/** @param {{form: Form, usual: any}} props `usual` is the default space, if it is taken */
export function Space({ form, usual }) {
  const space = form.doc.space;
  const put = (entries) => form.change({ ...form.doc, space: Object.fromEntries(entries) });
  if (!space || typeof space !== "object" || Array.isArray(space)) {
    return html`<p class="small">${usual ? "The default space is searched:" : "The default space is searched."}</p>
      ${usual && html`<ul class="plainly small">${Object.entries(usual).map(([name, p]) => html`<li><b>${name}</b> <code>${words(p)}</code></li>`)}</ul>`}
      <div class="row"><button type="button" disabled=${form.off || !usual} onClick=${() => form.change({ ...form.doc, space: usual })}>Change it</button>
      <button type="button" disabled=${form.off} onClick=${() => put([["lr", { min: 0.0001, max: 1, log: true }]])}>Begin with my own</button></div>
      <${Faults} faults=${faultsAt(form, ["space"])} />`;
  }
  const entries = Object.entries(space);
  const row = (i, name, p) => put(entries.map((e, n) => (n === i ? [name, p] : e)));
  const fresh = () => put([...entries, [freeName(space), { min: 0, max: 1, type: "float" }]]);
  return html`<${Faults} faults=${faultsAt(form, ["space"])} />
    <div class="table"><table class="space"><thead><tr><th scope="col">Parameter</th><th scope="col">Kind</th><th scope="col">Values</th><th scope="col">Only when</th><th></th></tr></thead>
    <tbody>${entries.map(([name, p], i) => html`<${Row} key=${i} form=${form} name=${name} p=${p && typeof p === "object" ? p : {}} put=${(n, v) => row(i, n, v)}
      drop=${() => put(entries.filter((_, n) => n !== i))} taken=${space} />`)}</tbody></table></div>
    <div class="row"><button type="button" onClick=${fresh} disabled=${form.off}>Add a parameter</button>
    <button type="button" disabled=${form.off} onClick=${() => { const { space: _, ...rest } = form.doc; form.change(rest); }}>Take the default space</button></div>`;
}

function freeName(space) {
  for (let n = 1; ; n++) if (!(`p${n}` in space)) return `p${n}`;
}

function Row({ form, name, p, put, drop, taken }) {
  const kind = kindOf(p);
  const faults = faultsAt(form, ["space", name], true);
  const set = (key, v) => put(name, numbered(without({ ...p, [key]: v }), kind));
  const text = (key, word, read = value) => html`<${Typed} aria-label=${`${word} of ${name}`} disabled=${form.off} shown=${words(p[key])} take=${(t) => set(key, read(t))} placeholder=${word} size=${5} />`;
  const rename = (to) => to && !(to in taken) && put(to, p);
  return html`<tr><td><input type="text" dir="auto" aria-label="Name of the parameter" value=${name} disabled=${form.off} size=${10} onChange=${(e) => rename(e.target.value.trim())} /></td>
    <td><select aria-label=${`Kind of ${name}`} value=${kind} disabled=${form.off} onChange=${(e) => put(name, as(p, e.target.value))}>${Object.entries(KINDS).map(([k, word]) => html`<option value=${k}>${word}</option>`)}</select></td>
    <td><div class="row">${kind === "choices" && html`<${Typed} aria-label=${`Choices of ${name}`} disabled=${form.off} shown=${listed(p.values)} take=${(t) => set("values", list(t))} size=${20} />`}
      ${kind === "fixed" && text("value", "value")}
      ${(kind === "real" || kind === "whole") && html`${text("min", "min")} ${text("max", "max")} ${!p.log && text("step", "step")}
      <label class="nowrap"><input type="checkbox" checked=${Boolean(p.log)} disabled=${form.off} onChange=${(e) => set("log", e.target.checked || undefined)} /> log</label>`}</div>
      <${Faults} faults=${faults} /></td>
    <td>${html`<${Typed} aria-label=${`Condition of ${name}`} disabled=${form.off} shown=${p.when && Object.keys(p.when).length ? words(p.when) : ""} take=${(t) => set("when", value(t))} placeholder="always" title="such as {optimizer: sgd}" size=${9} />`}</td>
    <td><button type="button" class="plain" aria-label=${`Remove ${name}`} title="Remove" onClick=${drop} disabled=${form.off}>×</button></td></tr>`;
}

function without(p) {
  return Object.fromEntries(Object.entries(p).filter(([, v]) => v !== undefined && v !== null));
}

const listed = (values) => (Array.isArray(values) ? words(values).replace(/^\[|\]$/g, "") : words(values));
const list = (text) => value(`[${text}]`) ?? [];
