// Whose turn it is to hold an event stream: a browser opens six connections to a server in all its tabs.

const KEY = "tuner-streams";
const MOST = 4; // the rest is left to requests
const FORGOTTEN_MS = 15_000;

/** Take or renew a place among the streams of this browser; false if all are taken.
 * @param {string} id of the stream
 * @param {number} [now] milliseconds since 1970
 * @returns {boolean} */
export function claim(id, now = Date.now()) {
  const held = read(now);
  if (!(id in held) && Object.keys(held).length >= MOST) return false;
  write({ ...held, [id]: now });
  return true;
}

/** Leave the place to another tab.
 * @param {string} id */
export function yieldTurn(id) {
  const { [id]: _, ...others } = read(Date.now());
  write(others);
}

/** @param {number} now
 * @returns {Record<string, number>} */
function read(now) {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return Object.fromEntries(Object.entries(kept).filter(([, at]) => typeof at === "number" && Math.abs(now - at) < FORGOTTEN_MS));
  } catch {
    return {};
  }
}

/** @param {Record<string, number>} held */
function write(held) {
  try {
    localStorage.setItem(KEY, JSON.stringify(held));
  } catch {
    // A browser that keeps nothing counts nothing: each tab has its stream.
  }
}
