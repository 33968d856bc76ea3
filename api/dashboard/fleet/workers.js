// The workers as a table: where each stands, how it is used, how often it fails; drain and undrain.
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { api, maySubmit } from "../lib/api.js";
import { ago, duration } from "../lib/format.js";
import { now } from "../lib/now.js";
import { query } from "../lib/route.js";
import { Failure, Panel, useRead } from "../ui/bits.js";
import { standing, standsOut } from "./lanes.js";

const MARKS = { working: "▶", idle: "○", draining: "❙❙", drained: "❙❙", lost: "✕", "out of service": "!" };

/** @param {{groups: import("./lanes.js").Group[], uses: Map<string, import("./lanes.js").Use>, all: import("./lanes.js").Use, read: number, done: () => Promise<void>}} props */
export function Workers({ groups, uses, all, read, done }) {
  const known = groups.filter((g) => g.worker);
  return html`<${Panel} title="Workers" tools=${html`<span class="dim small">busy and failures in the time shown above</span>`}>
    <div class="table workers" tabindex="0"><table><thead><tr><th scope="col">Worker</th><th scope="col">State</th><th scope="col">Heard</th><th scope="col" class="num hide-narrow">Slots</th>
      <th scope="col" class="hide-narrow">GPUs</th><th scope="col" class="hide-narrow">Labels</th><th scope="col" class="hide-narrow">Busy</th><th scope="col" class="num hide-narrow">Idle</th><th scope="col" class="num">Failures</th><th scope="col"><span class="visually-hidden">Actions</span></th></tr></thead>
    <tbody>${known.map((g) => html`<${Row} key=${g.id} group=${g} use=${uses.get(g.id)} all=${all} read=${read} done=${done} />`)}</tbody></table></div><//>`;
}

function Row({ group, use, all, read, done }) {
  const { worker } = group;
  const [open, setOpen] = useState(query.value.worker === worker.worker_id);
  const { word, state, why } = standing(worker);
  const silent = worker.silent_s + (now.value - read) / 1000;
  const bad = standsOut(use, all);
  const share = use.share === null ? null : Math.round(100 * use.share);
  return html`<tr class=${query.value.worker === worker.worker_id ? "chosen" : ""}>
      <td class="nowrap"><button class="plain small" aria-expanded=${open} aria-label=${`Details of ${worker.name}`} onClick=${() => setOpen(!open)}>${open ? "▾" : "▸"}</button> <b>${worker.name}</b>${worker.host !== worker.name && html` <span class="dim small hide-narrow">${worker.host}</span>`}</td>
      <td><span class=${`state s-${state}`}><i aria-hidden="true">${MARKS[word]}</i>${word}</span>${why && html`<div class="dim small wrap clamp">${why}</div>`}</td>
      <td class=${`nowrap ${worker.alive ? "" : "bad"}`} title=${worker.seen_at}>${silent < 2 ? "now" : `${duration(silent)} ago`}</td>
      <td class="num nowrap hide-narrow">${worker.alive ? worker.running.length : "–"} of ${worker.slots}</td>
      <td class="hide-narrow">${worker.gpus.length ? html`<span title=${worker.gpus.join(", ")}>${worker.gpus.length} × ${[...new Set(worker.gpus)].length === 1 ? worker.gpus[0] : "GPU"}</span>` : html`<span class="dim">none</span>`}</td>
      <td class="hide-narrow">${Object.entries(worker.labels).map(([k, v]) => html`<span class="tag">${k}=${v}</span> `)}</td>
      <td class="hide-narrow">${share === null ? "–" : html`<div class="bar" aria-hidden="true"><span style=${{ width: `${share}%`, background: "var(--s-running)" }}></span></div><span class="small">${share} %</span>`}</td>
      <td class="num nowrap hide-narrow">${duration(use.idle)}</td>
      <td class=${`num ${bad ? "bad" : ""}`} title=${bad ? "far more often than the others" : ""}>${bad ? "⚠ " : ""}${use.bad} of ${use.attempts}</td>
      <td><${Drain} worker=${worker} done=${done} /></td></tr>
    ${open && html`<tr><td colspan="10"><${Details} group=${group} /></td></tr>`}`;
}

function Drain({ worker, done }) {
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const drained = Boolean(worker.drained_by);
  const run = async () => {
    setBusy(true);
    try {
      await api(`workers/${worker.worker_id}/drain`, { method: drained ? "DELETE" : "PUT" });
      setError(null);
      await done();
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  if (!worker.alive && !drained) return null;
  if (!maySubmit()) return html`<span class="dim small" title="a submitter's token may drain workers">–</span>`;
  const tells = drained ? "lease trials to it again" : "it gets no further trial; those it runs go on";
  return html`<button class="small" disabled=${busy} title=${tells} onClick=${run}>${drained ? "Undrain" : "Drain"}</button>${error && html`<${Failure} error=${error} />`}`;
}

function Details({ group }) {
  const { worker } = group;
  const last = group.lanes.flat().reduce((a, b) => (!a || b.start > a.start ? b : a), /** @type {any} */ (null));
  const { found } = useRead(async (signal) => (last ? (await api(`studies/${last.study}/trials/${last.number}/environments?limit=100`, { signal })).items.find((r) => r.attempt === last.attempt) ?? null : null), [last?.study, last?.number, last?.attempt]);
  const rows = [
    ["Id", worker.worker_id], ["Since", worker.registered_at && ago(worker.registered_at, now.value)], ["Runs", worker.running.join(", ")], ["GPUs", worker.gpus.join(", ")],
    ["Labels", Object.entries(worker.labels).map(([k, v]) => `${k}=${v}`).join(", ")], ["Entrypoints", worker.allow.join(", ")], ["Commands", worker.allow_commands.join(", ")], ["Variables", worker.allow_env.join(", ")],
    ["Versions", found && `tuner ${found.machine.tuner}, Python ${found.machine.python}${found.packages.torch ? `, torch ${found.packages.torch}` : ""}${found.machine.cuda ? `, CUDA ${found.machine.cuda}` : ""}${found.machine.driver ? `, driver ${found.machine.driver}` : ""}`],
    ["Machine", found && [found.machine.os, found.machine.cpu, found.machine.cores && `${found.machine.cores} cores`].filter(Boolean).join(", ")],
  ].filter(([, v]) => v);
  return html`<table class="details"><tbody>${rows.map(([k, v]) => html`<tr><th scope="row">${k}</th><td class="wrap"><bdi>${v}</bdi></td></tr>`)}</tbody></table>`;
}
