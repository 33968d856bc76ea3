// Colours that stay: a trial has the same one on every page and after every reload. Pure.

// Okabe and Ito's palette, told apart by colour-blind readers, without its black and yellow.
const LINES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7b5cd6", "#8c6d31"];

/** Return a trial's colour.
 * @param {number} number
 * @returns {string} */
export function colorOf(number) {
  return LINES[number % LINES.length];
}

const DASHES = [[], [7, 4], [2, 3], [12, 3, 2, 3]];

/** Return how the lines of trials that are drawn together are dashed, so that two of one colour are told apart.
 * @param {number[]} numbers
 * @returns {(number: number) => number[]} */
export function dashesOf(numbers) {
  /** @type {Map<number, number[]>} */
  const found = new Map();
  /** @type {Map<string, number[][]>} */
  const free = new Map();
  for (const n of [...new Set(numbers)].sort((a, b) => a - b)) {
    const own = DASHES[Math.floor(n / LINES.length) % DASHES.length];
    const left = free.get(colorOf(n)) ?? DASHES;
    const dash = left.includes(own) ? own : (left[0] ?? own);
    found.set(n, dash);
    free.set(colorOf(n), left.filter((d) => d !== dash));
  }
  return (number) => found.get(number) ?? [];
}

/** Return a colour of the page's theme.
 * @param {string} name of the custom property, without the dashes
 * @returns {string} */
export function themed(name) {
  const key = `${document.documentElement.dataset.theme} ${name}`;
  const known = THEMED.get(key) ?? getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  THEMED.set(key, known);
  return known;
}

/** What was read of the style, which costs more than drawing with it.
 * @type {Map<string, string>} */
const THEMED = new Map();
