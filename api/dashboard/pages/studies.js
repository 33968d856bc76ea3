// All studies: what runs, what waits and why, how far each is.
import { useEffect, useMemo } from "preact/hooks";
import { html } from "../lib/html.js";
import { all, maySubmit } from "../lib/api.js";
import { ago, count, endsAt, num, span, some } from "../lib/format.js";
import { listen } from "../lib/live.js";
import { now } from "../lib/now.js";
import { href, query, set } from "../lib/route.js";
import { calm, Failure, State, useRead } from "../ui/bits.js";
import { Tags } from "../ui/remarks.js";
import { Spark } from "../ui/spark.js";

/** Return the rows that a query asks for, in its order. Pure.
 * @param {any[]} rows
 * @param {Record<string, string>} asked
 * @returns {any[]} */
export function chosen(rows, asked) {
  const text = (asked.q ?? "").toLowerCase();
  const kept = rows.filter(
    (r) =>
      (!asked.state || r.state === asked.state) &&
      (!asked.project || r.project === asked.project) &&
      (!asked.owner || r.owner === asked.owner) &&
      (!asked.tag || (r.tags ?? []).includes(asked.tag)) &&
      (!text || r.name.toLowerCase().includes(text)),
  );
  const name = (asked.sort ?? "queue").replace(/^-/, "");
  const sign = (asked.sort ?? "").startsWith("-") ? -1 : 1;
  const key = (r) => (name === "done" ? r.ended / r.budget : name === "queue" ? r.rank : name === "left" ? r.eta_s?.[0] : r[name]);
  return [...kept].sort((a, b) => {
    if (!asked.sort && a.pinned !== b.pinned) return a.pinned ? -1 : 1;
    const [x, y] = [key(a), key(b)];
    if (x === y) return b.id - a.id;
    if (x === null || x === undefined) return 1;
    if (y === null || y === undefined) return -1;
    return (x < y ? -1 : 1) * sign;
  });
}

export function Studies() {
  const { found, error, again } = useRead((abort) => all("board?limit=200", abort), []);
  useEffect(() => {
    document.title = "Studies · tuner";
    const soon = calm(() => again().catch(() => {}), 1000);
    return listen("events", (kind) => (kind === "study" || kind === "event") && soon(), again);
  }, []);
  const asked = query.value;
  const rows = useMemo(() => chosen(found ?? [], asked), [found, asked]);
  if (!found) return error ? html`<${Failure} error=${error} again=${again} />` : html`<p class="boot">Loading the studies…</p>`;
  if (!found.length) return html`<${Nothing} />`;
  return html`
    <div class="row"><h1>Studies</h1><span class="grow"></span>
      ${maySubmit() ? html`<a class="button" href=${href({ page: "submit" }, true)}>Submit a study</a>` : html`<button disabled title="a submitter's or an admin's token may">Submit a study</button>`}</div>
    <${Filters} rows=${found} shown=${rows.length} />
    <section class="panel table" aria-label="Studies"><table class="studies">
      <thead><tr>
        <${Head} name="name">Study<//><${Head} name="queue">State<//><${Head} name="done">Trials<//>
        <th scope="col">Best so far</th><${Head} name="best" num>Best<//><${Head} name="left">Time left<//>
        <${Head} name="priority" num>Priority<//><${Head} name="project">Project<//>
        <${Head} name="owner">Owner<//><${Head} name="created">Submitted<//>
      </tr></thead>
      <tbody>${rows.map((r) => html`<${Row} key=${r.id} row=${r} />`)}</tbody>
    </table>${!rows.length && html`<p class="empty">No study is like this. <a class="button" href="./">Show all ${found.length}</a></p>`}</section>`;
}

function Head({ name, num: right, children }) {
  const sort = query.value.sort ?? "queue";
  const is = sort.replace(/^-/, "") === name;
  const turned = sort.startsWith("-");
  const order = is ? (turned ? "descending" : "ascending") : "none";
  return html`<th scope="col" class=${right ? "num" : ""} aria-sort=${order}>
    <button onClick=${() => set({ sort: is && !turned ? `-${name}` : name })}>${children}${is ? (turned ? " ↓" : " ↑") : ""}</button></th>`;
}

