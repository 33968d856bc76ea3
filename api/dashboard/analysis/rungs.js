// The funnel of rungs: who reached each, who was pruned there, at which value; what that saved.
import { html } from "../lib/html.js";
import { api } from "../lib/api.js";
import { themed } from "../lib/colors.js";
import { count, num, OUTCOMES } from "../lib/format.js";
import { Fact, Failure, Panel, useRead } from "../ui/bits.js";
import { axis, EChart } from "./echart.js";
import { pruner } from "./words.js";

/** @param {{data: import("../study/data.js").StudyData}} props */
export function Rungs({ data }) {
  const { found, error, again } = useRead((abort) => api(`${data.path}/endings`, { signal: abort }), [data.path, data.progress.value]);
  if (!found) return error ? html`<${Failure} error=${error} again=${again} />` : html`<p class="boot">Loading the rungs…</p>`;
  const study = data.study.value;
  const brackets = [...new Set(found.rungs.map((r) => r.bracket))];
  const used = study.spec.pruner;
  return html`<${Saved} found=${found} /><${Panel} title="The pruner"><p class="said">${pruner(used, study.spec.budget?.steps)}</p><//>
    ${found.rungs.length ? brackets.map((b) => html`<${Funnel} key=${b} study=${study} bracket=${brackets.length > 1 ? b : null} rungs=${found.rungs.filter((r) => r.bracket === b)} />`)
      : html`<p class="panel empty">${used && used.name !== "none" ? "No trial has reached a rung, or was pruned, yet." : "This study prunes nothing: there are no rungs. A pruner (asha, hyperband, median) ends bad trials early."}</p>`}`;
}

function Saved({ found }) {
  const saved = Object.values(found.saved).reduce((a, b) => a + b, 0);
  const all = saved + found.trained;
  const parts = Object.entries(found.saved).map(([o, n]) => `${OUTCOMES[o].word}: ${count(n)}`).join(", ");
  return html`<dl class="facts"><${Fact} name="Steps saved by stopping early" more=${parts}>${count(saved)}${all ? ` (${Math.round((100 * saved) / all)} %)` : ""}<//>
    <${Fact} name="Steps trained" more=${`${count(found.trials)} trials`}>${count(found.trained)}<//>
    <${Fact} name="A whole trial" more="the most a trial may train">${found.full === null ? "no limit" : `${count(found.full)} steps`}<//></dl>`;
}

function Funnel({ study, bracket, rungs }) {
  const cut = rungs.some((r) => r.cutoff !== null);
  const higher = study.spec.objective.mode === "max";
  const title = bracket === null ? "Funnel" : `Funnel of bracket ${bracket}`;
  const labels = rungs.map((r) => `step ${count(r.step)}`).reverse();
  const bar = (name, color, value) => ({ name, type: "bar", stack: "all", barMaxWidth: 30, itemStyle: { color }, data: rungs.map(value).reverse(), label: { show: true, color: themed("bg"), formatter: (p) => (p.value ? count(p.value) : "") } });
  const option = () => ({
    grid: { left: 8, right: 20, top: 6, bottom: 34, containLabel: true },
    xAxis: axis("trials that reached it", { minInterval: 1 }),
    yAxis: axis("", { type: "category", data: labels, axisLabel: { color: themed("text") } }),
    tooltip: { trigger: "axis", formatter: (ps) => [ps[0].axisValue, ...ps.map((p) => `${p.seriesName}: ${count(p.value)}`)].join("\n") },
    series: [bar("went on", themed("accent"), (r) => r.reached - r.pruned), bar("pruned there", themed("s-pruned"), (r) => r.pruned)],
  });
  const head = ["step", "reached", "pruned there", "part pruned", ...(cut ? [`cut-off now (${higher ? "lowest" : "highest"} that goes on)`] : []), "steps saved"];
  const rows = () => rungs.map((r) => [count(r.step), count(r.reached), count(r.pruned), r.reached ? `${Math.round((100 * r.pruned) / r.reached)} %` : "–", ...(cut ? [num(r.cutoff)] : []), count(r.saved)]);
  return html`<${EChart} title=${title} name=${`${study.name}-rungs`} option=${option} on=${[JSON.stringify(rungs)]} height=${60 + 42 * rungs.length} behind=${{ head, rows }}
      legend=${html`<span><i class="swatch" style="background:var(--accent);height:9px"></i>went on, or is still there</span><span><i class="swatch" style="background:var(--s-pruned);height:9px"></i>pruned there</span>`} />
    <${Panel} title=${`${title}: numbers`}><div class="table" tabindex="0"><table><thead><tr>${head.map((h) => html`<th scope="col" class="num">${h}</th>`)}</tr></thead>
      <tbody>${rows().map((r) => html`<tr>${r.map((c) => html`<td class="num">${c}</td>`)}</tr>`)}</tbody></table></div><//>`;
}
