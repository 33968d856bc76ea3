// Where the reader is: everything in the query string, so that an address can be shared.
import { computed, signal } from "@preact/signals";

const here = signal(location.search);

/** The query as a plain object. */
export const query = computed(() => Object.fromEntries(new URLSearchParams(here.value)));

/** Return an address with some of the query changed; null takes a key away.
 * @param {Record<string, string | number | null | undefined>} changes
 * @param {boolean} [fresh] without what the query holds now
 * @returns {string} */
export function href(changes, fresh = false) {
  const params = new URLSearchParams(fresh ? "" : here.value);
  for (const [key, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") params.delete(key);
    else params.set(key, String(value));
  }
  const text = params.toString();
  return text ? `?${text}` : "./";
}

/** Go to an address that `href` made.
 * @param {string} to
 * @param {boolean} [instead] of the present one in the history
 */
export function go(to, instead = false) {
  const url = new URL(to, document.baseURI);
  if (instead) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  here.value = url.search;
}

/** Change some of the query in place.
 * @param {Record<string, string | number | null | undefined>} changes */
export function set(changes) {
  go(href(changes), true);
}

/** Follow links within the page without loading it anew. */
export function watchLinks() {
  addEventListener("popstate", () => (here.value = location.search));
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const link = /** @type {Element} */ (event.target).closest("a[href]");
    const to = link?.getAttribute("href") ?? "";
    if (!link || link.hasAttribute("download") || link.getAttribute("target")) return;
    if (!to.startsWith("?") && to !== "./") return;
    event.preventDefault();
    go(to);
    scrollTo(0, 0);
  });
}
