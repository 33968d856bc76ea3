// The same from a terminal or from Python.
import { html } from "../lib/html.js";
import { Real } from "../lib/real.js";
import { Copy } from "../ui/bits.js";

/** @typedef {{study: any, trial: any, from: import("./trial.js").From}} Start the checkpoint a trial starts from */

const TRUE = "True";

/** Write a value as Python does.
 * @param {any} v
 * @returns {string} */
export function python(v) {
  if (v === null || v === undefined) return "None";
  if (v === true) return TRUE;
  if (v === false) return "False";
  if (v instanceof Real) return String(v);
  if (Array.isArray(v)) return `[${v.map(python).join(", ")}]`;
  if (typeof v === "object") return `{${Object.entries(v).map(([k, one]) => `${JSON.stringify(k)}: ${python(one)}`).join(", ")}}`;
  return JSON.stringify(v);
}

/** @param {string} text
 * @returns {string} a word that is no line of a text */
function mark(text) {
  let word = "YAML";
  while (text.split("\n").includes(word)) word += "_";
  return word;
}

/** Write a word for a shell.
 * @param {any} word
 * @returns {string} */
export function quoted(word) {
  const text = typeof word === "string" ? word : JSON.stringify(word);
  return /^[\w./=+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** @param {string} text
 * @param {Start | null} start
 * @param {Record<string, any>} params of the trial that starts from a checkpoint */
function shell(text, start, params) {
  const end = mark(text);
  const file = `cat > study.yaml <<'${end}'\n${text.trimEnd()}\n${end}\n`;
  if (!start) return `${file}tuner submit study.yaml`;
  const { study, trial, from } = start;
  const given = Object.entries(params).map(([name, value]) => ` ${quoted(`${name}=${value}`)}`).join("");
  return `${file}study=$(tuner submit study.yaml --paused)
tuner enqueue "$study"${given} --from ${study.id}/${trial.number} --step ${from.step} --${from.steps}
tuner resume "$study"`;
}

/** @param {any} doc
 * @param {Start | null} start
 * @param {Record<string, any>} params */
function code(doc, start, params) {
  const pairs = Object.entries(doc).map(([key, value]) => `    ${JSON.stringify(key)}: ${python(value)},\n`).join("");
  const submit = `import tuner\n\nclient = tuner.Client()\nstudy = client.submit({\n${pairs}}${start ? ", paused=True" : ""})`;
  if (!start) return submit;
  const { study, trial, from } = start;
  const source = { study: String(study.id), trial: trial.number, step: from.step, steps: from.steps };
  return `${submit}\nstudy.enqueue(${python(params)}, source=${python(source)})\nstudy.resume()`;
}

/** @param {{text: string, doc: any, start: Start | null, params: Record<string, any>}} props */
export function Same({ text, doc, start, params }) {
  const [terminal, program] = [shell(text, start, params), code(doc, start, params)];
  return html`<details><summary>The same from a terminal or from Python</summary>
    <div class="row"><b class="small">Terminal</b><${Copy} text=${terminal} /></div><pre class="code">${terminal}</pre>
    <div class="row"><b class="small">Python</b><${Copy} text=${program} /></div><pre class="code">${program}</pre></details>`;
}
