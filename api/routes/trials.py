"""Trials of a study: list, show, enqueue."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api import history, studies, trials, views
from api.access import ActorDep, needs
from api.body import Json
from api.deps import Cursor, Limit, Plain, ServicesDep, StudyRef, TrialNumber
from api.enqueue import enqueue
from api.idempotency import KeyDep, write
from api.inherit import start_of
from storage.transaction import Transaction
from tuner.access import Role
from tuner.decision import Outcome
from tuner.trial import Origin, TrialState
from tuner.wire import Enqueue, TrialDetail, TrialPage, TrialView

router = APIRouter(prefix="/studies/{study}/trials", tags=["trials"])
Bound = Annotated[
    float | None,
    Query(
        description="Only trials with a value on this side, itself included", allow_inf_nan=False
    ),
    Plain,
]


@router.get("", operation_id="list_trials", summary="List a study's trials")
@needs(Role.VIEWER)
async def list_trials(  # noqa: PLR0917
    services: ServicesDep,
    study: StudyRef,
    limit: Limit = 100,
    cursor: Cursor = None,
    state: Annotated[TrialState | None, Query(description="Only trials in this state")] = None,
    outcome: Annotated[Outcome | None, Query(description="Only trials that ended so")] = None,
    origin: Annotated[
        Origin | None, Query(description="Only trials whose parameters came from there")
    ] = None,
    tag: Annotated[
        str | None, Query(description="Only trials with this tag", max_length=40)
    ] = None,
    min_value: Bound = None,
    max_value: Bound = None,
    sort: Annotated[
        trials.Sort,
        Query(description="`value`: best first; `-` turns it round; those without one come last"),
    ] = "number",
) -> TrialPage:
    memory = services.ledger.memory
    wanted = trials.Wanted(state, outcome, origin, min_value, max_value, sort, tag)
    return trials.page(memory, studies.find(memory, study), wanted, limit=limit, cursor=cursor)


@router.get("/{number}", operation_id="get_trial", summary="Show a trial with its curve and events")
@needs(Role.VIEWER)
async def get_trial(services: ServicesDep, study: StudyRef, number: TrialNumber) -> TrialDetail:
    memory = services.ledger.memory
    found = studies.find(memory, study)
    return await history.trial_detail(services, memory.trial(found.study_id, number))


@router.post(
    "",
    operation_id="enqueue_trial",
    summary="Run these parameters next",
    status_code=201,
    response_model=TrialView,
)
@needs(Role.SUBMITTER)
async def enqueue_trial(
    services: ServicesDep, study: StudyRef, wish: Json[Enqueue], key: KeyDep, actor: ActorDep
) -> Response:
    start = await start_of(services, study, wish, actor.identity)

    def command(tx: Transaction) -> TrialView:
        trial = enqueue(tx, services, study, wish, start)
        actor.note(tx, services, "enqueue", tx.study(trial.study_id), number=trial.number)
        return views.trial_view(trial, tx.remark(trial.study_id, trial.number))

    return await write(services, key(), command, status=201)
