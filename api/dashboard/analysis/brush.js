// A brush over the parallel axes as words of the search that the table of trials has, and back. Pure.
import { options, quoted, readSearch, searchWords } from "../study/rows.js";

/** @typedef {{name: string, key: string, label: string, kind: "number" | "category", values: any[], log: boolean, categories: string[], range: any}} Axis
 * `name` as the search knows it; `values` by row, null where there is none. */

const REACH = { ">=": 0, "<=": 1 };

/** Return the axes worth drawing: the parameters that vary, in the space's order, and the value last.
 * @param {{columns: Record<string, any[]>, params: Record<string, any[]>}} table
 * @param {Record<string, any>} space
 * @param {string} metric
 * @returns {Axis[]} */
export function axes(table, space, metric) {
  const found = [];
  for (const [name, values] of Object.entries(table.params)) {
    const known = new Set(values.filter((v) => v !== null && v !== undefined));
    if (known.size < 2) continue;
    const range = space?.[name] ?? {};
    const numeric = !range.values && [...known].every((v) => typeof v === "number");
    const log = numeric && Boolean(range.log) && [...known].every((v) => v > 0);
    const listed = [...(range.values ?? []), ...known].map(String);
    found.push(/** @type {Axis} */ ({ name, key: `p.${name}`, label: name, kind: numeric ? "number" : "category", values, log, categories: numeric ? [] : [...new Set(listed)], range }));
  }
  const value = { name: "value", key: "value", label: metric, kind: "number", values: table.columns.value, log: false, categories: [], range: {} };
  return [...found, /** @type {Axis} */ (value)];
}

/** Put one axis's brush into a search; what the search says of others stays.
 * @param {string} search
 * @param {Axis} axis
 * @param {[number, number][]} intervals on the axis; indices where it has categories
 * @returns {string} */
export function brushed(search, axis, intervals) {
  const others = searchWords(search).filter((word) => !terms(word, axis.name));
  return [...others, ...words(axis, intervals)].join(" ");
}

/** Return what a search selects of an axis.
 * @param {string} search
 * @param {Axis} axis
 * @returns {[number, number][]} */
export function intervals(search, axis) {
  const own = readSearch(search).filter((t) => t.name === axis.name);
  if (!own.length) return [];
  if (axis.kind === "category") {
    const names = own.flatMap((t) => (t.op === "=" ? options(t.value) : []));
    return axis.categories.flatMap((c, i) => (names.includes(c) ? [/** @type {[number, number]} */ ([i - 0.4, i + 0.4])] : []));
  }
  const numbers = axis.values.filter((v) => typeof v === "number");
  const ends = /** @type {[number, number]} */ ([least(numbers), most(numbers)]);
  for (const term of own) if (term.op in REACH && Number.isFinite(Number(term.value))) ends[REACH[/** @type {">="} */ (term.op)]] = Number(term.value);
  return [ends];
}

/** @param {Axis} axis
 * @param {[number, number][]} found
 * @returns {string[]} */
function words(axis, found) {
  if (!found.length) return [];
  if (axis.kind === "category") {
    const names = axis.categories.filter((_, i) => found.some(([a, b]) => i >= a && i <= b));
    return names.length ? [`${axis.name}=${names.map(quoted).join("|")}`] : [];
  }
  const [low, high] = [Math.min(...found.map((f) => f[0])), Math.max(...found.map((f) => f[1]))];
  return [`${axis.name}>=${short(low)}`, `${axis.name}<=${short(high)}`];
}

/** @param {string} word
 * @param {string} name
 * @returns {boolean} */
function terms(word, name) {
  return readSearch(word)[0]?.name === name;
}

const short = (v) => String(Number(v.toPrecision(4)));

/** @param {number[]} values
 * @returns {number} */
export function least(values) {
  return values.reduce((a, b) => Math.min(a, b), Infinity);
}

/** @param {number[]} values
 * @returns {number} */
export function most(values) {
  return values.reduce((a, b) => Math.max(a, b), -Infinity);
}

/** Return at most so many rows at even distances, and those that must be among them.
 * @param {number[]} rows
 * @param {number} count
 * @param {number[]} [must]
 * @returns {number[]} */
export function thin(rows, count, must = []) {
  if (rows.length <= count) return rows;
  const gap = rows.length / count;
  const kept = Array.from({ length: count }, (_, k) => rows[Math.floor(k * gap)]);
  return [...new Set([...kept, ...must])];
}
