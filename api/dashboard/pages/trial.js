// One trial: its curve with every decision in words, its health, its attempts, what it printed and kept.
import { useEffect } from "preact/hooks";
import { html } from "../lib/html.js";
import { api } from "../lib/api.js";
import { bind } from "../lib/keys.js";
import { listen } from "../lib/live.js";
import { go, href } from "../lib/route.js";
import { calm, Failure, Outcome, Shield, useRead } from "../ui/bits.js";
import { TrialActions } from "../ui/actions.js";
import { CloneTrial } from "../ui/clone.js";
import { Again } from "../trial/again.js";
import { Attempts } from "../trial/attempts.js";
import { Curve } from "../trial/curve.js";
import { Diagnostics } from "../trial/diagnostics.js";
import { Files } from "../trial/files.js";
import { Log } from "../trial/log.js";
import { Events, Facts, Findings, Parameters } from "../trial/parts.js";
import { attempts } from "../trial/story.js";

/** @param {{study: string, number: string}} props */
export function Trial({ study, number }) {
  const path = `studies/${encodeURIComponent(study)}`;
  const { found, error, again } = useRead(async (signal) => {
    const [trial, of] = await Promise.all([api(`${path}/trials/${encodeURIComponent(number)}`, { signal }), api(path, { signal })]);
    return { trial, of };
  }, [path, number]);
  useEffect(() => {
    const soon = calm(() => again().catch(() => {}), 1000);
    return listen(`${path}/events`, (kind, message) => (kind === "study" || String(message.number) === number) && soon(), again);
  }, [path, number]);
  const name = found?.of.name;
  useEffect(() => {
    if (name) document.title = `Trial ${number} of ${name} · tuner`;
  }, [name, number]);
  if (!found) return error ? html`<${Failure} error=${error} again=${again} />` : html`<p class="boot">Loading the trial…</p>`;
  return html`<${Shown} ...${found} again=${again} path=${path} />`;
}

function Shown({ trial, of, again, path }) {
  const own = `${path}/trials/${trial.number}`;
  const total = Object.values(of.counts).reduce((a, b) => a + b, 0);
  const near = (n) => (n >= 0 && n < total ? href({ study: of.id, trial: n }, true) : null);
  const [before, after] = [near(trial.number - 1), near(trial.number + 1)];
  useEffect(() => {
    const unbind = [bind("[", "previous trial", () => before && go(before)), bind("]", "next trial", () => after && go(after))];
    return () => unbind.forEach((u) => u());
  }, [before, after]);
  return html`
    <div class="row"><h1><a href=${href({ study: of.id }, true)}>${of.name}</a> / trial ${trial.number}</h1><${Outcome} name=${trial.outcome ?? trial.state} />
      <span class="grow"></span><${TrialActions} study=${of} trial=${trial} done=${again} /><${Again} trial=${trial} of=${of} path=${path} /><${CloneTrial} study=${of} trial=${trial} />
      ${before && html`<a class="button" href=${before} title="[">← previous</a>`}${after && html`<a class="button" href=${after} title="]">next →</a>`}</div>
    ${trial.reason && html`<div class="notice" style=${{ borderLeftColor: `var(--s-${trial.outcome ?? trial.state})` }}><pre>${trial.reason}</pre></div>`}
    <${Facts} trial=${trial} of=${of} />
    <${Shield}><${Findings} trial=${trial} /><//>
    <${Shield}><${Curve} trial=${trial} of=${of} /><//>
    <div class="grid2"><${Parameters} trial=${trial} of=${of} /><${Events} trial=${trial} of=${of} /></div>
    <${Shield}><${Diagnostics} trial=${trial} of=${of} /><//>
    <${Shield}><${Attempts} trial=${trial} path=${own} /><//>
    <${Shield}><${Log} path=${own} attempt=${trial.attempt} running=${trial.state === "running"} attempts=${attempts(trial.events).map((a) => a.attempt).reverse()} /><//>
    <${Shield}><${Files} path=${own} running=${trial.state === "running"} moved=${`${trial.events.filter((e) => e.kind === "checkpoint").length} ${trial.state} ${trial.attempt}`} /><//>`;
}
