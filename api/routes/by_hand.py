"""One trial by hand: stop it, cut its rate."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from api import by_hand, views
from api.access import ActorDep, needs
from api.body import Json
from api.deps import ServicesDep, StudyRef, TrialNumber
from api.idempotency import KeyDep, write
from storage.transaction import Transaction
from tuner.access import Role
from tuner.wire import TrialView
from tuner.wire.actions import CutRate, StopTrial

router = APIRouter(prefix="/studies/{study}/trials/{number}", tags=["trials"])


@router.post(
    "/stop",
    operation_id="stop_trial",
    summary="End one trial as cancelled; what runs it is told by its next report",
    response_model=TrialView,
)
@needs(Role.SUBMITTER)
async def stop_trial(  # noqa: PLR0917 - FastAPI passes them by name
    services: ServicesDep,
    study: StudyRef,
    number: TrialNumber,
    wish: Json[StopTrial],
    key: KeyDep,
    actor: ActorDep,
) -> Response:
    def command(tx: Transaction) -> TrialView:
        now, user = services.clock(), actor.identity.name
        trial = by_hand.stop(tx, study, number, wish, user, now)
        of = tx.study(trial.study_id)
        actor.note(tx, services, "stop-trial", of, number=number, why=wish.why)
        return views.trial_view(trial, tx.remark(trial.study_id, number))

    return await write(services, key(), command)


@router.post(
    "/rate",
    operation_id="cut_rate",
    summary="Multiply a running trial's rate from its next report on",
    response_model=TrialView,
)
@needs(Role.SUBMITTER)
async def cut_rate(  # noqa: PLR0917 - FastAPI passes them by name
    services: ServicesDep,
    study: StudyRef,
    number: TrialNumber,
    wish: Json[CutRate],
    key: KeyDep,
    actor: ActorDep,
) -> Response:
    def command(tx: Transaction) -> TrialView:
        now, user = services.clock(), actor.identity.name
        trial = by_hand.cut_rate(tx, study, number, wish, user, now)
        of = tx.study(trial.study_id)
        detail = {"number": number, "factor": wish.factor, "why": wish.why}
        actor.note(tx, services, "cut-rate", of, **detail)
        return views.trial_view(trial, tx.remark(trial.study_id, number))

    return await write(services, key(), command)
