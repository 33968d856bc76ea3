// The same from a terminal or from Python.
import { html } from "../lib/html.js";
import { Copy } from "../ui/bits.js";

/** @typedef {{study: string, trial: number, step: number, steps: string}} Start the checkpoint a trial starts from */

const TRUE = "True";

/** Write a value as Python does.
 * @param {any} v
 * @returns {string} */
export function python(v) {
  if (v === null || v === undefined) return "None";
  if (v === true) return TRUE;
  if (v === false) return "False";
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

/** @param {{text: string, doc: any}} props */
export function Same({ text, doc }) {
  const end = mark(text);
  const shell = `cat > study.yaml <<'${end}'\n${text.trimEnd()}\n${end}\ntuner submit study.yaml`;
  const pairs = Object.entries(doc).map(([key, value]) => `    ${JSON.stringify(key)}: ${python(value)},\n`).join("");
  const code = `import tuner\n\nclient = tuner.Client()\nstudy = client.submit({\n${pairs}})`;
  return html`<details><summary>The same from a terminal or from Python</summary>
    <div class="row"><b class="small">Terminal</b><${Copy} text=${shell} /></div><pre class="code">${shell}</pre>
    <div class="row"><b class="small">Python</b><${Copy} text=${code} /></div><pre class="code">${code}</pre></details>`;
}
