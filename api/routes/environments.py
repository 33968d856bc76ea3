"""What attempts ran on and with: recorded, shown."""

from __future__ import annotations

from fastapi import APIRouter

from api import environments, studies
from api.access import needs
from api.body import Json
from api.deps import Cursor, Limit, ServicesDep, StudyRef, TrialNumber, WhoDep
from api.environments import Held
from api.routes.leases import LeaseToken
from tuner.access import Role
from tuner.wire import EnvironmentPage, EnvironmentRecorded, RecordEnvironment

router = APIRouter()


@router.put(
    "/leases/{lease}/environment",
    operation_id="record_environment",
    summary="Record the code, packages and machine of an attempt",
    tags=["leases"],
)
@needs(Role.SUBMITTER, Role.WORKER, any_project=True)
async def record_environment(
    services: ServicesDep, lease: LeaseToken, body: Json[RecordEnvironment], who: WhoDep
) -> EnvironmentRecorded:
    return await environments.record(services, Held(lease, body.attempt, who), body)


@router.get(
    "/studies/{study}/trials/{number}/environments",
    operation_id="list_environments",
    summary="Show the code, packages and machine of a trial's attempts, newest first",
    tags=["trials"],
)
@needs(Role.VIEWER)
async def list_environments(
    services: ServicesDep,
    study: StudyRef,
    number: TrialNumber,
    limit: Limit = 10,
    cursor: Cursor = None,
) -> EnvironmentPage:
    memory = services.ledger.memory
    trial = memory.trial(studies.find(memory, study).study_id, number)
    return await environments.page(services, trial, limit=limit, cursor=cursor)
