// The document being written: one text, and what it says. The form and the YAML edit the same.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, Problem } from "../lib/api.js";
import { parse } from "../lib/real.js";
import { tidy } from "./clone.js";
import { read, Unreadable, write } from "./yaml.js";

/** @typedef {{text: string, doc: any, lines: Map<string, number>, broken: {message: string, line: number} | null}} Draft */
/** @typedef {{where: string, message: string, line: number}} Fault */
/** @typedef {{spec: any, warnings: string[]}} Checked */

const PAUSE_MS = 350;
const KEPT = "tuner.draft";

/** Return a draft of a text; one that can't be read keeps what it said before.
 * @param {string} text
 * @param {Draft | null} before
 * @returns {Draft} */
export function drafted(text, before = null) {
  try {
    return { text, ...read(text), broken: null };
  } catch (problem) {
    if (!(problem instanceof Unreadable)) throw problem;
    const { message, line } = problem;
    return { text, doc: before?.doc ?? {}, lines: new Map(), broken: { message, line } };
  }
}

/** Hold a draft; a reload brings it back.
 * @param {string | null} begin the first text, null for the one that was left
 * @param {string} otherwise
 * @returns {{draft: Draft, setText: (text: string) => void, setDoc: (doc: any) => void, forget: () => void}} */
export function useDraft(begin, otherwise) {
  const [draft, setDraft] = useState(() => drafted(begin ?? sessionStorage.getItem(KEPT) ?? otherwise));
  const setText = (text) => {
    sessionStorage.setItem(KEPT, text);
    setDraft((before) => drafted(text, before));
  };
  return { draft, setText, setDoc: (doc) => setText(write(doc)), forget: () => sessionStorage.removeItem(KEPT) };
}

/** Return what a problem says of the places of a document.
 * @param {any} problem
 * @param {Draft} draft
 * @returns {Fault[]} */
export function faultsOf(problem, draft) {
  const found = problem.faults?.length ? problem.faults : [{ where: problem.status === 409 ? "name" : "", message: problem.message }];
  return found.map((f) => ({ ...f, line: lineOf(f.where, draft) }));
}

/** Return the line of a place, or of what is around it.
 * @param {string} where
 * @param {Draft} draft
 * @returns {number} */
export function lineOf(where, draft) {
  for (let path = where; path; path = path.slice(0, Math.max(0, path.lastIndexOf(".")))) {
    const line = draft.lines.get(path);
    if (line) return line;
  }
  return 1;
}

/** Ask the server what a document would run, a little after the last change.
 * @param {Draft} draft
 * @returns {{checked: Checked | null, faults: Fault[], waiting: boolean, away: string}} `away` says why the server could not be asked */
export function useCheck(draft) {
  const [state, setState] = useState(/** @type {{of: string, checked: Checked | null, faults: Fault[], away: string}} */ ({ of: "", checked: null, faults: [], away: "" }));
  const current = useRef(/** @type {AbortController | null} */ (null));
  useEffect(() => {
    if (draft.broken) return undefined;
    const control = (current.current = new AbortController());
    const timer = setTimeout(async () => {
      const set = (more) => !control.signal.aborted && setState({ of: draft.text, checked: null, faults: [], away: "", ...more });
      try {
        const { text: reply } = await api("studies?dry_run=true", { method: "POST", yaml: draft.text, signal: control.signal, raw: true });
        const { spec, warnings } = parse(reply);
        set({ checked: { spec: tidy(spec), warnings } });
      } catch (problem) {
        if (!(problem instanceof Problem)) return;
        if (problem.status === 0 || problem.status >= 500) set({ away: problem.message });
        else set({ faults: faultsOf(problem, draft) });
      }
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [draft.text]);
  if (draft.broken) {
    const { message, line } = draft.broken;
    return { checked: null, faults: [{ where: "", message, line }], waiting: false, away: "" };
  }
  return { ...state, waiting: state.of !== draft.text };
}
