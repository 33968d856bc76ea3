// A trial's events as people read them: what was decided and why, its attempts, the rungs it stood at. Pure.
import { factor, num, OUTCOMES } from "../lib/format.js";

/** Say in words what an event tells.
 * @param {any} event
 * @returns {string} */
export function words(event) {
  const { data } = event;
  const why = data.reason ?? data.why ?? "";
  const after = (text) => (why ? `${text}: ${why}` : text);
  switch (event.kind) {
    case "leased":
      return `attempt ${event.attempt} began${data.worker_id ? "" : " in an own loop"}${data.resumed_step === null || data.resumed_step === undefined ? "" : `, from the checkpoint of step ${data.resumed_step}`}`;
    case "halved":
    case "scaled":
      return after(`rate ${event.kind === "halved" ? "cut" : "scaled"}${data.new_factor === undefined ? "" : ` to ${factor(data.new_factor)} of its start`}${by(data)}`);
    case "rung":
      return after(data.promoted ? "goes on" : "below the cut-off");
    case "ended":
      return after(`${OUTCOMES[data.outcome]?.word ?? "ended"}${by(data)}`);
    case "lost":
      return after("lost, back to the queue");
    case "released":
      return after("given back");
    case "retried":
      return after("failed, to be tried again");
    case "checkpoint":
      return `checkpoint kept${data.size === undefined ? "" : `, ${bytes(data.size)}`}`;
    case "missing":
      return after("a checkpoint can't be used");
    default:
      return after(event.kind);
  }
}

function by(data) {
  const who = data.by ?? data.who;
  return typeof who === "string" && who ? `, by ${who}` : "";
}

/** @type {Record<string, string>} */
export const MARKS = { halved: "⤓", scaled: "⇅", leased: "▶", lost: "?", released: "↩", retried: "✕", checkpoint: "▣", rung: "┄", missing: "!", finding: "!" };

/** Return a size as people read it.
 * @param {number} size
 * @returns {string} */
export function bytes(size) {
  if (size < 1000) return `${size} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let k = -1;
  for (; size >= 1000 && k < units.length - 1; k++) size /= 1000;
  return `${size >= 100 ? Math.round(size) : num(Math.round(size * 10) / 10)} ${units[k]}`;
}

/** Return what stands on the curve: cuts of the rate, attempts that went on from a checkpoint, the end.
 * @param {any[]} events
 * @returns {{kind: "halved" | "scaled" | "resumed" | "ended", step: number, outcome: string | null, text: string}[]} */
export function decisions(events) {
  const found = [];
  for (const e of events) {
    if ((e.kind === "halved" || e.kind === "scaled") && e.step !== null) found.push({ kind: /** @type {"halved" | "scaled"} */ (e.kind), step: e.step, outcome: null, text: words(e) });
    if (e.kind === "leased" && e.attempt > 1) found.push({ kind: /** @type {const} */ ("resumed"), step: e.data.resumed_step ?? 0, outcome: null, text: words(e) });
    if (e.kind === "ended" && e.step !== null) found.push({ kind: /** @type {const} */ ("ended"), step: e.step, outcome: e.data.outcome ?? null, text: words(e) });
  }
  return found;
}

/** Return the cut-offs that a pruner held against a trial, the newest judgement of each rung.
 * @param {any[]} events
 * @returns {{step: number, cutoff: number, promoted: boolean, text: string}[]} */
export function cutoffs(events) {
  const found = new Map();
  for (const e of events) {
    const { cutoff, rung_step: at, step, promoted, reason } = e.data;
    if (e.kind !== "rung" || typeof cutoff !== "number") continue;
    found.set(at ?? step, { step: at ?? step ?? e.step, cutoff, promoted: Boolean(promoted), text: reason ?? "" });
  }
  return [...found.values()];
}

/** Return the steps of the rungs that a trial has not reached: of asha, whose rungs are known beforehand.
 * @param {any} pruner of the study's document
 * @param {number} last step reported
 * @returns {number[]} */
export function rungsAhead(pruner, last) {
  if (pruner?.name !== "asha" || !pruner.max) return [];
  const found = [];
  for (let step = pruner.min ?? 1; step < pruner.max && found.length < 20; step *= pruner.eta) if (step > last) found.push(step);
  return found;
}

/** Return a trial's attempts, oldest first.
 * @param {any[]} events
 * @returns {{attempt: number, worker: string | null, began: string, ended: string | null, how: string, resumed: number | null, last: number | null, reason: string}[]} */
export function attempts(events) {
  const found = new Map();
  for (const e of events) {
    if (e.kind === "leased") found.set(e.attempt, { attempt: e.attempt, worker: e.data.worker_id ?? null, began: e.at, ended: null, how: "running", resumed: e.data.resumed_step ?? null, last: null, reason: "" });
    const open = found.get(e.attempt);
    if (!open) continue;
    if (e.step !== null) open.last = Math.max(open.last ?? 0, e.step);
    const ends = { lost: "lost", released: "given back", retried: "failed", ended: e.data.outcome ?? "ended" };
    if (!(e.kind in ends) || (open.ended && e.kind !== "ended")) continue;
    if (!open.ended) open.how = ends[e.kind];
    open.ended ??= e.at;
    open.reason = e.data.reason ?? "";
  }
  return [...found.values()];
}
