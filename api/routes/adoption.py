"""Taking over studies that plain Optuna ran."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api import adopt, optuna_trials, submit, views
from api.access import ActorDep, check_name, needs, own_project
from api.body import StrictBody
from api.deps import ServicesDep, StudyRef
from api.idempotency import KeyDep, write
from api.studies import find
from storage.transaction import Transaction
from tuner.access import Role
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
@needs(Role.SUBMITTER, any_project=True)
async def adopt_study(
    services: ServicesDep,
    body: Annotated[Adopt, Depends(LargeBody(Adopt))],
    key: KeyDep,
    actor: ActorDep,
    dry_run: Annotated[bool, Query(description="Only answer the normalised document")] = False,
) -> Response:
    who = actor.identity
    submission = await asyncio.to_thread(
        lambda: submit.prepare(own_project(check(body.document), who))
    )
    check_name(services.ledger.memory, submission.spec.name, who)
    if dry_run:
        submit.free_name(services.ledger.memory, submission.spec.name)
        document = views.document(submission.spec)
        dryrun = Dryrun(spec=document, warnings=list(submission.warnings))
        return Response(dryrun.model_dump_json(), media_type="application/json")

    def command(tx: Transaction) -> Adopted:
        limits, now = services.settings.limits, services.clock()
        begun = adopt.begin(tx, submission, body, who.name, now, limits=limits)
        actor.note(tx, services, "import", tx.study(begun.id), source=body.source)
        return begun

    return await write(services, key(), command, status=201)


@router.post(
    "/{study}/import",
    operation_id="adopt_trials",
    summary="Give an adopted study its next trials; after the last ones it opens",
    response_model=Adopted,
)
@needs(Role.SUBMITTER)
async def adopt_trials(
    services: ServicesDep,
    study: StudyRef,
    body: Annotated[AdoptTrials, Depends(LargeBody(AdoptTrials))],
    key: KeyDep,
    actor: ActorDep,
) -> Response:
    known = find(services.ledger.memory, study)
    found = await asyncio.to_thread(optuna_trials.prepare, known, body, services.clock())

    def command(tx: Transaction) -> Adopted:
        grown = adopt.append(tx, study, body, found, services.clock())
        actor.note(tx, services, "import", tx.study(grown.id), trials=grown.trials)
        return grown

    return await write(services, key(), command)
