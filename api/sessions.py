"""Browsers' sessions, in memory; what outlives a restart of them lets nobody in by itself."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from storage.changes import StoredSession
from tuner.access import Identity

_MOST = 10_000
_MOST_EACH = 100
"""Sessions of one token: the one unused for longest ends before others' do."""


@dataclass(kw_only=True)
class Session:
    """A log-in. `digest` is its token's, None for a built-in one. Times are monotonic.

    `key` is the hash of the secret in its cookie.
    """

    key: str
    identity: Identity
    digest: str | None
    csrf: str
    ends_at: float
    heard_at: float


class Kept(NamedTuple):
    """A session from before the server's restart, not used since. Times are monotonic."""

    digest: str | None
    proof: str
    ends_at: float
    heard_at: float


@dataclass(kw_only=True)
class Sessions:
    """Sessions by the hash of the secret that the cookie carries.

    Args:
        monotonic: gives seconds that never jump.
        idle_s: seconds after which an unused session ends.
        most_s: seconds after which any session ends.
    """

    monotonic: Callable[[], float]
    idle_s: float
    most_s: float
    _found: dict[str, Session] = field(default_factory=dict)
    _kept: dict[str, Kept] = field(default_factory=dict)

    def start(self, identity: Identity, digest: str | None) -> tuple[str, Session]:
        """Return a new session, and the secret for its cookie."""
        self._sweep()
        self._make_room(digest)
        secret, now = secrets.token_urlsafe(32), self.monotonic()
        session = Session(
            key=_key(secret),
            identity=identity,
            digest=digest,
            csrf=_tied(secret, "csrf"),
            ends_at=now + self.most_s,
            heard_at=now,
        )
        self._found[session.key] = session
        return secret, session

    def to_keep(self, session: Session, proof: str, now: datetime) -> StoredSession:
        """Return what is stored of a session that begins `now`, at this time of day."""
        ends_at = now + timedelta(seconds=self.most_s)
        return StoredSession(
            key=session.key, digest=session.digest, proof=proof, at=now, ends_at=ends_at
        )

    def restore(self, stored: Iterable[StoredSession], now: datetime) -> None:
        """Take over what was stored before the restart; all of it counts as used `now`."""
        heard = self.monotonic()
        for one in stored:
            left = min((one.ends_at - now).total_seconds(), self.most_s)
            self._kept[one.key] = Kept(one.digest, one.proof, heard + left, heard)

    def resume(self, secret: str, whose: Callable[[Kept], Identity | None]) -> Session | None:
        """Go on with the session from before the restart that a cookie names.

        Args:
            secret: the cookie's.
            whose: returns who it stands for, None if its token is no longer valid.
        """
        kept = self._kept.pop(_key(secret), None)
        identity = None if kept is None else whose(kept)
        if kept is None or identity is None:
            return None
        self._sweep()
        self._make_room(kept.digest)
        self._found[_key(secret)] = Session(
            key=_key(secret),
            identity=identity,
            digest=kept.digest,
            csrf=_tied(secret, "csrf"),
            ends_at=kept.ends_at,
            heard_at=kept.heard_at,
        )
        return self.find(secret)

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


def proof_of(secret: str, digest: str) -> str:
    """Return what tells, to who has a session's secret, which token it was begun with.

    Without the secret it tells nothing, so that it may be stored: not even a weak token is found.
    """
    return _tied(secret, f"token {digest}")


def _tied(secret: str, text: str) -> str:
    key = secret.encode("utf-8", "surrogateescape")
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _key(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
