// Files that a trial kept: artifacts with what may safely be seen of them, and checkpoints.
import { useEffect, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { all, api } from "../lib/api.js";
import { ago, moment, num, param } from "../lib/format.js";
import { now } from "../lib/now.js";
import { Failure, Panel, useRead } from "../ui/bits.js";
import { bytes } from "./story.js";

const MOST_ROWS = 200;

const LOOK_MS = 10_000;

/** @param {{path: string, moved: string, running: boolean}} props `moved` changes when there may be other files */
export function Files({ path, moved, running }) {
  const look = running ? Math.floor(now.value / LOOK_MS) : 0;
  const { found, error, again } = useRead(async (signal) => {
    const [artifacts, checkpoints] = await Promise.all([all(`${path}/artifacts?limit=1000`, signal), api(`${path}/checkpoints`, { signal })]);
    return { artifacts, checkpoints: checkpoints.items };
  }, [path, moved, look]);
  const [open, setOpen] = useState("");
  if (!found) return error && html`<${Failure} error=${error} again=${again} />`;
  const { artifacts, checkpoints } = found;
  const turn = (name) => setOpen(open === name ? "" : name);
  const sum = (files) => bytes(files.reduce((n, f) => n + f.size, 0));
  return html`<div class="grid2">
    <${Panel} title="Artifacts" tools=${artifacts.length > 0 && html`<span class="dim small">${artifacts.length} files, ${sum(artifacts)}</span>`}>
      ${artifacts.length ? html`<div class="table tall" tabindex="0"><table><thead><tr><th scope="col">Name</th><th scope="col" class="num">Size</th><th scope="col" class="hide-narrow">Attempt</th><th scope="col"><span class="visually-hidden">Actions</span></th></tr></thead>
        <tbody>${artifacts.map((f) => html`<${Artifact} key=${f.name} file=${f} path=${path} open=${open === f.name} turn=${() => turn(f.name)} />`)}</tbody></table></div>`
      : html`<p class="dim">None. A training keeps a file with <code>trial.artifact("plot.png")</code>, a program with <code>tuner keep plot.png</code>.</p>`}<//>
    <${Panel} title="Checkpoints" tools=${checkpoints.length > 0 && html`<span class="dim small">${sum(checkpoints)}</span>`}>
      ${checkpoints.length ? html`<div class="table"><table><thead><tr><th scope="col" class="num">Step</th><th scope="col">Attempt</th><th scope="col" class="num">Size</th><th scope="col">Kept as</th><th scope="col" class="hide-narrow">When</th><th scope="col"><span class="visually-hidden">Actions</span></th></tr></thead>
        <tbody>${checkpoints.map((c) => html`<tr key=${`${c.attempt} ${c.step}`}><td class="num">${c.step}</td><td>${c.attempt || "inherited"}</td><td class="num">${bytes(c.size)}</td>
          <td>${[c.last && "last", c.best && "best"].filter(Boolean).join(", ")}</td><td class="hide-narrow" title=${moment(c.at)}>${ago(c.at, now.value)}</td>
          <td><a href=${`api/v1/${path}/checkpoints/${c.attempt}/${c.step}`} download>Download</a></td></tr>`)}</tbody></table></div>`
      : html`<p class="dim">None is kept now.</p>`}<//>
  </div>`;
}

function Artifact({ file, path, open, turn }) {
  const name = encodeURIComponent(file.name);
  return html`<tr><td class="wrap"><bdi>${file.name}</bdi></td><td class="num">${bytes(file.size)}</td><td class="hide-narrow">${file.attempt}</td>
      <td class="nowrap">${file.preview && html`<button class="plain small" aria-expanded=${open} onClick=${turn}>${open ? "Hide" : "Show"}</button> `}<a href=${`api/v1/${path}/artifacts/content?name=${name}`} download>Download</a></td></tr>
    ${open && html`<tr><td colspan="4"><${Preview} file=${file} at=${`${path}/artifacts/preview?name=${name}`} /></td></tr>`}`;
}

function Preview({ file, at }) {
  return file.preview === "image" ? html`<${Picture} file=${file} at=${at} />` : html`<${Text} file=${file} at=${at} />`;
}

function Picture({ file, at }) {
  const [bad, setBad] = useState(false);
  useEffect(() => setBad(false), [at]);
  if (bad) return html`<p class="dim">It can't be shown: not a PNG or JPEG picture, or too large. Download it.</p>`;
  return html`<img class="preview" key=${file.sha256} src=${`api/v1/${at}`} alt=${`the picture ${file.name}`} onError=${() => setBad(true)} />`;
}

function Text({ file, at }) {
  const { found, error, again } = useRead((signal) => api(at, { raw: true, signal }), [at, file.sha256]);
  if (!found) return error ? html`<${Failure} error=${error} again=${again} />` : html`<p class="dim">Loading…</p>`;
  const cut = found.headers.get("x-truncated") === "true";
  const { kind, value } = readable(file.name, found.text, cut);
  return html`${kind === "table" ? html`<${Rows} rows=${value} />` : html`<pre class="preview" dir="auto" tabindex="0">${value}</pre>`}
    ${cut && html`<p class="dim small">The first ${bytes(found.text.length)} of ${bytes(file.size)}.</p>`}`;
}

function Rows({ rows }) {
  const [head, ...body] = rows;
  return html`<div class="table preview" tabindex="0"><table><thead><tr>${head.map((c) => html`<th scope="col"><bdi>${c}</bdi></th>`)}</tr></thead>
      <tbody>${body.slice(0, MOST_ROWS).map((r) => html`<tr>${r.map((c) => html`<td title=${c}><bdi>${cell(c)}</bdi></td>`)}</tr>`)}</tbody></table></div>
    ${body.length > MOST_ROWS && html`<p class="dim small">The first ${MOST_ROWS} of ${body.length} rows.</p>`}`;
}

function cell(text) {
  return text !== "" && Number.isFinite(Number(text)) && text.length > 8 ? num(Number(text)) : param(text);
}

/** Lay a file's text out: JSON indented, CSV as rows, everything else as it is. Pure.
 * @param {string} name
 * @param {string} text
 * @param {boolean} cut whether its end is missing
 * @returns {{kind: "text" | "table", value: any}} */
export function readable(name, text, cut) {
  const ending = name.slice(name.lastIndexOf(".") + 1).toLowerCase();
  if (ending === "json" && !cut) {
    try {
      return { kind: "text", value: JSON.stringify(JSON.parse(text), null, 2) };
    } catch {
      return { kind: "text", value: text };
    }
  }
  if (ending === "csv" || ending === "tsv") {
    const rows = csvRows(text, ending === "tsv" ? "\t" : ",");
    if (cut) rows.pop();
    if (rows.length > 1 && rows[0].length > 1) return { kind: "table", value: rows };
  }
  return { kind: "text", value: text };
}

/** Read CSV, quoted fields included. Pure.
 * @param {string} text
 * @param {string} comma
 * @returns {string[][]} */
export function csvRows(text, comma) {
  const rows = [[""]];
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    const row = rows[rows.length - 1];
    if (quoted && c === '"' && text[i + 1] === '"') row[row.length - 1] += text[++i];
    else if (c === '"' && (quoted || row[row.length - 1] === "")) quoted = !quoted;
    else if (!quoted && c === comma) row.push("");
    else if (!quoted && c === "\n") rows.push([""]);
    else if (quoted || c !== "\r") row[row.length - 1] += c;
  }
  const last = rows[rows.length - 1];
  if (last.length === 1 && last[0] === "") rows.pop();
  return rows;
}
