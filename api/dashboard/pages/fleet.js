// The fleet: who serves, who ran what when, who idles, who fails.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { all, api } from "../lib/api.js";
import { count, duration } from "../lib/format.js";
import { listen } from "../lib/live.js";
import { now } from "../lib/now.js";
import { query } from "../lib/route.js";
import { calm, Copy, Fact, Failure } from "../ui/bits.js";
import { bars, lay, merged, newest, sum, use } from "../fleet/lanes.js";
import { Timeline } from "../fleet/timeline.js";
import { Workers } from "../fleet/workers.js";

const HOUR = 3600;
const SPANS = [60, 300, 900, HOUR];
const MOST = 20_000;
const LOOK_MS = 5_000;
const MOVES = new Set(["leased", "ended", "lost", "released", "retried", "cancelled"]);

const iso = (seconds) => new Date(seconds * 1000).toISOString();

export function Fleet() {
  const [workers, setWorkers] = useState(/** @type {{items: any[], read: number} | null} */ (null));
  const [ran, setRan] = useState(/** @type {{bars: any[], names: Record<string, string>, since: number, until: number | null, more: boolean} | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const known = useRef(ran);
  known.current = ran;
  const fixed = Boolean(query.value.from && query.value.to);
  const span = Number(query.value.span) || HOUR;
  const to = fixed ? Number(query.value.to) : now.value / 1000;
  const from = fixed ? Number(query.value.from) : to - (query.value.span ? span : fitting(to, workers?.items, ran?.bars));
  const asked = fixed ? `${from} ${to}` : `last ${span}`;
  const read = async (/** @type {boolean} */ anew) => {
    try {
      const old = anew ? null : known.current;
      const begin = fixed ? Number(query.value.from) : Date.now() / 1000 - span;
      const since = old ? Math.max(begin, newest(old.bars) - 1) : begin;
      const until = fixed ? `&until=${encodeURIComponent(iso(to))}` : "";
      const [items, page] = await Promise.all([all("workers?limit=1000"), api(`attempts?limit=${MOST}&since=${encodeURIComponent(iso(since))}${until}`)]);
      setWorkers({ items, read: Date.now() });
      setRan({ bars: merged(old?.bars ?? [], bars(page), begin), names: { ...old?.names, ...page.studies }, since: begin, until: fixed ? to : null, more: Boolean(page.next_cursor) || Boolean(old?.more) });
      setError(null);
    } catch (problem) {
      setError(problem);
      throw problem;
    }
  };
  const current = useRef(read);
  current.current = read;
  useEffect(() => void read(true).catch(() => {}), [asked]);
  useEffect(() => {
    document.title = "Fleet · tuner";
    const soon = calm(() => current.current(false).catch(() => {}), 1000);
    const timer = setInterval(() => document.hidden || soon(), LOOK_MS);
    const close = listen("events", (kind, message) => kind === "event" && MOVES.has(message.kind) && soon(), () => current.current(true));
    return () => { clearInterval(timer); close(); };
  }, []);
  const groups = useMemo(() => (ran && workers ? lay(ran.bars, workers.items) : []), [ran, workers]);
  if (!ran || !workers) return error ? html`<${Failure} error=${error} again=${() => read(true)} />` : html`<p class="boot">Loading the fleet…</p>`;
  if (!workers.items.length && !ran.bars.length && !fixed) return html`<${Nothing} />`;
  const uses = new Map(groups.map((g) => [g.id, use(g, from, to, now.value / 1000)]));
  const total = sum(groups.filter((g) => g.worker).map((g) => /** @type {any} */ (uses.get(g.id))));
  const note = ran.more ? `the newest ${count(MOST)} attempts` : `${count(ran.bars.length)} attempts`;
  return html`<div class="row"><h1>Fleet</h1></div>
    ${error && html`<${Failure} error=${error} again=${() => read(true)} />`}
    <${Strip} workers=${workers.items} total=${total} wide=${to - from} bad=${sum([...uses.values()])} />
    <${Timeline} groups=${groups} from=${from} to=${to} names=${ran.names} note=${note} shown=${to - from} />
    ${workers.items.length ? html`<${Workers} groups=${groups} uses=${uses} all=${total} read=${workers.read} done=${() => read(false)} />` : html`<div class="notice"><p>No worker is registered now. Start one on a node: <code>tuner worker</code></p></div>`}`;
}

/** Return how far back to look, unless the reader says so: an hour, or less in a fleet that is younger. Pure.
 * @param {number} now
 * @param {any[]} [workers]
 * @param {any[]} [ran]
 * @returns {number} seconds */
export function fitting(now, workers = [], ran = []) {
  const begins = [...workers.map((w) => Date.parse(w.registered_at) / 1000), ...ran.slice(0, 1).map((b) => b.start)];
  const age = now - Math.min(now, ...begins);
  return SPANS.find((s) => age < s) ?? HOUR;
}

function Strip({ workers, total, wide, bad }) {
  const alive = workers.filter((w) => w.alive);
  const serving = alive.filter((w) => !w.trouble && !w.drained_by);
  const slots = alive.reduce((n, w) => n + w.slots, 0);
  const busy = alive.reduce((n, w) => n + w.running.length, 0);
  const free = serving.reduce((n, w) => n + Math.max(0, w.slots - w.running.length), 0);
  const gpus = alive.reduce((n, w) => n + w.gpus.length, 0);
  const lost = workers.length - alive.length;
  return html`<dl class="facts">
    <${Fact} name="Workers" more=${[lost && `${lost} lost`, alive.length - serving.length && `${alive.length - serving.length} drained or out of service`].filter(Boolean).join(", ") || "all serve"}>${serving.length} of ${workers.length}<//>
    <${Fact} name="Slots used" more=${`${free} free now`}>${busy} of ${slots}<//>
    <${Fact} name="GPUs" more=${gpus ? "on workers that are alive" : "none: trials run on CPUs"}>${gpus}<//>
    <${Fact} name="Busy" more=${`of the slots' time in ${duration(wide)}`}>${total.share === null ? "–" : `${Math.round(100 * total.share)} %`}<//>
    <${Fact} name="Idle" more="of slots, added up">${duration(total.idle)}<//>
    <${Fact} name="Failed or lost" more=${`of ${count(bad.attempts)} attempts`}>${count(bad.bad)}<//>
  </dl>`;
}

function Nothing() {
  const start = `export TUNER_URL=${location.origin} TUNER_TOKEN=…\ntuner worker --slots 1`;
  return html`<div class="panel empty"><h1>No worker yet</h1>
    <p>A worker trains the trials. Make it a token where the server runs, then start it on a node:</p>
    <pre>tuner token create --role worker --name node-1</pre><pre>${start}</pre><${Copy} text=${start} />
    <p class="small">Trials of code of your own need <code>--allow "mypackage.train:*"</code>. Studies that run <code>external</code> need no worker.</p></div>`;
}
