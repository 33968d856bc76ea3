"""Files of leased trials, up and down: checkpoints and artifacts."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from api import artifacts, inherit, missing
from api.access import needs
from api.body import Json, chunks, media_type
from api.deps import ServicesDep, WhoDep, Whole
from api.files import give, kept, places
from api.files.give import OCTETS
from api.routes.leases import LeaseToken
from tuner.access import Role
from tuner.artifact import ArtifactName
from tuner.errors import UnsupportedMedia
from tuner.wire import (
    ArtifactView,
    AskUpload,
    CheckpointView,
    RegisterArtifact,
    RegisterCheckpoint,
    RejectCheckpoint,
    TrialAfter,
    UploadPlace,
)

router = APIRouter(tags=["artifacts"])
BINARY = {OCTETS: {"schema": {"type": "string", "format": "binary"}}}
_BODY = {"requestBody": {"required": True, "content": BINARY}}
_SAID = {
    "X-Checkpoint-Step": {"schema": {"type": "integer"}},
    "X-Checkpoint-Sha256": {"schema": {"type": "string"}},
}
_FETCHED: dict[int | str, dict[str, Any]] = {
    200: {"content": BINARY, "headers": _SAID},
    307: {
        "description": "At the store, with `direct`",
        "headers": {"Location": {"schema": {"type": "string"}}, **_SAID},
    },
}
StepPath = Annotated[int, Path(description="Finished steps", ge=0, lt=2**31), Whole]
Attempt = Annotated[int, Query(description="The lease's attempt", ge=1, lt=2**31), Whole]
Sha256 = Annotated[
    str, Query(description="SHA-256 of the body in hexadecimal", pattern=r"^[0-9a-f]{64}$")
]
FileName = Annotated[
    ArtifactName, Query(description="The artifact's name, such as `plots/loss.png`")
]


def octets(request: Request) -> None:
    """Refuse a body that is said to be something else. Raises UnsupportedMedia."""
    if media_type(request) != OCTETS:
        raise UnsupportedMedia(f"send the file as {OCTETS}")


@router.post(
    "/leases/{lease}/uploads",
    operation_id="ask_upload",
    summary="Ask for a place in the store for a file",
)
@needs(Role.SUBMITTER, Role.WORKER, any_project=True)
async def ask_upload(
    services: ServicesDep, who: WhoDep, lease: LeaseToken, ask: Json[AskUpload]
) -> UploadPlace:
    return await places.place(services, lease, ask, who)


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
    step: StepPath,
    attempt: Attempt,
    sha256: Sha256,
) -> CheckpointView:
    octets(request)
    upload = artifacts.Upload(who=who, token=lease, attempt=attempt, step=step, sha256=sha256)
    body = chunks(request, services.settings.max_checkpoint)
    return await artifacts.store(services, upload, body)


@router.post(
    "/leases/{lease}/checkpoints/{step}",
    operation_id="register_checkpoint",
    summary="Register a checkpoint that was put into the store",
)
@needs(Role.SUBMITTER, Role.WORKER, any_project=True)
async def register_checkpoint(
    services: ServicesDep,
    who: WhoDep,
    lease: LeaseToken,
    step: StepPath,
    body: Json[RegisterCheckpoint],
) -> CheckpointView:
    upload = artifacts.Upload(
        who=who, token=lease, attempt=body.attempt, step=step, sha256=body.sha256
    )
    arrived = places.Arrived(upload=body.upload, size=body.size, sha256=body.sha256)
    return await artifacts.register(services, upload, arrived)


@router.get(
    "/leases/{lease}/checkpoint",
    operation_id="get_checkpoint",
    summary="Fetch the checkpoint to resume from",
    response_class=Response,
    responses=_FETCHED,
)
@needs(Role.SUBMITTER, Role.WORKER, any_project=True)
async def get_checkpoint(
    services: ServicesDep,
    who: WhoDep,
    lease: LeaseToken,
    direct: Annotated[
        bool, Query(description="Be sent to the store by a redirect, where it can sign")
    ] = False,
) -> Response:
    checkpoint = artifacts.resumable(services, lease, who)
    away = await give.direct(services, checkpoint) if direct else None
    name = f"step-{checkpoint.step}{places.SUFFIX}"
    return away or await give.checkpoint_file(services, checkpoint, None, name)


@router.get(
    "/leases/{lease}/source",
    operation_id="get_source",
    summary="Fetch a checkpoint of another trial of the project, to start from",
    response_class=Response,
    responses=_FETCHED,
)
@needs(Role.SUBMITTER, Role.WORKER, any_project=True)
async def get_source(  # noqa: PLR0917
    services: ServicesDep,
    who: WhoDep,
    lease: LeaseToken,
    study: Annotated[str, Query(description="The study's name or id", max_length=200)],
    trial: Annotated[str, Query(description="The trial's number, or `best`", max_length=20)],
    step: Annotated[
        int | None, Query(description="Which checkpoint [the newest]", ge=0, lt=2**31)
    ] = None,
    direct: Annotated[
        bool, Query(description="Be sent to the store by a redirect, where it can sign")
    ] = False,
) -> Response:
    found = await inherit.source_of(services, lease, who, (study, trial), step)
    away = await give.direct(services, found) if direct else None
    name = f"step-{found.step}{places.SUFFIX}"
    return away or await give.checkpoint_file(services, found, None, name)


@router.post(
    "/leases/{lease}/checkpoint/reject",
    operation_id="reject_checkpoint",
    summary="Give a trial back whose checkpoint can't be used",
)
@needs(Role.SUBMITTER, Role.WORKER, any_project=True)
async def reject_checkpoint(
    services: ServicesDep, who: WhoDep, lease: LeaseToken, body: Json[RejectCheckpoint]
) -> TrialAfter:
    return await missing.reject(services, lease, body, who)


@router.put(
    "/leases/{lease}/artifacts",
    operation_id="put_artifact",
    summary="Store a file under a name",
    openapi_extra=_BODY,
)
@needs(Role.SUBMITTER, Role.WORKER, any_project=True)
async def put_artifact(  # noqa: PLR0917
    request: Request,
    services: ServicesDep,
    who: WhoDep,
    lease: LeaseToken,
    name: FileName,
    attempt: Attempt,
    sha256: Sha256,
) -> ArtifactView:
    octets(request)
    file = kept.File(who=who, token=lease, attempt=attempt, name=name, sha256=sha256)
    return await kept.store(services, file, chunks(request, services.settings.limits.max_artifact))


@router.post(
    "/leases/{lease}/artifacts",
    operation_id="register_artifact",
    summary="Register a file that was put into the store",
)
@needs(Role.SUBMITTER, Role.WORKER, any_project=True)
async def register_artifact(
    services: ServicesDep, who: WhoDep, lease: LeaseToken, body: Json[RegisterArtifact]
) -> ArtifactView:
    file = kept.File(who=who, token=lease, attempt=body.attempt, name=body.name, sha256=body.sha256)
    arrived = places.Arrived(upload=body.upload, size=body.size, sha256=body.sha256)
    return await kept.register(services, file, arrived)
