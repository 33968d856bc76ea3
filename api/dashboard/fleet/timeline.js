// Who ran what when: lanes by worker and slot, to look at closely, and to go from to a trial.
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { colorOf } from "../lib/colors.js";
import { duration, gpus, moment } from "../lib/format.js";
import { now } from "../lib/now.js";
import { go, href, query, set } from "../lib/route.js";
import { savePng } from "../lib/save.js";
import { theme } from "../lib/theme.js";
import { Panel } from "../ui/bits.js";
import { ending } from "./lanes.js";
import { arrange, barAt, paint } from "./paint.js";

const TITLE = "Who ran what when";
const TALLEST = 560;
const NARROW = 640;
const MOST_ROWS = 500;
const SHORTEST = 5;
const DRAG = 5;
const MOST_NAMED = 12;
/** @type {[string, number][]} */
export const SPANS = [["15 min", 900], ["1 h", 3600], ["6 h", 21600], ["24 h", 86400], ["7 d", 604800]];

/** @param {{groups: import("./lanes.js").Group[], from: number, to: number, names: Record<string, string>, note: string, shown: number}} props `shown` seconds are in sight */
export function Timeline({ groups, from, to, names, note, shown }) {
  const [asTable, setAsTable] = useState(false);
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const by = query.value.by === "study" ? "study" : "state";
  const fixed = Boolean(query.value.from);
  const tools = html`<span class="dim small">${note}</span>
    ${SPANS.map(([word, s]) => html`<button class="plain small" aria-pressed=${!fixed && Math.round(shown) === s} onClick=${() => set({ span: s, from: null, to: null })}>${word}</button>`)}
    <button class="plain small" aria-pressed=${by === "study"} onClick=${() => set({ by: by === "study" ? null : "study" })}>by study</button>
    <button class="plain small" aria-pressed=${asTable} onClick=${() => setAsTable(!asTable)}>Table</button>
    <button class="plain small" onClick=${(e) => savePng(canvas.current, { title: TITLE, name: "fleet", ratio: devicePixelRatio || 1, frame: e.currentTarget.closest("section") })}>PNG</button>`;
  const used = [...new Set(groups.flatMap((g) => g.lanes.flat().map((b) => b.how)))].sort();
  const studies = [...new Set(groups.flatMap((g) => g.lanes.flat().map((b) => b.study)))].sort((a, b) => b - a);
  return html`<${Panel} title=${TITLE} tools=${tools}>
    ${asTable ? html`<${Rows} groups=${groups} names=${names} />` : html`<${Lanes} groups=${groups} from=${from} to=${to} names=${names} by=${by} keep=${(c) => (canvas.current = c)} />`}
    <div class="legend">${by === "state" && used.map((how) => html`<span><i class="swatch bar-swatch" style=${{ background: `var(--s-${how === "lost" ? "failed" : how === "released" ? "waiting" : how})` }}></i>${ending(how)}</span>`)}
      ${by === "study" && studies.slice(0, MOST_NAMED).map((id) => html`<span><i class="swatch bar-swatch" style=${{ background: colorOf(id) }}></i><bdi>${names[id] ?? id}</bdi></span>`)}${by === "study" && studies.length > MOST_NAMED && html`<span>and ${studies.length - MOST_NAMED} more</span>`}
      <span class="hint">drag to look closer${fixed ? html`, <button class="plain small" onClick=${() => set({ from: null, to: null })}>back to now</button>` : ""}; click a bar for its trial; keys ← → + −</span></div><//>`;
}

