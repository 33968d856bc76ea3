"""Which problems each operation may answer, for the OpenAPI description."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from tuner import errors
from tuner.errors import TunerError

MEDIA = "application/problem+json"
Kind = type[TunerError]
Group = tuple[Kind, ...]

_EVERYWHERE: tuple[Kind, ...] = (
    errors.NotAllowed,
    errors.WrongHost,
    errors.InvalidInput,
    errors.TunerError,
    errors.Unavailable,
)
_WITH_TOKEN: tuple[Kind, ...] = (errors.NotAuthenticated, errors.TooMany)
_WITH_BODY: tuple[Kind, ...] = (errors.Malformed, errors.TooLarge, errors.UnsupportedMedia)
_WRITING: tuple[Kind, ...] = (errors.OwnerLost, errors.StorageFull)
_WITH_KEY: tuple[Kind, ...] = (errors.KeyInFlight,)
_WITH_LEASE: tuple[Kind, ...] = (errors.StaleAttempt, errors.TrialEnded)
_STATE: tuple[Kind, ...] = (errors.StudyState,)
_OWN: Mapping[str, tuple[Kind, ...]] = {
    "submit_study": (errors.DuplicateName, errors.QuotaReached),
    "adopt_study": (errors.DuplicateName, errors.QuotaReached),
    "clone_study": (errors.DuplicateName, errors.QuotaReached),
    "create_token": (errors.Conflict,),
    "create_webhook": (errors.Conflict, errors.NotFound),
    "show_session": (errors.NotFound,),
    "end_session": (errors.NotFound,),
    "log_in": (errors.NotAuthenticated, errors.TooMany),
    "adopt_trials": (*_STATE, errors.Conflict),
    "change_study": (*_STATE, errors.Conflict),
    "delete_study": (*_STATE, errors.Conflict),
    "extend_study": (*_STATE, errors.Conflict, errors.QuotaReached),
    "enqueue_trial": (*_STATE, errors.Conflict),
    "stop_trial": (errors.TrialEnded,),
    "cut_rate": (errors.TrialEnded, errors.Conflict),
    "save_view": (errors.Conflict,),
    "remove_view": (errors.NotFound,),
    "ask_trial": (*_STATE, errors.NoTrial),
    "acquire_leases": (errors.NotFound,),
    "put_checkpoint": (errors.Conflict, errors.QuotaReached),
    "register_checkpoint": (errors.Conflict, errors.QuotaReached),
    "get_checkpoint": (errors.NotFound,),
    "get_source": (errors.NotFound, errors.Conflict),
    "put_artifact": (errors.Conflict, errors.QuotaReached),
    "register_artifact": (errors.Conflict, errors.QuotaReached),
    "ask_upload": (errors.TooLarge, errors.QuotaReached),
    "preview_artifact": (errors.TooLarge,),
    "finish_trial": (errors.Conflict,),
}
_HEADERS: Mapping[int, str] = {401: "WWW-Authenticate", 409: "Retry-After"} | dict.fromkeys(
    (429, 503), "Retry-After"
)


def problems(path: str, method: str, operation: Mapping[str, Any]) -> list[Kind]:
    """Return the kinds of problem that an operation may answer, by status and slug."""
    found = {*_EVERYWHERE, *_OWN.get(operation["operationId"], ())}
    names = {parameter["name"] for parameter in operation.get("parameters", ())}
    if operation.get("security") != []:
        found.update(_WITH_TOKEN)
    if "requestBody" in operation:
        found.update(_WITH_BODY)
    if method != "get":
        found.update(_WRITING)
    if "Idempotency-Key" in names:
        found.update(_WITH_KEY)
    if "If-Match" in names:
        found.add(errors.PreconditionFailed)
    if names & {"study", "number", "worker", "token", "webhook"}:
        found.add(errors.NotFound)
    if "lease" in names:
        found.update(_WITH_LEASE)
    return sorted(found, key=lambda kind: (kind.status, kind.slug))


def groups(kinds: Iterable[Kind]) -> list[Group]:
    """Return the problems of an operation by status."""
    return [tuple(found) for _, found in groupby(kinds, key=lambda kind: kind.status)]


def name_of(group: Group) -> str:
    """Return a name for an answer that stands for these problems."""
    return "-or-".join(kind.slug for kind in group)


def response(group: Group) -> dict[str, Any]:
    """Return the answer for problems of one status, as the description has it."""
    status = group[0].status
    headers = ["X-Request-ID", *([_HEADERS[status]] if status in _HEADERS else [])]
    return {
        "description": "; ".join(kind.title for kind in group),
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": {
            MEDIA: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {
                    kind.slug: {"$ref": f"#/components/examples/{kind.slug}"} for kind in group
                },
            }
        },
    }


def examples(kinds: Iterable[Kind]) -> dict[str, Any]:
    """Return an example of each kind's problem document."""
    return {kind.slug: {"summary": kind.title, "value": _example(kind)} for kind in kinds}


def _example(kind: Kind) -> dict[str, Any]:
    return {
        "type": f"/problems/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": (kind.__doc__ or "").partition(";")[0].partition("\n")[0],
        "instance": "urn:tuner:request:5f0c2a9b7d31-1a",
        "faults": [],
        "extra": {"retry_after": 1} if kind.status in (429, 503) else {},
    }
