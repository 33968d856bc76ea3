// Which parameters matter: what the server has found, asked again while it reckons.
import { useEffect } from "preact/hooks";
import { html } from "../lib/html.js";
import { api } from "../lib/api.js";
import { count } from "../lib/format.js";
import { href } from "../lib/route.js";
import { useRead } from "./bits.js";

const ASK_MS = 700;
const SHOWN = 5;

/** Read a study's importances anew when `progress` changes.
 * @param {string} path
 * @param {any} progress
 * @returns {{found: any, error: any, again: () => Promise<void>}} */
export function useImportance(path, progress) {
  const asked = useRead((abort) => api(`${path}/importance`, { signal: abort }), [path, progress]);
  useEffect(() => {
    if (asked.found?.state !== "computing") return undefined;
    const timer = setTimeout(() => asked.again().catch(() => {}), ASK_MS);
    return () => clearTimeout(timer);
  }, [asked.found]);
  return asked;
}

/** Return a share as people read it.
 * @param {number} share
 * @returns {string} */
export const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

/** The parameters that matter most, as bars, for the first screen.
 * @param {{path: string, progress: any}} props */
export function Matters({ path, progress }) {
  const { found } = useImportance(path, progress);
  if (!found) return null;
  const more = html`<a class="small" href=${href({ tab: "analysis" })}>Analysis</a>`;
  const said = found.state === "computing" ? `being computed from ${count(found.n)} trials` : found.state === "unavailable" ? `not to be told yet: ${found.why}` : "";
  return html`<div class="matters"><div class="row"><h3>What matters</h3><span class="grow"></span>${more}</div>
    ${said ? html`<p class="dim small">${said}</p>` : html`<table aria-label="Importance of parameters"><tbody>${found.items.slice(0, SHOWN).map((i) => html`<tr key=${i.name}><th scope="row">${i.name}</th>
      <td><div class="bar"><span style=${{ width: `${100 * i.share}%`, background: "var(--accent)" }}></span></div></td><td class="num small">${percent(i.share)}</td></tr>`)}</tbody></table>`}</div>`;
}
