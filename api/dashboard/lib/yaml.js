// A document as YAML that any reader takes as the same values. Pure.
import { isNumber } from "./real.js";

const PLAIN = /^[A-Za-z_][\w./-]*$/;
const TAKEN = /^(y|n|yes|no|true|false|on|off|null|nan|inf)$/i;

/** Write a value of JSON as YAML.
 * @param {any} value
 * @returns {string} */
export function yaml(value) {
  return `${block(value, "").replace(/^\n/, "")}\n`;
}

/** @param {any} value
 * @param {string} indent
 * @returns {string} what follows a key, or a dash */
function block(value, indent) {
  if (Array.isArray(value)) {
    if (!value.length) return "[]";
    if (value.every(isScalar)) return `[${value.map(scalar).join(", ")}]`;
    return value.map((v) => `\n${indent}- ${block(v, `${indent}  `).trimStart()}`).join("");
  }
  if (isScalar(value)) return scalar(value);
  const entries = Object.entries(value);
  if (!entries.length) return "{}";
  return entries.map(([k, v]) => {
    const text = block(v, `${indent}  `);
    return `\n${indent}${scalar(k)}:${text.startsWith("\n") ? "" : " "}${text}`;
  }).join("");
}

/** @param {any} value */
function isScalar(value) {
  return value === null || typeof value !== "object" || isNumber(value);
}

/** @param {any} value
 * @returns {string} */
function scalar(value) {
  if (isNumber(value)) return String(value).replace(/^(-?\d+)e/, "$1.0e").replace(/e(\d)/, "e+$1");
  if (typeof value !== "string") return String(value);
  return PLAIN.test(value) && !TAKEN.test(value) ? value : JSON.stringify(value);
}
