"""What an operator chooses: one frozen value, made once at the start."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from api.limits.settings import Limits

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_WILDCARDS = ("0.0.0.0", "::", "")  # noqa: S104


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Files of the certificate (with its chain) and its key, in PEM."""

    cert: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class WorkerToken:
    """The built-in worker token, by the SHA-256 of its secret in hexadecimal.

    With a `project` it gets leases of that project's studies only.
    """

    digest: str
    project: str | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The server's settings. Durations in seconds, sizes in bytes.

    `allowed_hosts` are names clients may use for this server beside its own; `*` allows any.
    Files lie in `artifact_dir`, or in the store `artifact_url`, which workers reach at
    `artifact_endpoint` if that is another address; unless `direct`, all go through the server.
    `webhook_hosts` are the hosts that webhooks may lead to although they are not public.
    """

    db_url: str
    artifact_dir: Path
    artifact_url: str | None = None
    artifact_endpoint: str | None = None
    direct: bool = True
    admin_token: str = field(repr=False)
    worker_token: WorkerToken | None = None
    host: str = "127.0.0.1"
    allowed_hosts: tuple[str, ...] = ()
    behind_proxy: bool = False
    tls: Tls | None = None
    session_idle_s: float = 12 * 3600.0
    session_most_s: float = 7 * 86400.0
    webhook_hosts: tuple[str, ...] = ()
    lease_s: float = 30.0
    heartbeat_s: float = 10.0
    sweep_s: float = 5.0
    keep_alive_s: float = 75.0
    drain_s: float = 10.0
    max_body: int = 2_000_000
    max_checkpoint: int = 20_000_000_000
    limits: Limits = field(default_factory=Limits)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    @property
    def hosts(self) -> frozenset[str]:
        """The names in a Host header that are answered, without port, in lower case."""
        own = () if self.host in _WILDCARDS else (self.host,)
        return frozenset(h.lower() for h in (*_LOOPBACK_NAMES, *own, *self.allowed_hosts))


def is_loopback(host: str) -> bool:
    """Tell whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
