// What a worker does with a trial: a built-in task, a function, a command, or one's own loop.
import { useId } from "preact/hooks";
import { html } from "../lib/html.js";
import { Faults, faultsAt, Group, Rest } from "./fields.js";
import { shape } from "./schema.js";

/** @typedef {import("./fields.js").Form} Form */

const WORDS = { task: "a built-in task", entrypoint: "a function of my own", command: "a command", external: "nothing: I run my own loop" };
/** What a table's study says of its file. */
const TABLE = ["data", "target", "kind", "ignore", "split_seed"];
/** What the service writes into the studies that follow another one. */
const OF_SERVICE = "after";
const HELP = {
  external: "Your program asks for parameters and tells results, over REST or in Python.",
  entrypoint: "Workers import it; they must be started with an --allow that matches.",
  command: "{lr} stands for a parameter's value; workers must be started with an --allow-command that matches.",
};

/** @param {{form: Form, tasks: any[]}} props */
export function Run({ form, tasks }) {
  const id = useId();
  const { run } = form.doc;
  const kind = run === "external" ? "external" : ["task", "entrypoint", "command"].find((key) => run && typeof run === "object" && key in run) ?? "";
  const choose = (key) => form.change({ ...form.doc, run: begun(key, tasks) });
  const table = kind === "task" && run.task === "table" ? TABLE : [];
  const model = table.length ? "runtable" : `run${kind}`;
  const about = form.root.properties.run.oneOf.find((s) => s.$ref?.toLowerCase().endsWith(model));
  const fields = (about ? (shape(about, form.root).fields ?? []) : []).filter(([key]) => key !== OF_SERVICE);
  const task = tasks.find((t) => t.name === run?.task);
  return html`<div class="field" data-path="run"><label for=${id}>A trial runs</label>
    <select id=${id} value=${kind} disabled=${form.off} onChange=${(e) => choose(e.target.value)}>
      ${!kind && html`<option value="">–</option>`}${Object.entries(WORDS).map(([key, word]) => html`<option value=${key}>${word}</option>`)}</select>
    <small class="dim">${HELP[kind] ?? task?.description ?? ""}</small><${Faults} faults=${faultsAt(form, ["run"])} /></div>
    ${kind === "task" && html`<${Task} form=${form} tasks=${tasks} />`}
    ${table.length > 0 && html`<${Group} form=${form} path=${["run"]} fields=${fields} only=${table} />`}
    ${fields.length > 0 && kind !== "task" && html`<${Group} form=${form} path=${["run"]} fields=${fields} only=${[kind]} />`}
    ${fields.length > 0 && html`<${Rest} word=${kind === "task" ? "Recipe, device, memory" : "Device, memory, time-outs"} form=${form} path=${["run"]} keys=${fields.map(([k]) => k).filter((k) => k !== kind && !table.includes(k))}>
      <${Group} form=${form} path=${["run"]} fields=${fields} but=${[kind, ...table]} /><//>`}`;
}

function begun(key, tasks) {
  if (key === "external") return "external";
  return { task: { task: tasks[0]?.name ?? "" }, entrypoint: { entrypoint: "mypackage.train:main" }, command: { command: ["python", "train.py", "--lr", "{lr}"] } }[key];
}

function Task({ form, tasks }) {
  const id = useId();
  const { run } = form.doc;
  const odd = !tasks.some((t) => t.name === run.task);
  const named = (task) => {
    const rest = Object.fromEntries(Object.entries(run).filter(([key]) => !TABLE.includes(key)));
    form.change({ ...form.doc, run: task === "table" ? { ...rest, task, data: "", target: "" } : { ...rest, task } });
  };
  return html`<div class="field" data-path="run.task"><label for=${id}>task</label>
    <select id=${id} value=${run.task} disabled=${form.off} onChange=${(e) => named(e.target.value)}>
    ${odd && html`<option value=${run.task}>${String(run.task)}</option>`}${tasks.map((t) => html`<option value=${t.name}>${t.name}</option>`)}</select>
    <${Faults} faults=${faultsAt(form, ["run", "task"])} /></div>`;
}
