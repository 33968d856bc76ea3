// Small things that all pages share.
import { Component } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { OUTCOMES, STATES } from "../lib/format.js";

const SHARE = 10; // how many times longer than a reading took until the next one

/** Where a trial stands: a mark of its own and a word. */
export function Outcome({ name }) {
  const { mark, word } = OUTCOMES[name] ?? { mark: "?", word: name };
  return html`<span class=${`state s-${name}`}><i aria-hidden="true">${mark}</i>${word}</span>`;
}

/** Where a study stands. */
export function State({ study }) {
  const word = study.stopping && study.state === "running" ? "stopping" : study.state;
  const why = study.ended_why ? ` (${study.ended_why})` : "";
  return html`<span class=${`state s-${study.state}`}><i aria-hidden="true">${STATES[study.state]}</i>${word}${why}</span>`;
}

/** A panel with a title, and what belongs to it on the right. */
export function Panel({ title, tools, children }) {
  return html`<section class="panel" aria-label=${title}>
    <header><h2>${title}</h2><span class="grow"></span>${tools}</header>
    <${Shield}>${children}<//>
  </section>`;
}

/** Keep what breaks in one place from taking the page with it. */
export class Shield extends Component {
  constructor(props) {
    super(props);
    this.state = { error: null };
  }

  static getDerivedStateFromError(error) {
    return { error };
  }

  render() {
    const { error } = /** @type {any} */ (this.state);
    if (!error) return this.props.children;
    return html`<div class="notice error" role="alert">
      <p>This part can't be shown: ${String(error.message ?? error)}</p>
      <button onClick=${() => this.setState({ error: null })}>Try again</button>
    </div>`;
  }
}

/** What went wrong, in the server's words, with a way to go on. */
export function Failure({ error, again }) {
  return html`<div class="notice error" role="alert">
    <p>${error.message}</p>
    ${error.status === 404 && html`<p class="small"><a href="./">All studies</a></p>`}
    ${error.status === 403 && html`<p class="small">Log out, and in again with a token that may.</p>`}
    ${(error.faults ?? []).slice(1).map((f) => html`<p class="small">${f.where}: ${f.message}</p>`)}
    ${again && html`<button onClick=${again}>Try again</button>`}
  </div>`;
}

/** Number with its name. */
export function Fact({ name, children, more }) {
  return html`<div class="fact"><dt>${name}</dt><dd>${children}${more && html`<small>${more}</small>`}</dd></div>`;
}

/** Text that can be copied. */
export function Copy({ text, label = "Copy" }) {
  const [done, setDone] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone("Copied");
    } catch {
      setDone("The browser refused");
    }
    setTimeout(() => setDone(""), 1500);
  };
  return html`<button class="plain small" onClick=${copy} aria-live="polite">${done || label}</button>`;
}

/** Read something when what it depends on changes.
 * @template T
 * @param {(abort: AbortSignal) => Promise<T>} read
 * @param {any[]} on
 * @returns {{found: T | null, error: any, again: () => Promise<void>}} */
export function useRead(read, on) {
  const [state, setState] = useState(/** @type {{found: any, error: any}} */ ({ found: null, error: null }));
  const current = useRef(/** @type {AbortController | null} */ (null));
  const again = async () => {
    current.current?.abort();
    const control = (current.current = new AbortController());
    try {
      const found = await read(control.signal);
      if (!control.signal.aborted) setState({ found, error: null });
    } catch (error) {
      if (control.signal.aborted) return;
      setState((old) => ({ found: old.found, error }));
      throw error;
    }
  };
  useEffect(() => {
    again().catch(() => {});
    return () => current.current?.abort();
  }, on);
  return { ...state, again };
}

/** Call at most once in so many milliseconds, and once more after the last call; less often if it takes long.
 * @param {() => Promise<any>} run
 * @param {number} ms
 * @returns {() => void} */
export function calm(run, ms) {
  let due = 0;
  let busy = false;
  let wanted = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const start = async () => {
    busy = true;
    wanted = false;
    const began = Date.now();
    try {
      await run();
    } finally {
      busy = false;
      due = Date.now() + Math.max(ms, SHARE * (Date.now() - began));
      if (wanted) call();
    }
  };
  const call = () => {
    wanted = true;
    if (busy) return;
    clearTimeout(timer);
    timer = setTimeout(start, Math.max(0, due - Date.now()));
  };
  return call;
}
