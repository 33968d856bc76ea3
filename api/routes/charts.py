"""What charts of a study are drawn from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api import board, studies
from api.access import needs
from api.charts.columns import columns
from api.charts.curves import curves
from api.charts.endings import endings
from api.charts.packed import packed
from api.charts.progress import progress
from api.crew import crew
from api.deps import Cursor, Limit, ServicesDep, StudyRef, WhoDep, Whole
from api.services import Services
from api.views import event_view
from storage import queries
from tuner.access import Role
from tuner.trial import EventKind
from tuner.wire import EventPage
from tuner.wire.charts import Board, Columns, Curves, Endings, Importance, Progress

router = APIRouter(prefix="/studies/{study}", tags=["charts"])
above = APIRouter(tags=["charts"])
_DECISIONS = (EventKind.HALVED, EventKind.SCALED, EventKind.ENDED)


@above.get(
    "/board",
    operation_id="get_board",
    summary="All studies in the queue's order, each with how far it is",
    response_model=Board,
)
@needs(Role.VIEWER, any_project=True)
async def get_board(
    request: Request,
    services: ServicesDep,
    who: WhoDep,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> Response:
    return await packed(request, await board.page(services, who, limit=limit, cursor=cursor))


@router.get(
    "/progress",
    operation_id="get_progress",
    summary="How the search went: the best value so far, the trials behind it, the time left",
    response_model=Progress,
)
@needs(Role.VIEWER)
async def get_progress(request: Request, services: ServicesDep, study: StudyRef) -> Response:
    memory = services.ledger.memory
    found = studies.find(memory, study)
    trials = memory.trials(found.study_id)
    who = crew(services, found)
    made = await asyncio.to_thread(progress, found, trials, services.clock(), who)
    return await packed(request, made)


@router.get(
    "/curves",
    operation_id="get_curves",
    summary="Curves of the best, the running and the chosen trials, and a band of the rest",
    response_model=Curves,
)
@needs(Role.VIEWER)
async def get_curves(
    request: Request,
    services: ServicesDep,
    study: StudyRef,
    top: Annotated[int, Whole, Query(description="How many of the best", ge=0, le=200)] = 50,
    chosen: Annotated[
        str,
        Query(
            description="Numbers of trials to show besides, with commas",
            max_length=200,
            pattern=r"^(\d{1,10}(,\d{1,10}){0,19})?$",
        ),
    ] = "",
) -> Response:
    memory = services.ledger.memory
    found = studies.find(memory, study)
    trials = memory.trials(found.study_id)
    numbers = frozenset(int(n) for n in chosen.split(",") if n)
    async with services.charting:
        made = await asyncio.to_thread(
            curves, found, trials, services.bands, top=top, chosen=numbers
        )
    return await packed(request, made)


@router.get(
    "/columns",
    operation_id="get_columns",
    summary="The trials as columns, the newest 20,000 of them",
    response_model=Columns,
)
@needs(Role.VIEWER)
async def get_columns(request: Request, services: ServicesDep, study: StudyRef) -> Response:
    memory = services.ledger.memory
    found = studies.find(memory, study)
    trials = memory.trials(found.study_id)
    tags = memory.tags_of_trials(found.study_id)
    return await packed(request, await asyncio.to_thread(columns, found, trials, tags))


@router.get(
    "/importance",
    operation_id="get_importance",
    summary="Which parameters matter, as far as it is computed",
)
@needs(Role.VIEWER)
async def get_importance(services: ServicesDep, study: StudyRef) -> Importance:
    memory = services.ledger.memory
    found = studies.find(memory, study)
    return services.importances.of(found, memory.trials(found.study_id), services.clock())


@router.get(
    "/endings",
    operation_id="get_endings",
    summary="How trials ended: the funnel of rungs, steps saved, failures by cause",
    response_model=Endings,
)
@needs(Role.VIEWER)
async def get_endings(request: Request, services: ServicesDep, study: StudyRef) -> Response:
    memory = services.ledger.memory
    found = studies.find(memory, study)
    trials = memory.trials(found.study_id)
    return await packed(request, await asyncio.to_thread(endings, found, trials))


@router.get(
    "/decisions",
    operation_id="list_decisions",
    summary="Halvings and ends of trials with their reasons, newest first",
    response_model=EventPage,
)
@needs(Role.VIEWER)
async def list_decisions(
    request: Request,
    services: ServicesDep,
    study: StudyRef,
    limit: Limit = 50,
    before: Annotated[
        int | None, Whole, Query(description="Only events with a smaller `seq`", ge=1, lt=2**63)
    ] = None,
) -> Response:
    return await _newest(request, services, study, _DECISIONS, before=before, limit=limit)


@router.get(
    "/findings",
    operation_id="list_findings",
    summary="What was found of trials' trainings, with advice, newest first",
    response_model=EventPage,
)
@needs(Role.VIEWER)
async def list_findings(
    request: Request,
    services: ServicesDep,
    study: StudyRef,
    limit: Limit = 50,
    before: Annotated[
        int | None, Whole, Query(description="Only events with a smaller `seq`", ge=1, lt=2**63)
    ] = None,
) -> Response:
    return await _newest(request, services, study, (EventKind.FINDING,), before=before, limit=limit)


async def _newest(
    request: Request,
    services: Services,
    study: str,
    kinds: Sequence[EventKind],
    *,
    before: int | None,
    limit: int,
) -> Response:
    found = studies.find(services.ledger.memory, study)
    place = (services.ledger, found.study_id)
    events = await queries.newest_of_kinds(*place, kinds, before, limit + 1)
    items = [event_view(e) for e in events[:limit]]
    more = str(items[-1].seq) if len(events) > limit else None
    return await packed(request, EventPage(items=items, next_cursor=more))
