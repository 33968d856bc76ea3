// Notes, tags and pins of studies and trials. All who see the study share them.
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { api, maySubmit } from "../lib/api.js";
import { Failure } from "./bits.js";
import { Dialog } from "./dialog.js";

/** A note and tags, with a way to change them.
 * @param {{of: any, path: string, done?: () => Promise<void>, pin?: boolean}} props `of` has `remark`, `tags` and maybe `pinned` */
export function Remarks({ of, path, done, pin = false }) {
  const [asked, setAsked] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const tags = of.tags ?? [];
  const attempt = (/** @type {() => Promise<any>} */ run) => run().then(() => setError(null), setError);
  const open = () => attempt(async () => setAsked(await api(`${path}/remark`)));
  const turn = () => attempt(async () => {
    await api(`${path}/remark`, { method: "PATCH", body: { pinned: !of.pinned } });
    await done?.();
  });
  if (!maySubmit() && !of.remark && !tags.length && !of.pinned) return null;
  return html`<div class="remark">
    <div class="row">${pin && (maySubmit()
      ? html`<button class="plain small" aria-pressed=${Boolean(of.pinned)} title="Pinned studies stand first, for everybody" onClick=${turn}>${of.pinned ? "★ Pinned" : "☆ Pin"}</button>`
      : of.pinned && html`<span class="small">★ Pinned</span>`)}
      <${Tags} tags=${tags} />
      ${maySubmit() && html`<button class="plain small" onClick=${open}>${of.remark || tags.length ? "Edit note and tags" : "Note, tags…"}</button>`}</div>
    ${of.remark && html`<p class="note" dir="auto">${of.remark}</p>`}
    ${error && html`<${Failure} error=${error} />`}
    ${asked && html`<${Edit} remark=${asked} path=${path} done=${done} close=${() => setAsked(null)} />`}</div>`;
}

/** @param {{tags: string[]}} props */
export function Tags({ tags }) {
  return tags.map((t) => html`<span class="tag" key=${t} dir="auto">${t}</span>`);
}

function Edit({ remark, path, done, close }) {
  const run = async (field) => {
    const tags = field("tags").split(",").map((t) => t.trim()).filter(Boolean);
    await api(`${path}/remark`, { method: "PATCH", body: { text: field("text"), tags }, headers: { "If-Match": `"${remark.version}"`, "Idempotency-Key": crypto.randomUUID() } });
    await done?.();
  };
  return html`<${Dialog} title="Note and tags" word="Keep" run=${run} close=${close}>
    <div class="fields wide"><label>Note <textarea name="text" rows="5" maxlength="10000" dir="auto">${remark.text}</textarea></label>
    <label>Tags, with commas between <input name="tags" value=${remark.tags.join(", ")} maxlength="1300" dir="auto" /></label></div>
    ${remark.by && html`<p class="dim small">last changed by ${remark.by}</p>`}<//>`;
}
