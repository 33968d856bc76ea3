// Templates: `html` makes Preact's elements from tagged template strings, without a build step.
import { h } from "preact";
import htm from "htm";

/** @type {(strings: TemplateStringsArray, ...values: any[]) => import("preact").VNode} */
export const html = /** @type {any} */ (htm.bind(h));
