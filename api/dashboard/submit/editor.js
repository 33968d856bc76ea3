// The YAML, with the number of each line and a mark where something is wrong.
import { useRef } from "preact/hooks";
import { html } from "../lib/html.js";

/** @typedef {import("./draft.js").Fault} Fault */

/** @param {{text: string, take: (text: string) => void, faults: Fault[], off: boolean}} props */
export function Editor({ text, take, faults, off }) {
  const area = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  const gutter = useRef(/** @type {HTMLElement | null} */ (null));
  const rows = text.split("\n").length;
  const wrong = new Set(faults.map((f) => f.line));
  const follow = () => gutter.current && area.current && (gutter.current.scrollTop = area.current.scrollTop);
  const go = (line) => {
    const field = area.current;
    if (!field) return;
    const lines = text.split("\n");
    const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    field.focus();
    field.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
  };
  return html`<div class="editor"><ol ref=${gutter} aria-hidden="true">${Array.from({ length: rows }, (_, i) => html`<li key=${i} class=${wrong.has(i + 1) ? "wrong" : ""}>${i + 1}</li>`)}</ol>
    <textarea ref=${area} aria-label="YAML" aria-describedby="yaml-faults" spellcheck=${false} autocomplete="off" autocapitalize="off" wrap="off" dir="ltr"
      rows=${Math.min(40, Math.max(12, rows + 1))} readonly=${off} value=${text} onInput=${(e) => take(e.target.value)} onScroll=${follow}></textarea></div>
    <ul id="yaml-faults" class="plainly small">${faults.map((f) => html`<li class="bad"><button type="button" class="plain small" onClick=${() => go(f.line)}>line ${f.line}</button>
      ${f.where ? `${f.where}: ${f.message}` : f.message}</li>`)}</ul>`;
}
