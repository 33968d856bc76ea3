// Where the best sits at a bound of its range: there may be better ones beyond. Pure.

import { NEAR, place } from "../lib/edges.js";

/** @typedef {{at: "low" | "high" | null, word: "lower" | "upper" | "", best: number | null, near: number, of: number, bound: number | null, words: string}} Edge
 * `near` of the best `of` trials sit at the bound. */

const TOP = 10;

/** Return for each numeric parameter whether the best, or most of the ten best, sit at a bound.
 * @param {{columns: Record<string, any[]>, params: Record<string, any[]>, mode?: string}} columns of `/columns`; `mode` is the objective's
 * @param {Record<string, any>} space of the study's document
 * @returns {Record<string, Edge>} */
export function edges(columns, space) {
  const best = ranked(columns).slice(0, TOP);
  /** @type {Record<string, Edge>} */
  const found = {};
  for (const [name, range] of Object.entries(space ?? {})) {
    if (typeof range.min !== "number" || typeof range.max !== "number" || !columns.params[name]) continue;
    const values = best.map((i) => columns.params[name][i]).filter((v) => typeof v === "number");
    found[name] = edge(values, range);
  }
  return found;
}

/** Return the rows of trials that trained to their end, the best first.
 * @param {{columns: Record<string, any[]>, mode?: string}} table
 * @returns {number[]} */
export function ranked({ columns, mode = "min" }) {
  const sign = mode === "min" ? 1 : -1;
  const rows = [];
  for (let i = 0; i < columns.number.length; i++) {
    const trained = columns.outcome[i] === "complete" || columns.outcome[i] === "converged";
    if (trained && columns.value[i] !== null && columns.origin[i] !== "finalist") rows.push(i);
  }
  return rows.sort((a, b) => sign * (columns.value[a] - columns.value[b]) || a - b);
}

/** @param {number[]} values of the best trials, the best first
 * @param {{min: number, max: number, log?: boolean, step?: number}} range
 * @returns {Edge} */
function edge(values, range) {
  const places = values.map((v) => place(v, range));
  const low = places.filter((p) => p <= NEAR).length;
  const high = places.filter((p) => p >= 1 - NEAR).length;
  const most = (n) => values.length >= 3 && n > values.length / 2;
  const at = places.length && places[0] <= NEAR ? "low" : places.length && places[0] >= 1 - NEAR ? "high" : most(low) ? "low" : most(high) ? "high" : null;
  const near = at === "low" ? low : at === "high" ? high : 0;
  const word = at === "low" ? "lower" : at === "high" ? "upper" : "";
  const bound = at === "low" ? range.min : at === "high" ? range.max : null;
  const best = values.length ? values[0] : null;
  const leads = at === "low" ? places[0] <= NEAR : places[0] >= 1 - NEAR;
  const words = at === null ? "" : `${leads ? "The best sits" : `${near} of the ${values.length} best sit`} at the ${word} edge (${bound})`;
  return { at, word, best, near, of: values.length, bound, words };
}
