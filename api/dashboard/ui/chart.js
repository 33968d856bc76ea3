// uPlot within Preact: sized to its place, redrawn on a change of theme, with a table behind it.
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { html } from "../lib/html.js";
import { themed } from "../lib/colors.js";
import { num } from "../lib/format.js";
import { savePng } from "../lib/save.js";
import { theme } from "../lib/theme.js";
import { magnitudes, multiples } from "../lib/ticks.js";

/** @typedef {{head: string[], rows: () => (string | number)[][]}} Behind a table with a chart's numbers */

/** A chart in a frame: a title, PNG, the table behind it.
 * @param {{title: string, note?: any, make: () => any, data: any, height?: number, behind?: Behind, tools?: any, legend?: any, named?: any, name: string, onPlot?: (plot: any) => void}} props
 *   `named` is the legend of its PNG where another chart's legend serves both on the page */
export function Chart({ title, note, make, data, height = 280, behind, tools, legend, named, name, onPlot }) {
  const [asTable, setAsTable] = useState(false);
  const plot = useRef(/** @type {any} */ (null));
  return html`<section class="panel" aria-label=${title}>
    <header>
      <h2>${title}</h2>${note && html`<span class="dim small">${note}</span>`}<span class="grow"></span>${tools}
      ${behind && html`<button class="plain small" aria-pressed=${asTable} onClick=${() => setAsTable(!asTable)}>Table</button>`}
      <button class="plain small" onClick=${(e) => savePng(plot.current?.ctx.canvas, { title, name, ratio: devicePixelRatio || 1, frame: e.currentTarget.closest("section") })}>PNG</button>
    </header>
    ${asTable && behind ? html`<${Rows} ...${behind} height=${height} />` : html`<${Plot}
      make=${make} data=${data} height=${height} title=${title}
      keep=${(made) => { plot.current = made; onPlot?.(made); }} />`}
    ${(legend || named) && html`<div class="legend" hidden=${!legend}>${legend || named}</div>`}
  </section>`;
}

/** A table of numbers. */
export function Rows({ head, rows, height }) {
  return html`<div class="table" style=${{ maxHeight: height }} tabindex="0">
    <table><thead><tr>${head.map((h) => html`<th scope="col">${h}</th>`)}</tr></thead>
    <tbody>${rows().map((r) => html`<tr>${r.map((c) => html`<td class="num">${typeof c === "number" ? num(c) : c}</td>`)}</tr>`)}</tbody></table>
  </div>`;
}

function Plot({ make, data, height, title, keep }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const plot = useRef(/** @type {any} */ (null));
  const zoom = useRef(/** @type {{min: number, max: number} | null} */ (null));
  const shape = make;
  useEffect(() => {
    const box = /** @type {HTMLElement} */ (place.current);
    const options = { width: box.clientWidth, height, legend: { show: false }, ...shape() };
    plot.current = new uPlot(options, data, box);
    if (zoom.current) plot.current.setScale("x", zoom.current);
    keep(plot.current);
    const watch = new ResizeObserver(() => box.clientWidth && plot.current?.setSize({ width: box.clientWidth, height }));
    watch.observe(box);
    return () => {
      watch.disconnect();
      zoom.current = zoomed(plot.current);
      plot.current.destroy();
      plot.current = null;
      keep(null);
    };
  }, [theme.value, shape, height]);
  useEffect(() => {
    const kept = plot.current && zoomed(plot.current);
    plot.current?.setData(data);
    if (kept) plot.current.setScale("x", kept);
  }, [data]);
  return html`<div class="chart" ref=${place} role="img" aria-label=${title}></div>`;
}

/** Return the part of the x axis that the reader zoomed into.
 * @param {any} plot
 * @returns {{min: number, max: number} | null} */
function zoomed(plot) {
  const xs = plot.data[0];
  const { min, max } = plot.scales.x;
  if (!xs.length || min === undefined || min === null) return null;
  return min > xs[0] || max < xs[xs.length - 1] ? { min, max } : null;
}

/** A button for a logarithmic axis, with a word where values prevent it.
 * @param {{on: boolean, can: boolean, turn: () => void}} props */
export function LogButton({ on, can, turn }) {
  return html`<button class="plain small" aria-pressed=${on && can} disabled=${!can} onClick=${turn}>log</button>${!can && html`<span class="dim small">no log: values ≤ 0</span>`}`;
}

/** A line's look for a legend: its colour and its dashes.
 * @param {{color: string, dash?: number[], width?: number}} props */
export function Swatch({ color, dash = [], width = 3 }) {
  return html`<svg class="swatch-line" width="22" height="8" aria-hidden="true"><line x1="0" x2="22" y1="4" y2="4" stroke=${color} stroke-width=${width} stroke-dasharray=${dash.join(" ")} /></svg>`;
}

/** Return an axis in the page's colours.
 * @param {string} label
 * @param {Record<string, any>} [more]
 * @returns {Record<string, any>} */
export function axis(label, more = {}) {
  const line = { stroke: themed("grid"), width: 1 };
  return {
    label, labelSize: 20, labelFont: "12px system-ui", font: "11px system-ui", stroke: themed("dim"),
    grid: line, ticks: line, splits, values: (_, ticks) => ticks.map((t) => (t === null ? "" : num(t))), ...more,
  };
}

function splits(plot, index, low, high, step) {
  const scale = plot.scales[plot.axes[index].scale];
  return scale.distr === 3 ? magnitudes(low, high, scale.log) : multiples(low, high, step);
}
