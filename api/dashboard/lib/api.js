// Requests to the server this page came from.
import { signal } from "@preact/signals";
import { stringify } from "./real.js";

/** Whose session this is; null before it is known.
 * @type {import("@preact/signals").Signal<{name: string, role: string, project: string | null, csrf: string} | null>} */
export const session = signal(null);

/** A refusal in the server's words. */
export class Problem extends Error {
  /** @param {number} status 0 if the server did not answer
   * @param {string} detail
   * @param {{where: string, message: string}[]} faults */
  constructor(status, detail, faults = []) {
    super(detail);
    this.status = status;
    this.faults = faults;
  }
}

/** Send a request below `/api/v1/`; return what the reply holds.
 * @param {string} path
 * @param {{method?: string, body?: unknown, yaml?: string, headers?: Record<string, string>, signal?: AbortSignal, root?: boolean, raw?: boolean}} [options]
 *   with `raw` the text and the reply's headers
 * @returns {Promise<any>}
 * @throws {Problem} */
export async function api(path, options = {}) {
  const { method = "GET", body, yaml, signal: abort, root = false, raw = false } = options;
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", ...options.headers };
  if (method !== "GET" && session.value) headers["X-CSRF-Token"] = session.value.csrf;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (yaml !== undefined) headers["Content-Type"] = "application/yaml";
  let reply;
  try {
    reply = await fetch((root ? "" : "api/v1/") + path, {
      method,
      headers,
      body: yaml ?? (body === undefined ? undefined : stringify(body)),
      signal: abort,
    });
  } catch (error) {
    if (abort?.aborted) throw error;
    throw new Problem(0, "The server does not answer.");
  }
  if (reply.status === 401) logIn();
  const text = await reply.text();
  if (raw && reply.ok) return { text, headers: reply.headers };
  const isJson = /json/.test(reply.headers.get("content-type") ?? "");
  const found = isJson && text ? JSON.parse(text) : text;
  if (!reply.ok) throw new Problem(reply.status, found?.detail || `The server answered ${reply.status}.`, found?.faults);
  return found;
}

/** Read whose session this is, or lead to the log-in page. */
export async function readSession() {
  session.value = await api("session", { root: true });
}

/** Lead to the log-in page, and back to where the reader is. */
export function logIn() {
  location.assign(`login?next=${encodeURIComponent(location.pathname + location.search)}`);
}

/** Tell whether the reader may change things.
 * @returns {boolean} */
export function maySubmit() {
  return ["submitter", "admin"].includes(session.value?.role ?? "");
}

/** Return all items of a list in pages.
 * @param {string} path with its query
 * @param {AbortSignal} [abort]
 * @returns {Promise<any[]>} */
export async function all(path, abort) {
  const items = [];
  let cursor = "";
  do {
    const more = cursor ? `${path.includes("?") ? "&" : "?"}cursor=${cursor}` : "";
    const page = await api(path + more, { signal: abort });
    items.push(...page.items);
    cursor = page.next_cursor ?? "";
  } while (cursor);
  return items;
}
