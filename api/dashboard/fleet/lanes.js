// Attempts laid into lanes, and what they say of a fleet: how busy, how idle, who fails. Pure.
import { OUTCOMES } from "../lib/format.js";

/** @typedef {{study: number, number: number, attempt: number, worker: string | null, start: number, end: number | null, how: string, devices: string[]}} Bar seconds since 1970; `how` is an outcome, `lost`, `released` or `running` */
/** @typedef {{id: string, name: string, worker: any, lanes: Bar[][]}} Group a worker's lanes */

export const OWN = "own loops";
const TOUCH = 0.002;
const FEWEST = 3;

/** Return attempts as bars.
 * @param {{columns: Record<string, any[]>}} page
 * @returns {Bar[]} */
export function bars({ columns: c }) {
  return c.number.map((number, i) => ({
    study: c.study_id[i], number, attempt: c.attempt[i], worker: c.worker_id[i], start: c.started[i], end: c.ended[i],
    how: c.end[i] === null ? "running" : c.end[i] === "ended" ? (c.outcome[i] ?? "complete") : c.end[i],
    devices: c.devices[i],
  }));
}

/** Take newer words about attempts in.
 * @param {Bar[]} known
 * @param {Bar[]} news
 * @param {number} since those over before are dropped
 * @returns {Bar[]} by start */
export function merged(known, news, since) {
  const key = (b) => `${b.study}/${b.number}/${b.attempt}`;
  const found = new Map(known.map((b) => [key(b), b]));
  for (const b of news) found.set(key(b), b);
  return [...found.values()].filter((b) => b.end === null || b.end >= since).sort((a, b) => a.start - b.start);
}

/** Return the newest moment that bars tell of, 0 without any.
 * @param {Bar[]} known */
export function newest(known) {
  return known.reduce((m, b) => Math.max(m, b.start, b.end ?? 0), 0);
}

/** Lay bars into lanes: as many for each worker as it has slots, or as ran at once.
 * @param {Bar[]} all by start
 * @param {any[]} workers
 * @returns {Group[]} workers by name, those that are gone, own loops last */
export function lay(all, workers) {
  const of = new Map();
  for (const bar of all) {
    const id = bar.worker ?? OWN;
    if (!of.has(id)) of.set(id, []);
    of.get(id).push(bar);
  }
  const known = new Map(workers.map((w) => [w.worker_id, w]));
  const ids = [...new Set([...known.keys(), ...of.keys()])];
  const rank = (id) => (known.has(id) ? 0 : id === OWN ? 2 : 1);
  const groups = ids.map((id) => ({ id, name: known.get(id)?.name ?? id, worker: known.get(id) ?? null, lanes: packed(of.get(id) ?? [], known.get(id)?.slots ?? 1) }));
  return groups.sort((a, b) => rank(a.id) - rank(b.id) || a.name.localeCompare(b.name, undefined, { numeric: true }) || (a.id < b.id ? -1 : 1));
}

/** @param {Bar[]} found by start
 * @param {number} least number of lanes
 * @returns {Bar[][]} */
function packed(found, least) {
  /** @type {Bar[][]} */
  const lanes = Array.from({ length: least }, () => []);
  const ends = lanes.map(() => -Infinity);
  for (const bar of found) {
    let k = ends.findIndex((end) => end <= bar.start + TOUCH);
    if (k < 0) {
      k = lanes.push([]) - 1;
      ends.push(0);
    }
    lanes[k].push(bar);
    ends[k] = bar.end ?? Infinity;
  }
  return lanes;
}

/** Tell whether an attempt went wrong.
 * @param {string} how */
export function isBad(how) {
  return how === "lost" || how === "failed" || how === "oom";
}

/** Say in a word how an attempt ended.
 * @param {string} how */
export function ending(how) {
  return how === "released" ? "given back" : (OUTCOMES[how]?.word ?? how);
}

/** @typedef {{busy: number, room: number, idle: number, share: number | null, attempts: number, bad: number, running: number}} Use seconds of slots */

/** Count how a worker was used in a span of time.
 * @param {Group} group
 * @param {number} from
 * @param {number} to
 * @param {number} now
 * @returns {Use} */
export function use(group, from, to, now) {
  const all = group.lanes.flat();
  const end = Math.min(to, now);
  let [busy, attempts, bad, running] = [0, 0, 0, 0];
  for (const b of all) {
    const till = b.end ?? now;
    if (till < from || b.start > end) continue;
    busy += Math.max(0, Math.min(till, end) - Math.max(b.start, from));
    attempts += 1;
    bad += Number(isBad(b.how));
    running += Number(b.end === null);
  }
  const { worker } = group;
  if (!worker) return { busy, room: busy, idle: 0, share: null, attempts, bad, running };
  const there = Math.max(from, Date.parse(worker.registered_at) / 1000);
  const gone = worker.alive ? end : Math.min(end, Date.parse(worker.seen_at) / 1000);
  const room = Math.max(busy, Math.max(0, gone - there) * worker.slots);
  return { busy, room, idle: room - busy, share: room > 0 ? busy / room : null, attempts, bad, running };
}

/** Add up what workers did.
 * @param {Use[]} all
 * @returns {Use} */
export function sum(all) {
  const total = (key) => all.reduce((n, u) => n + u[key], 0);
  const [busy, room] = [total("busy"), total("room")];
  return { busy, room, idle: room - busy, share: room > 0 ? busy / room : null, attempts: total("attempts"), bad: total("bad"), running: total("running") };
}

/** Tell whether a worker fails far more often than the others: at least three times, and twice as often.
 * @param {Use} one
 * @param {Use} all itself among them */
export function standsOut(one, all) {
  if (one.bad < FEWEST) return false;
  const others = all.attempts - one.attempts;
  const usual = others > 0 ? (all.bad - one.bad) / others : 0.25;
  return one.bad / one.attempts > Math.max(0.2, 2 * usual);
}

/** Where a worker stands: a word, and why.
 * @param {any} worker
 * @returns {{word: string, state: string, why: string}} */
export function standing(worker) {
  if (!worker.alive) return { word: "lost", state: "failed", why: "no heartbeat for longer than a lease lasts" };
  if (worker.trouble) return { word: "out of service", state: "diverged", why: worker.trouble };
  if (worker.drained_by) return { word: worker.running.length ? "draining" : "drained", state: "paused", why: `by ${worker.drained_by}` };
  return worker.running.length ? { word: "working", state: "running", why: "" } : { word: "idle", state: "waiting", why: "" };
}
