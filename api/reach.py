"""Who can connect, and that nobody can listen in."""

from __future__ import annotations

import ssl

from api.settings import Tls, is_loopback
from tuner.errors import InvalidInput


def check_reach(host: str, *, behind_proxy: bool, tls: Tls | None = None) -> None:
    """Refuse to send tokens over a network in clear text.

    Raises:
        InvalidInput: others can connect, there is no certificate, and no proxy is said to end TLS.
    """
    if behind_proxy or tls is not None or is_loopback(host):
        return
    raise InvalidInput(
        f"listening on {host} would send tokens over the network in clear text; give "
        "--tls-cert and --tls-key, or put a proxy that ends TLS in front of it and give "
        "--behind-proxy, or listen on 127.0.0.1"
    )


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return what a server speaks TLS with, 1.2 or later.

    Raises:
        InvalidInput: a file can't be read, is no certificate or key, or they are no pair.
    """
    for file in (tls.cert, tls.key):
        try:
            file.read_bytes()
        except OSError as exc:
            raise InvalidInput(f"{file} can't be read: {exc.strerror}") from exc
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.cert, tls.key, password=_no_password)
    except ssl.SSLError as exc:
        if "MISMATCH" in (exc.reason or ""):
            raise InvalidInput(f"{tls.key} is not the key of the certificate {tls.cert}") from exc
        raise InvalidInput(
            f"{tls.cert} and {tls.key} are no certificate and key in PEM without a password"
        ) from exc
    return context


def _no_password() -> str:
    """Answer OpenSSL, which would ask at the terminal."""
    return ""
