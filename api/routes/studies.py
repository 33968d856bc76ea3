"""Studies: submit, list, show, change, extend, clone."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api import (
    again,
    deletion,
    history,
    respace,
    sources,
    studies,
    study_lists,
    submit,
    versions,
    views,
)
from api.access import ActorDep, check_name, needs, own_project, require_project
from api.body import Json, SpecBody
from api.deps import Cursor, Limit, ServicesDep, StudyRef, WhoDep
from api.idempotency import KeyDep, write
from api.limits import quotas
from storage.transaction import Transaction
from tuner.access import Role
from tuner.errors import InvalidInput
from tuner.trial import StudyState
from tuner.wire import (
    CloneStudy,
    Dryrun,
    Extend,
    SpecPage,
    StudyPage,
    StudyPatch,
    StudyView,
)

router = APIRouter(prefix="/studies", tags=["studies"])


@router.post(
    "",
    operation_id="submit_study",
    summary="Submit a study",
    status_code=201,
    response_model=StudyView,
    responses={200: {"model": Dryrun, "description": "With `dry_run`: the whole document"}},
)
@needs(Role.SUBMITTER, any_project=True)
async def submit_study(  # noqa: PLR0917 - FastAPI passes them by name
    services: ServicesDep,
    spec: SpecBody,
    key: KeyDep,
    actor: ActorDep,
    dry_run: Annotated[bool, Query(description="Only answer the normalised document")] = False,
    paused: Annotated[bool, Query(description="Start nothing until it is resumed")] = False,
) -> Response:
    spec = own_project(spec, actor.identity)
    check_name(services.ledger.memory, spec.name, actor.identity)
    spec = sources.settled(services.ledger.memory, spec, actor.identity)
    spec = again.settled(services.ledger.memory, spec, actor.identity)
    submission = await asyncio.to_thread(submit.prepare, spec)
    if dry_run:
        submit.free_name(services.ledger.memory, spec.name)
        document = views.document(submission.spec)
        dryrun = Dryrun(spec=document, warnings=list(submission.warnings))
        return Response(dryrun.model_dump_json(), media_type="application/json")

    def command(tx: Transaction) -> StudyView:
        quotas.check_queued(tx, services.settings.limits, submission.spec.queue.project)
        now = services.clock()
        study = submit.submit(tx, submission, actor.identity.name, now)
        if paused:
            study = studies.patch(tx, str(study.study_id), StudyPatch(state="paused"), now)
        actor.note(tx, services, "submit", study)
        return studies.show(tx, services, study, submission.warnings)

    return await write(services, key(), command, status=201)


@router.get("", operation_id="list_studies", summary="List studies, newest first")
@needs(Role.VIEWER, any_project=True)
async def list_studies(  # noqa: PLR0917 - FastAPI passes them by name
    services: ServicesDep,
    who: WhoDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[StudyState | None, Query(description="Only studies in this state")] = None,
    project: Annotated[
        str | None, Query(description="Only studies of this project", max_length=100)
    ] = None,
    name: Annotated[
        str | None, Query(description="Only studies whose names begin so", max_length=100)
    ] = None,
    owner: Annotated[
        str | None, Query(description="Only studies submitted by this user", max_length=100)
    ] = None,
    tag: Annotated[
        str | None, Query(description="Only studies with this tag", max_length=40)
    ] = None,
    sort: Annotated[
        study_lists.Sort,
        Query(description="`-` turns the order round; studies without a best value come last"),
    ] = "-created",
) -> StudyPage:
    wanted = study_lists.Wanted(
        state=state, project=project, name=name, owner=owner, sort=sort, tag=tag
    )
    memory = services.ledger.memory
    return study_lists.page(memory, services, wanted, who, limit=limit, cursor=cursor)


@router.get(
    "/{study}",
    operation_id="get_study",
    summary="Show a study",
    response_model=StudyView,
    responses={304: {"description": "It is as `If-None-Match` says"}},
)
@needs(Role.VIEWER)
async def get_study(
    services: ServicesDep, study: StudyRef, unless: versions.IfNoneMatch = None
) -> Response:
    memory = services.ledger.memory
    view = studies.show(memory, services, studies.find(memory, study))
    return versions.reply(await history.with_metrics(services, view), unless)


@router.patch(
    "/{study}",
    operation_id="change_study",
    summary="Pause, resume, stop or cancel a study; change its priority, parallel limit or space",
    response_model=StudyView,
)
@needs(Role.SUBMITTER)
async def change_study(  # noqa: PLR0917 - FastAPI passes them by name
    services: ServicesDep,
    study: StudyRef,
    change: Json[StudyPatch],
    key: KeyDep,
    actor: ActorDep,
    expected: versions.IfMatch,
) -> Response:
    made: respace.Respaced | None = None
    if change.space is not None:
        if change.state in ("stopped", "cancelled"):
            raise InvalidInput("space: a study that ends needs no other space")
        found = studies.find(services.ledger.memory, study)
        made = await asyncio.to_thread(respace.prepare, found, change.space)

    def command(tx: Transaction) -> StudyView:
        now = services.clock()
        changed = studies.patch(tx, study, change, now, expected)
        if made is not None:
            changed = respace.change(tx, changed, made, actor.identity.name, now)
        actor.note(tx, services, "change", changed, **change.model_dump(exclude_none=True))
        return studies.show(tx, services, changed)

    return versions.tagged(await write(services, key(), command))


@router.get(
    "/{study}/specs",
    operation_id="list_specs",
    summary="List the documents a study had, oldest first; one for each change of its space",
)
@needs(Role.VIEWER)
async def list_specs(
    services: ServicesDep, study: StudyRef, limit: Limit = 100, cursor: Cursor = None
) -> SpecPage:
    found = studies.find(services.ledger.memory, study)
    return await history.spec_page(services, found, limit=limit, cursor=cursor)


@router.delete(
    "/{study}",
    operation_id="delete_study",
    summary="Delete a study that is over: trials, curves, events and checkpoints",
    response_model=StudyView,
)
@needs(Role.SUBMITTER)
async def delete_study(
    services: ServicesDep,
    study: StudyRef,
    key: KeyDep,
    actor: ActorDep,
    expected: versions.IfMatch,
) -> Response:
    return await deletion.delete(services, study, key(), expected, actor)


@router.post(
    "/{study}/extend",
    operation_id="extend_study",
    summary="Add to a study's budget; a finished study goes on",
    response_model=StudyView,
)
@needs(Role.SUBMITTER)
async def extend_study(  # noqa: PLR0917 - FastAPI passes them by name
    services: ServicesDep,
    study: StudyRef,
    more: Json[Extend],
    key: KeyDep,
    actor: ActorDep,
    expected: versions.IfMatch,
) -> Response:
    def command(tx: Transaction) -> StudyView:
        limits, now = services.settings.limits, services.clock()
        extended = studies.extend(tx, study, more, now, expected, limits=limits)
        actor.note(tx, services, "extend", extended, **more.model_dump())
        return studies.show(tx, services, extended)

    return versions.tagged(await write(services, key(), command))


@router.post(
    "/{study}/clone",
    operation_id="clone_study",
    summary="Submit the same document again, changed, under a new name",
    status_code=201,
    response_model=StudyView,
)
@needs(Role.SUBMITTER)
async def clone_study(
    services: ServicesDep, study: StudyRef, clone: Json[CloneStudy], key: KeyDep, actor: ActorDep
) -> Response:
    source = studies.find(services.ledger.memory, study)
    submission = await asyncio.to_thread(submit.prepare_clone, source, clone)
    spec = sources.settled(services.ledger.memory, submission.spec, actor.identity)
    spec = again.settled(services.ledger.memory, spec, actor.identity)
    submission = submission._replace(spec=spec)
    require_project(submission.spec, actor.identity)
    check_name(services.ledger.memory, submission.spec.name, actor.identity)

    def command(tx: Transaction) -> StudyView:
        quotas.check_queued(tx, services.settings.limits, submission.spec.queue.project)
        made = submit.submit(tx, submission, actor.identity.name, services.clock())
        actor.note(tx, services, "clone", made, source=source.study_id)
        return studies.show(tx, services, made, submission.warnings)

    return await write(services, key(), command, status=201)
