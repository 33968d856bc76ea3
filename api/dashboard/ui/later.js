// Parts that the first view does without: loaded when they are shown first.
import { useEffect, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { Failure } from "./bits.js";

/** Return a component whose module is loaded when it is shown first.
 * @param {() => Promise<any>} load imports the module
 * @param {string} name of the component in it
 * @returns {(props: any) => any} */
export function later(load, name) {
  /** @type {any} */
  let found = null;
  return function Later(props) {
    const [error, setError] = useState(/** @type {any} */ (null));
    const [, setReady] = useState(false);
    const again = () => load().then((m) => { found = m[name]; setReady(true); setError(null); }, () => setError(new Error("This part could not be loaded: the server does not answer, or was updated. Load the page anew.")));
    useEffect(() => void (found ?? again()), []);
    if (found) return html`<${found} ...${props} />`;
    return error ? html`<${Failure} error=${error} again=${again} />` : html`<p class="boot">Loading…</p>`;
  };
}
