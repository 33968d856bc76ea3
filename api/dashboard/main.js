// The page's frame: who is here, where they are, how fresh what they see is.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { effect } from "@preact/signals";
import { html } from "./lib/html.js";
import { api, readSession, session, maySubmit } from "./lib/api.js";
import { duration } from "./lib/format.js";
import { bind, bound, helpOpen, watchKeys } from "./lib/keys.js";
import { freshness } from "./lib/live.js";
import { now } from "./lib/now.js";
import { go, href, query, watchLinks } from "./lib/route.js";
import { theme, turn } from "./lib/theme.js";
import { Failure, Shield } from "./ui/bits.js";
import { Studies } from "./pages/studies.js";
import { Study } from "./pages/study.js";
import { Views } from "./ui/views.js";
import { later } from "./ui/later.js";

const Trial = later(() => import("./pages/trial.js"), "Trial");
const Submit = later(() => import("./pages/submit.js"), "Submit");
const Fleet = later(() => import("./pages/fleet.js"), "Fleet");

function App() {
  const [error, setError] = useState(/** @type {any} */ (null));
  const enter = () => readSession().then(() => setError(null), setError);
  useEffect(() => void enter(), []);
  if (error) return html`<main><${Failure} error=${error} again=${enter} /></main>`;
  if (!session.value) return html`<p class="boot">Loading…</p>`;
  const asked = query.value;
  const key = JSON.stringify([asked.page, asked.study, asked.trial]);
  return html`<a class="skip" href="#main">Skip to the content</a><${Top} /><main id="main"><${Shield} key=${key}><${Page} /><//></main><${Help} />`;
}

function Page() {
  const asked = query.value;
  if (asked.study && asked.trial) return html`<${Trial} key=${`${asked.study} ${asked.trial}`} study=${asked.study} number=${asked.trial} />`;
  if (asked.study) return html`<${Study} key=${asked.study} id=${asked.study} />`;
  if (asked.page === "submit") return html`<${Submit} key=${`${asked.clone} ${asked.trial}`} />`;
  if (asked.page === "fleet") return html`<${Fleet} />`;
  return html`<${Studies} />`;
}

function Top() {
  const who = session.value;
  const at = query.value.page ?? "studies";
  const link = (page, word) => html`<a href=${page === "studies" ? "./" : href({ page }, true)} aria-current=${at === page ? "page" : undefined}>${word}</a>`;
  return html`<header class="top">
    <a class="brand" href="./">tuner</a>
    <nav aria-label="Pages">${link("studies", "Studies")}${link("fleet", "Fleet")}${maySubmit() && link("submit", "Submit")}</nav><${Views} />
    <span class="grow"></span>
    <${Fresh} />
    <button class="plain" onClick=${() => (helpOpen.value = true)} aria-label="Keys" title="Keys (?)">?</button>
    <button class="plain" onClick=${turn}>${theme.value === "dark" ? "Light" : "Dark"}</button>
    <span class="dim small hide-narrow">${who?.name} · ${who?.role}${who?.project ? ` · ${who.project}` : ""}</span>
    <button class="plain" onClick=${leave}>Log out</button>
  </header>`;
}

function Fresh() {
  const { state, since } = freshness.value;
  const age = duration((now.value - since) / 1000);
  const words = { live: "live", connecting: "connecting", polling: "updates every 5 s", stale: `stale: last heard ${age} ago` };
  return html`<span class="fresh" data-state=${state} role="status">${words[state]}</span>`;
}

function Help() {
  if (!helpOpen.value) return null;
  const close = () => (helpOpen.value = false);
  return html`<dialog ref=${(d) => d && !d.open && d.showModal()} onClose=${close} aria-label="Keys">
    <h2>Keys</h2><table><tbody>${bound().map(([key, what]) => html`<tr><td><kbd>${key}</kbd></td><td>${what}</td></tr>`)}</tbody></table>
    <form method="dialog"><button>Close</button></form></dialog>`;
}

async function leave() {
  await api("session", { method: "DELETE", root: true }).catch(() => {});
  location.assign("login");
}

bind("?", "show these keys", () => (helpOpen.value = true));
bind("g s", "go to the studies", () => go("./"));
bind("g f", "go to the fleet", () => go(href({ page: "fleet" }, true)));
bind("g n", "submit a new study", () => go(href({ page: "submit" }, true)));
bind("/", "search", () => /** @type {HTMLElement | null} */ (document.querySelector("main input[type=search]"))?.focus());
bind("d", "dark or light", turn);
effect(() => void document.documentElement.setAttribute("data-page", query.value.page ?? "studies"));
watchLinks();
watchKeys();
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
