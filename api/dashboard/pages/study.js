// One study: its frame, what is live of it, and its tabs.
import { useEffect, useMemo, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { listen } from "../lib/live.js";
import { href, query } from "../lib/route.js";
import { calm, Failure, State } from "../ui/bits.js";
import { Actions } from "../ui/actions.js";
import { Remarks } from "../ui/remarks.js";
import { CloneStudy } from "../ui/clone.js";
import { Overview } from "../study/overview.js";
import { StudyData } from "../study/data.js";
import { later } from "../ui/later.js";

/** @type {Record<string, {word: string, part: any}>} */
const TABS = {
  overview: { word: "Overview", part: Overview },
  analysis: { word: "Analysis", part: later(() => import("../analysis/tab.js"), "Analysis") },
  rungs: { word: "Rungs", part: later(() => import("../analysis/rungs.js"), "Rungs") },
  trials: { word: "Trials", part: later(() => import("../study/trials.js"), "Trials") },
  compare: { word: "Compare", part: later(() => import("../study/compare.js"), "Compare") },
  config: { word: "Config", part: later(() => import("../analysis/config.js"), "Config") },
};

/** Say what helps where no worker can run a study. */
function WhatNext({ study }) {
  if (!study.note.startsWith("no worker")) return null;
  const module_ = study.spec.run?.entrypoint?.split(":")[0];
  return html`<p class="small dim">Look at the <a href=${href({ page: "fleet" }, true)}>fleet</a>${module_ && html`, or start one that may: <code>tuner worker --allow '${module_}:*'</code>`}.</p>`;
}

/** @param {{id: string}} props */
export function Study({ id }) {
  const data = useMemo(() => new StudyData(id), [id]);
  const [error, setError] = useState(/** @type {any} */ (null));
  const again = () => data.refresh().then(() => setError(null), (e) => { setError(e); throw e; });
  useEffect(() => {
    again().catch(() => {});
    const soon = calm(() => again().catch(() => {}), 2000);
    return listen(`studies/${encodeURIComponent(id)}/events`, (kind, message) => data.take(kind, message) && soon(), again);
  }, [id]);
  const study = data.study.value;
  useEffect(() => {
    if (study) document.title = `${study.name} · tuner`;
  }, [study?.name]);
  if (!study) return error ? html`<${Failure} error=${error} again=${again} />` : html`<p class="boot">Loading the study…</p>`;
  const tab = TABS[query.value.tab] ? query.value.tab : "overview";
  return html`
    <div class="row"><h1>${study.name}</h1><${State} study=${study} />
      <span class="dim">${study.spec.objective.metric}: ${study.spec.objective.mode === "min" ? "lower is better" : "higher is better"}</span><span class="grow"></span><${CloneStudy} study=${study} />
      <${Actions} study=${study} path=${data.path} done=${again} /></div>
    <${Remarks} of=${study} path=${data.path} done=${again} pin />
    ${study.note && html`<div class="notice"><p>${study.note}</p><${WhatNext} study=${study} /></div>`}
    ${error && html`<${Failure} error=${error} again=${again} />`}
    <nav class="tabs" aria-label="Parts of the study">${Object.entries(TABS).map(([name, { word }]) => html`
      <a href=${href({ tab: name === "overview" ? null : name })} aria-current=${tab === name ? "page" : undefined}>${word}</a>`)}</nav>
    <${TABS[tab].part} key=${tab} data=${data} />`;
}
