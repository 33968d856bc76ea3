// What happens, as it happens: the server's event stream, and polling while it is broken.
import { batch, signal } from "@preact/signals";
import { logIn } from "./api.js";
import { claim, yieldTurn } from "./turns.js";

const SILENCE_MS = 45_000; // the server writes a comment every 15 s
const POLL_MS = 5_000;
const ANSWER_MS = 10_000;
const LONGEST_WAIT_MS = 15_000;

/** How fresh the page is: `live` by stream, `polling`, or `stale` since a moment.
 * @type {import("@preact/signals").Signal<{state: "connecting" | "live" | "polling" | "stale", since: number}>} */
export const freshness = signal({ state: "connecting", since: Date.now() });

/** @typedef {(kind: string, data: any) => void} Listener */

/** Split a stream's text into messages; `feed` returns those that are whole. Pure but for its own state. */
export class Parser {
  constructor() {
    this.rest = "";
  }

  /** @param {string} text
   * @returns {{id: string | null, kind: string, data: string}[]} */
  feed(text) {
    this.rest += text;
    const parts = this.rest.split("\n\n");
    this.rest = parts.pop() ?? "";
    const found = [];
    for (const part of parts) {
      /** @type {{id: string | null, kind: string, data: string}} */
      const message = { id: null, kind: "message", data: "" };
      for (const line of part.split("\n")) {
        const at = line.indexOf(":");
        const value = line.slice(at + 1).replace(/^ /, "");
        if (at < 1) continue;
        const field = line.slice(0, at);
        if (field === "id") message.id = value;
        else if (field === "event") message.kind = value;
        else if (field === "data") message.data += message.data ? `\n${value}` : value;
      }
      if (message.data) found.push(message);
    }
    return found;
  }
}

/** Listen to a stream until closed; the page is refreshed where messages may be missing.
 * @param {string} path of the stream below `/api/v1/`
 * @param {Listener} listener
 * @param {() => Promise<void>} refresh reads everything anew
 * @returns {() => void} close */
export function listen(path, listener, refresh) {
  const stream = new Stream(path, listener, refresh);
  const onVisible = () => (document.hidden ? stream.pause() : stream.open());
  const onLeave = () => stream.pause();
  document.addEventListener("visibilitychange", onVisible);
  addEventListener("pagehide", onLeave);
  stream.open();
  return () => {
    removeEventListener("pagehide", onLeave);
    document.removeEventListener("visibilitychange", onVisible);
    stream.pause();
  };
}

class Stream {
  /** @param {string} path
   * @param {Listener} listener
   * @param {() => Promise<void>} refresh */
  constructor(path, listener, refresh) {
    this.id = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
    this.path = path;
    this.listener = listener;
    this.refresh = refresh;
    this.last = "";
    this.failures = 0;
    this.heard = Date.now();
    this.asking = false;
    /** @type {AbortController | null} */
    this.control = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.retry = undefined;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.poll = undefined;
  }

  open() {
    if (this.control) return;
    clearTimeout(this.retry);
    if (!claim(this.id)) return this.wait();
    const control = (this.control = new AbortController());
    const opened = Date.now();
    const watch = setInterval(() => {
      claim(this.id);
      if (Date.now() - Math.max(opened, this.heard) > SILENCE_MS) control.abort();
    }, 5_000);
    this.read(control)
      .catch(() => {})
      .finally(() => {
        clearInterval(watch);
        if (this.control !== control) return;
        this.control = null;
        yieldTurn(this.id);
        this.later();
      });
  }

  /** Ask instead, until a tab of this browser has left its stream. */
  wait() {
    if (!this.poll) this.ask();
    this.poll ??= setInterval(() => this.ask(), POLL_MS);
    this.failures = 1;
    this.retry = setTimeout(() => this.open(), POLL_MS);
  }

  pause() {
    this.control?.abort();
    this.control = null;
    yieldTurn(this.id);
    clearTimeout(this.retry);
    clearInterval(this.poll);
    this.poll = undefined;
    if (freshness.value.state === "live") freshness.value = { state: "connecting", since: this.heard };
  }

  /** @param {AbortController} control */
  async read(control) {
    /** @type {Record<string, string>} */
    const headers = { Accept: "text/event-stream" };
    if (this.last) headers["Last-Event-ID"] = this.last;
    const reply = await fetch(`api/v1/${this.path}`, { headers, signal: control.signal });
    if (reply.status === 401) logIn();
    if (!reply.ok || !reply.body) throw new Error(String(reply.status));
    const parser = new Parser();
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.heard = Date.now();
      const messages = parser.feed(value);
      if (messages.length) batch(() => messages.forEach((m) => this.take(m)));
    }
  }

  /** @param {{id: string | null, kind: string, data: string}} message */
  take(message) {
    if (message.id) this.last = message.id;
    if (message.kind === "hello") this.settled();
    else if (message.kind === "reset") this.last = "";
    else this.listener(message.kind, JSON.parse(message.data));
    if (message.kind === "reset" || message.kind === "stale") this.again();
  }

  settled() {
    const broken = this.failures > 0;
    this.failures = 0;
    clearInterval(this.poll);
    this.poll = undefined;
    freshness.value = { state: "live", since: Date.now() };
    if (broken) this.again();
  }

  again() {
    this.refresh().catch(() => {});
  }

  later() {
    this.failures += 1;
    const wait = Math.min(LONGEST_WAIT_MS, 500 * 2 ** this.failures);
    this.retry = setTimeout(() => this.open(), wait * (0.5 + Math.random() / 2));
    const { state } = freshness.value;
    if (state === "live" || (state === "connecting" && this.last)) freshness.value = { state: "stale", since: this.heard };
    this.poll ??= setInterval(() => this.ask(), POLL_MS);
  }

  /** Read everything anew; what comes once the stream is back, or the page left, says nothing of freshness. */
  async ask() {
    if (this.asking) return;
    this.asking = true;
    const late = new Promise((done) => setTimeout(done, ANSWER_MS, false));
    const reached = await Promise.race([this.refresh().then(() => true, () => false), late]);
    this.asking = false;
    if (this.poll === undefined) return;
    if (reached) freshness.value = { state: "polling", since: Date.now() };
    else if (freshness.value.state !== "stale") freshness.value = { state: "stale", since: freshness.value.since };
  }
}
