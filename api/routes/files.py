"""What trials keep, for people: checkpoints and artifacts, listed, shown and downloaded."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path
from starlette.responses import Response

from api import studies
from api.access import needs
from api.deps import Cursor, Limit, ServicesDep, StudyRef, TrialNumber, Whole
from api.files import give, kept, places
from api.routes.artifacts import BINARY, FileName, StepPath
from api.services import Services
from tuner.access import Role
from tuner.trial import Trial
from tuner.wire import ArtifactPage, CheckpointList

router = APIRouter(prefix="/studies/{study}/trials/{number}", tags=["artifacts"])
_PART = {
    "description": "The range asked for",
    "content": BINARY,
    "headers": {"Content-Range": {"schema": {"type": "string"}}},
}
_FILE: dict[int | str, dict[str, Any]] = {200: {"content": BINARY}, 206: _PART}
_SHOWN: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/plain": {"schema": {"type": "string"}},
            "image/png": {"schema": {"type": "string", "format": "binary"}},
            "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
        },
        "headers": {"X-Truncated": {"schema": {"type": "string", "enum": ["true", "false"]}}},
    }
}
Range = Annotated[
    str | None, Header(description="One range of bytes, such as `bytes=0-999`", max_length=100)
]
AttemptPath = Annotated[int, Path(description="The attempt that stored it", ge=0, lt=2**31), Whole]


def _trial(services: Services, study: str, number: int) -> Trial:
    memory = services.ledger.memory
    return memory.trial(studies.find(memory, study).study_id, number)


@router.get("/checkpoints", operation_id="list_checkpoints", summary="List kept checkpoints")
@needs(Role.VIEWER)
async def list_checkpoints(
    services: ServicesDep, study: StudyRef, number: TrialNumber
) -> CheckpointList:
    return await kept.checkpoint_list(services, _trial(services, study, number))


@router.get(
    "/checkpoints/{attempt}/{step}",
    operation_id="download_checkpoint",
    summary="Download a kept checkpoint",
    response_class=Response,
    responses=_FILE,
)
@needs(Role.VIEWER)
async def download_checkpoint(  # noqa: PLR0917
    services: ServicesDep,
    study: StudyRef,
    number: TrialNumber,
    attempt: AttemptPath,
    step: StepPath,
    range: Range = None,  # noqa: A002
) -> Response:
    trial = _trial(services, study, number)
    found = await kept.find_checkpoint(services, trial, attempt, step)
    name = f"trial-{number}-step-{step}{places.SUFFIX}"
    return await give.checkpoint_file(services, found, range, name)


@router.get("/artifacts", operation_id="list_artifacts", summary="List a trial's files")
@needs(Role.VIEWER)
async def list_artifacts(
    services: ServicesDep,
    study: StudyRef,
    number: TrialNumber,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> ArtifactPage:
    trial = _trial(services, study, number)
    return await kept.page(services, trial, limit=limit, cursor=cursor)


@router.get(
    "/artifacts/content",
    operation_id="download_artifact",
    summary="Download a file",
    response_class=Response,
    responses=_FILE,
)
@needs(Role.VIEWER)
async def download_artifact(
    services: ServicesDep,
    study: StudyRef,
    number: TrialNumber,
    name: FileName,
    range: Range = None,  # noqa: A002
) -> Response:
    found = await kept.find(services, _trial(services, study, number), name)
    return await give.artifact_file(services, found, range)


@router.get(
    "/artifacts/preview",
    operation_id="preview_artifact",
    summary="Show the head of a text, or a picture",
    response_class=Response,
    responses=_SHOWN,
)
@needs(Role.VIEWER)
async def preview_artifact(
    services: ServicesDep, study: StudyRef, number: TrialNumber, name: FileName
) -> Response:
    found = await kept.find(services, _trial(services, study, number), name)
    return await give.preview(services, found)
