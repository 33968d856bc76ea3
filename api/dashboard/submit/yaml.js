// Study documents as YAML 1.2 and back, with the line of each key.
// @ts-ignore - it is vendored without its types
import { CORE_SCHEMA, dump, EVENT_ID, floatCoreTag, load, parseEvents } from "js-yaml";
import { isWhole, Real } from "../lib/real.js";

/** @typedef {{doc: Record<string, any>, lines: Map<string, number>}} Read */

const SCHEMA = CORE_SCHEMA.withTags({
  ...floatCoreTag,
  resolve: (...given) => {
    const value = floatCoreTag.resolve(...given);
    return isWhole(value) ? new Real(value) : value;
  },
  identify: (value) => value instanceof Real || floatCoreTag.identify(value),
  represent: (value) => (value instanceof Real ? String(value) : floatCoreTag.represent(value)),
});

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
    doc = value(text || "{}") ?? {};
    events = parseEvents(text, { maxDepth: 40 });
  } catch (problem) {
    const { reason, message, mark } = /** @type {any} */ (problem);
    throw new Unreadable(String(reason ?? message).split("\n")[0], (mark?.line ?? 0) + 1);
  }
  if (typeof doc !== "object" || Array.isArray(doc)) throw new Unreadable("a study is a mapping of keys to values", 1);
  return { doc, lines: places(events, text) };
}

/** Read one value.
 * @param {string} text
 * @returns {any}
 * @throws js-yaml's exception */
export function value(text) {
  return load(text, { schema: SCHEMA, maxDepth: 40, maxAliases: 50 });
}

/** Write a value on one line.
 * @param {any} v
 * @returns {string} */
export function inline(v) {
  return dump(v, { flowLevel: 0, lineWidth: -1, schema: SCHEMA }).trimEnd();
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

function section(key, held) {
  const name = inline(key);
  if (key === "space" && held && typeof held === "object" && !Array.isArray(held) && Object.keys(held).length)
    return `${name}:\n${Object.entries(held).map(([k, v]) => `  ${inline(k)}: ${inline(v)}\n`).join("")}`;
  if (Array.isArray(held) && held.length && held.every((v) => v && typeof v === "object"))
    return `${name}:\n${held.map((v) => `  - ${inline(v)}\n`).join("")}`;
  return `${name}: ${inline(held)}\n`;
}

/** Return the line of each key by its dotted path.
 * @param {any[]} events
 * @param {string} text
 * @returns {Map<string, number>} */
function places(events, text) {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  const lineOf = (offset) => starts.findLastIndex((start) => start <= offset) + 1;
  /** @type {Map<string, number>} */
  const lines = new Map();
  const within = (path, key) => (path ? `${path}.${key}` : String(key));
  const first = (e) => (e.type === EVENT_ID.SCALAR ? e.valueStart : e.type === EVENT_ID.ALIAS ? e.anchorStart : e.start);
  let i = events.findIndex((e) => e.type === EVENT_ID.DOCUMENT) + 1;
  const walk = (path) => {
    const e = events[i++];
    if (!e) return;
    if (!lines.has(path)) lines.set(path, lineOf(first(e)));
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
  return lines;
}
