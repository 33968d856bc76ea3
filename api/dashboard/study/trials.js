// All trials of a study: ten thousand rows of which only those in sight are drawn.
import { useMemo, useRef, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { api } from "../lib/api.js";
import { count, factor, num, ORIGINS, param, took } from "../lib/format.js";
import { now } from "../lib/now.js";
import { href, query, set } from "../lib/route.js";
import { saveFile } from "../lib/save.js";
import { Failure, Outcome, Panel, useRead } from "../ui/bits.js";
import { choose, csv, FIXED, HEADS, SHOWN, valuesOf } from "./rows.js";

const ROW = 33;
const HEIGHT = 620;
const MOST_COMPARED = 6;

/** @param {{data: import("./data.js").StudyData}} props */
export function Trials({ data }) {
  const { found, error, again } = useRead((abort) => api(`${data.path}/columns`, { signal: abort }), [data.path, data.progress.value]);
  if (!found) return error ? html`<${Failure} error=${error} again=${again} />` : html`<p class="boot">Loading the trials…</p>`;
  return html`<${Table} study=${data.study.value} table=${found} />`;
}

/** The table with its search, which other views may share.
 * @param {{study: any, table: import("./rows.js").Columns}} props */
export function Table({ study, table }) {
  const asked = query.value;
  const second = Math.floor(now.value / 10_000) * 10;
  const sort = asked.sort ?? "number";
  const rows = useMemo(() => choose(table, asked.q ?? "", sort, second), [table, asked.q, sort, second]);
  const names = (asked.cols?.split(",") ?? [...SHOWN, ...Object.keys(table.params).map((p) => `p.${p}`)]).filter((n) => FIXED.includes(n) || n.slice(2) in table.params);
  const picked = (asked.trials ?? "").split(",").filter(Boolean).map(Number);
  const note = [`${count(rows.length)} of ${count(table.total)} trials`, table.rows < table.total ? `the newest ${count(table.rows)} are here` : ""].filter(Boolean).join(" · ");
  const save = () => saveFile(new Blob([csv(table, rows, names, second)], { type: "text/csv" }), `${study.name}-trials.csv`);
  const compare = picked.length >= 2 && html`<a class="button" href=${href({ tab: "compare" })}>Compare ${picked.length}</a>`;
  return html`<${Panel} title="Trials" tools=${html`${compare}<span class="dim small">${note}</span><button class="plain small" onClick=${save}>CSV</button>`}>
    <div class="row"><label class="visually-hidden" for="search">Search the trials</label>
      <input id="search" class="grow" type="search" placeholder="Search: 17, pruned, lr>0.1, value<0.2, tag=odd" value=${asked.q ?? ""} onInput=${(e) => set({ q: e.target.value })} />
      <${Columns} table=${table} names=${names} /></div>
    ${rows.length ? html`<${Virtual} table=${table} rows=${rows} names=${names} sort=${sort} picked=${picked} second=${second} study=${study} />`
      : html`<p class="empty">No trial is like this. <button onClick=${() => set({ q: null })}>Show all</button></p>`}<//>`;
}

function Columns({ table, names }) {
  const all = [...FIXED, ...Object.keys(table.params).map((p) => `p.${p}`)];
  const turn = (name) => set({ cols: all.filter((n) => (n === name ? !names.includes(n) : names.includes(n))).join(",") });
  return html`<details class="menu"><summary class="button">Columns</summary><div class="panel">
    ${all.map((n) => html`<label><input type="checkbox" checked=${names.includes(n)} onChange=${() => turn(n)} /> ${HEADS[n] ?? n.slice(2)}</label>`)}</div></details>`;
}

function Virtual({ table, rows, names, sort, picked, second, study }) {
  const [top, setTop] = useState(0);
  const box = useRef(null);
  const columns = names.map((n) => valuesOf(table, n, second));
  const first = Math.max(0, Math.min(Math.floor(top / ROW) - 10, rows.length - 1));
  const seen = rows.slice(first, first + Math.ceil(HEIGHT / ROW) + 20);
  const head = (n) => {
    const is = sort.replace(/^-/, "") === n;
    const turned = sort.startsWith("-");
    return html`<th scope="col" class=${n === "state" ? "" : "num"} aria-sort=${is ? (turned ? "descending" : "ascending") : "none"}>
      <button onClick=${() => set({ sort: is && !turned ? `-${n}` : n })}>${HEADS[n] ?? n.slice(2)}${is ? (turned ? " ↓" : " ↑") : ""}</button></th>`;
  };
  return html`<div class="table virtual" ref=${box} style=${{ maxHeight: HEIGHT }} tabindex="0" onScroll=${(e) => setTop(e.currentTarget.scrollTop)}>
    <table aria-rowcount=${rows.length}><thead><tr><th scope="col"><span class="visually-hidden">Compare</span></th>${names.map(head)}</tr></thead>
    <tbody><tr aria-hidden="true" style=${{ height: first * ROW }}></tr>
      ${seen.map((r, k) => html`<tr key=${r} aria-rowindex=${first + k + 1} style=${{ height: ROW }}>
        <td><${Pick} number=${table.columns.number[r]} picked=${picked} /></td>
        ${names.map((n, c) => html`<td class=${n === "state" ? "" : "num"}>${cell(n, columns[c][r], study)}</td>`)}</tr>`)}
      <tr aria-hidden="true" style=${{ height: Math.max(0, rows.length - first - seen.length) * ROW }}></tr></tbody></table></div>`;
}

function Pick({ number, picked }) {
  const is = picked.includes(number);
  const full = !is && picked.length >= MOST_COMPARED;
  const turn = () => set({ trials: (is ? picked.filter((n) => n !== number) : [...picked, number]).join(",") });
  return html`<input type="checkbox" aria-label=${`Compare trial ${number}`} checked=${is} disabled=${full} title=${full ? `${MOST_COMPARED} at most` : ""} onChange=${turn} />`;
}

function cell(name, value, study) {
  if (name === "number") return html`<a href=${href({ study: study.id, trial: value }, true)}>${value}</a>`;
  if (name === "state") return html`<${Outcome} name=${value} />`;
  if (name === "duration") return took(value);
  if (name === "lr_factor") return factor(value);
  if (name === "origin") return ORIGINS[value];
  if (name === "started") return value === null ? "–" : new Date(value * 1000).toLocaleString();
  if (name === "tags") return value || "–";
  if (name.startsWith("p.")) return param(value);
  return typeof value === "number" ? num(value) : "–";
}
