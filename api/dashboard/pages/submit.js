// A study to submit: a form made from the document's schema, the YAML beside it, and what it would run.
import { useEffect, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { api, maySubmit, session } from "../lib/api.js";
import { listen } from "../lib/live.js";
import { parse } from "../lib/real.js";
import { go, href, query } from "../lib/route.js";
import { Failure, Panel, useRead } from "../ui/bits.js";
import { freeName, onePoint, reopened } from "../submit/clone.js";
import { useCheck, useDraft } from "../submit/draft.js";
import { Editor } from "../submit/editor.js";
import { examples } from "../submit/examples.js";
import { Faults } from "../submit/fields.js";
import { Form } from "../submit/form.js";
import { Same } from "../submit/same.js";
import { Summary } from "../submit/summary.js";
import { CloneTrial } from "../submit/trial.js";
import { hasComments, write } from "../submit/yaml.js";

/** @typedef {import("../submit/trial.js").From} From */
/** @typedef {{text: string | null, said: string, from: {study: any, trial: any, from: From} | null}} Begin */

export function Submit() {
  useEffect(() => {
    document.title = "Submit a study · tuner";
    return listen("events", () => {}, () => api("session", { root: true }));
  }, []);
  if (!maySubmit()) return html`<h1>Submit a study</h1><div class="notice"><p>You look on: this token's role is ${session.value?.role}, and a study is submitted with a
    submitter's or an admin's. Ask who runs this server for one, then log out and in with it.</p></div>`;
  return html`<${Ready} />`;
}

function Ready() {
  const { clone, trial } = query.value;
  const { found, error, again } = useRead((abort) => load(clone, trial, abort), [clone, trial]);
  const [begin, setBegin] = useState(/** @type {Begin | null} */ (null));
  if (!found) return error ? html`<${Failure} error=${error} again=${again} />` : html`<p class="boot">Loading the form…</p>`;
  if (found.trial && !begin) {
    const fill = async (params, from) => {
      const name = await freeName(`${found.study.name}-t${found.trial.number}`).catch(() => null);
      const text = write({ ...(name && { name }), ...onePoint(found.spec, params) });
      const start = from.step === null ? null : { study: found.study, trial: found.trial, from };
      setBegin({ text, said: `trial ${found.trial.number} of ${found.study.name}`, from: start });
    };
    return html`<${CloneTrial} study=${found.study} spec=${found.spec} trial=${found.trial} kept=${found.kept} fill=${fill} />`;
  }
  const first = begin ?? { text: found.text, said: found.study ? found.study.name : "", from: null };
  return html`<${Page} about=${found.about} begin=${first} />`;
}

async function load(clone, number, abort) {
  const about = await api("schema", { signal: abort });
  if (!clone) return { about, text: null };
  const path = `studies/${encodeURIComponent(clone)}`;
  const exact = async (at) => parse((await api(at, { signal: abort, raw: true })).text);
  const study = await exact(path);
  const { spec } = study;
  if (number === undefined) {
    const text = write({ name: await freeName(study.name, abort), ...reopened(spec) });
    return { about, study, spec, text };
  }
  const [trial, kept] = await Promise.all([
    exact(`${path}/trials/${encodeURIComponent(number)}`),
    api(`${path}/trials/${encodeURIComponent(number)}/checkpoints`, { signal: abort }),
  ]);
  return { about, study, spec, trial, kept: kept.items, text: null };
}

/** @param {{about: any, begin: Begin}} props */
function Page({ about, begin }) {
  const starts = examples(about.tasks);
  const { draft, setText, setDoc, forget } = useDraft(begin.text, starts[0].text);
  const check = useCheck(draft);
  const [lost, setLost] = useState(/** @type {string | null} */ (null));
  const change = (doc) => {
    if (hasComments(draft.text)) setLost(draft.text);
    setDoc(doc);
  };
  const form = { doc: draft.doc, change, root: about.document, faults: check.faults, off: draft.broken !== null };
  return html`<div class="row"><h1>Submit a study</h1><span class="grow"></span>
      <label>Start from <select aria-label="Start from an example" value="" onChange=${(e) => (setLost(null), setText(starts[Number(e.target.value)].text))}>
        <option value="" disabled>an example…</option>${starts.map((s, i) => html`<option value=${i}>${s.word}</option>`)}</select></label></div>
    ${begin.said && html`<p class="dim small">Filled in from <bdi>${begin.said}</bdi>.</p>`}
    ${begin.from && html`<div class="notice"><p>Its trial starts from the checkpoint of step ${begin.from.from.step} of trial ${begin.from.trial.number} of <bdi>${begin.from.study.name}</bdi>:
      the study is submitted paused, the trial enqueued, then the study set going.</p></div>`}
    ${lost !== null && html`<div class="notice row"><p>The form wrote the YAML anew: your comments in it are gone.</p>
      <button type="button" onClick=${() => (setText(lost), setLost(null))}>Bring them back</button><button type="button" class="plain" onClick=${() => setLost(null)}>Let them go</button></div>`}
    <div class="submit"><div class="stack"><${Form} form=${form} tasks=${about.tasks} usual=${check.checked?.spec.space} /></div>
    <div class="stack beside"><${Panel} title="YAML"><${Editor} text=${draft.text} take=${setText} faults=${check.faults} off=${false} />
      ${draft.broken && html`<p class="warn small">The form waits until the YAML can be read.</p>`}<//>
    <${Panel} title="What it would run"><${Summary} given=${draft.doc} checked=${check.checked} waiting=${check.waiting} wrong=${check.faults.length} />
      ${check.away && html`<div class="notice error"><p>${check.away} The document could not be checked.</p></div>`}
      <${Send} draft=${draft} check=${check} from=${begin.from} forget=${forget} /><//>
    <section class="panel"><${Same} text=${draft.text} doc=${draft.doc} start=${begin.from} params=${begin.from ? fixed(draft.doc) : {}} /></section></div></div>`;
}

function Send({ draft, check, from, forget }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (null));
  const [made, setMade] = useState(/** @type {any} */ (null));
  useEffect(() => setError(null), [draft.text]);
  const send = (paused) => async () => {
    setBusy(true);
    setError(null);
    try {
      const study = made ?? (await api(`studies${paused || from ? "?paused=true" : ""}`, { method: "POST", yaml: draft.text, headers: once() }));
      if (from) {
        setMade(study);
        await begin(study, from, draft.doc, paused);
      }
      forget();
      go(href({ study: study.id }, true));
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  const wrong = check.faults.length > 0 || check.waiting || !check.checked;
  const why = check.faults.length ? "mend what is marked first" : wrong ? "it is being checked" : "";
  return html`<div class="row"><button class="primary" disabled=${busy || wrong} title=${why} onClick=${send(false)}>Submit</button>
    <button disabled=${busy || wrong} title=${why || "nothing starts until it is resumed"} onClick=${send(true)}>Submit paused</button>
    ${wrong && html`<span class="dim small">${why}</span>`}</div>
    ${error && html`<${Failure} error=${error} /><${Faults} faults=${made ? [`The study ${made.name} was submitted and is paused; try again, or open it.`] : []} />`}`;
}

/** Enqueue a trial that starts from a checkpoint in a study that is paused, and set it going. */
async function begin(study, { study: source, trial, from }, doc, paused) {
  const body = { params: fixed(doc), source: { study: String(source.id), trial: trial.number, step: from.step, steps: from.steps } };
  await api(`studies/${study.id}/trials`, { method: "POST", body, headers: once() });
  if (!paused) await api(`studies/${study.id}`, { method: "PATCH", body: { state: "running" }, headers: once() });
}

/** Return the parameters that a document fixes. */
function fixed(doc) {
  return Object.fromEntries(Object.entries(doc.space ?? {}).filter(([, p]) => p?.value !== undefined).map(([name, p]) => [name, p.value]));
}

const once = () => ({ "Idempotency-Key": crypto.randomUUID() });
