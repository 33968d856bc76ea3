"""Who may ask: the Host, Origin and token checks, before any routing."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from api.pages import FILES
from api.settings import Settings
from tuner.errors import NotAllowed, NotAuthenticated, WrongHost

HEALTH = frozenset({"/healthz", "/readyz"})
OPEN = HEALTH | FILES.keys()
"""Health, and the files of the interactive page, which hold nothing of this server."""
_TOKEN_NAMES = frozenset({"token", "access_token", "api_key", "apikey", "key", "authorization"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Guard:
    """ASGI middleware: deny by default.

    Guarantees: nothing behind it sees a request for another host, from another site's page, or
    without a valid token, but for the paths in `OPEN`.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings
        self._digest = _digest(settings.admin_token)
        self._sites = frozenset(h.lower() for h in settings.allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request.

        Raises:
            NotAllowed: a page of another site sent it.
            NotAuthenticated: it has no valid token.
            WrongHost: it names a host that is not this server.
        """
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            self._check_host(scope["path"], headers)
            self._check_origin(headers)
            if scope["path"] not in OPEN:
                self._check_token(scope, headers)
        await self.app(scope, receive, send)

    def _check_host(self, path: str, headers: Headers) -> None:
        if "*" in self.settings.hosts or (path in HEALTH and not self.settings.is_loopback):
            return
        given = headers.getlist("host")
        name = host_name(given[0]) if len(given) == 1 else None
        if name is None or name not in self.settings.hosts:
            raise WrongHost(
                "this server does not answer for that host; "
                "start it with --allowed-host NAME if it should"
            )

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
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
            raise NotAllowed("requests from another site's pages are not answered")

    def _check_token(self, scope: Scope, headers: Headers) -> None:
        given = headers.getlist("authorization")
        kind, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if kind.lower() == "bearer" and hmac.compare_digest(_digest(token.strip()), self._digest):
            scope.setdefault("state", {})["user"] = "admin"
            return
        if any(k.lower() in _TOKEN_NAMES for k in QueryParams(scope["query_string"])):
            raise NotAuthenticated("a token in the URL is refused, since URLs end up in logs")
        if given:
            raise NotAuthenticated("the token is not known here")
        raise NotAuthenticated("send the header 'Authorization: Bearer TOKEN'")


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


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
