// Pruners, policies and ranges in words. Pure.
import { factor, num } from "../lib/format.js";

const times = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

/** Say what a pruner does.
 * @param {any} p of the study's document
 * @param {number | null | undefined} [steps] of a whole trial
 * @returns {string} */
export function pruner(p, steps) {
  if (!p || p.name === "none") return "No trial is pruned: each trains to its end.";
  const rest = p.grace ? ` For ${times(p.grace, "step")} after a halving a trial is not judged.` : "";
  const spared = " Rules of thumb and fresh-seed runs are spared.";
  if (p.name === "asha" || p.name === "hyperband") {
    const first = p.min ? `step ${p.min}` : "a tenth of the longest training";
    const last = p.max ?? steps;
    const kind = p.name === "hyperband" ? "Successive halving in several brackets (Hyperband), which begin to judge at different steps" : "Successive halving (ASHA)";
    return `${kind}: from ${first} on${last ? `, up to step ${last}` : ""}, at rungs a factor ${p.eta} apart, the best 1 in ${p.eta} go on and the others end.${rest}${spared}`;
  }
  const what = p.name === "median" ? "the median" : `the best ${num(p.percentile)} %`;
  const warm = p.warmup ? ` The first ${times(p.warmup, "step")} are not judged.` : "";
  const every = p.interval > 1 ? ` It judges every ${p.interval} steps.` : "";
  return `A trial ends when its best value so far is worse than ${what} of complete trials at its step, once ${times(p.startup, "trial")} are complete.${warm}${every}${rest}${spared}`;
}

/** Say what a policy does.
 * @param {any} p of the study's document
 * @returns {string} */
export function policy(p) {
  if (p.name === "halve_on_plateau") {
    const better = p.threshold_mode === "rel" ? `${num(100 * p.threshold)} % of the best value` : num(p.threshold);
    const pause = p.cooldown ? ` After a cut ${times(p.cooldown, "report")} are not counted.` : "";
    const floor = p.min_lr ? ` A trial whose rate would fall below ${num(p.min_lr)} ends as converged.` : "";
    return `The rate (${p.rate}) is multiplied by ${factor(p.factor)} after ${times(p.patience + 1, "report")} in a row without an improvement of ${better}.${pause}${floor}`;
  }
  if (p.name === "divergence") return `A trial ends as diverged when its value is not finite, or ${num(p.ratio)} times as far from its first report as that is large (taken as ${num(p.floor)} at least).`;
  if (p.name === "rate_schedule") return `The rate follows a schedule: ${p.points.map((c) => `× ${factor(c.lr_factor)} after step ${c.step}`).join(", ") || "as it starts"}.`;
  return Object.entries(p).map(([k, v]) => `${k} ${typeof v === "object" ? JSON.stringify(v) : v}`).join(", ");
}

/** Say what a parameter may be.
 * @param {any} range
 * @returns {string} */
export function range(range) {
  const when = range.when && Object.keys(range.when).length ? `, where ${Object.entries(range.when).map(([k, v]) => `${k} is ${[v].flat().join(" or ")}`).join(" and ")}` : "";
  if (range.values) return `one of ${range.values.join(", ")}${when}`;
  if (range.value !== undefined) return `always ${range.value}${when}`;
  return `${num(range.min)} … ${num(range.max)}${range.log ? ", log" : ""}${range.step ? `, step ${num(range.step)}` : ""}${when}`;
}

/** Return what changed between two spaces.
 * @param {Record<string, any>} before
 * @param {Record<string, any>} after
 * @returns {string[]} */
export function changes(before, after) {
  const found = [];
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [was, is] = [before[name], after[name]];
    if (JSON.stringify(was) === JSON.stringify(is)) continue;
    if (!was) found.push(`${name} came: ${range(is)}`);
    else if (!is) found.push(`${name} went`);
    else found.push(`${name}: ${range(was)} → ${range(is)}`);
  }
  return found;
}
