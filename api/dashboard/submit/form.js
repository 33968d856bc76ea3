// The sections of a study's document, the common things in front.
import { html } from "../lib/html.js";
import { coded, Faults, faultsAt, Field, Group, Kind, Rest } from "./fields.js";
import { Run } from "./run.js";
import { plain, put, shape } from "./schema.js";
import { Space } from "./space.js";

/** @typedef {import("./fields.js").Form} State */

/** @param {{form: State, tasks: any[], usual: any}} props */
export function Form({ form, tasks, usual }) {
  const { properties } = form.root;
  const of = (key) => shape(properties[key], form.root).fields ?? [];
  const part = (title, children) => html`<section class="panel" aria-label=${title}><h2>${title}</h2>${children}</section>`;
  const front = (key, only) => html`<${Group} form=${form} path=${[key]} fields=${of(key)} only=${only} />`;
  const rest = (key, word, front) => html`<${Rest} word=${word} form=${form} path=${[key]} keys=${of(key).map(([k]) => k).filter((k) => !front.includes(k))}>
    <${Group} form=${form} path=${[key]} fields=${of(key)} but=${front} /><//>`;
  const whole = form.faults.filter((f) => f.where === "" || !(f.where.split(".")[0] in properties));
  return html`<${Faults} faults=${whole.map((f) => (f.where ? `${f.where}: ${f.message}` : f.message))} />
    ${part("Objective", html`<div class="form-fields"><${Field} form=${form} path=${["name"]} schema=${properties.name} /></div>
      <${Faults} faults=${faultsAt(form, ["objective"])} />${front("objective", ["metric", "mode"])}${rest("objective", "Which report counts", ["metric", "mode"])}`)}
    ${part("Run", html`<${Run} form=${form} tasks=${tasks} />`)}
    ${part("Space", html`<${Space} form=${form} usual=${usual} />`)}
    ${part("Budget", html`<${Faults} faults=${faultsAt(form, ["budget"])} />${front("budget", ["trials", "steps", "parallel"])}${rest("budget", "Hours and failures", ["trials", "steps", "parallel"])}`)}
    ${part("Sampler", html`${front("sampler", ["name", "seed"])}${rest("sampler", "Random start and seeds", ["name", "seed"])}`)}
    ${part("Pruner", html`<${Kind} form=${form} path=${["pruner"]} schema=${properties.pruner} word="pruner" none="the default" />`)}
    ${part("Policies", html`<${Policies} form=${form} schema=${properties.policies} />`)}
    ${part("Queue", html`${front("queue", ["project", "priority"])}${rest("queue", "Labels a worker must have", ["project", "priority"])}`)}
    ${part("More", html`<${More} form=${form} of=${of} known=${KNOWN} />`)}`;
}

const KNOWN = ["api_version", "name", "objective", "run", "space", "budget", "sampler", "pruner", "policies", "queue"];

/** All that the schema holds beside: what is added to the document later shows here by itself. */
function More({ form, of, known }) {
  const { properties } = form.root;
  const keys = Object.keys(properties).filter((key) => !known.includes(key));
  return html`<${Rest} word=${keys.join(", ").replaceAll("_", " ")} form=${form} path=${[]} keys=${keys}>
    ${keys.map((key) => html`<div key=${key} class="kind"><${Faults} faults=${faultsAt(form, [key])} />
      ${of(key).length ? html`<h3>${key}</h3><${Group} form=${form} path=${[key]} fields=${of(key)} />` : html`<${Field} form=${form} path=${[key]} schema=${properties[key]} />`}</div>`)}<//>`;
}

function Policies({ form, schema }) {
  const { policies } = form.doc;
  const items = plain(schema, form.root).items;
  const names = Object.keys(shape(items, form.root).options ?? {});
  const set = (list) => form.change({ ...form.doc, policies: list });
  const usual = () => {
    const { policies: _, ...doc } = form.doc;
    form.change(doc);
  };
  const faults = html`<${Faults} faults=${faultsAt(form, ["policies"])} />`;
  if (!Array.isArray(policies))
    return html`<p class="small">${coded(schema.description)}</p>${faults}<div class="row"><button type="button" disabled=${form.off} onClick=${() => set([{ name: names[0] }])}>Choose them</button>
      <button type="button" disabled=${form.off} onClick=${() => set([])}>None</button></div>`;
  const free = names.find((name) => !policies.some((p) => p?.name === name));
  return html`${faults}${!policies.length && html`<p class="small">No policy steers a trial.</p>`}
    ${policies.map((_, i) => html`<${Kind} key=${i} form=${form} path=${["policies", String(i)]} schema=${items} word=${`policy ${i + 1}`} none="" remove=${() => set(policies.filter((__, n) => n !== i))} />`)}
    <div class="row">${free && html`<button type="button" disabled=${form.off} onClick=${() => form.change(put(form.doc, ["policies", String(policies.length)], { name: free }))}>Add a policy</button>`}
    <button type="button" disabled=${form.off} onClick=${usual}>Take the default ones</button></div>`;
}
