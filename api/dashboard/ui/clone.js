// Ways from what was run to what is run next.
import { html } from "../lib/html.js";
import { maySubmit } from "../lib/api.js";
import { href } from "../lib/route.js";

/** @param {{study: any}} props */
export function CloneStudy({ study }) {
  return maySubmit() && html`<a class="button" href=${href({ page: "submit", clone: study.id }, true)} title="its document in the form, under a new name">Clone</a>`;
}

/** @param {{study: any, trial: any}} props */
export function CloneTrial({ study, trial }) {
  return maySubmit() && html`<a class="button" href=${href({ page: "submit", clone: study.id, trial: trial.number }, true)}
    title="these parameters again, changed, from scratch or from its checkpoint">Clone with changes</a>`;
}
