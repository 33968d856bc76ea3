// Ask for a token, fetch the description with it, and show it. The token is kept in memory only.
"use strict";

const entry = document.getElementById("entry");
const notice = document.getElementById("notice");

function show(description, headers) {
  entry.hidden = true;
  // Added after the request is shown, so that the command line on the page has no token in it.
  const authorize = (request) => {
    if (new URL(request.url, location.href).origin === location.origin) {
      Object.assign(request.headers, headers);
    }
    return request;
  };
  SwaggerUIBundle({
    spec: description,
    domNode: document.getElementById("api"),
    deepLinking: true,
    persistAuthorization: false,
    validatorUrl: null,
    defaultModelsExpandDepth: 0,
    requestInterceptor: authorize,
    showMutatedRequest: false,
  });
}

async function open(token) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const reply = await fetch("openapi.json", { headers, credentials: "same-origin" });
  if (reply.ok) {
    show(await reply.json(), token ? headers : await sessionHeaders());
    return;
  }
  entry.hidden = false;
  notice.textContent = token ? (await reply.json()).detail : "";
}

// A session's writes need what only its own pages can read.
async function sessionHeaders() {
  const reply = await fetch("session", { credentials: "same-origin" });
  return reply.ok ? { "X-CSRF-Token": (await reply.json()).csrf } : {};
}

entry.addEventListener("submit", (event) => {
  event.preventDefault();
  const token = document.getElementById("token").value.trim();
  open(token).catch((error) => { notice.textContent = String(error); });
});

// Who is logged in has a session and needs no token here.
open("").catch((error) => {
  entry.hidden = false;
  notice.textContent = String(error);
});
