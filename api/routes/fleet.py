"""The fleet over time, and workers taken out of service by hand."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime
from starlette.responses import Response

from api import attempts, draining
from api.access import ActorDep, needs
from api.charts.packed import packed
from api.deps import Cursor, ServicesDep, WhoDep, Whole
from api.routes.workers import WorkerId
from tuner.access import Role
from tuner.wire import WorkerView
from tuner.wire.fleet import Attempts

router = APIRouter(tags=["workers"])


@router.get(
    "/attempts",
    operation_id="list_attempts",
    summary="Who ran what when: attempts in a span of time, those that started last first",
    response_model=Attempts,
)
@needs(Role.VIEWER, any_project=True)
async def list_attempts(  # noqa: PLR0917 - FastAPI passes them by name
    request: Request,
    services: ServicesDep,
    who: WhoDep,
    since: Annotated[
        AwareDatetime | None,
        Query(description="Only those not over by then; a day ago if absent"),
    ] = None,
    until: Annotated[
        AwareDatetime | None, Query(description="Only those that started before; now if absent")
    ] = None,
    worker: Annotated[
        str | None,
        Query(description="Only by this worker", max_length=100, pattern=r"^[A-Za-z0-9_-]+$"),
    ] = None,
    limit: Annotated[int, Whole, Query(description="Items on a page", ge=1, le=20_000)] = 5000,
    cursor: Cursor = None,
) -> Response:
    span = attempts.Span(since, until, worker)
    return await packed(
        request, await attempts.page(services, who, span, limit=limit, cursor=cursor)
    )


@router.put(
    "/workers/{worker}/drain",
    operation_id="drain_worker",
    summary="Lease a worker no further trials; those it runs go on",
)
@needs(Role.SUBMITTER, any_project=True)
async def drain_worker(services: ServicesDep, worker: WorkerId, actor: ActorDep) -> WorkerView:
    return await draining.drain(services, worker, actor)


@router.delete(
    "/workers/{worker}/drain",
    operation_id="undrain_worker",
    summary="Lease trials to a drained worker again",
)
@needs(Role.SUBMITTER, any_project=True)
async def undrain_worker(services: ServicesDep, worker: WorkerId, actor: ActorDep) -> WorkerView:
    return await draining.undrain(services, worker, actor)
