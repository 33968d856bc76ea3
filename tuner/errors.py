"""The project's one exception tree.

Each class carries the slug and HTTP status of its problem document (RFC 9457), so that server and
client translate in both directions from this table alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Name one place of an input that is wrong: a dotted path and a sentence."""

    where: str
    message: str


class TunerError(Exception):
    """Base of all errors raised by this project."""

    slug: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something failed"

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra: Mapping[str, Any] = extra


class InvalidInput(TunerError):
    """An input breaks the rules; `faults` says where."""

    slug, status, title = "invalid-input", 422, "The input is not valid"

    def __init__(self, detail: str, faults: Sequence[Fault] = (), **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.faults = tuple(faults)


class Malformed(TunerError):
    """A request body is not the JSON or YAML it claims to be."""

    slug, status, title = "malformed", 400, "The body could not be read"


class NotAuthenticated(TunerError):
    """No token, or one the server does not know."""

    slug, status, title = "not-authenticated", 401, "A valid token is needed"


class NotAllowed(TunerError):
    """The token is known and may not do this."""

    slug, status, title = "not-allowed", 403, "Not allowed"


class NotFound(TunerError):
    """The study, trial, worker or route does not exist."""

    slug, status, title = "not-found", 404, "Not found"


class MethodNotAllowed(TunerError):
    """The route exists and does not take this method."""

    slug, status, title = "method-not-allowed", 405, "Method not allowed"


class Conflict(TunerError):
    """The request contradicts what is stored."""

    slug, status, title = "conflict", 409, "Conflict"


class DuplicateName(Conflict):
    """A study of this name exists; `extra["study_id"]` is its id."""

    slug, title = "duplicate-name", "A study of this name exists"


class StudyState(Conflict):
    """The study's state does not allow this."""

    slug, title = "study-state", "The study's state does not allow this"


class StaleAttempt(Conflict):
    """The lease expired, was given to another attempt, or was never given."""

    slug, title = "stale-attempt", "The lease is no longer held"


class NoTrial(Conflict):
    """The study has no trial to hand out: now, or any more if it is over."""

    slug, title = "no-trial", "The study has no trial to hand out"


class TrialEnded(Conflict):
    """The trial has ended; its outcome stands."""

    slug, title = "trial-ended", "The trial has ended"


class ReportMismatch(Conflict):
    """Another value was already stored for this attempt and step."""

    slug, title = "report-mismatch", "Another value is stored for this step"


class KeyInFlight(Conflict):
    """A request with this Idempotency-Key is being answered."""

    slug, title = "key-in-flight", "A request with this key is in flight"


class PreconditionFailed(TunerError):
    """What `If-Match` named was changed meanwhile; `extra["version"]` is the present one."""

    slug, status, title = "precondition-failed", 412, "It was changed meanwhile"


class TooLarge(TunerError):
    """The body is larger than the server takes."""

    slug, status, title = "too-large", 413, "The body is too large"


class RequestTimeout(TunerError):
    """The request did not arrive in time."""

    slug, status, title = "request-timeout", 408, "The request came too slowly"


class HeaderTooLarge(TunerError):
    """The request's head is larger than the server takes."""

    slug, status, title = "header-too-large", 431, "The request's head is too large"


class QuotaReached(Conflict):
    """The project uses all it may; `extra` has `quota`, `limit` and `used`."""

    slug, title = "quota-reached", "The project's quota is reached"


class UnsupportedMedia(TunerError):
    """The content type or encoding is not taken here."""

    slug, status, title = "unsupported-media", 415, "The content type is not supported"


class WrongHost(TunerError):
    """The Host header names a host this server does not answer for."""

    slug, status, title = "wrong-host", 421, "Wrong host"


class TooMany(TunerError):
    """The caller sends more than its share; `extra["retry_after"]` is in seconds."""

    slug, status, title = "too-many", 429, "Too many requests"


class Unavailable(TunerError):
    """The server can't answer now; nothing was stored. `extra["retry_after"]` is in seconds."""

    slug, status, title = "unavailable", 503, "The service is not available"


class StorageFull(TunerError):
    """The disk is full; nothing was stored and reading works."""

    slug, status, title = "storage-full", 507, "The disk is full"


class ServerUnreachable(TunerError):
    """The client could not reach the server within its time-out."""

    slug, title = "server-unreachable", "The server can't be reached"


class OwnerLost(Unavailable):
    """Another process took over the database, or owns it already; nothing was stored."""

    slug, title = "owner-lost", "Another server owns this database"


class SchemaMismatch(TunerError):
    """The database was written by another version of the program."""

    slug, title = "schema-mismatch", "The database has another schema"


class TrialInterrupted(TunerError):
    """The trial was asked to leave (preemption or cancel); its handle raises this in user code."""

    slug, title = "trial-interrupted", "The trial was interrupted"


class OutsideTrial(TunerError):
    """No trial is under way in this process or around it."""

    slug, title = "outside-trial", "No trial is under way here"


def _tree(cls: type[TunerError]) -> list[type[TunerError]]:
    return [cls, *(leaf for child in cls.__subclasses__() for leaf in _tree(child))]


BY_SLUG: Mapping[str, type[TunerError]] = {cls.slug: cls for cls in _tree(TunerError)}
