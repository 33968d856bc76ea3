// The keyboard: one table of keys, which the help shows.
import { signal } from "@preact/signals";

export const helpOpen = signal(false);

/** @type {Map<string, {what: string, run: () => void}>} */
const KEYS = new Map();

/** Bind a key while a page is shown; returns what unbinds it.
 * @param {string} key as `KeyboardEvent.key`, or two with a blank: first one, then the other
 * @param {string} what it does
 * @param {() => void} run
 * @returns {() => void} */
export function bind(key, what, run) {
  KEYS.set(key, { what, run });
  return () => {
    if (KEYS.get(key)?.run === run) KEYS.delete(key);
  };
}

/** Return the keys that are bound now.
 * @returns {[string, string][]} */
export function bound() {
  return [...KEYS].map(([key, { what }]) => [key, what]);
}

let first = "";

/** Listen to the keyboard. Typing in a field is left alone. */
export function watchKeys() {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest("input, textarea, select, [contenteditable]") && event.key !== "Escape") return;
    const found = KEYS.get(`${first} ${event.key}`) ?? KEYS.get(event.key);
    first = event.key;
    if (!found) return;
    event.preventDefault();
    found.run();
  });
}
