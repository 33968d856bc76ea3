// The best value so far as a small line.
import { html } from "../lib/html.js";

const WIDTH = 110;
const HEIGHT = 24;

/** Return the path of a staircase through points, y upwards.
 * @param {number[]} x ascending
 * @param {number[]} y
 * @param {number} end of the last step
 * @returns {string} */
export function stairs(x, y, end) {
  if (!x.length) return "";
  const [low, high] = [Math.min(...y), Math.max(...y)];
  const px = (v) => ((v - x[0]) / Math.max(end - x[0], 1e-12)) * WIDTH;
  const py = (v) => 2 + (1 - (v - low) / (high - low || 1)) * (HEIGHT - 4);
  let path = `M${px(x[0]).toFixed(1)} ${py(y[0]).toFixed(1)}`;
  for (let i = 1; i < x.length; i++) path += `H${px(x[i]).toFixed(1)}V${py(y[i]).toFixed(1)}`;
  return `${path}H${WIDTH}`;
}

/** @param {{x: number[], y: number[], end: number, label: string}} props */
export function Spark({ x, y, end, label }) {
  if (x.length < 1) return html`<span class="dim">–</span>`;
  return html`<svg width=${WIDTH} height=${HEIGHT} role="img" aria-label=${label}>
    <path d=${stairs(x, y, end)} fill="none" stroke="var(--best)" stroke-width="1.6" />
  </svg>`;
}
