"""What happened: pages of JSON; asked for with `Accept: text/event-stream`, as it happens."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from api import history, studies
from api.access import needs
from api.deps import Limit, ServicesDep, StudyRef, Whole
from api.live.access import view_of
from api.live.messages import Position, read_position
from api.live.stream import MEDIA, EventStream, Start
from api.services import Services
from tuner.access import Role
from tuner.errors import InvalidInput
from tuner.wire import EventPage

router = APIRouter(tags=["events"])
_AS_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page of events; or, if `Accept` asks for it, the stream (docs/live.md)",
        "content": {MEDIA: {"schema": {"type": "string"}}},
    }
}
After = Annotated[
    int | None, Query(description="Only events after this `seq`", ge=0, lt=2**62), Whole
]
LastId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="Resume a stream after this id", max_length=40),
]


@router.get(
    "/events",
    operation_id="list_all_events",
    summary="List or stream events of all studies, oldest first",
    response_model=EventPage,
    responses=_AS_STREAM,
)
@needs(Role.VIEWER, any_project=True)
async def list_all_events(
    request: Request,
    services: ServicesDep,
    after: After = None,
    limit: Limit = 200,
    last_id: LastId = None,
) -> EventPage | Response:
    if _wants_stream(request):
        return _stream(services, None, last_id, after)
    view = view_of(request.scope, None)
    return await history.all_events(services, view, after=after or 0, limit=limit)


@router.get(
    "/studies/{study}/events",
    operation_id="list_events",
    summary="List or stream a study's events, oldest first",
    response_model=EventPage,
    responses=_AS_STREAM,
)
@needs(Role.VIEWER)
async def list_events(  # noqa: PLR0917 - FastAPI passes them by name
    request: Request,
    services: ServicesDep,
    study: StudyRef,
    after: After = None,
    limit: Limit = 200,
    last_id: LastId = None,
) -> EventPage | Response:
    found = studies.find(services.ledger.memory, study)
    if _wants_stream(request):
        return _stream(services, found.study_id, last_id, after)
    return await history.event_page(services, found.study_id, after=after or 0, limit=limit)


def _wants_stream(request: Request) -> bool:
    kinds = request.headers.get("accept", "").split(",")
    return any(k.partition(";")[0].strip().lower() == MEDIA for k in kinds)


def _stream(
    services: Services, study_id: int | None, last_id: str | None, after: int | None
) -> Response:
    """Return the stream after an id; the header goes before the query, as browsers resend both."""
    position = None if after is None else Position(after)
    if last_id:
        position = read_position(last_id)
        if position is None:
            raise InvalidInput("header.Last-Event-ID: is no id of this stream")
    return EventStream(services, Start(study_id, position))
