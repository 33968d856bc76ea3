// A document as YAML that any reader takes as the same values. Pure.

const PLAIN = /^[A-Za-z_][\w./-]*$/;
const TAKEN = /^(y|n|yes|no|true|false|on|off|null|nan|inf)$/i;

const FLOAT = "\u0000";

/** Read JSON such that `yaml` writes `1.0` as it stood: JavaScript takes it for a whole number.
 * @param {string} text
 * @returns {any} with marked texts in the place of such numbers */
export function exact(text) {
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (token) =>
    !token.startsWith('"') && /[.eE]/.test(token) && Number.isInteger(Number(token)) ? JSON.stringify(FLOAT + token) : token);
  return JSON.parse(marked);
}

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
    if (value.every((v) => typeof v !== "object" || v === null)) return `[${value.map(scalar).join(", ")}]`;
    return value.map((v) => `\n${indent}- ${block(v, `${indent}  `).trimStart()}`).join("");
  }
  if (value === null || typeof value !== "object") return scalar(value);
  const entries = Object.entries(value);
  if (!entries.length) return "{}";
  return entries.map(([k, v]) => {
    const text = block(v, `${indent}  `);
    return `\n${indent}${scalar(k)}:${text.startsWith("\n") ? "" : " "}${text}`;
  }).join("");
}

/** @param {any} value
 * @returns {string} */
function scalar(value) {
  if (typeof value === "number") return String(value).replace(/^(-?\d+)e/, "$1.0e").replace(/e(\d)/, "e+$1");
  if (typeof value !== "string") return String(value);
  if (value.startsWith(FLOAT)) return value.slice(1).replace(/^(-?\d+)e/i, "$1.0e").replace(/e(\d)/i, "e+$1");
  return PLAIN.test(value) && !TAKEN.test(value) ? value : JSON.stringify(value);
}
