// Numbers, times and names as people read them. Pure.

/** Return a number with four significant digits, short for very large and very small ones.
 * @param {number | null | undefined} value
 * @returns {string} */
export function num(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace("e+", "e");
  if (Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(4)));
}

/** Return a count with separators.
 * @param {number} value
 * @returns {string} */
export function count(value) {
  return value.toLocaleString("en-US");
}

/** Return seconds as a person says them: two units at most.
 * @param {number | null | undefined} seconds
 * @returns {string} */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const m = Math.round(s / 60);
  if (m < 60) return `${m} min`;
  const h = Math.floor(m / 60);
  if (h < 48) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
  return `${Math.floor(h / 24)} d ${h % 24} h`;
}

/** Return how long something took: tenths of seconds where it was short.
 * @param {number | null | undefined} seconds
 * @returns {string} */
export function took(seconds) {
  return seconds !== null && seconds !== undefined && seconds < 10 ? `${Math.max(0, Math.round(seconds * 10) / 10)} s` : duration(seconds);
}

/** Return a count with its noun: `1 trial`, `2 trials`.
 * @param {number} n
 * @param {string} one
 * @param {string} [many]
 * @returns {string} */
export function some(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** Return how long ago a moment was.
 * @param {string | null | undefined} at ISO 8601
 * @param {number} now milliseconds since 1970
 * @returns {string} */
export function ago(at, now) {
  if (!at) return "–";
  const seconds = (now - Date.parse(at)) / 1000;
  return seconds < 2 ? "now" : `${duration(seconds)} ago`;
}

/** Return when a range of seconds from now ends, as clock times, with the day if it is not today.
 * @param {[number, number]} range
 * @param {number} now milliseconds since 1970
 * @returns {string} */
export function endsAt([low, high], now) {
  const today = new Date(now).toDateString();
  const clock = (/** @type {number} */ s) => {
    const at = new Date(now + s * 1000);
    const time = at.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
    return at.toDateString() === today ? time : `${at.toLocaleDateString(undefined, { month: "short", day: "numeric" })} ${time}`;
  };
  const [from, to] = [clock(low), clock(high)];
  return from === to ? from : `${from} – ${to}`;
}

/** Return a range of seconds as people say it.
 * @param {[number, number]} range
 * @returns {string} */
export function span([low, high]) {
  const [from, to] = [duration(low), duration(high)];
  return from === to ? from : `${from} – ${to}`;
}

/** Return a moment in the reader's own zone.
 * @param {string | null | undefined} at ISO 8601
 * @returns {string} */
export function moment(at) {
  if (!at) return "–";
  return new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** Return a parameter's value as it stands in a study document.
 * @param {unknown} value
 * @returns {string} */
export function param(value) {
  if (typeof value === "number") return num(value);
  return value === null || value === undefined ? "–" : String(value);
}

/** Return a rate factor as a fraction of the starting rate where it is one.
 * @param {number} factor
 * @returns {string} */
export function factor(factor) {
  if (factor === 1) return "1";
  const inverse = 1 / factor;
  return Math.abs(inverse - Math.round(inverse)) < 1e-9 ? `1/${Math.round(inverse)}` : num(factor);
}

/** @type {Record<string, {mark: string, word: string}>} */
export const OUTCOMES = {
  waiting: { mark: "○", word: "waiting" },
  running: { mark: "▶", word: "running" },
  complete: { mark: "●", word: "complete" },
  converged: { mark: "◆", word: "converged" },
  pruned: { mark: "▽", word: "pruned" },
  diverged: { mark: "▲", word: "diverged" },
  oom: { mark: "■", word: "out of memory" },
  failed: { mark: "✕", word: "failed" },
  cancelled: { mark: "–", word: "cancelled" },
};
/** A mark (shape) and a word for where a trial stands; its colour is `--s-NAME` in style.css. */

/** @type {Record<string, string>} */
export const STATES = {
  queued: "○",
  running: "▶",
  paused: "❙❙",
  finished: "●",
  cancelled: "–",
};

/** @type {Record<string, string>} */
export const ORIGINS = {
  folk: "rule of thumb",
  sampled: "sampled",
  enqueued: "enqueued",
  finalist: "fresh seed",
  control: "control of halving",
  adopted: "taken over",
};

/** Name the GPUs an attempt was given.
 * @param {string[]} devices numbers or UUIDs
 * @returns {string} nothing for none */
export function gpus(devices) {
  return devices.length ? `GPU${devices.length > 1 ? "s" : ""} ${devices.join(", ")}` : "";
}
