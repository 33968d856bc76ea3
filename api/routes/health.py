"""Whether the server is alive and ready. Open to everyone, and saying nothing else."""

from __future__ import annotations

from fastapi import APIRouter

from api import readiness
from api.access import open_to_all
from api.deps import ServicesDep
from tuner.wire import Health

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="healthz", summary="Whether the process answers")
@open_to_all
async def healthz() -> Health:
    return Health()


@router.get("/readyz", operation_id="readyz", summary="Whether work is taken")
@open_to_all
async def readyz(services: ServicesDep) -> Health:
    await readiness.check(services)
    return Health()