function Lanes({ groups, from, to, names, by, keep }) {
  const box = useRef(/** @type {any} */ (null));
  const canvas = useRef(/** @type {any} */ (null));
  const [tip, setTip] = useState(/** @type {any} */ (null));
  const [drag, setDrag] = useState(/** @type {{from: number, to: number} | null} */ (null));
  const [width, setWidth] = useState(0);
  const { rows, height } = arrange(groups);
  const tall = Math.min(TALLEST, height);
  /** @returns {import("./paint.js").View} */
  const view = () => ({ from, to, now: now.value / 1000, width, height: tall, scroll: box.current?.scrollTop ?? 0, gutter: width < NARROW ? 84 : 150, by });
  const draw = () => {
    if (!canvas.current || !width) return;
    const ratio = devicePixelRatio || 1;
    const [w, h] = [Math.round(width * ratio), Math.round(tall * ratio)];
    if (canvas.current.width !== w || canvas.current.height !== h) Object.assign(canvas.current, { width: w, height: h });
    const pen = canvas.current.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint(pen, rows, view());
  };
  useEffect(() => {
    keep(canvas.current);
    const watch = new ResizeObserver(() => box.current && setWidth(box.current.clientWidth));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  useEffect(draw, [groups, from, to, width, by, theme.value, now.value]);
  const place = (e) => {
    const r = canvas.current.getBoundingClientRect();
    return [e.clientX - r.left, e.clientY - r.top];
  };
  const timeAt = (x) => { const v = view(); return from + ((Math.max(x, v.gutter) - v.gutter) / (width - v.gutter)) * (to - from); };
  const move = (e) => {
    const [x, y] = place(e);
    if (drag) return setDrag({ ...drag, to: x });
    const bar = barAt(rows, view(), x, y);
    setTip(bar ? { bar, x: e.clientX, y: e.clientY } : null);
  };
  const down = (e) => {
    if (e.button !== 0 || e.pointerType === "touch") return;
    const [x] = place(e);
    setDrag({ from: x, to: x });
    e.currentTarget.setPointerCapture(e.pointerId);
  };
  const up = (e) => {
    const [x, y] = place(e);
    const dragged = drag && Math.abs(drag.to - drag.from) > DRAG;
    setDrag(null);
    if (dragged) return look(timeAt(Math.min(drag.from, drag.to)), timeAt(Math.max(drag.from, drag.to)));
    const bar = barAt(rows, view(), x, y);
    if (bar) go(href({ study: bar.study, trial: bar.number }, true));
  };
  return html`<div class="lanes" ref=${box} style=${{ maxHeight: TALLEST }} onScroll=${() => { setTip(null); draw(); }} tabindex="0" role="group" aria-label="Timeline of the fleet" onKeyDown=${(e) => key(e, from, to)}>
    <div style=${{ height }}><canvas ref=${canvas} role="img" aria-label="Attempts by worker and slot over time; the table has them in words" style=${{ width: `${width}px`, height: `${tall}px`, cursor: tip ? "pointer" : "crosshair" }}
      onPointerMove=${move} onPointerDown=${down} onPointerUp=${up} onPointerLeave=${() => { setTip(null); }}></canvas></div>
    ${drag && Math.abs(drag.to - drag.from) > DRAG && html`<div class="chosen-span" style=${{ left: `${Math.min(drag.from, drag.to)}px`, width: `${Math.abs(drag.to - drag.from)}px` }}></div>`}
    ${tip && html`<${Tip} tip=${tip} names=${names} />`}
  </div>`;
}

/** What a bar is, beside the pointer: in the window, since the lanes may be too few to hold it. */
function Tip({ tip: { bar, x, y }, names }) {
  const end = bar.end ?? now.value / 1000;
  const style = {
    ...(y > innerHeight / 2 ? { bottom: `${innerHeight - y + 14}px` } : { top: `${y + 14}px` }),
    ...(x > innerWidth / 2 ? { right: `${innerWidth - x + 8}px` } : { left: `${x + 8}px` }),
  };
  return html`<div class="tip afloat" style=${style}><b>${names[bar.study] ?? bar.study} / trial ${bar.number}</b>${bar.attempt > 1 ? `, attempt ${bar.attempt}` : ""}<br />
    ${ending(bar.how)} ${bar.end === null ? "for" : "after"} ${duration(end - bar.start)}<br /><span class="dim">${[moment(new Date(bar.start * 1000).toISOString()), gpus(bar.devices)].filter(Boolean).join(", ")}</span></div>`;
}

/** Look at a span of time.
 * @param {number} from
 * @param {number} to */
function look(from, to) {
  const middle = (from + to) / 2;
  const half = Math.max(SHORTEST, to - from) / 2;
  set({ from: Math.floor(middle - half), to: Math.ceil(middle + half) });
}

function key(event, from, to) {
  const wide = to - from;
  /** @type {Record<string, () => void>} */
  const keys = {
    ArrowLeft: () => look(from - wide / 4, to - wide / 4), ArrowRight: () => look(from + wide / 4, to + wide / 4),
    "+": () => look(from + wide / 4, to - wide / 4), "-": () => look(from - wide / 2, to + wide / 2), 0: () => set({ from: null, to: null }),
  };
  if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  keys[event.key]();
}

function Rows({ groups, names }) {
  const all = groups.flatMap((g) => g.lanes.flatMap((l, slot) => l.map((bar) => ({ bar, slot, worker: g.name })))).sort((a, b) => b.bar.start - a.bar.start);
  return html`<div class="table" style=${{ maxHeight: TALLEST }} tabindex="0"><table><thead><tr><th scope="col">Began</th><th scope="col">Worker</th><th scope="col" class="num">Lane</th><th scope="col">GPU</th><th scope="col">Trial</th><th scope="col">Ended</th><th scope="col" class="num">Took</th></tr></thead>
    <tbody>${all.slice(0, MOST_ROWS).map(({ bar, slot, worker }) => html`<tr><td class="nowrap">${moment(new Date(bar.start * 1000).toISOString())}</td><td>${worker}</td><td class="num">${slot + 1}</td><td>${bar.devices.join(", ")}</td>
      <td><a href=${href({ study: bar.study, trial: bar.number }, true)}>${names[bar.study] ?? bar.study} / ${bar.number}</a></td><td>${ending(bar.how)}</td><td class="num">${duration((bar.end ?? now.value / 1000) - bar.start)}</td></tr>`)}</tbody></table></div>
    ${all.length > MOST_ROWS && html`<p class="dim small">The newest ${MOST_ROWS} of ${all.length}.</p>`}`;
}
