// Curves as uPlot wants them: one ascending x for all. Pure.

/** @typedef {{x: number[], y: (number | null)[]}} Line */

/** Lay lines over one common x; where a line has no point of its own there is nothing.
 * @param {Line[]} lines each with ascending x
 * @returns {any[]} x, then a column for each line */
export function align(lines) {
  const xs = [...new Set(lines.flatMap((l) => l.x))].sort((a, b) => a - b);
  const place = new Map(xs.map((x, i) => [x, i]));
  const columns = lines.map((line) => {
    /** @type {(number | null | undefined)[]} */
    const column = new Array(xs.length).fill(undefined);
    line.x.forEach((x, i) => (column[/** @type {number} */ (place.get(x))] = line.y[i]));
    return column;
  });
  return [xs, ...columns];
}

/** Return a range for an axis that one runaway value does not flatten.
 * @param {(number | null | undefined)[]} values all that is drawn
 * @param {(number | null | undefined)[]} must be seen whole
 * @param {boolean} [log] for a logarithmic axis, of values above zero
 * @returns {{low: number, high: number, off: number}} `off` values lie outside */
export function fit(values, must, log = false) {
  if (log) {
    const logs = (part) => part.map((v) => (v > 0 ? Math.log10(v) : NaN));
    const { low, high, off } = fit(logs(values), logs(must));
    return { low: 10 ** low, high: 10 ** high, off };
  }
  const finite = /** @type {number[]} */ (values.filter((v) => Number.isFinite(v))).sort((a, b) => a - b);
  if (!finite.length) return { low: 0, high: 1, off: 0 };
  const at = (q) => finite[Math.round(q * (finite.length - 1))];
  const [first, third] = [at(0.25), at(0.75)];
  const reach = 3 * (third - first || Math.abs(third) || 1);
  const kept = /** @type {number[]} */ (must.filter((v) => Number.isFinite(v)));
  let low = Math.min(Math.max(finite[0], first - reach), ...kept);
  let high = Math.max(Math.min(finite[finite.length - 1], third + reach), ...kept);
  const pad = (high - low || Math.abs(high) || 1) * 0.05;
  const off = finite.filter((v) => v < low || v > high).length;
  return { low: low - pad, high: high + pad, off };
}

/** Return where a rate was cut: the step before which it was higher, and the levels.
 * @param {{step: number[], lr_factor: number[]}} curve
 * @returns {{index: number, from: number, to: number}[]} */
export function cuts(curve) {
  const found = [];
  for (let i = 1; i < curve.step.length; i++) {
    const [from, to] = [curve.lr_factor[i - 1], curve.lr_factor[i]];
    if (to < from) found.push({ index: i, from, to });
  }
  return found;
}

/** Return what followed each cut of a rate, until the next one: the best value before, and the best after.
 * @param {{step: number[], value: (number | null)[], lr_factor: number[]}} curve
 * @param {string} mode
 * @returns {{step: number, before: number, after: number, points: number, better: boolean}[]} `step` is the last one before the cut; cuts that nothing followed are left out */
export function afterCuts(curve, mode) {
  const sign = mode === "min" ? 1 : -1;
  const known = (from, to) => /** @type {number[]} */ (curve.value.slice(from, to).filter((v) => v !== null && v !== undefined));
  const best = (from, to) => sign * known(from, to).reduce((a, v) => Math.min(a, sign * v), Infinity);
  const found = cuts(curve);
  return found.flatMap(({ index }, k) => {
    const end = found[k + 1]?.index ?? curve.step.length;
    const [before, after] = [best(0, index), best(index, end)];
    return Number.isFinite(before) && Number.isFinite(after) ? [{ step: curve.step[index - 1], before, after, points: end - index, better: sign * after < sign * before }] : [];
  });
}

/** Extend a staircase to the present end, so that its last step is seen.
 * @param {number[]} x
 * @param {number[]} y
 * @param {number} end
 * @returns {Line} */
export function held(x, y, end) {
  return x.length && end > x[x.length - 1] ? { x: [...x, end], y: [...y, y[y.length - 1]] } : { x, y };
}
