// Saved views: pages of the dashboard kept under a name, for all who see the project.
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { api, maySubmit, session } from "../lib/api.js";
import { go } from "../lib/route.js";
import { Failure } from "./bits.js";
import { Dialog } from "./dialog.js";

/** A menu of saved views: pick one, keep the present page, remove one. */
export function Views() {
  const [views, setViews] = useState(/** @type {any[] | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [asked, setAsked] = useState(/** @type {any} */ (null));
  const read = () => api("views").then((page) => { setViews(page.items); setError(null); }, setError);
  const pick = (event, query) => {
    event.preventDefault();
    event.currentTarget.closest("details").open = false;
    go(query ? `?${query}` : "./");
  };
  const remove = async () => {
    await api(`views/${asked.id}`, { method: "DELETE" });
    await read();
  };
  return html`<details class="menu views" onToggle=${(e) => e.currentTarget.open && read()} onKeyDown=${shut}><summary class="button plain">Views</summary>
    <div class="panel">
      ${error && html`<${Failure} error=${error} again=${read} />`}
      ${views && !views.length && html`<p class="dim small">No saved views yet.</p>`}
      ${(views ?? []).map((v) => html`<div class="row" key=${v.id}><a class="grow" href=${v.query ? `?${v.query}` : "./"} title=${`saved by ${v.created_by}`} onClick=${(e) => pick(e, v.query)}>${v.name}</a>
        ${maySubmit() && html`<button class="plain small" aria-label=${`Remove the view ${v.name}`} title="Remove" onClick=${() => setAsked(v)}>✕</button>`}</div>`)}
      ${maySubmit() ? html`<${Save} done=${read} />` : html`<p class="dim small">A submitter's token may save views.</p>`}
    </div>
    ${asked && html`<${Dialog} title=${`Remove the view ${asked.name}?`} word="Remove the view" danger run=${remove} close=${() => setAsked(null)}>
      <p>It goes for everybody who sees ${session.value?.project ?? "it"}.</p><//>`}</details>`;
}

/** Close the menu at Escape; the focus goes back to its button.
 * @param {any} event */
function shut(event) {
  if (event.key !== "Escape" || event.target.closest("dialog")) return;
  event.currentTarget.open = false;
  event.currentTarget.querySelector("summary").focus();
}

function Save({ done }) {
  const [error, setError] = useState(/** @type {any} */ (null));
  const keep = async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    const name = String(new FormData(form).get("name")).trim();
    try {
      await api("views", { method: "POST", body: { name, query: location.search.slice(1) }, headers: { "Idempotency-Key": crypto.randomUUID() } });
      form.reset();
      setError(null);
      await done();
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<form class="row" onSubmit=${keep}><label class="visually-hidden" for="view-name">Name of the view</label>
    <input id="view-name" name="name" required maxlength="100" placeholder="Name of this page" /><button>Save this page</button>
    ${error && html`<${Failure} error=${error} />`}</form>`;
}
