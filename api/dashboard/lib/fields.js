// Parameters of a space as fields of a form, and back. Pure.

/** Return a list of choices as a person edits it.
 * @param {any[]} values
 * @returns {string} */
export function listed(values) {
  return values.map((v) => (typeof v === "string" && !/[,"\s]/.test(v) && readChoice(v, [""]) === v ? v : JSON.stringify(v))).join(", ");
}

/** Read a list of choices; text keeps the type that the present choices have.
 * @param {string} text
 * @param {any[]} like the present choices
 * @returns {any[]} */
export function readList(text, like) {
  const parts = text.match(/"(?:[^"\\]|\\.)*"|[^,]+/g) ?? [];
  return parts.map((p) => p.trim()).filter(Boolean).map((p) => readChoice(p, like));
}

/** Read one choice.
 * @param {string} text
 * @param {any[]} like choices of the same parameter
 * @returns {any} */
export function readChoice(text, like) {
  const same = like.find((v) => String(v) === text);
  if (same !== undefined) return same;
  if (text.startsWith('"')) return JSON.parse(text);
  if (like.every((v) => typeof v === "string")) return text;
  if (text === "true" || text === "false") return text === "true";
  return Number.isNaN(Number(text)) ? text : Number(text);
}

/** Return the parameters of a space that have more than one value, with their ranges.
 * @param {Record<string, any>} space
 * @returns {[string, any][]} */
export function ranges(space) {
  return Object.entries(space).filter(([, range]) => (range.value ?? null) === null);
}

/** Return what of a space differs from the fields of a form: each parameter whole, as a request has it.
 * @param {Record<string, any>} space
 * @param {(name: string) => string} field `NAME.min`, `NAME.max` or `NAME.values`
 * @returns {Record<string, any>} */
export function changedSpace(space, field) {
  /** @type {Record<string, any>} */
  const changed = {};
  for (const [name, range] of ranges(space)) {
    const after = range.values
      ? { ...range, values: readList(field(`${name}.values`), range.values) }
      : { ...range, min: Number(field(`${name}.min`)), max: Number(field(`${name}.max`)) };
    if (JSON.stringify(after) !== JSON.stringify(range)) changed[name] = after;
  }
  return changed;
}

/** Return the parameters that a form gives; what is left empty takes its middle.
 * @param {Record<string, any>} space
 * @param {(name: string) => string} field by parameter
 * @returns {Record<string, any>} */
export function givenParams(space, field) {
  /** @type {Record<string, any>} */
  const given = {};
  for (const [name, range] of ranges(space)) {
    const text = field(name).trim();
    if (text) given[name] = range.values ? range.values[Number(text)] : Number(text);
  }
  return given;
}
