// A trial's attempts: when, where, how each ended, and what it ran with.
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { all, api } from "../lib/api.js";
import { count, gpus, moment, took } from "../lib/format.js";
import { now } from "../lib/now.js";
import { href } from "../lib/route.js";
import { Copy, Panel, useRead } from "../ui/bits.js";
import { attempts } from "./story.js";

/** @param {{trial: any, path: string}} props */
export function Attempts({ trial, path }) {
  const found = attempts(trial.events);
  const { found: known } = useRead(async (signal) => {
    const [workers, records] = await Promise.all([all("workers?limit=1000", signal), api(`${path}/environments?limit=100`, { signal })]);
    return { workers: new Map(workers.map((w) => [w.worker_id, w])), records: new Map(records.items.map((r) => [r.attempt, r])) };
  }, [path, trial.attempt, trial.state]);
  if (!found.length) return null;
  return html`<${Panel} title="Attempts">
    <div class="table" tabindex="0"><table><thead><tr><th scope="col" class="num">Attempt</th><th scope="col">Worker</th><th scope="col">Began</th><th scope="col" class="num">Took</th><th scope="col">From</th><th scope="col">Ended</th></tr></thead>
    <tbody>${found.map((a) => html`<tr key=${a.attempt}><td class="num">${a.attempt}</td><td>${where(a, known)}</td>
      <td class="nowrap">${moment(a.began)}</td><td class="num nowrap">${took(((a.ended ? Date.parse(a.ended) : now.value) - Date.parse(a.began)) / 1000)}</td>
      <td class="nowrap">${a.resumed === null ? "the start" : `step ${a.resumed}`}</td>
      <td class="wrap"><b class=${a.how === "lost" || a.how === "failed" || a.how === "oom" ? "bad" : ""}>${a.how}</b>${a.last === null ? "" : ` at step ${a.last}`}${a.reason && html`<div class="dim small clamp">${a.reason}</div>`}</td></tr>`)}</tbody></table></div>
    ${known && [...known.records.values()].map((r) => html`<${Environment} key=${r.attempt} record=${r} />`)}<//>`;
}

function where(attempt, known) {
  if (attempt.worker === null) return html`<span class="dim">an own loop</span>`;
  const machine = known?.records.get(attempt.attempt)?.machine;
  const worker = known?.workers.get(attempt.worker);
  const name = worker?.name ?? (machine?.worker || attempt.worker);
  const host = worker?.host ?? machine?.host;
  return html`<a href=${href({ page: "fleet", worker: attempt.worker }, true)}>${name}</a>${host && host !== name && html` <span class="dim">on ${host}</span>`}${!worker && known && html` <span class="dim small">(gone)</span>`}
    ${machine && had(machine) && html`<div class="dim small">${had(machine)}</div>`}`;
}

/** Return the GPUs an attempt had, with their names where the machine's order tells; else those of the machine. */
function had({ devices, gpus: names }) {
  if (!devices.length) return names.join(", ");
  const kinds = [...new Set(devices.map((d) => names[d]).filter(Boolean))];
  return `${gpus(devices)}${kinds.length ? `: ${kinds.join(", ")}` : ""}`;
}

function Environment({ record }) {
  const { machine, packages, code } = record;
  const [find, setFind] = useState("");
  const version = code.commit ? `${code.commit.slice(0, 10)}${code.branch ? ` (${code.branch})` : ""}${code.diff ? " with changes" : ""}` : code.kind === "files" ? `${Object.keys(code.files).length} files, no commit` : "not recorded";
  const rows = [
    ["Code", version], ["From", code.remote ?? ""], ["Ran", machine.program.join(" ")], ["tuner", machine.tuner], ["Python", machine.python],
    ["Host", machine.host], ["System", machine.os], ["CPU", [machine.cpu, machine.cores && `${machine.cores} cores`].filter(Boolean).join(", ")],
    ["GPUs of the machine", machine.gpus.join(", ")], ["Given", gpus(machine.devices)], ["Driver, CUDA", [machine.driver, machine.cuda].filter(Boolean).join(", ")], ["Note", code.note],
  ].filter(([, v]) => v);
  const names = Object.keys(packages).filter((n) => n.toLowerCase().includes(find.toLowerCase())).sort();
  return html`<details class="more"><summary>Environment of attempt ${record.attempt}: ${version}, Python ${machine.python}</summary>
    <div class="table"><table><tbody>${rows.map(([k, v]) => html`<tr><th scope="row">${k}</th><td class="wrap"><bdi>${v}</bdi></td></tr>`)}
      ${Object.entries(machine.variables).map(([k, v]) => html`<tr><th scope="row"><code>${k}</code></th><td class="wrap"><bdi>${v}</bdi></td></tr>`)}</tbody></table></div>
    ${code.diff && html`<details><summary>Changes since the commit (${count(code.diff_size)} characters)</summary><${Copy} text=${code.diff} label="Copy the changes" /><pre class="preview" tabindex="0">${code.diff}</pre></details>`}
    <details><summary>${Object.keys(packages).length} packages</summary>
      <label class="visually-hidden" for=${`packages-${record.attempt}`}>Find a package</label><input id=${`packages-${record.attempt}`} type="search" placeholder="Find a package" value=${find} onInput=${(e) => setFind(e.target.value)} />
      <pre class="preview" tabindex="0">${names.map((n) => `${n}==${packages[n]}`).join("\n")}</pre></details></details>`;
}
