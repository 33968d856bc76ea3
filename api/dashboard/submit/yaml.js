// Study documents as YAML 1.2 and back, with the line of each key.
// @ts-ignore - it is vendored without its types
import { CORE_SCHEMA, dump, EVENT_ID, load, parseEvents } from "js-yaml";

/** @typedef {{doc: Record<string, any>, lines: Map<string, number>}} Read */

/** YAML that can't be read, and where. */
export class Unreadable extends Error {
  /** @param {string} message
   * @param {number} line from 1 */
  constructor(message, line) {
    super(message);
    this.line = line;
  }
}

/** Read a document.
 * @param {string} text
 * @returns {Read}
 * @throws {Unreadable} */
export function read(text) {
  let doc, events;
  try {
    doc = load(text || "{}", { schema: CORE_SCHEMA, maxDepth: 40, maxAliases: 50 }) ?? {};
    events = parseEvents(text, { maxDepth: 40 });
  } catch (problem) {
    const { reason, message, mark } = /** @type {any} */ (problem);
    throw new Unreadable(String(reason ?? message).split("\n")[0], (mark?.line ?? 0) + 1);
  }
  if (typeof doc !== "object" || Array.isArray(doc)) throw new Unreadable("a study is a mapping of keys to values", 1);
  const { lines, sources } = places(events, text);
  return { doc: withKinds(doc, sources, ""), lines };
}

/** Return the document in a reply of the server's: in JSON, as in YAML, 1.0 is a real number.
 * @param {string} text
 * @returns {Record<string, any>} */
export function specIn(text) {
  const { sources } = places(parseEvents(text, { maxDepth: 40 }), text);
  return withKinds(JSON.parse(text).spec, sources, "spec.");
}

/** Write a document: sections as blocks, what is small on a line of its own.
 * @param {Record<string, any>} doc
 * @returns {string} */
export function write(doc) {
  return Object.entries(doc).map(([key, value]) => section(key, value)).join("");
}

/** Tell whether a text holds comments.
 * @param {string} text
 * @returns {boolean} */
export function hasComments(text) {
  return text.split("\n").some((line) => /^\s*#|\s#/.test(line.replace(/"(?:[^"\\]|\\.)*"|'[^']*'/g, "")));
}

function section(key, value) {
  const flow = (v) => dump(v, { flowLevel: 0, lineWidth: -1, schema: CORE_SCHEMA }).trimEnd();
  const name = flow(key);
  if (key === "space" && value && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length)
    return `${name}:\n${Object.entries(value).map(([k, v]) => `  ${flow(k)}: ${flow(v)}\n`).join("")}`;
  if (Array.isArray(value) && value.length && value.every((v) => v && typeof v === "object"))
    return `${name}:\n${value.map((v) => `  - ${flow(v)}\n`).join("")}`;
  return `${name}: ${flow(value)}\n`;
}

/** Return the line of each key by its dotted path, and what stands there as text.
 * @param {any[]} events
 * @param {string} text */
function places(events, text) {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  const lineOf = (offset) => starts.findLastIndex((start) => start <= offset) + 1;
  /** @type {Map<string, number>} */
  const lines = new Map();
  /** @type {Map<string, string>} */
  const sources = new Map();
  const within = (path, key) => (path ? `${path}.${key}` : String(key));
  const first = (e) => (e.type === EVENT_ID.SCALAR ? e.valueStart : e.type === EVENT_ID.ALIAS ? e.anchorStart : e.start);
  let i = events.findIndex((e) => e.type === EVENT_ID.DOCUMENT) + 1;
  const walk = (path) => {
    const e = events[i++];
    if (!e) return;
    if (!lines.has(path)) lines.set(path, lineOf(first(e)));
    if (e.type === EVENT_ID.SCALAR) sources.set(path, text.slice(e.valueStart, e.valueEnd));
    const more = () => i < events.length && events[i].type !== EVENT_ID.POP;
    if (e.type === EVENT_ID.SEQUENCE) for (let n = 0; more(); n++) walk(within(path, n));
    if (e.type === EVENT_ID.MAPPING)
      while (more()) {
        const key = events[i];
        const at = within(path, key.type === EVENT_ID.SCALAR ? text.slice(key.valueStart, key.valueEnd) : "?");
        lines.set(at, lineOf(first(key)));
        walk("\0");
        lines.delete("\0");
        walk(at);
      }
    if (e.type === EVENT_ID.SEQUENCE || e.type === EVENT_ID.MAPPING) i++;
  };
  walk("");
  return { lines, sources };
}

/** Say of ranges whose whole bounds were written as 1.0 that they are of real numbers: here 1.0 is 1.
 * @param {Record<string, any>} doc
 * @param {Map<string, string>} sources
 * @param {string} before what stands before the paths of the document */
function withKinds(doc, sources, before) {
  const { space } = doc;
  if (!space || typeof space !== "object" || Array.isArray(space)) return doc;
  const real = (name, key) => /[.eE]/.test(sources.get(`${before}space.${name}.${key}`) ?? "");
  const kinds = Object.entries(space).map(([name, p]) => {
    const range = p && typeof p === "object" && !p.type && Number.isInteger(p.min) && Number.isInteger(p.max);
    return [name, range && ["min", "max", "step"].some((key) => real(name, key)) ? { ...p, type: "float" } : p];
  });
  return { ...doc, space: Object.fromEntries(kinds) };
}
