// Documents made from studies and trials that were run before. Pure but for `freeName`.
import { all } from "../lib/api.js";
import { isNumber } from "../lib/real.js";

/** Return a study's document as its author may have left it: without its name, and without the rungs that follow from its steps.
 * @param {any} spec
 * @returns {any} */
export function reopened(spec) {
  const { name: _, api_version: __, ...doc } = tidy(spec);
  const { pruner, budget } = doc;
  if (budget?.steps && pruner?.max === budget.steps) {
    const { max: ___, min, ...rest } = pruner;
    doc.pruner = min === Math.max(1, Math.round(budget.steps / 10)) ? rest : { ...rest, min };
  }
  return doc;
}

/** Leave out what is null or holds nothing.
 * @param {any} value
 * @returns {any} */
export function tidy(value) {
  if (!value || typeof value !== "object" || isNumber(value) || Array.isArray(value)) return value;
  const kept = Object.entries(value).map(([k, v]) => [k, tidy(v)]);
  return Object.fromEntries(kept.filter(([k, v]) => v !== null && v !== undefined && !(isEmpty(v) && k !== "policies") && !(k === "log" && v === false)));
}

function isEmpty(v) {
  return typeof v === "object" && !isNumber(v) && !Object.keys(v).length;
}

/** Return a document that runs one point once.
 * @param {any} spec
 * @param {Record<string, any>} params
 * @returns {any} */
export function onePoint(spec, params) {
  const { constraints: _, repeats: __, space: ___, ...doc } = reopened(spec);
  const space = Object.fromEntries(Object.entries(params).map(([name, value]) => [name, { value }]));
  return { ...doc, space, sampler: { name: "random", seed: spec.sampler?.seed ?? 0 }, pruner: { name: "none" }, budget: { ...doc.budget, trials: 1 } };
}

/** Propose a name that no study has: `NAME-2`, `NAME-3`.
 * @param {string} name
 * @param {AbortSignal} [abort]
 * @returns {Promise<string>} */
export async function freeName(name, abort) {
  const stem = name.replace(/-\d{1,4}$/, "").slice(0, 90);
  const taken = new Set((await all(`studies?limit=200&name=${encodeURIComponent(stem)}`, abort)).map((s) => s.name));
  for (let n = 2; ; n++) if (!taken.has(`${stem}-${n}`)) return `${stem}-${n}`;
}