const SORTS = { queue: "queue's order", name: "name", done: "least done", "-done": "most done", "-created": "newest", created: "oldest" };

function Filters({ rows, shown }) {
  const asked = query.value;
  const values = (key) => [...new Set(rows.flatMap((r) => r[key]))].sort();
  const pick = (key, label) => html`<label>${label} <select value=${asked[key] ?? ""} onChange=${(e) => set({ [key]: e.target.value })}>
    <option value="">all</option>${values(key).map((v) => html`<option value=${v}>${v}</option>`)}</select></label>`;
  return html`<div class="row">
    <label class="visually-hidden" for="find">Find by name</label>
    <input id="find" type="search" placeholder="Find by name" value=${asked.q ?? ""} onInput=${(e) => set({ q: e.target.value })} />
    ${pick("state", "State")} ${pick("project", "Project")} ${pick("owner", "Owner")}
    <label class="only-narrow">Sort <select value=${asked.sort ?? "queue"} onChange=${(e) => set({ sort: e.target.value })}>
      ${Object.entries(SORTS).map(([key, word]) => html`<option value=${key} selected=${(asked.sort ?? "queue") === key}>${word}</option>`)}</select></label>
    ${rows.some((r) => r.tags.length) && html`<label>Tag <select value=${asked.tag ?? ""} onChange=${(e) => set({ tag: e.target.value })}>
      <option value="">all</option>${values("tags").map((v) => html`<option value=${v}>${v}</option>`)}</select></label>`}
    <span class="dim small">${shown === rows.length ? some(rows.length, "study", "studies") : `${shown} of ${some(rows.length, "study", "studies")}`}</span>
  </div>`;
}

function Row({ row }) {
  const share = (n) => `${(100 * n) / Math.max(row.budget, row.started, 1)}%`;
  const arrow = row.mode === "min" ? "lower is better" : "higher is better";
  return html`<tr>
    <td><a href=${href({ study: row.id }, true)}><b>${row.name}</b></a>${row.pinned && html` <span title="pinned" aria-label="pinned">★</span>`}
      <div class="row"><${Tags} tags=${row.tags} /></div></td>
    <td><${State} study=${row} />${row.note && html`<div class="dim small">${row.note}</div>`}</td>
    <td><div class="nowrap">${count(row.ended)} of ${count(row.budget)}${row.running ? html` <span class="dim">· ${row.running} running</span>` : ""}</div>
      <div class="bar" aria-hidden="true"><span style=${{ width: share(row.ended - row.failed), background: "var(--s-complete)" }}></span>
      <span style=${{ width: share(row.failed), background: "var(--s-failed)" }}></span>
      <span style=${{ width: share(row.running), background: "var(--s-running)" }}></span></div></td>
    <td><${Spark} x=${row.spark.n} y=${row.spark.value} end=${row.ended} label=${`best ${row.metric} so far of ${row.name}`} /></td>
    <td class="num" title=${`${row.metric}: ${arrow}`}>${num(row.best)}<div class="dim small">${row.metric} ${row.mode === "min" ? "↓" : "↑"}</div></td>
    <td class="nowrap">${row.eta_s ? html`<span class="only-narrow dim">left: </span>${span(row.eta_s)}<div class="dim small">ends ${endsAt(row.eta_s, now.value)}</div>` : html`<span class="dim hide-narrow">–</span>`}</td>
    <td class="num hide-narrow">${row.priority}</td><td class="hide-narrow">${row.project}</td><td class="hide-narrow">${row.owner}</td>
    <td class="nowrap hide-narrow" title=${row.created}>${ago(row.created, now.value)}</td>
  </tr>`;
}

function Nothing() {
  return html`<div class="panel empty"><h1>No studies yet</h1>
    <p>Save this as <code>first.yaml</code>, then submit it and start a worker:</p>
    <pre>objective: {metric: val_loss, mode: min}
run: {task: digits-mlp}
budget: {trials: 20}</pre>
    <pre>tuner submit first.yaml
tuner worker</pre>
    ${maySubmit() ? html`<a class="button" href=${href({ page: "submit" }, true)}>Submit one here</a>` : html`<p class="small">You look on: submitting takes a submitter's token.</p>`}</div>`;
}
