"""Leases: acquire, report, heartbeat, finish, release."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from api import ends, leases, reports
from api.body import Json
from api.deps import ServicesDep, StudyRef
from api.direct import DirectRoute
from api.idempotency import KeyDep, write
from api.live.access import caller_of
from tuner.wire import (
    AcquireLeases,
    AskTrial,
    FinishTrial,
    Heartbeat,
    HeartbeatReply,
    Leases,
    ReleaseTrial,
    ReportResults,
    Reports,
    TrialAfter,
)

router = APIRouter(tags=["leases"])
direct = APIRouter(tags=["leases"], route_class=DirectRoute)
LeaseToken = Annotated[
    str,
    Path(
        description="The lease's token",
        min_length=8,
        max_length=100,
        pattern=r"^[A-Za-z0-9_-]+$",
    ),
]


@router.post(
    "/leases", operation_id="acquire_leases", summary="Lease trials", response_model=Leases
)
async def acquire_leases(
    request: Request, services: ServicesDep, body: Json[AcquireLeases], key: KeyDep
) -> Response:
    poll = leases.Poll(body.wait_s, key(), request.is_disconnected, caller_of(request.scope))
    return await leases.acquire(services, body.worker_id, body.n, poll)


@router.post(
    "/studies/{study}/ask",
    operation_id="ask_trial",
    summary="Lease a trial of an external study",
    response_model=Leases,
)
async def ask_trial(
    request: Request, services: ServicesDep, study: StudyRef, body: Json[AskTrial], key: KeyDep
) -> Response:
    poll = leases.Poll(body.wait_s, key(), request.is_disconnected, caller_of(request.scope))
    return await leases.ask(services, study, poll)


@router.post(
    "/leases/{lease}/finish",
    operation_id="finish_trial",
    summary="End a trial",
    response_model=TrialAfter,
)
async def finish_trial(
    services: ServicesDep, lease: LeaseToken, body: Json[FinishTrial], key: KeyDep
) -> Response:
    return await write(services, key(), lambda tx: ends.finish(tx, lease, body, services.clock()))


@router.post(
    "/leases/{lease}/release",
    operation_id="release_trial",
    summary="Give a trial back",
    response_model=TrialAfter,
)
async def release_trial(
    services: ServicesDep, lease: LeaseToken, body: Json[ReleaseTrial], key: KeyDep
) -> Response:
    return await write(
        services,
        key(),
        lambda tx: ends.release(tx, lease, body.attempt, body.reason, services.clock()),
    )


@direct.post("/reports", operation_id="report", summary="Report values, get decisions")
async def report(services: ServicesDep, body: Json[Reports]) -> ReportResults:
    return await reports.report(services, body.reports)


@direct.post("/heartbeats", operation_id="heartbeat", summary="Renew leases")
async def heartbeat(services: ServicesDep, body: Json[Heartbeat]) -> HeartbeatReply:
    return await reports.heartbeat(services, body)
