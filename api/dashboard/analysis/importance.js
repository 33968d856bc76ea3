// Which parameters matter: bars, with the age of what was computed.
import { html } from "../lib/html.js";
import { themed } from "../lib/colors.js";
import { ago, count } from "../lib/format.js";
import { now } from "../lib/now.js";
import { percent } from "../ui/importance.js";
import { Failure, Panel } from "../ui/bits.js";
import { axis, EChart } from "./echart.js";

/** @param {{study: any, asked: ReturnType<typeof import("../ui/importance.js").useImportance>}} props */
export function Importance({ study, asked: { found, error, again } }) {
  if (!found) return html`<${Panel} title="Importance">${error ? html`<${Failure} error=${error} again=${again} />` : html`<p class="empty">Asking…</p>`}<//>`;
  if (found.state === "computing") return html`<${Panel} title="Importance"><p class="empty" role="status">Being computed from ${count(found.n)} trials.</p><//>`;
  if (found.state === "unavailable") return html`<${Panel} title="Importance"><p class="empty">Not to be told yet: ${found.why}.</p><//>`;
  return html`<${Bars} found=${found} study=${study} />`;
}

function Bars({ found, study }) {
  const items = [...found.items].reverse();
  const option = () => ({
    grid: { left: 12, right: 56, top: 6, bottom: 6, containLabel: true },
    xAxis: { ...axis(""), show: false },
    yAxis: axis("", { type: "category", data: items.map((i) => i.name), axisLabel: { color: themed("text"), width: 140, overflow: "truncate" } }),
    series: [{ type: "bar", data: items.map((i) => i.share), itemStyle: { color: themed("accent") }, barMaxWidth: 22, label: { show: true, position: "right", color: themed("text"), formatter: (p) => percent(p.value) } }],
    tooltip: { formatter: (p) => `${p.name}: ${percent(p.value)}` },
  });
  const note = `${count(found.n)} trials, computed ${ago(found.at, now.value)}${found.behind ? `, ${count(found.behind)} more since` : ""}`;
  const behind = { head: ["parameter", "share"], rows: () => found.items.map((i) => [i.name, percent(i.share)]) };
  return html`<${EChart} title="Importance" name=${`${study.name}-importance`} note=${note} option=${option} on=${[found]} height=${Math.max(140, 34 * items.length)} behind=${behind}
    legend=${html`<span>What tells the best tenth of the trials from all (PED-ANOVA); the parts sum to 100 %.</span>`} />`;
}
