// A question with a form: what fails is said in it, and the focus goes back to where it was asked from.
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { Failure } from "./bits.js";

/** @param {{title: string, word: string, danger?: boolean, run: (field: (name: string) => string, form: HTMLFormElement) => Promise<any>,
 *   close: () => void, leave?: string, children?: any}} props `word` names what the button does */
export function Dialog({ title, word, danger, run, close, leave = "Leave it", children }) {
  const box = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    const asker = /** @type {HTMLElement | null} */ (document.activeElement);
    const dialog = box.current;
    dialog?.showModal();
    return () => {
      dialog?.close();
      if (asker?.isConnected) asker.focus();
    };
  }, []);
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const given = new FormData(form);
    setBusy(true);
    try {
      await run((name) => String(given.get(name) ?? ""), form);
      close();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return html`<dialog ref=${box} onClose=${close} aria-label=${title} class="ask">
    <form onSubmit=${submit}><h2>${title}</h2>${children}
      ${error && html`<${Failure} error=${error} />`}
      <div class="row"><button class=${danger ? "danger" : "primary"} disabled=${busy}>${word}</button>
        <button type="button" onClick=${close}>${leave}</button></div></form></dialog>`;
}

/** @typedef {{word: string, may: boolean, why: string, press: () => void, danger?: boolean, hint?: string}} Button */

/** Buttons in a row. Those that can't be used say why, at the pointer and under the row.
 * @param {{buttons: Button[], busy?: boolean}} props */
export function Buttons({ buttons, busy = false }) {
  /** @type {Map<string, string[]>} */
  const reasons = new Map();
  for (const b of buttons) if (!b.may) reasons.set(b.why, [...(reasons.get(b.why) ?? []), b.word.replace("…", "")]);
  const all = reasons.size === 1 && buttons.every((b) => !b.may);
  return html`<div class="actions"><div class="row">${buttons.map((b) => html`<button key=${b.word} disabled=${!b.may || busy}
      title=${b.may ? (b.hint ?? "") : b.why} onClick=${b.press}>${b.word}</button>`)}</div>
    ${[...reasons].map(([why, words]) => html`<p class="dim small" key=${why}>${all ? "" : `${words.join(", ")}: `}${why}</p>`)}</div>`;
}
