// Parts of a page whose code is read when they are first shown.
import { useEffect, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { Failure } from "./bits.js";

/** Return a component that reads its code when it is first shown.
 * @param {() => Promise<any>} load
 * @param {string} name of the component in the module
 * @returns {(props: any) => any} */
export function later(load, name) {
  /** @type {any} */
  let part = null;
  return function Later(props) {
    const [error, setError] = useState(/** @type {any} */ (null));
    const [, ready] = useState(part);
    const again = () => load().then((found) => { part = found[name]; ready(() => part); setError(null); }, setError);
    useEffect(() => void (part || again()), []);
    if (part) return html`<${part} ...${props} />`;
    return error ? html`<${Failure} error=${new Error("The server did not answer with this part of the page.")} again=${() => location.reload()} />` : html`<p class="boot">Loading…</p>`;
  };
}
