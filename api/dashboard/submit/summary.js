// What would be run, from the document as the server fills it in. Pure but for the last.
import { html } from "../lib/html.js";
import { isNumber } from "../lib/real.js";
import { words } from "./fields.js";

/** Return the rungs of a pruner.
 * @param {any} pruner
 * @returns {number[]} */
export function rungs(pruner) {
  if (!pruner?.min || !pruner.max || !(pruner.eta >= 2)) return [];
  const found = [];
  for (let at = pruner.min; at < pruner.max && found.length < 40; at *= pruner.eta) found.push(at);
  return [...found, pruner.max];
}

/** Return what the server filled in, by place.
 * @param {any} given
 * @param {any} full
 * @param {string} [path]
 * @returns {[string, any][]} */
export function filled(given, full, path = "") {
  return Object.entries(full ?? {}).flatMap(([key, value]) => {
    const place = path ? `${path}.${key}` : key;
    if (value === null || (typeof value === "object" && !isNumber(value) && !Object.keys(value).length)) return [];
    const had = given?.[key];
    if (had === undefined) return [[place, value]];
    return typeof value === "object" && !Array.isArray(value) && typeof had === "object" ? filled(had, value, place) : [];
  });
}

/** @param {any} spec
 * @returns {string[]} sentences */
export function sentences(spec) {
  const { budget, space, pruner, sampler, policies, repeats, objective, queue } = spec;
  const many = (n, word) => `${Number(n)} ${word}${Number(n) === 1 ? "" : "s"}`;
  const names = Object.keys(space ?? {});
  const steps = budget.steps ? ` of at most ${many(budget.steps, "step")}` : "";
  const at = rungs(pruner);
  const judged = at.length ? `${pruner.name}: rungs at ${at.join(", ")}; one in ${pruner.eta} goes on from each` : pruner?.name === "none" ? "No trial is pruned" : `${pruner?.name}: judged after every ${many(pruner?.interval ?? 1, "step")}`;
  return [
    `${many(budget.trials, "trial")}${steps}${budget.parallel ? `, ${budget.parallel} at once` : ""}${budget.hours ? `, for ${many(budget.hours, "hour")} at most` : ""}`,
    `${objective.metric}: ${objective.mode === "min" ? "lower is better" : "higher is better"}`,
    `${many(names.length, "parameter")} searched by ${sampler.name}: ${names.join(", ")}`,
    judged,
    policies?.length ? `Steered by ${policies.map((p) => p.name).join(" and ")}` : "No policy steers a trial",
    ...(repeats ? [`Then the best ${repeats.finalists} again on ${repeats.seeds} fresh seeds each`] : []),
    `In project ${queue.project}, priority ${queue.priority}`,
  ];
}

/** @param {{given: any, checked: {spec: any, warnings: string[]} | null, waiting: boolean, wrong: number}} props */
export function Summary({ given, checked, waiting, wrong }) {
  if (!checked) return html`<p class="dim" role="status">${wrong ? `${wrong} ${wrong === 1 ? "thing" : "things"} to mend before it can run.` : "Checking…"}</p>`;
  const defaults = filled(given, checked.spec);
  return html`<div role="status" class=${waiting ? "dim" : ""}><ul class="plainly">${sentences(checked.spec).map((s) => html`<li>${s}</li>`)}</ul>
    ${checked.warnings.map((w) => html`<p class="warn small">Note: ${w}</p>`)}
    <details><summary>${defaults.length} ${defaults.length === 1 ? "default" : "defaults"} filled in</summary><dl class="defaults small">${defaults.map(([k, v]) => html`<dt>${k}</dt><dd><code>${words(v)}</code></dd>`)}</dl></details></div>`;
}
