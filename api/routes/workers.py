"""Workers: register, list."""

from __future__ import annotations

from fastapi import APIRouter

from api import workers
from api.body import Json
from api.deps import ServicesDep
from tuner.wire import Registered, RegisterWorker, WorkerPage

router = APIRouter(prefix="/workers", tags=["workers"])


@router.post("", operation_id="register_worker", summary="Register a worker", status_code=201)
async def register_worker(services: ServicesDep, body: Json[RegisterWorker]) -> Registered:
    return await workers.register(services, body)


@router.get("", operation_id="list_workers", summary="List workers")
async def list_workers(services: ServicesDep) -> WorkerPage:
    return workers.page(services)
