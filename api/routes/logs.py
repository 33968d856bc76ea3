"""What trials print: sent by who holds them, read by people."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api import studies, trial_logs
from api.access import needs, still_valid
from api.body import Json
from api.deps import ServicesDep, StudyRef, TrialNumber, WhoDep
from api.direct import DirectRoute
from tuner.access import Role
from tuner.wire import LogResults, Logs

router = APIRouter(tags=["logs"])
direct = APIRouter(tags=["logs"], route_class=DirectRoute)
MEDIA = "text/plain; charset=utf-8"
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The lines from `offset` on that are kept",
        "content": {"text/plain": {"schema": {"type": "string"}}},
        "headers": {
            "X-Log-Attempt": {"schema": {"type": "integer"}},
            "X-Log-Next": {"schema": {"type": "integer"}},
            "X-Log-End": {"schema": {"type": "boolean"}},
        },
    }
}


@direct.post("/logs", operation_id="send_logs", summary="Send what trials print")
@needs(Role.SUBMITTER, Role.WORKER, any_project=True)
async def send_logs(services: ServicesDep, body: Json[Logs], who: WhoDep) -> LogResults:
    return await trial_logs.store(services, body.logs, who)


@router.get(
    "/studies/{study}/trials/{number}/log",
    operation_id="get_log",
    summary="Read what a trial printed",
    response_class=Response,
    responses=_TEXT,
)
@needs(Role.VIEWER)
async def get_log(  # noqa: PLR0917 - FastAPI passes them by name
    request: Request,
    services: ServicesDep,
    who: WhoDep,
    study: StudyRef,
    number: TrialNumber,
    attempt: Annotated[
        int | None, Query(description="The attempt; the latest if absent", ge=1, lt=2**31)
    ] = None,
    offset: Annotated[
        int,
        Query(
            description="`X-Log-Next` of the reply before; negative: bytes before the end",
            gt=-(2**53),
            lt=2**53,
        ),
    ] = 0,
    times: Annotated[bool, Query(description="Whether each line begins with its time")] = False,
    wait_s: Annotated[
        float, Query(description="Seconds to wait for text, if there is none yet", ge=0, le=60)
    ] = 0.0,
) -> Response:
    found = studies.find(services.ledger.memory, study)
    asked = trial_logs.Asked(
        attempt=attempt,
        offset=offset,
        times=times,
        wait_s=wait_s,
        is_gone=request.is_disconnected,
        is_valid=lambda: still_valid(request.scope),
    )
    excerpt = await trial_logs.read(services, found, number, asked, who)
    headers = {
        "X-Log-Attempt": str(excerpt.attempt),
        "X-Log-Next": str(excerpt.next),
        "X-Log-End": str(excerpt.is_all).lower(),
        "Content-Security-Policy": "sandbox",
    }
    return Response(excerpt.text, media_type=MEDIA, headers=headers)
