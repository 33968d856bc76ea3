"""Notes, tags and pins of studies and trials; saved views of the dashboard."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from api import remarks, saved_views, versions
from api.access import Actor, ActorDep, needs
from api.body import Json
from api.deps import ServicesDep, StudyRef, TrialNumber, WhoDep
from api.idempotency import Key, KeyDep, write
from api.services import Services
from storage.transaction import Transaction
from tuner.access import Role
from tuner.wire.actions import ChangeRemark, RemarkView, SaveView, ViewPage, ViewShown

router = APIRouter(tags=["remarks"])
ViewId = Annotated[
    str, Path(description="A saved view's id", max_length=40, pattern=r"^[A-Za-z0-9_]+$")
]


@router.get(
    "/studies/{study}/remark",
    operation_id="get_remark",
    summary="Show a study's note and tags",
    response_model=RemarkView,
)
@needs(Role.VIEWER)
async def get_remark(services: ServicesDep, study: StudyRef) -> Response:
    return _shown(services, study, None)


@router.patch(
    "/studies/{study}/remark",
    operation_id="change_remark",
    summary="Note on a study, tag it, pin it",
    response_model=RemarkView,
)
@needs(Role.SUBMITTER)
async def change_remark(  # noqa: PLR0917 - FastAPI passes them by name
    services: ServicesDep,
    study: StudyRef,
    wish: Json[ChangeRemark],
    key: KeyDep,
    actor: ActorDep,
    expected: versions.IfMatch,
) -> Response:
    return await _change(services, (study, None), wish, key(), actor, expected)


@router.get(
    "/studies/{study}/trials/{number}/remark",
    operation_id="get_trial_remark",
    summary="Show a trial's note and tags",
    response_model=RemarkView,
)
@needs(Role.VIEWER)
async def get_trial_remark(services: ServicesDep, study: StudyRef, number: TrialNumber) -> Response:
    return _shown(services, study, number)


@router.patch(
    "/studies/{study}/trials/{number}/remark",
    operation_id="change_trial_remark",
    summary="Note on a trial, tag it",
    response_model=RemarkView,
)
@needs(Role.SUBMITTER)
async def change_trial_remark(  # noqa: PLR0917 - FastAPI passes them by name
    services: ServicesDep,
    study: StudyRef,
    number: TrialNumber,
    wish: Json[ChangeRemark],
    key: KeyDep,
    actor: ActorDep,
    expected: versions.IfMatch,
) -> Response:
    return await _change(services, (study, number), wish, key(), actor, expected)


@router.get("/views", operation_id="list_views", summary="List saved views, oldest first")
@needs(Role.VIEWER, any_project=True)
async def list_views(services: ServicesDep, who: WhoDep) -> ViewPage:
    return saved_views.page(services.ledger.memory, who)


@router.post(
    "/views",
    operation_id="save_view",
    summary="Keep a page of the dashboard under a name, in the place of one so named",
    status_code=201,
    response_model=ViewShown,
)
@needs(Role.SUBMITTER, any_project=True)
async def save_view(
    services: ServicesDep, wish: Json[SaveView], key: KeyDep, actor: ActorDep
) -> Response:
    def command(tx: Transaction) -> ViewShown:
        view = saved_views.save(tx, wish, actor.identity, services.clock())
        actor.note(tx, services, "view-save", view=view.view_id, name=view.name)
        return saved_views.shown(view)

    return await write(services, key(), command, status=201)


@router.delete(
    "/views/{view}",
    operation_id="remove_view",
    summary="Remove a saved view",
    response_model=ViewShown,
)
@needs(Role.SUBMITTER, any_project=True)
async def remove_view(
    services: ServicesDep, view: ViewId, key: KeyDep, actor: ActorDep
) -> Response:
    def command(tx: Transaction) -> ViewShown:
        gone = saved_views.remove(tx, view, actor.identity)
        actor.note(tx, services, "view-remove", view=view, name=gone.name)
        return saved_views.shown(gone)

    return await write(services, key(), command)


def _shown(services: Services, study: str, number: int | None) -> Response:
    view = remarks.view(remarks.read(services.ledger.memory, study, number))
    return remarks.tagged(Response(view.model_dump_json(), media_type="application/json"))


async def _change(  # noqa: PLR0917
    services: Services,
    place: tuple[str, int | None],
    wish: ChangeRemark,
    key: Key | None,
    actor: Actor,
    expected: frozenset[str] | None,
) -> Response:
    study, number = place

    def command(tx: Transaction) -> RemarkView:
        now, user = services.clock(), actor.identity.name
        after = remarks.change(tx, study, number, wish, user, now, expected)
        of = tx.study(after.study_id)
        detail = wish.model_dump(exclude_none=True)
        actor.note(tx, services, "remark", of, number=number, **detail)
        return remarks.view(after)

    return remarks.tagged(await write(services, key, command))
