"""Workers: register, list, sign off."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from api import workers
from api.body import Json
from api.deps import Cursor, Limit, ServicesDep
from api.idempotency import KeyDep
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
async def register_worker(
    services: ServicesDep, body: Json[RegisterWorker], key: KeyDep
) -> Response:
    return await workers.register(services, body, key())


@router.get("", operation_id="list_workers", summary="List workers")
async def list_workers(
    services: ServicesDep, limit: Limit = 1000, cursor: Cursor = None
) -> WorkerPage:
    return workers.page(services, limit=limit, cursor=cursor)


@router.delete("/{worker}", operation_id="sign_off", summary="Sign a worker off", status_code=204)
async def sign_off(services: ServicesDep, worker: WorkerId) -> None:
    await workers.sign_off(services, worker)
