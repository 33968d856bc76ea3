"""Taking over studies that plain Optuna ran."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api import adopt, optuna_trials, submit, views
from api.body import StrictBody
from api.deps import ServicesDep, StudyRef, UserDep
from api.idempotency import KeyDep, write
from api.studies import find
from storage.transaction import Transaction
from tuner.spec import check
from tuner.wire import Adopt, Adopted, AdoptTrials, Dryrun

router = APIRouter(prefix="/studies", tags=["studies"])


class LargeBody(StrictBody[Any]):
    """Read a JSON body in a thread, since a large one takes a while."""

    async def parse(self, text: str, media: str) -> Any:
        """Return the model a body's text says."""
        return await asyncio.to_thread(self.read_model, text)


@router.post(
    "/import",
    operation_id="adopt_study",
    summary="Take over a study that plain Optuna ran; its trials follow",
    status_code=201,
    response_model=Adopted,
    responses={200: {"model": Dryrun, "description": "With `dry_run`: the whole document"}},
)
async def adopt_study(
    services: ServicesDep,
    body: Annotated[Adopt, Depends(LargeBody(Adopt))],
    key: KeyDep,
    user: UserDep,
    dry_run: Annotated[bool, Query(description="Only answer the normalised document")] = False,
) -> Response:
    submission = await asyncio.to_thread(lambda: submit.prepare(check(body.document)))
    if dry_run:
        submit.free_name(services.ledger.memory, submission.spec.name)
        document = views.document(submission.spec)
        dryrun = Dryrun(spec=document, warnings=list(submission.warnings))
        return Response(dryrun.model_dump_json(), media_type="application/json")

    def command(tx: Transaction) -> Adopted:
        return adopt.begin(tx, submission, body, user, services.clock())

    return await write(services, key(), command, status=201)


@router.post(
    "/{study}/import",
    operation_id="adopt_trials",
    summary="Give an adopted study its next trials; after the last ones it opens",
    response_model=Adopted,
)
async def adopt_trials(
    services: ServicesDep,
    study: StudyRef,
    body: Annotated[AdoptTrials, Depends(LargeBody(AdoptTrials))],
    key: KeyDep,
) -> Response:
    known = find(services.ledger.memory, study)
    found = await asyncio.to_thread(optuna_trials.prepare, known, body, services.clock())

    def command(tx: Transaction) -> Adopted:
        return adopt.append(tx, study, body, found, services.clock())

    return await write(services, key(), command)
