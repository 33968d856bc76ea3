// Ask for a token, fetch the description with it, and show it. The token is kept in memory only.
"use strict";

const entry = document.getElementById("entry");
const notice = document.getElementById("notice");

function show(description, token) {
  entry.hidden = true;
  // Added after the request is shown, so that the command line on the page has no token in it.
  const authorize = (request) => {
    if (token && new URL(request.url, location.href).origin === location.origin) {
      request.headers.Authorization = `Bearer ${token}`;
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
    show(await reply.json(), token);
    return;
  }
  entry.hidden = false;
  notice.textContent = token ? (await reply.json()).detail : "";
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
