// A trial's reports as its life: what its present attempt goes on from, and what was left behind. Pure.

/** Return the reports of a trial's lineage in order: each attempt's up to the step that the next one resumed from.
 * @param {{reports: any[], events?: any[]}} trial
 * @returns {any[]} */
export function lineage(trial) {
  const kept = keptUpTo(trial.events ?? []);
  const newest = new Map();
  for (const r of trial.reports) {
    if (r.step > (kept.get(r.attempt) ?? Infinity)) continue;
    if (!newest.has(r.step) || newest.get(r.step).attempt <= r.attempt) newest.set(r.step, r);
  }
  return [...newest.values()].sort((a, b) => a.step - b.step);
}

/** Return the reports that no later attempt went on from, the newest attempt's for each step.
 * @param {{reports: any[], events?: any[]}} trial
 * @returns {any[]} */
export function leftBehind(trial) {
  const held = new Set(lineage(trial));
  const newest = new Map();
  for (const r of trial.reports) if (!held.has(r)) newest.set(r.step, r);
  return [...newest.values()].sort((a, b) => a.step - b.step);
}

/** @param {any[]} events
 * @returns {Map<number, number>} the last step that counts, by attempt */
function keptUpTo(events) {
  const starts = events.filter((e) => e.kind === "leased" && e.attempt !== null).sort((a, b) => b.attempt - a.attempt);
  const kept = new Map();
  let least = Infinity;
  for (const start of starts) {
    kept.set(start.attempt, least);
    least = Math.min(least, start.data.resumed_step ?? 0);
  }
  return kept;
}
