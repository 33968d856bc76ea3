"""Checkpoints of leased trials: up and down."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import FileResponse

from api import artifacts
from api.access import needs
from api.body import chunks, media_type
from api.deps import ServicesDep, WhoDep, Whole
from api.routes.leases import LeaseToken
from tuner.access import Role
from tuner.errors import UnsupportedMedia
from tuner.wire import CheckpointView

router = APIRouter(tags=["artifacts"])
OCTETS = "application/octet-stream"
_BODY = {
    "requestBody": {
        "required": True,
        "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.put(
    "/leases/{lease}/checkpoints/{step}",
    operation_id="put_checkpoint",
    summary="Store a checkpoint",
    openapi_extra=_BODY,
)
@needs(Role.SUBMITTER, Role.WORKER, any_project=True)
async def put_checkpoint(  # noqa: PLR0917 - FastAPI passes them by name
    request: Request,
    services: ServicesDep,
    who: WhoDep,
    lease: LeaseToken,
    step: Annotated[int, Path(description="Finished steps", ge=0, lt=2**31), Whole],
    attempt: Annotated[int, Query(description="The lease's attempt", ge=1, lt=2**31), Whole],
    sha256: Annotated[
        str, Query(description="SHA-256 of the body in hexadecimal", pattern=r"^[0-9a-f]{64}$")
    ],
) -> CheckpointView:
    if media_type(request) != OCTETS:
        raise UnsupportedMedia(f"send the checkpoint as {OCTETS}")
    upload = artifacts.Upload(who=who, token=lease, attempt=attempt, step=step, sha256=sha256)
    body = chunks(request, services.settings.max_checkpoint)
    return await artifacts.store(services, upload, body)


@router.get(
    "/leases/{lease}/checkpoint",
    operation_id="get_checkpoint",
    summary="Fetch the checkpoint to resume from",
    response_class=FileResponse,
    responses={
        200: {
            "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}},
            "headers": {
                "X-Checkpoint-Step": {"schema": {"type": "integer"}},
                "X-Checkpoint-Sha256": {"schema": {"type": "string"}},
            },
        }
    },
)
@needs(Role.SUBMITTER, Role.WORKER, any_project=True)
async def get_checkpoint(services: ServicesDep, who: WhoDep, lease: LeaseToken) -> FileResponse:
    path, checkpoint = artifacts.resumable(services, lease, who)
    headers = {
        "X-Checkpoint-Step": str(checkpoint.step),
        "X-Checkpoint-Sha256": checkpoint.sha256,
    }
    return FileResponse(path, media_type=OCTETS, headers=headers)
