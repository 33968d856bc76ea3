// ECharts within Preact: sized to its place, redrawn on a change of theme, with a table behind it.
import { useEffect, useRef, useState } from "preact/hooks";
import * as echarts from "echarts";
import { html } from "../lib/html.js";
import { themed } from "../lib/colors.js";
import { num } from "../lib/format.js";
import { savePng } from "../lib/save.js";
import { theme } from "../lib/theme.js";
import { Rows } from "../ui/chart.js";
import { Shield } from "../ui/bits.js";

/** A chart in a frame: a title, PNG, the table behind it.
 * @param {{title: string, note?: any, option: () => any, on: any[], height?: number, behind: import("../ui/chart.js").Behind, tools?: any, legend?: any, name: string, onChart?: (chart: any) => void}} props
 *   `option` is called anew when something in `on` changes */
export function EChart({ title, note, option, on, height = 280, behind, tools, legend, name, onChart }) {
  const [asTable, setAsTable] = useState(false);
  const chart = useRef(/** @type {any} */ (null));
  return html`<section class="panel" aria-label=${title}>
    <header>
      <h2>${title}</h2>${note && html`<span class="dim small">${note}</span>`}<span class="grow"></span>${tools}
      <button class="plain small" aria-pressed=${asTable} aria-label=${`${title} as a table`} onClick=${() => setAsTable(!asTable)}>Table</button>
      <button class="plain small" aria-label=${`Save ${title} as PNG`} disabled=${asTable} onClick=${(e) => savePng(chart.current?.renderToCanvas({ pixelRatio: 2 }), { title, name, ratio: 2, frame: e.currentTarget.closest("section") })}>PNG</button>
    </header>
    <${Shield}>${asTable ? html`<${Rows} ...${behind} height=${height} />` : html`<${Drawn} title=${title} option=${option} on=${on} height=${height}
      keep=${(made) => { chart.current = made; if (made) onChart?.(made); }} />`}<//>
    ${legend && html`<div class="legend">${legend}</div>`}
  </section>`;
}

function Drawn({ title, option, on, height, keep }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const chart = useRef(/** @type {any} */ (null));
  useEffect(() => {
    const box = /** @type {HTMLElement} */ (place.current);
    chart.current = echarts.init(box, null, { renderer: "canvas" });
    chart.current.setOption(base(option()), true);
    keep(chart.current);
    const watch = new ResizeObserver(() => box.clientWidth && chart.current?.resize());
    watch.observe(box);
    return () => {
      watch.disconnect();
      chart.current.dispose();
      chart.current = null;
      keep(null);
    };
  }, [theme.value, height]);
  const first = useRef(true);
  useEffect(() => {
    if (first.current) first.current = false;
    else chart.current?.setOption(base(option()), true);
  }, on);
  return html`<div class="echart" ref=${place} role="img" aria-label=${title} style=${{ height: `${height}px` }}></div>`;
}

/** Return an option with what all charts share: no animation, the page's colours, tips as text only.
 * @param {any} option
 * @returns {any} */
function base(option) {
  const text = { color: themed("text"), fontFamily: "system-ui", fontSize: 12 };
  return {
    animation: false,
    textStyle: text,
    ...option,
    tooltip: { renderMode: "richText", confine: true, backgroundColor: themed("panel"), borderColor: themed("line"), textStyle: text, ...option.tooltip },
  };
}

/** Return an axis in the page's colours.
 * @param {string} name
 * @param {any} [more]
 * @returns {any} */
export function axis(name, more = {}) {
  const dim = themed("dim");
  const line = { lineStyle: { color: themed("grid") } };
  const label = { color: dim, fontSize: 11, hideOverlap: true, ...(more.type === "category" ? {} : { formatter: num }) };
  return { name, nameLocation: "middle", nameGap: 26, nameTextStyle: { color: dim }, axisLabel: label, axisLine: line, axisTick: line, splitLine: line, ...more };
}
