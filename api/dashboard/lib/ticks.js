// Where an axis has its ticks. Pure, and short for any range: uPlot's own ticks of a logarithmic axis
// whose range begins between 9.5 and 10 times a power of ten never end, nor those of a range a few
// roundings wide.

const MOST = 500;

/** Return the multiples of a step within a range, in ascending order.
 * @param {number} low
 * @param {number} high
 * @param {number} step above zero
 * @returns {number[]} none where the step is far too small for the range */
export function multiples(low, high, step) {
  const [first, last] = [Math.ceil(low / step), Math.floor(high / step)];
  if (!(last - first < MOST)) return [];
  return [...new Set(Array.from({ length: last - first + 1 }, (_, i) => exact((first + i) * step)))];
}

/** Return the ticks of a logarithmic axis: powers of two, or of ten with the digits between them.
 * @param {number} low above zero
 * @param {number} high
 * @param {number} base 2 or 10
 * @returns {number[]} multiples of a round step where the range holds fewer than two such ticks */
export function magnitudes(low, high, base) {
  const [first, last] = [low, high].map((v) => Math.floor(Math.log(v) / Math.log(base)));
  if (!(last - first < MOST)) return [];
  const digits = Array.from({ length: base - 1 }, (_, i) => i + 1);
  const powers = Array.from({ length: last - first + 2 }, (_, i) => first + i);
  const ticks = powers.flatMap((p) => digits.map((d) => (base === 10 ? Number(`${d}e${p}`) : base ** p)));
  const within = ticks.filter((t) => t >= low && t <= high);
  return within.length > 1 ? within : multiples(low, high, roundStep((high - low) / 5));
}

/** Return the next of 1, 2 and 5 times a power of ten. */
function roundStep(atLeast) {
  const power = Math.floor(Math.log10(atLeast));
  const digit = [1, 2, 5].find((d) => d * 10 ** power >= atLeast) ?? 10;
  return Number(`${digit}e${power}`);
}

/** Return a number without the last digits, where a product leaves its rounding. */
const exact = (v) => Number(v.toPrecision(15));
