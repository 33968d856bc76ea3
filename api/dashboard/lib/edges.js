// Where the best value sits at a bound of its range: there may be better ones beyond. Pure.

/** Which part of a range counts as its edge. */
export const NEAR = 0.05;

/** @typedef {{name: string, side: "lower" | "upper", bound: number, wider: number}} Edge */

/** Return the parameters whose best value sits within a twentieth of a bound, and how far to widen.
 * @param {Record<string, any>} space of the study's document
 * @param {Record<string, any> | undefined} params of the best trial
 * @returns {Edge[]} */
export function edges(space, params) {
  /** @type {Edge[]} */
  const found = [];
  for (const [name, range] of Object.entries(space ?? {})) {
    const value = params?.[name];
    if (typeof value !== "number" || typeof range.min !== "number" || typeof range.max !== "number" || range.min === range.max) continue;
    const share = place(value, range);
    if (share > NEAR && share < 1 - NEAR) continue;
    const side = share <= NEAR ? "lower" : "upper";
    found.push({ name, side, bound: side === "lower" ? range.min : range.max, wider: wider(range, side) });
  }
  return found;
}

/** Return a bound beyond the present one: a decade on a log scale, half the range on a plain one.
 * @param {any} range
 * @param {"lower" | "upper"} side
 * @returns {number} */
function wider(range, side) {
  const down = side === "lower";
  if (range.log) return tidy(range, down ? range.min / 10 : range.max * 10);
  const width = range.max - range.min;
  const step = range.step ? Math.max(1, Math.round(width / 2 / range.step)) * range.step : width / 2;
  return tidy(range, down ? range.min - step : range.max + step);
}

function tidy(range, value) {
  const whole = Number.isInteger(range.min) && Number.isInteger(range.max) && range.type !== "float";
  if (whole && !range.log) return Math.round(value);
  if (whole) return Math.max(1, Math.round(value));
  return Number(value.toPrecision(6));
}

/** Return where a value lies in its range, from 0 to 1, on the range's own scale.
 * @param {number} value
 * @param {{min: number, max: number, log?: boolean}} range
 * @returns {number} */
export function place(value, { min, max, log }) {
  const scale = log ? Math.log : (/** @type {number} */ v) => v;
  return (scale(value) - scale(min)) / (scale(max) - scale(min) || 1);
}
