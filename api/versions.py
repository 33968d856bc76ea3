"""Versions of studies: what `ETag`, `If-None-Match` and `If-Match` compare.

A study's `version` covers what people can change: its document, and whether it was paused, stopped
or cancelled. Progress of the server's own (a first lease, a trial's end, the study's end) leaves it
as it is. The `ETag` is the version with a digest of the whole reply behind it, so it is strong:
`If-None-Match` compares all of it, `If-Match` the version alone.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated

from fastapi import Depends, Header
from starlette.responses import Response

from tuner.errors import Fault, InvalidInput, PreconditionFailed
from tuner.study import Study
from tuner.trial import EndReason, StudyState
from tuner.wire import StudyView

_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e]*)"\s*(?:,|$)')
_DIGITS = 16
_MEDIA = "application/json"

IfMatchHeader = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="Only if it still has this ETag, or `version` in quotes; `*`: any",
        max_length=2000,
    ),
]
IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        description="304 without a body if the reply would have this ETag",
        max_length=2000,
    ),
]


async def versions_of(given: IfMatchHeader = None) -> frozenset[str] | None:
    """Return the versions that `If-Match` names; None if any will do.

    Raises:
        InvalidInput: it is no list of entity tags.
    """
    if given is None or given.strip() == "*":
        return None
    # A weak tag never matches here (RFC 9110, 13.1.1).
    return frozenset(tag.partition("-")[0] for weak, tag in _tags("If-Match", given) if not weak)


IfMatch = Annotated[frozenset[str] | None, Depends(versions_of)]


def version(study: Study) -> str:
    """Return the version of what people can change of a study."""
    text = f"{study.study_id}\n{study.spec.model_dump_json(exclude_none=True)}\n{_wish(study)}"
    return _digest(text.encode())


def check(study: Study, expected: frozenset[str] | None) -> None:
    """Refuse to go on if a person changed the study meanwhile.

    Raises:
        PreconditionFailed: its version is none of the expected ones.
    """
    if expected is None or (now := version(study)) in expected:
        return
    raise PreconditionFailed(
        f"study {study.name!r} was changed meanwhile: read it anew, then decide", version=now
    )


def reply(view: StudyView, unless: str | None) -> Response:
    """Show a study with its ETag; 304 if `unless` (`If-None-Match`) names it.

    Raises:
        InvalidInput: `unless` is no list of entity tags.
    """
    body = view.model_dump_json().encode()
    tag = f'"{view.version}-{_digest(body)}"'
    if unless is not None and _names(unless, tag):
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, headers={"ETag": tag}, media_type=_MEDIA)


def tagged(response: Response) -> Response:
    """Add its ETag to a reply that shows a study."""
    body = bytes(response.body)
    shown = StudyView.model_validate_json(body)
    response.headers["ETag"] = f'"{shown.version}-{_digest(body)}"'
    return response


def _names(header: str, tag: str) -> bool:
    if header.strip() == "*":
        return True
    return any(f'"{found}"' == tag for _, found in _tags("If-None-Match", header))


def _tags(name: str, header: str) -> list[tuple[bool, str]]:
    found, at = [], 0
    while at < len(header):
        match = _TAG.match(header, at)
        if match is None:
            message = 'is no list of entity tags, such as "0a1b2c"'
            raise InvalidInput(f"header.{name}: {message}", [Fault(where=name, message=message)])
        found.append((match[1] is not None, match[2]))
        at = match.end()
    return found


def _wish(study: Study) -> str:
    """Return what people last asked of a study's state."""
    if study.state in (StudyState.PAUSED, StudyState.CANCELLED):
        return study.state.value
    stopped = EndReason.STOPPED in (study.stopping, study.ended_why)
    return "stopped" if stopped else "open"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]
