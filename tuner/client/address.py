"""Which server, and how it is known: its URL, its certificate, and the token for it."""

from __future__ import annotations

import ipaddress
import os
import ssl
from pathlib import Path

import httpx

from tuner.errors import InvalidInput
from tuner.home import read_admin_token

DEFAULT_URL = "http://127.0.0.1:8700"


def tls_context(ca: str | Path | None) -> ssl.SSLContext | bool:
    """Return how a server's certificate is checked: by a file, `TUNER_CA`, or as the system does.

    Raises:
        InvalidInput: the file can't be read or holds no certificate.
    """
    chosen = ca or os.environ.get("TUNER_CA")
    if not chosen:
        return True
    try:
        return ssl.create_default_context(cafile=str(chosen))
    except OSError as exc:
        raise InvalidInput(f"{chosen} holds no certificates in PEM that can be read") from exc


def is_loopback(url: str) -> bool:
    """Tell whether `url` leads to this machine's own loopback interface."""
    host = httpx.URL(url).host
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def from_environment(url: str | None, token: str | None) -> tuple[str, str | None]:
    """Fill in the server and the token: `TUNER_URL`, `TUNER_TOKEN`, else this machine's own.

    The admin token stored on this machine is offered to servers on this machine only.
    """
    url = url or os.environ.get("TUNER_URL") or DEFAULT_URL
    token = token or os.environ.get("TUNER_TOKEN") or None
    if token is None and is_loopback(checked(url)):
        token = read_admin_token()
    return url, token


def checked(url: str) -> str:
    """Return a server's URL without a slash at its end. Raises InvalidInput if it is none."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as exc:
        raise InvalidInput(f"{url!r} is not a URL: {exc}") from exc
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidInput(f"{url!r} is not a server's URL, such as {DEFAULT_URL}")
    return url.rstrip("/")
