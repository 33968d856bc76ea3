"""Where a webhook may lead: public addresses only, unless the operator named the host.

Pure: a URL is judged as text, an address as a number. `api.webhooks.network` connects to no other
address than one that was judged here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import urlsplit

from tuner.errors import InvalidInput

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

MOST_URL = 2000
_PORTS = {"http": 80, "https": 443}
_LOWEST_PORT = 1024
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_BRACKETED = re.compile(r"\[[0-9A-Fa-f:.]+\](:[0-9]+)?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

# IANA's special-purpose registries, and Azure's host-only service under a public number.
_CLOSED_V4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32",
            "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
            "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
        ),
    )
)  # fmt: skip
_OPEN_V6 = ipaddress.IPv6Network("2000::/3")
_CLOSED_V6 = tuple(
    map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Target(NamedTuple):
    """A URL in parts. `host` is in lower case, without brackets; `path` has the query."""

    scheme: str
    host: str
    port: int
    path: str
    allowed: bool
    """Whether the operator named the host: any address and port, without TLS if it likes."""

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def target_of(url: str, allowed_hosts: Collection[str]) -> Target:
    """Return where a URL leads.

    Raises:
        InvalidInput: it is none that is told anything, and why.
    """
    if len(url) > MOST_URL or not re.fullmatch(r"[!-~]+", url) or re.search(r'[\\<>"`{}|^]', url):
        raise InvalidInput("the URL has characters that must be escaped, or is too long")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise InvalidInput("the URL can't be read") from exc
    if parts.scheme not in _PORTS:
        raise InvalidInput("the URL must begin with https://")
    if "@" in parts.netloc:
        raise InvalidInput("the URL must hold no user name and no password")
    if parts.fragment or url.endswith("#"):
        raise InvalidInput("the URL must have no fragment")
    if "[" in parts.netloc and not _BRACKETED.fullmatch(parts.netloc):
        raise InvalidInput("the URL's address can't be read")
    host = _host(parts.hostname or "", bracketed="[" in parts.netloc)
    allowed = host in {name.lower().rstrip(".") for name in allowed_hosts}
    port = _PORTS[parts.scheme] if port is None else port
    _check_way(parts.scheme, port, allowed=allowed)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    target = Target(parts.scheme, host, port, path, allowed)
    if (ip := address_of(host)) is not None:
        check_address(target, ip)
    return target


def address_of(host: str) -> Ip | None:
    """Return the address that a host is, None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def check_address(target: Target, ip: Ip) -> None:
    """Refuse an address that is not public, unless the operator named the host.

    Raises:
        InvalidInput: it may not be connected to.
    """
    if not target.allowed and not is_public(ip):
        raise InvalidInput(
            f"{target.host} leads to an address that is not public; the operator may allow it: "
            f"tuner serve --webhook-allow-host {target.host}"
        )


def is_public(ip: Ip) -> bool:
    """Tell whether an address is one of the internet's, and embeds none that is not."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not any(ip in network for network in _CLOSED_V4)
    if ip.ipv4_mapped is not None:
        return False
    if ip in _NAT64:
        return is_public(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    closed = any(ip in network for network in _CLOSED_V6)
    return ip in _OPEN_V6 and ip.is_global and not closed and ip.scope_id is None


def _host(name: str, *, bracketed: bool) -> str:
    host = name.lower().removesuffix(".")
    ip = address_of(host)
    if bracketed:
        if not isinstance(ip, ipaddress.IPv6Address) or ip.scope_id is not None:
            raise InvalidInput("the URL's address can't be read")
        return str(ip)
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if len(host) > 253 or _NAME.fullmatch(host) is None:
        raise InvalidInput("the URL names no host; names of other scripts are written as xn--")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise InvalidInput("the URL's address must be written as four decimal numbers")
    return host


def _check_way(scheme: str, port: int, *, allowed: bool) -> None:
    if allowed:
        return
    if scheme != "https":
        raise InvalidInput(
            "the URL must begin with https://; the operator may allow http to a host by "
            "tuner serve --webhook-allow-host"
        )
    if port != _PORTS[scheme] and port < _LOWEST_PORT:
        raise InvalidInput(f"port {port} is not told anything: take 443 or one from 1024 on")
