// The trials of a study as rows to search, filter and sort. Pure.

/** @typedef {{columns: Record<string, any[]>, params: Record<string, any[]>, total: number, rows: number}} Columns */

export const FIXED = ["number", "state", "value", "last_value", "min_value", "max_value", "last_step", "halvings", "lr_factor", "duration", "attempt", "failures", "origin", "started", "tags"];
export const SHOWN = ["number", "state", "value", "last_step", "halvings", "duration"];
export const HEADS = {
  number: "Trial", state: "Outcome", value: "Value", last_value: "Last", min_value: "Smallest", max_value: "Largest", last_step: "Steps",
  halvings: "Halvings", lr_factor: "Rate ×", duration: "Took", attempt: "Attempt", failures: "Failures", origin: "From", started: "Started", tags: "Tags",
};

/** Return one column's values; parameters are named `p.NAME`.
 * @param {Columns} table
 * @param {string} name
 * @param {number} now seconds since 1970
 * @returns {any[]} */
export function valuesOf(table, name, now) {
  if (name.startsWith("p.")) return table.params[name.slice(2)] ?? [];
  const { columns } = table;
  if (name === "state") return columns.outcome.map((o, i) => o ?? columns.state[i]);
  if (name !== "duration") return columns[name] ?? [];
  return columns.started.map((s, i) => (s === null ? null : (columns.ended[i] ?? now) - s));
}

/** Split a search into its words; what stands in quotes stays whole.
 * @param {string} text
 * @returns {string[]} */
export function searchWords(text) {
  return text.match(/(?:"[^"]*"|\S)+/g) ?? [];
}

/** Return the texts that a term lets through: `a|b`, in quotes where one holds a blank, `|` or a quote.
 * @param {string} value
 * @returns {string[]} */
export function options(value) {
  const found = value.match(/(?:"[^"]*"|[^|])+/g) ?? [];
  return found.map((o) => (/^".*"$/s.test(o) && o.length > 1 ? o.slice(1, -1).replaceAll('""', '"') : o));
}

/** Write a text as a search takes it.
 * @param {string} text
 * @returns {string} */
export function quoted(text) {
  return text === "" || /[\s|"]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Read a search: words that must all match; `lr>0.1`, `outcome=pruned`, `act=relu|"leaky relu"`, `#17` and plain text.
 * @param {string} text
 * @returns {{name: string, op: string, value: string}[]} */
export function readSearch(text) {
  return searchWords(text).map((word) => {
    const found = /^([\w.-]+)(<=|>=|!=|=|<|>)(.+)$/s.exec(word);
    if (found) return { name: found[1], op: found[2], value: found[3] };
    if (/^#?\d+$/.test(word)) return { name: "number", op: "=", value: word.replace("#", "") };
    return { name: "", op: "~", value: options(word).join("|").toLowerCase() };
  });
}

/** Return the indices of the rows that a search lets through, in an order. Those without a value come last.
 * @param {Columns} table
 * @param {string} search
 * @param {string} sort a column's name, with `-` for the largest first
 * @param {number} now
 * @returns {number[]} */
export function choose(table, search, sort, now) {
  const tests = readSearch(search).map((term) => tester(table, term, now));
  const kept = [];
  for (let i = 0; i < table.rows; i++) if (tests.every((t) => t(i))) kept.push(i);
  const name = sort.replace(/^-/, "");
  const sign = sort.startsWith("-") ? -1 : 1;
  const keys = valuesOf(table, name, now);
  return kept.sort((a, b) => {
    const [x, y] = [keys[a], keys[b]];
    if (x === y) return a - b;
    if (x === null || x === undefined) return 1;
    if (y === null || y === undefined) return -1;
    return (x < y ? -1 : 1) * sign;
  });
}

/** @param {Columns} table
 * @param {{name: string, op: string, value: string}} term
 * @param {number} now
 * @returns {(row: number) => boolean} */
function tester(table, { name, op, value }, now) {
  if (op === "~") {
    const texts = ["state", "origin", "tags", ...Object.keys(table.params).map((p) => `p.${p}`)].map((n) => valuesOf(table, n, now));
    return (i) => texts.some((t) => String(t[i] ?? "").toLowerCase().includes(value));
  }
  if (name === "tag") return (i) => (table.columns.tags ?? [])[i]?.split(", ").includes(options(value)[0]) === (op !== "!=");
  const key = name === "outcome" ? "state" : name in table.params ? `p.${name}` : name;
  const column = valuesOf(table, key, now);
  const number = Number(value);
  const named = options(value);
  if (Number.isNaN(number)) return (i) => named.includes(String(column[i])) === (op !== "!=");
  /** @type {Record<string, (x: number) => boolean>} */
  const tests = { "=": (x) => x === number, "!=": (x) => x !== number, "<": (x) => x < number, ">": (x) => x > number, "<=": (x) => x <= number, ">=": (x) => x >= number };
  return (i) => column[i] !== null && column[i] !== undefined && tests[op](Number(column[i]));
}

/** Return rows as CSV, numbers whole, texts that a spreadsheet would run made harmless.
 * @param {Columns} table
 * @param {number[]} rows
 * @param {string[]} names
 * @param {number} now
 * @returns {string} */
export function csv(table, rows, names, now) {
  const columns = names.map((n) => valuesOf(table, n, now));
  const cell = (v) => {
    if (v === null || v === undefined) return "";
    const text = typeof v === "string" && /^[=+\-@\t\r]/.test(v) ? `'${v}` : String(v);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const head = names.map((n) => cell(n.replace(/^p\./, "")));
  return [head, ...rows.map((r) => columns.map((c) => cell(c[r])))].map((line) => line.join(",")).join("\r\n") + "\r\n";
}
