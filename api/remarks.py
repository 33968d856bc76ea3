"""Notes, tags and pins: shared by all who may see the study, as nobody's private list."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from starlette.responses import Response

from api.studies import find
from storage.memory import Reader
from storage.transaction import Transaction
from tuner.errors import InvalidInput, PreconditionFailed
from tuner.remark import Remark
from tuner.trial import Event, EventKind
from tuner.wire.actions import ChangeRemark, RemarkView

_SHOWN = 200
"""Characters of a note that its event holds."""


def read(reader: Reader, ref: str, number: int | None) -> Remark:
    """Return the remark on a study, or on one of its trials. Raises NotFound."""
    study = find(reader, ref)
    if number is not None:
        reader.trial(study.study_id, number)
    return reader.remark(study.study_id, number)


def change(  # noqa: PLR0917
    tx: Transaction,
    ref: str,
    number: int | None,
    wish: ChangeRemark,
    user: str,
    now: datetime,
    expected: frozenset[str] | None,
) -> Remark:
    """Change what is noted; what is absent stays.

    Raises:
        InvalidInput: a trial is to be pinned.
        NotFound: there is no such study or trial.
        PreconditionFailed: its version is none of the expected ones.
    """
    before = read(tx, ref, number)
    if expected is not None and (now_is := version(before)) not in expected:
        message = "the note or the tags were changed meanwhile: read them anew, then decide"
        raise PreconditionFailed(message, version=now_is)
    if number is not None and wish.pinned is not None:
        raise InvalidInput("pinned: only studies are pinned")
    wanted: dict[str, Any] = wish.model_dump(exclude_none=True)
    if "tags" in wanted:
        wanted["tags"] = tuple(sorted(set(wanted["tags"])))
    if "text" in wanted:
        wanted["text"] = wanted["text"].strip()
    after = replace(before, **wanted)
    if after == before:
        return before
    after = replace(after, by=user, at=now)
    tx.put_remark(after)
    said = after.text or ", ".join(after.tags) or ("pinned" if after.pinned else "removed")
    data: dict[str, Any] = {"by": user, "reason": said[:_SHOWN], "tags": list(after.tags)}
    if number is None:
        data["pinned"] = after.pinned
    kind = EventKind.REMARKED
    tx.add_event(Event(study_id=after.study_id, kind=kind, at=now, number=number, data=data))
    return after


def version(remark: Remark) -> str:
    """Return what `If-Match` compares."""
    text = json.dumps([remark.text, remark.tags, remark.pinned])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def view(remark: Remark) -> RemarkView:
    """Show a remark."""
    return RemarkView(
        text=remark.text,
        tags=list(remark.tags),
        pinned=remark.pinned,
        by=remark.by,
        at=remark.at,
        version=version(remark),
    )


def tagged(response: Response) -> Response:
    """Add its ETag to a reply that shows a remark."""
    shown = RemarkView.model_validate_json(bytes(response.body))
    response.headers["ETag"] = f'"{shown.version}"'
    return response
