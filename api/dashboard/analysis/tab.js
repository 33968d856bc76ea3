// What a study's trials tell together: which parameters matter, where the good ones lie, what went wrong.
import { useMemo } from "preact/hooks";
import { html } from "../lib/html.js";
import { api } from "../lib/api.js";
import { count } from "../lib/format.js";
import { edges, ranked } from "./edges.js";
import { query, set } from "../lib/route.js";
import { fit } from "../lib/series.js";
import { Failure, useRead } from "../ui/bits.js";
import { useImportance } from "../ui/importance.js";
import { choose } from "../study/rows.js";
import { Table } from "../study/trials.js";
import { axes, most } from "./brush.js";
import { Contour } from "./contour.js";
import { SelectedCurves } from "./curves.js";
import { Importance } from "./importance.js";
import { Failures, Outcomes } from "./outcomes.js";
import { Parallel } from "./parallel.js";
import { Slices } from "./slices.js";

/** @typedef {{study: any, table: any, axes: import("./brush.js").Axis[], rows: number[], best: number[], bare: number[], chosen: Set<number> | null, q: string, log: boolean, range: {low: number, high: number, off: number}, edges: Record<string, import("./edges.js").Edge>, space: Record<string, any>}} View
 * `rows` have a value, `bare` ended without one, `best` trained to their end, the best first; `chosen` are the search's. */

/** @param {{data: import("../study/data.js").StudyData}} props */
export function Analysis({ data }) {
  const { found, error, again } = useRead((abort) => api(`${data.path}/columns`, { signal: abort }), [data.path, data.progress.value]);
  if (!found) return error ? html`<${Failure} error=${error} again=${again} />` : html`<p class="boot">Loading the trials…</p>`;
  const study = data.study.value;
  if (!found.columns.outcome.some((o) => o !== null)) return html`<p class="panel empty">No trial has ended yet. What they tell together appears here with the first ends.</p>`;
  return html`<${Whole} data=${data} study=${study} table=${found} />`;
}

function Whole({ data, study, table }) {
  const q = query.value.q ?? "";
  const canLog = useMemo(() => table.columns.value.every((v) => v === null || v > 0), [table]);
  const log = canLog && query.value.alog === "1";
  const known = useMemo(() => look(study, table), [table, study.spec]);
  const chosen = useMemo(() => (q ? new Set(choose(table, q, "number", Date.now() / 1000)) : null), [table, q]);
  const view = useMemo(() => ({ ...known, study, table, chosen, q, log }), [known, chosen, log]);
  const importance = useImportance(data.path, data.progress.value);
  return html`<${Bar} view=${view} canLog=${canLog} />
    <div class="grid2"><${Importance} study=${study} asked=${importance} /><${Outcomes} view=${view} /></div>
    <${Parallel} view=${view} />
    ${view.chosen && html`<${SelectedCurves} view=${view} path=${data.path} />`}
    <${Slices} view=${view} data=${data} />
    ${view.axes.length > 2 && html`<${Contour} view=${view} importance=${importance.found} />`}
    <${Failures} path=${data.path} study=${study} progress=${data.progress.value} />
    <${Table} study=${study} table=${table} />`;
}

function Bar({ view, canLog }) {
  const { chosen, table, log } = view;
  const words = chosen ? `${count(chosen.size)} of ${count(table.rows)} selected` : `${count(table.rows)} trials, none selected: drag along an axis, or search below`;
  const notes = [view.bare.length ? `${count(view.bare.length)} ended without a value` : "", table.rows < table.total ? `the newest ${count(table.rows)} of ${count(table.total)}` : "", view.range.off ? `${count(view.range.off)} off scale` : ""].filter(Boolean).join(" · ");
  return html`<div class="row selection"><b role="status" aria-label="Selection">${words}</b>
    <button disabled=${!chosen} onClick=${() => set({ q: null })}>Clear the selection</button><span class="dim small">${notes}</span><span class="grow"></span>
    <button class="plain small" aria-pressed=${log} disabled=${!canLog} title=${canLog ? "" : "some values are not above zero"} onClick=${() => set({ alog: log ? null : 1 })}>log values</button></div>`;
}

/** Return what the charts share. Pure.
 * @param {any} study
 * @param {any} table */
function look(study, table) {
  const { mode, metric } = study.spec.objective;
  const space = study.spec.space ?? {};
  const all = Array.from({ length: table.rows }, (_, i) => i);
  const { value, outcome } = table.columns;
  const rows = all.filter((i) => value[i] !== null && outcome[i] !== null);
  const bare = all.filter((i) => value[i] === null && outcome[i] !== null);
  const best = ranked({ columns: table.columns, mode });
  const range = fit(rows.map((i) => value[i]), best.slice(0, 50).map((i) => value[i]));
  return { axes: axes(table, space, metric), rows, bare, best, range, space, edges: edges({ ...table, mode }, space) };
}

/** Return the value axis's bounds that fit its scale.
 * @param {View} view
 * @returns {{min: number, max: number}} */
export function bounds({ rows, table, range, log }) {
  if (!log) return { min: range.low, max: range.high };
  const low = rows.reduce((a, i) => Math.min(a, table.columns.value[i]), Infinity);
  return { min: low * 0.9, max: Math.max(most(rows.map((i) => table.columns.value[i]).filter((v) => v <= range.high)), low) * 1.1 };
}
