"""Who may ask: the Host, Origin and token checks, before any routing."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, QueryParams
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.credentials import (
    Credential,
    address_of,
    check_token,
    cookie_name,
    cookie_of,
    holds,
    is_admin_of_standby,
    is_secure,
    session_of,
)
from api.pages import FILES
from api.problems import response_of
from api.services import Services
from api.sessions import Session, same
from api.settings import Settings
from api.site import ASSETS, PAGE, site
from api.throttle import Throttle
from tuner.access import BUILT_IN_ADMIN, Identity
from tuner.errors import NotAllowed, NotAuthenticated, Unavailable, WrongHost

HEALTH = frozenset({"/healthz", "/readyz"})
LOGIN, SESSION, LOGOUT = "/login", "/session", "/logout"
OPEN = frozenset(
    {
        *(("GET", path) for path in (*HEALTH, *FILES, PAGE, ASSETS, LOGIN, "/login.css")),
        ("POST", SESSION),
    }
)
"""Method and path of what is answered without a token; it holds nothing of this server."""
CSRF_HEADER = "x-csrf-token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_TOKEN_NAMES = frozenset({"token", "access_token", "api_key", "apikey", "key", "authorization"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_OTHER_SITE = "requests from another site's pages are not answered"


def is_open(method: str, path: str) -> bool:
    """Tell whether a request is answered without a token."""
    if path in HEALTH or (method, path) in OPEN:
        return True
    return method == "GET" and path in site().files


class Guard:
    """ASGI middleware: deny by default.

    Guarantees: nothing behind it sees a request for another host, from another site's page, or
    without a valid token or session, but for what is in `OPEN`. What it lets through carries in
    `scope["state"]` who sent it: `identity`, `user` (its name), `token_id`, `address`, and
    `still_valid`, a function that tells whether it would be let in now.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings
        self._hosts = settings.hosts
        self._is_loopback = settings.is_loopback
        limits = settings.limits
        self._throttle = Throttle(limits.wrong_tokens, limits.wrong_token_s, time.monotonic)
        self._sites = frozenset(h.lower() for h in settings.allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request.

        Raises:
            NotAllowed: a page of another site sent it.
            NotAuthenticated: it has no valid token.
            TooMany: its address sent too many wrong ones.
            WrongHost: it names a host that is not this server.
        """
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            state = scope.setdefault("state", {})
            state["address"] = address_of(scope, headers, self.settings)
            self._check_host(scope["path"], headers)
            self._check_origin(scope["method"], headers)
            if not is_open(scope["method"], scope["path"]):
                instead = self._authenticate(scope, headers)
                if instead is not None:
                    await instead(scope, receive, send)
                    return
        await self.app(scope, receive, send)

    def _check_host(self, path: str, headers: Headers) -> None:
        if "*" in self._hosts or (path in HEALTH and not self._is_loopback):
            return
        given = headers.getlist("host")
        name = host_name(given[0]) if len(given) == 1 else None
        if name is None or name not in self._hosts:
            raise WrongHost(
                "this server does not answer for that host; "
                "start it with --allowed-host NAME if it should"
            )

    def _check_origin(self, method: str, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None and method not in _SAFE:
            # A browser that hides its page's origin still says how the page stands to us.
            if headers.get("sec-fetch-site", "none") in ("cross-site", "same-site"):
                raise NotAllowed(_OTHER_SITE)
            return
        if origin is None:
            return
        try:
            parts = urlsplit(origin)
            port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
            here = urlsplit(f"{parts.scheme}://{headers.get('host', '')}")
            same = parts.hostname == here.hostname and port == (
                here.port or _DEFAULT_PORTS.get(parts.scheme)
            )
        except ValueError:
            same, parts = False, urlsplit("")
        if not parts.hostname or not (same or parts.hostname in self._sites):
            raise NotAllowed(_OTHER_SITE)

    def _authenticate(self, scope: Scope, headers: Headers) -> Response | None:
        """Note who sent a request; return what to answer instead of it, if anything."""
        given = headers.getlist("authorization")
        services = _services(scope)
        if given:
            return self._by_token(scope, services, given)
        if services is not None:
            secret = self._cookie(headers)
            session = session_of(services, secret) if secret else None
            if session is not None and holds(services, session.digest):
                self._check_csrf(scope, headers, session)
                still = partial(_session_holds, services, session)
                _let_in(scope, session.identity, still)
                scope["state"]["session"] = session
                return None
        if any(k.lower() in _TOKEN_NAMES for k in QueryParams(scope["query_string"])):
            raise NotAuthenticated("a token in the URL is refused, since URLs end up in logs")
        if scope["method"] in _SAFE and "text/html" in headers.get("accept", ""):
            return RedirectResponse(_to_log_in(scope["path"]), 303)
        raise NotAuthenticated("send the header 'Authorization: Bearer TOKEN'")

    def _by_token(
        self, scope: Scope, services: Services | None, given: list[str]
    ) -> Response | None:
        kind, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        secret = secret.strip()
        if kind.lower() != "bearer" or not secret:
            raise NotAuthenticated("send the token as 'Authorization: Bearer TOKEN'")
        if services is None:
            address = scope["state"]["address"]
            if not is_admin_of_standby(self.settings, self._throttle, secret, address):
                # Not raised: the boundary would log each request to a server that stands by.
                return response_of(Unavailable("the server does not serve yet", retry_after=2))
            _let_in(scope, BUILT_IN_ADMIN, lambda: True)
            return None
        found: Credential = check_token(services, secret, scope["state"]["address"])
        _let_in(scope, found.identity, partial(holds, services, found.digest))
        return None

    def _cookie(self, headers: Headers) -> str | None:
        """Return the session's secret that a browser sent, if it did."""
        host = host_name(headers.get("host", ""))
        return cookie_of(headers, cookie_name(is_secure(headers, self.settings, host)))

    def _check_csrf(self, scope: Scope, headers: Headers, session: Session) -> None:
        """Refuse writes that the session's own page did not send. Raises NotAllowed."""
        if scope["method"] in _SAFE:
            return
        own = "origin" in headers or headers.get("sec-fetch-site") == "same-origin"
        if scope["path"] == LOGOUT and own:
            return
        if not same(headers.get(CSRF_HEADER, ""), session.csrf):
            raise NotAllowed(f"with a session, send its `csrf` as the header {CSRF_HEADER}")


def _services(scope: Scope) -> Services | None:
    app = scope.get("app")
    return None if app is None else getattr(app.state, "services", None)


def _let_in(scope: Scope, identity: Identity, still_valid: Callable[[], bool]) -> None:
    scope["state"].update(
        identity=identity,
        user=identity.name,
        token_id=identity.token_id,
        still_valid=still_valid,
    )


def _session_holds(services: Services, session: Session) -> bool:
    return services.sessions.is_live(session) and holds(services, session.digest)


def host_name(header: str) -> str | None:
    """Return the host in a Host header, in lower case without port; None if it is none."""
    if any(c in header for c in "/@?#\\ \t,"):
        return None
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname


def _to_log_in(path: str) -> str:
    """Return where the log-in page is, seen from `path`: a proxy may serve all under a prefix."""
    up = "../" * (path.count("/") - 1)
    return f"{up}{LOGIN[1:]}?next={quote(f'.{path}', safe='')}"
