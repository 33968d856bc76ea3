// The best value so far as a bold staircase over faint dots, against trials or steps.
import { useMemo } from "preact/hooks";
import uPlot from "uplot";
import { html } from "../lib/html.js";
import { themed } from "../lib/colors.js";
import { count, num } from "../lib/format.js";
import { query, set } from "../lib/route.js";
import { align, fit, held } from "../lib/series.js";
import { axis, Chart } from "../ui/chart.js";

const stepped = uPlot.paths.stepped?.({ align: 1 });

export function BestSoFar({ study, progress }) {
  const by = query.value.by === "steps" ? "steps" : "n";
  const { points, best, folk } = progress;
  const wide = points.value.length > 0 && Math.max(...points.value) > 20 * Math.min(...points.value);
  const log = query.value.ylog ? query.value.ylog === "1" : wide;
  const shape = useMemo(() => {
    const finished = points.outcome.map((o) => o === "complete" || o === "converged");
    const part = (keep) => ({ x: points[by].filter((_, i) => keep(i)), y: points.value.filter((_, i) => keep(i)) });
    const end = Math.max(0, ...points[by]);
    const stairs = held(best[by], best.value, end);
    const rule = folk === null ? { x: [], y: [] } : { x: [Math.min(1, end), end], y: [folk, folk] };
    const data = align([part((i) => finished[i]), part((i) => !finished[i]), stairs, rule]);
    const range = fit(points.value, [...best.value, ...(folk === null ? [] : [folk])]);
    return { data, range };
  }, [progress, by]);
  const canLog = points.value.every((v) => v > 0);
  const make = useMemo(() => () => options(by, log && canLog, shape.range, study), [by, log && canLog, shape.range.low, shape.range.high]);
  const note = [progress.shown < progress.total ? `showing ${count(progress.shown)} of ${count(progress.total)} trials` : "", shape.range.off ? `${shape.range.off} off scale` : ""].filter(Boolean).join(" · ");
  const tools = html`<button class="plain small" aria-pressed=${by === "steps"} onClick=${() => set({ by: by === "steps" ? null : "steps" })}>by steps</button>
    <button class="plain small" aria-pressed=${log && canLog} disabled=${!canLog} title=${canLog ? "" : "some values are not above zero"} onClick=${() => set({ ylog: log ? 0 : 1 })}>log</button>`;
  const behind = { head: ["trial", "trials so far", "steps so far", study.spec.objective.metric], rows: () => best.number.map((n, i) => [String(n), best.n[i], best.steps[i], best.value[i]]) };
  return html`<${Chart} title="Best so far" name=${`${study.name}-best`} note=${note} make=${make} data=${shape.data} tools=${tools} behind=${behind}
    legend=${html`<span><i class="swatch" style="background:var(--best)"></i>best so far</span><span>● trained to the end</span><span class="dim">▽ stopped early</span>${folk !== null && html`<span>┄ best rule of thumb (${num(folk)})</span>`}`} />`;
}

function options(by, log, range, study) {
  const dot = (color, size) => ({ paths: () => null, stroke: color, points: { show: true, size, fill: color, width: 0 } });
  return {
    scales: { x: { time: false }, y: log ? { distr: 3 } : { range: [range.low, range.high] } },
    axes: [axis(by === "n" ? "trials that ended" : "steps trained in all"), axis(study.spec.objective.metric, { size: 62 })],
    series: [
      {},
      dot(themed("s-complete") + "99", 5),
      dot(themed("ghost"), 4),
      { stroke: themed("best"), width: 2.5, paths: stepped, points: { show: false }, spanGaps: true },
      { stroke: themed("dim"), width: 1.2, dash: [3, 4], points: { show: false }, spanGaps: true },
    ],
  };
}
