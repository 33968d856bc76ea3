// What a trial printed: its end first, followed while it runs. Every line is text, whatever is in it.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { api } from "../lib/api.js";
import { count } from "../lib/format.js";
import { Failure, Panel } from "../ui/bits.js";

const FIRST_BYTES = 32_768;
const MORE = 4; // each time so many times as much
const MOST_LINES = 3_000;
const LOOK_MS = 1_500;
const STAMP = 25;

/** Cut a line with its time in two. Pure.
 * @param {string} line
 * @returns {{time: string, text: string}} */
export function split(line) {
  return /^\d{4}-\d\d-\d\dT/.test(line) ? { time: line.slice(0, STAMP - 1).trim(), text: line.slice(STAMP) } : { time: "", text: line };
}

/** Return a line in pieces, those that a search found at odd places. Pure.
 * @param {string} text
 * @param {string} search in lower case
 * @returns {string[]} */
export function pieces(text, search) {
  if (!search) return [text];
  const low = text.toLowerCase();
  const found = [];
  let from = 0;
  for (let at = low.indexOf(search); at >= 0; at = low.indexOf(search, from)) {
    found.push(text.slice(from, at), text.slice(at, at + search.length));
    from = at + search.length;
  }
  return [...found, text.slice(from)];
}

/** @param {{path: string, attempt: number, running: boolean, attempts: number[]}} props */
export function Log({ path, attempt: newest, running, attempts }) {
  const [chosen, setChosen] = useState(/** @type {number | null} */ (null));
  const attempt = chosen ?? newest;
  if (!newest) return null;
  return html`<${One} key=${attempt} path=${path} attempt=${attempt} running=${running && attempt === newest}
    pick=${attempts.length > 1 && html`<label class="small">attempt <select value=${attempt} onChange=${(e) => setChosen(Number(e.target.value))}>${attempts.map((n) => html`<option value=${n}>${n}</option>`)}</select></label>`} />`;
}

function One({ path, attempt, running, pick }) {
  const [state, setState] = useState(/** @type {{lines: string[], next: number, whole: boolean, ended: boolean} | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [bytes, setBytes] = useState(FIRST_BYTES);
  const [follow, setFollow] = useState(true);
  const [times, setTimes] = useState(false);
  const [search, setSearch] = useState("");
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const read = (offset, signal) => api(`${path}/log?attempt=${attempt}&times=true&offset=${offset}`, { raw: true, signal });
  useEffect(() => {
    const control = new AbortController();
    const start = async () => {
      const { text, headers } = await read(bytes === Infinity ? 0 : -bytes, control.signal);
      const next = Number(headers.get("x-log-next"));
      setState({ lines: linesOf(text), next, whole: bytes >= next, ended: headers.get("x-log-end") === "true" });
      setError(null);
    };
    start().catch((e) => control.signal.aborted || setError(e));
    return () => control.abort();
  }, [bytes]);
  useEffect(() => {
    if (!state || state.ended || !follow) return;
    const control = new AbortController();
    const look = async () => {
      if (document.hidden) return setState((s) => s && { ...s });
      const { text, headers } = await read(state.next, control.signal);
      setState({ ...state, lines: text ? [...state.lines, ...linesOf(text)] : state.lines, next: Number(headers.get("x-log-next")), ended: headers.get("x-log-end") === "true" });
      setError(null);
    };
    const timer = setTimeout(() => look().catch((e) => { if (!control.signal.aborted) { setError(e); setState((s) => s && { ...s }); } }), LOOK_MS);
    return () => { clearTimeout(timer); control.abort(); };
  }, [state, follow]);
  const shown = useMemo(() => {
    const low = search.toLowerCase();
    const found = (state?.lines ?? []).filter((l) => !low || split(l).text.toLowerCase().includes(low));
    return { found: found.length, lines: found.slice(-MOST_LINES) };
  }, [state?.lines, search]);
  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [shown, follow]);
  const onScroll = (e) => {
    const { scrollTop, scrollHeight, clientHeight } = e.currentTarget;
    setFollow(scrollHeight - scrollTop - clientHeight < 24);
  };
  const total = state?.lines.length ?? 0;
  const note = !state ? "" : search ? `${count(shown.found)} of ${count(total)} lines` : `${state.whole ? "" : "the last "}${count(total)} lines${shown.found > MOST_LINES ? `, the newest ${count(MOST_LINES)} shown` : ""}`;
  const tools = html`${pick}<span class="dim small">${note}</span>
    <label class="visually-hidden" for="log-search">Search the log</label><input id="log-search" class="small" type="search" placeholder="Search" value=${search} onInput=${(e) => setSearch(e.target.value)} />
    <button class="plain small" aria-pressed=${times} onClick=${() => setTimes(!times)}>Times</button>
    ${(running || state?.ended === false) && html`<button class="plain small" aria-pressed=${follow} onClick=${() => setFollow(!follow)}>Follow</button>`}
    <a class="small" href=${`api/v1/${path}/log?attempt=${attempt}&times=true`} download=${`log-${attempt}.txt`}>Download</a>`;
  return html`<${Panel} title="Log" tools=${tools}>
    ${error && html`<${Failure} error=${error} />`}
    ${state && !state.whole && html`<button class="small" onClick=${() => { setFollow(false); setBytes(bytes * MORE); }}>Show earlier lines</button>`}
    ${state && !total ? html`<p class="empty">${running || !state.ended ? "Nothing printed yet." : "It printed nothing, or its log is no longer kept."}</p>`
      : html`<div class="printed" ref=${box} tabindex="0" role="log" aria-live="off" aria-label="What it printed" onScroll=${onScroll}>${shown.lines.map((l, i) => html`<${Line} key=${shown.found - shown.lines.length + i} line=${l} times=${times} search=${search.toLowerCase()} />`)}</div>`}<//>`;
}

function Line({ line, times, search }) {
  const { time, text } = split(line);
  return html`<div class="line">${times && time && html`<time class="faint" title=${time}>${time.slice(11, 23)}</time>`}<span dir="auto">${pieces(text, search).map((p, i) => (i % 2 ? html`<mark>${p}</mark>` : p))}</span></div>`;
}

function linesOf(text) {
  const lines = text.split("\n");
  if (lines[lines.length - 1] === "") lines.pop();
  return lines;
}
