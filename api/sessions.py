"""Browsers' sessions, in memory: a restart of the server ends them."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from tuner.access import Identity

_MOST = 10_000
_MOST_EACH = 100
"""Sessions of one token: the one unused for longest ends before others' do."""


@dataclass(kw_only=True)
class Session:
    """A log-in. `digest` is its token's, None for the built-in admin. Times are monotonic."""

    identity: Identity
    digest: str | None
    csrf: str
    ends_at: float
    heard_at: float


@dataclass(kw_only=True)
class Sessions:
    """Sessions by the hash of the id that the cookie carries.

    Args:
        monotonic: gives seconds that never jump.
        idle_s: seconds after which an unused session ends.
        most_s: seconds after which any session ends.
    """

    monotonic: Callable[[], float]
    idle_s: float
    most_s: float
    _found: dict[str, Session] = field(default_factory=dict)

    def start(self, identity: Identity, digest: str | None) -> tuple[str, Session]:
        """Return a new session, and the secret for its cookie."""
        self._sweep()
        self._make_room(digest)
        secret, now = secrets.token_urlsafe(32), self.monotonic()
        session = Session(
            identity=identity,
            digest=digest,
            csrf=secrets.token_urlsafe(32),
            ends_at=now + self.most_s,
            heard_at=now,
        )
        self._found[_key(secret)] = session
        return secret, session

    def find(self, secret: str) -> Session | None:
        """Return the live session that a cookie names, which counts as use."""
        session = self._found.get(_key(secret))
        if session is None or not self.is_live(session):
            self._found.pop(_key(secret), None)
            return None
        session.heard_at = self.monotonic()
        return session

    def is_live(self, session: Session) -> bool:
        """Tell whether a session was not ended, by hand or by time."""
        now = self.monotonic()
        return now < session.ends_at and now < session.heard_at + self.idle_s

    def end(self, session: Session) -> None:
        """End a session at once."""
        session.ends_at = -math.inf
        self._sweep()

    def _make_room(self, digest: str | None) -> None:
        own = [s for s in self._found.values() if s.digest == digest]
        if len(own) >= _MOST_EACH:
            self.end(min(own, key=lambda s: s.heard_at))

    def _sweep(self) -> None:
        for key in [k for k, s in self._found.items() if not self.is_live(s)]:
            del self._found[key]
        while len(self._found) >= _MOST:
            self._found.pop(next(iter(self._found))).ends_at = -math.inf


def same(a: str, b: str) -> bool:
    """Compare two secrets in a time that tells nothing."""
    return hmac.compare_digest(a.encode("utf-8", "replace"), b.encode("utf-8", "replace"))


def _key(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
