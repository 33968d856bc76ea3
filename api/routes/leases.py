"""Leases: acquire, report, heartbeat, finish, release."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from api import ends, leases, reports
from api.access import Actor, ActorDep, needs, still_valid
from api.body import Json
from api.deps import ServicesDep, StudyRef, WhoDep
from api.direct import DirectRoute
from api.fence import others_lease
from api.idempotency import Key, KeyDep, write
from api.services import Services
from storage.transaction import Transaction
from tuner.access import Role
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
@needs(Role.WORKER, any_project=True)
async def acquire_leases(
    request: Request, services: ServicesDep, body: Json[AcquireLeases], key: KeyDep
) -> Response:
    poll = _poll(request, body.wait_s, key())
    return await leases.acquire(services, body, poll)


@router.post(
    "/studies/{study}/ask",
    operation_id="ask_trial",
    summary="Lease a trial of an external study",
    response_model=Leases,
)
@needs(Role.SUBMITTER)
async def ask_trial(
    request: Request, services: ServicesDep, study: StudyRef, body: Json[AskTrial], key: KeyDep
) -> Response:
    poll = _poll(request, body.wait_s, key())
    return await leases.ask(services, study, poll)


def _poll(request: Request, wait_s: float, key: Key | None) -> leases.Poll:
    return leases.Poll(
        wait_s=wait_s,
        key=key,
        is_gone=request.is_disconnected,
        who=request.state.identity,
        is_valid=lambda: still_valid(request.scope),
    )


@router.post(
    "/leases/{lease}/finish",
    operation_id="finish_trial",
    summary="End a trial",
    response_model=TrialAfter,
)
@needs(Role.SUBMITTER, Role.WORKER, any_project=True)
async def finish_trial(
    services: ServicesDep, lease: LeaseToken, body: Json[FinishTrial], key: KeyDep, actor: ActorDep
) -> Response:
    def command(tx: Transaction) -> TrialAfter:
        _note_others(tx, services, actor, "finish", lease)
        return ends.finish(tx, lease, body, actor.identity, services.clock())

    return await write(services, key(), command)


@router.post(
    "/leases/{lease}/release",
    operation_id="release_trial",
    summary="Give a trial back",
    response_model=TrialAfter,
)
@needs(Role.SUBMITTER, Role.WORKER, any_project=True)
async def release_trial(
    services: ServicesDep, lease: LeaseToken, body: Json[ReleaseTrial], key: KeyDep, actor: ActorDep
) -> Response:
    def command(tx: Transaction) -> TrialAfter:
        _note_others(tx, services, actor, "release", lease)
        return ends.release(tx, lease, body, actor.identity, services.clock())

    return await write(services, key(), command)


def _note_others(
    tx: Transaction, services: Services, actor: Actor, action: str, token: str
) -> None:
    """Write into the audit log that somebody deals with a trial that another one trains."""
    lease = others_lease(tx, token, actor.identity)
    if lease is not None:
        actor.note(tx, services, action, tx.study(lease.study_id), number=lease.number)


@direct.post("/reports", operation_id="report", summary="Report values, get decisions")
@needs(Role.SUBMITTER, Role.WORKER, any_project=True)
async def report(services: ServicesDep, body: Json[Reports], who: WhoDep) -> ReportResults:
    return await reports.report(services, body.reports, who)


@direct.post("/heartbeats", operation_id="heartbeat", summary="Renew leases")
@needs(Role.SUBMITTER, Role.WORKER, any_project=True)
async def heartbeat(services: ServicesDep, body: Json[Heartbeat], who: WhoDep) -> HeartbeatReply:
    return await reports.heartbeat(services, body, who)
