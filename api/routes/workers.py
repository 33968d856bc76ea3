"""Workers: register, list, sign off."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from api import workers
from api.access import ActorDep, needs
from api.body import Json
from api.deps import Cursor, Limit, ServicesDep, WhoDep
from api.idempotency import KeyDep
from tuner.access import Role
from tuner.wire import Registered, RegisterWorker, WorkerPage

router = APIRouter(prefix="/workers", tags=["workers"])
WorkerId = Annotated[
    str,
    Path(description="A worker's id", max_length=100, pattern=r"^[A-Za-z0-9_-]+$"),
]


@router.post(
    "",
    operation_id="register_worker",
    summary="Register a worker",
    status_code=201,
    response_model=Registered,
)
@needs(Role.WORKER, any_project=True)
async def register_worker(
    services: ServicesDep, body: Json[RegisterWorker], key: KeyDep, who: WhoDep
) -> Response:
    return await workers.register(services, body, key(), who)


@router.get("", operation_id="list_workers", summary="List workers")
@needs(Role.VIEWER, any_project=True)
async def list_workers(
    services: ServicesDep, who: WhoDep, limit: Limit = 1000, cursor: Cursor = None
) -> WorkerPage:
    return workers.page(services, who, limit=limit, cursor=cursor)


@router.delete("/{worker}", operation_id="sign_off", summary="Sign a worker off", status_code=204)
@needs(Role.WORKER, any_project=True)
async def sign_off(services: ServicesDep, worker: WorkerId, actor: ActorDep) -> None:
    await workers.sign_off(services, worker, actor)
