// Real numbers that are whole: JavaScript takes 1.0 for 1, a study's document tells them apart. Pure.

/** A real number that is whole. It reckons like a number; `instanceof` tells it, since `===` goes by identity. */
export class Real extends Number {
  /** Return it as documents write it, such as 1.0. */
  toString() {
    return `${Object.is(this.valueOf(), -0) ? "-" : ""}${super.toString()}.0`;
  }
}

const MARK = "\u0000";
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const MARKED = /"\\u0000(-?\d+\.0)"/g;

/** Tell a number that JavaScript shows without a point or an exponent.
 * @param {any} value
 * @returns {boolean} */
export function isWhole(value) {
  return Number.isInteger(value) && !String(value).includes("e");
}

/** Tell a number of either kind.
 * @param {any} value
 * @returns {boolean} */
export function isNumber(value) {
  return typeof value === "number" || value instanceof Real;
}

/** Read JSON; whole numbers written as 1.0 are `Real`.
 * @param {string} text
 * @returns {any} */
export function parse(text) {
  const real = (token) => !token.startsWith('"') && /[.eE]/.test(token) && isWhole(Number(token));
  const marked = text.replace(TOKENS, (token) => (real(token) ? JSON.stringify(MARK + token) : token));
  return JSON.parse(marked, (_, value) => (typeof value === "string" && value.startsWith(MARK) ? new Real(value.slice(1)) : value));
}

/** Write JSON; a `Real` as 1.0.
 * @param {any} value
 * @returns {string} */
export function stringify(value) {
  const marked = JSON.stringify(value, (_, v) => (v instanceof Real ? `${MARK}${v}` : v));
  return marked.replace(MARKED, "$1");
}
