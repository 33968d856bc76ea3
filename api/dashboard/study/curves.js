// All trials' curves: the best, the running and the chosen in front, and the rate under them.
import { useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";
import { html } from "../lib/html.js";
import { colorOf, dashesOf, themed } from "../lib/colors.js";
import { count, factor, num, OUTCOMES } from "../lib/format.js";
import { href, query, set } from "../lib/route.js";
import { align, cuts, fit } from "../lib/series.js";
import { axis, Chart, LogButton, Swatch } from "../ui/chart.js";

const FRONT = 5;
const QUANTILES = ["5", "25", "75", "95"];
const stepped = uPlot.paths.stepped?.({ align: -1 });
const SYNC = "study-curves";

/** Return which curves stand in front: the best ended, the running, the chosen. Pure.
 * @param {any[]} curves
 * @param {string} mode
 * @param {number[]} chosen
 * @returns {Set<number>} */
export function inFront(curves, mode, chosen) {
  const sign = mode === "min" ? 1 : -1;
  const best = (c) => Math.min(...c.value.filter((v) => v !== null).map((v) => sign * v));
  const ended = curves.filter((c) => c.state === "ended" && (c.outcome === "complete" || c.outcome === "converged"));
  const first = ended.map((c) => ({ number: c.number, value: best(c) })).sort((a, b) => a.value - b.value).slice(0, FRONT);
  const running = curves.filter((c) => c.state === "running").slice(-8);
  return new Set([...first, ...running].map((c) => c.number).concat(chosen));
}

export function Curves({ study, curves }) {
  const log = query.value.clog === "1";
  const chosen = useMemo(() => (query.value.trials ?? "").split(",").filter(Boolean).map(Number), [query.value.trials]);
  const mode = study.spec.objective.mode;
  const front = useMemo(() => inFront(curves.curves, mode, chosen), [curves, chosen]);
  const dashOf = useMemo(() => dashesOf([...front]), [front]);
  const drawn = useMemo(() => [...curves.curves].sort((a, b) => Number(front.has(a.number)) - Number(front.has(b.number))), [curves, front]);
  const names = drawn.map((c) => `${c.number}${front.has(c.number) ? "f" : ""}`).join();
  const shown = useMemo(() => values(drawn, curves.band, front, log), [drawn, curves.band, log]);
  const rates = useMemo(() => {
    const [steps, ...columns] = align([{ x: shown.data[0], y: [] }, ...drawn.filter((c) => front.has(c.number)).map((c) => ({ x: c.step, y: c.lr_factor }))]);
    return [steps, ...columns.slice(1)];
  }, [shown]);
  const canLog = shown.low > 0;
  // What the plot reads when it draws: new data keep the plot.
  const live = useRef({ drawn, range: shown.range });
  live.current = { drawn, range: shown.range };
  const make = useMemo(() => () => options(study, live, front, dashOf, curves.band, log && canLog), [names, log && canLog, Boolean(curves.band)]);
  const makeRate = useMemo(() => () => rateOptions(drawn.filter((c) => front.has(c.number)), dashOf), [names]);
  const note = [
    curves.shown < curves.total ? `${curves.shown} of ${count(curves.total)} trials as lines, all ended ones as a band` : `${count(curves.total)} trials`,
    shown.range.off ? `${count(shown.range.off)} points off scale` : "",
  ].filter(Boolean).join(" · ");
  const tools = html`<${LogButton} on=${log} can=${canLog} turn=${() => set({ clog: log ? null : 1 })} />`;
  const rows = () => drawn.map((c) => [String(c.number), OUTCOMES[c.outcome ?? c.state].word, c.step.length, c.value[c.value.length - 1] ?? NaN, cuts(c).length]);
  const rateRows = () => drawn.flatMap((c) => cuts(c).map((cut) => [String(c.number), String(c.step[cut.index]), factor(cut.from), factor(cut.to)]));
  if (!curves.curves.length) return html`<section class="panel empty"><p>No trial has reported yet. Curves appear with the first report.</p></section>`;
  return html`<${Chart} title="Learning curves" name=${`${study.name}-curves`} note=${note} make=${make} data=${shown.data} height=${330} tools=${tools}
      behind=${{ head: ["trial", "outcome", "points", "last value", "halvings"], rows }}
      legend=${html`<${Legend} study=${study} drawn=${drawn} front=${front} dashOf=${dashOf} band=${curves.band} />`} />
    <${Chart} title="Rate, as a part of its start" name=${`${study.name}-rates`} make=${makeRate} data=${rates} height=${150}
      named=${html`<${Legend} study=${study} drawn=${drawn} front=${front} dashOf=${dashOf} band=${null} />`}
      behind=${{ head: ["trial", "rate cut at step", "from", "to"], rows: rateRows }} />`;
}

function Legend({ study, drawn, front, dashOf, band }) {
  const named = drawn.filter((c) => front.has(c.number)).sort((a, b) => a.number - b.number);
  return html`${named.map((c) => html`<a class="nowrap" href=${href({ study: study.id, trial: c.number, tab: null }, true)}>
      <${Swatch} color=${colorOf(c.number)} dash=${dashOf(c.number)} />${c.number} ${OUTCOMES[c.outcome ?? c.state].mark}${cuts(c).length ? ` ⤓${cuts(c).length}` : ""}</a>`)}
    <span>▼ ⤓ rate cut</span><span>▽ pruned</span>${band && html`<span><i class="swatch" style="background:var(--band-inner);height:9px"></i>middle half and 90 % of all that ended and reached the step</span>`}`;
}

function values(drawn, band, front, log) {
  const lines = drawn.map((c) => ({ x: c.step, y: c.value }));
  const quantiles = band ? QUANTILES.map((q) => ({ x: band.step, y: band.q[q] })) : [];
  const must = drawn.filter((c) => front.has(c.number)).flatMap((c) => [Math.min(...c.value.filter((v) => v !== null)), c.value[c.value.length - 1]]);
  const all = [...lines.flatMap((l) => l.y), ...(band ? band.q["25"] : [])];
  const finite = all.filter((v) => v !== null && Number.isFinite(v));
  const low = finite.reduce((a, b) => Math.min(a, b), Infinity);
  return { data: align([...quantiles, ...lines]), range: fit(all, must.filter((v) => Math.abs(v) < Infinity).slice(0, 40), log && low > 0), low };
}

function options(study, live, front, dashOf, band, log) {
  const { drawn } = live.current;
  const quiet = { stroke: "transparent", points: { show: false }, spanGaps: true, width: 0 };
  const series = [{}, ...(band ? QUANTILES.map(() => quiet) : [])];
  const first = series.length;
  for (const c of drawn) {
    const ahead = front.has(c.number);
    series.push({ stroke: ahead ? colorOf(c.number) : themed("ghost"), dash: ahead ? dashOf(c.number) : [], width: ahead ? 2 : 1, alpha: ahead ? 1 : 0.55, spanGaps: true, points: { show: c.step.length < 2 } });
  }
  return {
    scales: { x: { time: false }, y: { distr: log ? 3 : 1, range: () => [live.current.range.low, live.current.range.high] } },
    axes: [axis("step"), axis(study.spec.objective.metric, { size: 62 })],
    series,
    bands: band ? [{ series: [4, 1], fill: themed("band") }, { series: [3, 2], fill: themed("band-inner") }] : [],
    cursor: { focus: { prox: 24 }, sync: { key: SYNC } },
    focus: { alpha: 0.35 },
    hooks: {
      draw: [(plot) => drawMarks(plot, live.current.drawn, front)],
      setSeries: [(plot, index) => tip(plot, index, live.current.drawn[index - first])],
      setCursor: [(plot) => moveTip(plot, live.current.drawn, first)],
    },
  };
}

function rateOptions(drawn, dashOf) {
  return {
    scales: { x: { time: false }, y: { distr: 3, log: 2 } },
    axes: [axis("step"), axis("× start", { size: 62, values: (_, ticks) => ticks.map((t) => (t === null ? "" : factor(t))) })],
    series: [{}, ...drawn.map((c) => ({ stroke: colorOf(c.number), dash: dashOf(c.number), width: 2, paths: stepped, spanGaps: true, points: { show: false } }))],
    cursor: { sync: { key: SYNC } },
  };
}

function drawMarks(plot, drawn, front) {
  const pen = plot.ctx;
  const size = 4.5 * devicePixelRatio;
  pen.save();
  pen.beginPath();
  pen.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
  pen.clip();
  for (const c of drawn) {
    const ahead = front.has(c.number);
    /** @returns {[number, number]} */
    const at = (i) => [plot.valToPos(c.step[i], "x", true), plot.valToPos(c.value[i], "y", true)];
    pen.strokeStyle = pen.fillStyle = ahead ? colorOf(c.number) : themed("ghost");
    pen.lineWidth = 1.5 * devicePixelRatio;
    for (const cut of cuts(c)) if (c.value[cut.index] !== null) triangle(pen, at(cut.index), ahead ? size : size * 0.6, true);
    const last = c.value.length - 1;
    if (c.outcome === "pruned" && c.value[last] !== null) triangle(pen, at(last), size, false);
  }
  pen.restore();
}

function triangle(pen, [x, y], size, filled) {
  pen.beginPath();
  pen.moveTo(x - size, y - size);
  pen.lineTo(x + size, y - size);
  pen.lineTo(x, y + size * 0.8);
  pen.closePath();
  if (filled) pen.fill();
  else pen.stroke();
}

function tip(plot, index, curve) {
  let box = plot.over.querySelector(".tip");
  if (!curve || index === null) return box?.remove();
  if (!box) {
    box = document.createElement("div");
    box.className = "tip";
    plot.over.append(box);
  }
  box.dataset.series = String(index);
}

function moveTip(plot, drawn, first) {
  const box = plot.over.querySelector(".tip");
  const at = plot.cursor.idx;
  if (!box) return;
  const curve = drawn[Number(box.dataset.series) - first];
  const step = plot.data[0][at];
  const i = curve ? curve.step.indexOf(step) : -1;
  if (i < 0) return;
  const rate = curve.lr_factor[i] === 1 ? "" : `, rate ${factor(curve.lr_factor[i])} of its start`;
  box.textContent = `trial ${curve.number} (${OUTCOMES[curve.outcome ?? curve.state].word}), step ${step}: ${num(curve.value[i])}${rate}`;
  const left = plot.cursor.left > plot.over.clientWidth / 2;
  box.style.left = left ? "" : `${plot.cursor.left + 14}px`;
  box.style.right = left ? `${plot.over.clientWidth - plot.cursor.left + 14}px` : "";
  box.style.top = `${Math.max(0, plot.cursor.top - 34)}px`;
}
