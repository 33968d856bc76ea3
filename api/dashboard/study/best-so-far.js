// The best value so far as a bold staircase over faint dots, against trials or steps.
import { useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";
import { html } from "../lib/html.js";
import { themed } from "../lib/colors.js";
import { count, num } from "../lib/format.js";
import { query, set } from "../lib/route.js";
import { align, fit, held } from "../lib/series.js";
import { Panel } from "../ui/bits.js";
import { axis, Chart, LogButton, Swatch } from "../ui/chart.js";

const stepped = uPlot.paths.stepped?.({ align: 1 });

export function BestSoFar({ study, progress }) {
  const by = query.value.by === "steps" ? "steps" : "n";
  const { points, best, folk } = progress;
  const wide = points.value.length > 0 && Math.max(...points.value) > 20 * Math.min(...points.value);
  const log = query.value.ylog ? query.value.ylog === "1" : wide;
  const canLog = points.value.every((v) => v > 0);
  const shape = useMemo(() => {
    const finished = points.outcome.map((o) => o === "complete" || o === "converged");
    const thumb = points.origin.map((o) => o === "folk");
    const part = (keep) => ({ x: points[by].filter((_, i) => keep(i)), y: points.value.filter((_, i) => keep(i)) });
    const end = Math.max(0, ...points[by]);
    const stairs = held(best[by], best.value, end);
    const rule = folk === null ? { x: [], y: [] } : { x: [Math.min(1, end), end], y: [folk, folk] };
    const data = align([part((i) => finished[i] && !thumb[i]), part((i) => !finished[i] && !thumb[i]), part((i) => thumb[i]), stairs, rule]);
    const range = fit(points.value, [...best.value, ...(folk === null ? [] : [folk])], log && canLog);
    return { data, range };
  }, [progress, by, log && canLog]);
  const range = useRef(shape.range);
  range.current = shape.range;
  const make = useMemo(() => () => options(by, log && canLog, range, study), [by, log && canLog]);
  const note = [progress.shown < progress.total ? `showing ${count(progress.shown)} of ${count(progress.total)} trials` : "", shape.range.off ? `${shape.range.off} off scale` : ""].filter(Boolean).join(" · ");
  const tools = html`<button class="plain small" aria-pressed=${by === "steps"} onClick=${() => set({ by: by === "steps" ? null : "steps" })}>by steps</button>
    <${LogButton} on=${log} can=${canLog} turn=${() => set({ ylog: log ? 0 : 1 })} />`;
  const behind = { head: ["trial", "trials so far", "steps so far", study.spec.objective.metric], rows: () => best.number.map((n, i) => [String(n), best.n[i], best.steps[i], best.value[i]]) };
  if (!points.value.length) return html`<${Panel} title="Best so far"><p class="empty">Nothing to draw yet: the line begins with the first trial that ends.</p><//>`;
  return html`<${Chart} title="Best so far" name=${`${study.name}-best`} note=${note} make=${make} data=${shape.data} tools=${tools} behind=${behind}
    legend=${html`<span><${Swatch} color="var(--best)" />best so far</span><span><b class="s-complete"><i>●</i></b> trained to the end</span><span>▽ stopped early</span><span>◆ rule of thumb</span>${folk !== null && html`<span><${Swatch} color="var(--dim)" dash=${[3, 4]} width=${1.5} />the best of them (${num(folk)})</span>`}`} />`;
}

function options(by, log, range, study) {
  const unseen = { paths: () => null, points: { show: false } };
  return {
    // Marks at the ends are whole, unless the reader zoomed in.
    scales: { x: { time: false, range: (plot, low, high) => (low === plot.data[0][0] ? [0, high * 1.02] : [low, high]) }, y: { distr: log ? 3 : 1, range: () => [range.current.low, range.current.high] } },
    axes: [axis(by === "n" ? "trials that ended" : "steps trained in all"), axis(study.spec.objective.metric, { size: 62 })],
    series: [
      {},
      unseen,
      unseen,
      unseen,
      { stroke: themed("best"), width: 2.5, paths: stepped, points: { show: false }, spanGaps: true },
      { stroke: themed("dim"), width: 1.2, dash: [3, 4], points: { show: false }, spanGaps: true },
    ],
    hooks: { drawSeries: [(plot, index) => MARKS[index] && drawMarks(plot, index, MARKS[index])] },
  };
}

/** Shapes tell what colours do: a circle, a triangle, a diamond. By series.
 * @type {Record<number, {color: string, size: number, filled: boolean, path: (pen: any, x: number, y: number, r: number) => void}>} */
const MARKS = {
  1: { color: "s-complete", size: 2.8, filled: true, path: (pen, x, y, r) => pen.arc(x, y, r, 0, 2 * Math.PI) },
  2: { color: "faint", size: 2.8, filled: false, path: (pen, x, y, r) => polygon(pen, [[x - r, y - r], [x + r, y - r], [x, y + r]]) },
  3: { color: "text", size: 4, filled: true, path: (pen, x, y, r) => polygon(pen, [[x, y - r], [x + r, y], [x, y + r], [x - r, y]]) },
};

function drawMarks(plot, index, mark) {
  const [pen, ratio] = [plot.ctx, devicePixelRatio || 1];
  const [xs, ys] = [plot.data[0], plot.data[index]];
  const { left, top, width, height } = plot.bbox;
  pen.save();
  pen.beginPath();
  pen.rect(left, top - 6, width, height + 12);
  pen.clip();
  pen.strokeStyle = pen.fillStyle = themed(mark.color);
  pen.lineWidth = ratio;
  pen.globalAlpha = 0.75;
  for (let i = 0; i < xs.length; i++) {
    if (ys[i] === undefined || ys[i] === null) continue;
    pen.beginPath();
    mark.path(pen, plot.valToPos(xs[i], "x", true), plot.valToPos(ys[i], "y", true), mark.size * ratio);
    if (mark.filled) pen.fill();
    else pen.stroke();
  }
  pen.restore();
}

function polygon(pen, corners) {
  corners.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.closePath();
}
