// What the study was asked to do: in words, as its document, and how its space changed.
import { html } from "../lib/html.js";
import { Problem } from "../lib/api.js";
import { moment } from "../lib/format.js";
import { query, set } from "../lib/route.js";
import { parse } from "../lib/real.js";
import { yaml } from "../lib/yaml.js";
import { Copy, Failure, Panel, useRead } from "../ui/bits.js";
import { changes, policy, pruner, range } from "./words.js";

/** @param {{data: import("../study/data.js").StudyData}} props */
export function Config({ data }) {
  const study = data.study.value;
  const { found, error, again } = useRead((abort) => versionsOf(data.path, abort), [data.path, study.version]);
  const asked = Number(query.value.version);
  const newest = found?.[found.length - 1];
  const version = found?.find((v) => v.version === asked) ?? newest;
  return html`<${Words} spec=${study.spec} />
    ${error && html`<${Failure} error=${error} again=${again} />`}
    ${found && html`<${Versions} versions=${found} shown=${version?.version} />`}
    ${version && html`<${Document} name=${study.name} spec=${version.written} version=${version === newest ? null : version.version} />`}`;
}

/** Return a study's documents, each also as it is written: `1.0` stays a float.
 * @param {string} path
 * @param {AbortSignal} abort
 * @returns {Promise<any[]>} */
async function versionsOf(path, abort) {
  const found = [];
  let cursor = "";
  do {
    const reply = await fetch(`api/v1/${path}/specs${cursor && `?cursor=${cursor}`}`, { signal: abort });
    const text = await reply.text();
    if (!reply.ok) throw new Problem(reply.status, "The server did not give the study's documents.");
    const [page, written] = [JSON.parse(text), parse(text)];
    found.push(...page.items.map((item, i) => ({ ...item, written: written.items[i].spec })));
    cursor = page.next_cursor ?? "";
  } while (cursor);
  return found;
}

function Words({ spec }) {
  const space = Object.entries(spec.space ?? {});
  const policies = spec.policies ?? [];
  return html`<${Panel} title="In words"><dl class="words">
    <dt>Objective</dt><dd>${spec.objective.metric}, ${spec.objective.mode === "min" ? "lower is better" : "higher is better"}</dd>
    <dt>Parameters</dt><dd>${space.length ? html`<ul>${space.map(([name, r]) => html`<li><b>${name}</b>: ${range(r)}</li>`)}</ul>` : "the default space"}</dd>
    <dt>Sampler</dt><dd>${spec.sampler?.name ?? "the default"}</dd>
    <dt>Pruner</dt><dd>${pruner(spec.pruner, spec.budget?.steps)}</dd>
    <dt>Policies</dt><dd>${policies.length ? html`<ul>${policies.map((p) => html`<li><b>${p.name}</b>: ${policy(p)}</li>`)}</ul>` : "none: rates stay as they start"}</dd>
  </dl><//>`;
}

function Versions({ versions, shown }) {
  if (versions.length < 2) return html`<${Panel} title="Versions of the space"><p class="dim said">The space is as it was submitted.</p><//>`;
  const rows = versions.map((v, i) => ({ ...v, what: i ? changes(versions[i - 1].spec.space ?? {}, v.spec.space ?? {}) : ["as submitted"] })).reverse();
  return html`<${Panel} title="Versions of the space"><div class="table" tabindex="0"><table>
    <thead><tr><th scope="col">Version</th><th scope="col">Since</th><th scope="col">By</th><th scope="col">What changed</th><th scope="col"><span class="visually-hidden">Show</span></th></tr></thead>
    <tbody>${rows.map((v) => html`<tr><td>${v.version}</td><td class="nowrap">${moment(v.at)}</td><td>${v.by}</td><td>${(v.what.length ? v.what : ["nothing in the space"]).map((w) => html`<div>${w}</div>`)}</td>
      <td><button aria-pressed=${v.version === shown} aria-label=${`Show version ${v.version}`} onClick=${() => set({ version: v.version })}>Show</button></td></tr>`)}</tbody></table></div><//>`;
}

function Document({ name, spec, version }) {
  const text = yaml(spec);
  return html`<${Panel} title=${version === null ? "Document" : `Document, version ${version}`} tools=${html`<${Copy} text=${text} label="Copy as YAML" />`}>
    <pre tabindex="0" aria-label=${`Document of ${name}`}>${text}</pre><//>`;
}
