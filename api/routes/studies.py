"""Studies: submit, list, show, change, extend, clone, export."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from api import deletion, export, history, studies, submit, tables, views
from api.body import Json, SpecBody
from api.deps import Cursor, Limit, ServicesDep, StudyRef, UserDep
from api.idempotency import KeyDep, write
from api.services import Services
from api.tables import TableName
from storage.transaction import Transaction
from tuner.errors import InvalidInput, NotFound
from tuner.study import Study
from tuner.trial import StudyState
from tuner.wire import (
    BestView,
    CloneStudy,
    Dryrun,
    EventPage,
    Extend,
    StudyPage,
    StudyPatch,
    StudyView,
)

router = APIRouter(prefix="/studies", tags=["studies"])
YAML = "application/yaml"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"


class YamlResponse(Response):
    """YAML, for the description of what a route answers."""

    media_type = YAML


@router.post(
    "",
    operation_id="submit_study",
    summary="Submit a study",
    status_code=201,
    response_model=StudyView,
    responses={200: {"model": Dryrun, "description": "With `dry_run`: the whole document"}},
)
async def submit_study(
    services: ServicesDep,
    spec: SpecBody,
    key: KeyDep,
    user: UserDep,
    dry_run: Annotated[bool, Query(description="Only answer the normalised document")] = False,
) -> Response:
    submission = await asyncio.to_thread(submit.prepare, spec)
    if dry_run:
        submit.free_name(services.ledger.memory, spec.name)
        document = views.document(submission.spec)
        dryrun = Dryrun(spec=document, warnings=list(submission.warnings))
        return Response(dryrun.model_dump_json(), media_type="application/json")

    def command(tx: Transaction) -> StudyView:
        study = submit.submit(tx, submission, user, services.clock())
        return studies.show(tx, services, study, submission.warnings)

    return await write(services, key(), command, status=201)


@router.get("", operation_id="list_studies", summary="List studies, newest first")
async def list_studies(
    services: ServicesDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[StudyState | None, Query(description="Only studies in this state")] = None,
    project: Annotated[
        str | None, Query(description="Only studies of this project", max_length=100)
    ] = None,
) -> StudyPage:
    return studies.page(
        services.ledger.memory,
        services,
        limit=limit,
        cursor=cursor,
        state=state,
        project=project,
    )


@router.get("/{study}", operation_id="get_study", summary="Show a study")
async def get_study(services: ServicesDep, study: StudyRef) -> StudyView:
    memory = services.ledger.memory
    view = studies.show(memory, services, studies.find(memory, study))
    return await history.with_metrics(services, view)


@router.patch(
    "/{study}",
    operation_id="change_study",
    summary="Pause, resume, stop or cancel a study; change its priority or parallel limit",
    response_model=StudyView,
)
async def change_study(
    services: ServicesDep, study: StudyRef, change: Json[StudyPatch], key: KeyDep
) -> Response:
    def command(tx: Transaction) -> StudyView:
        return studies.show(tx, services, studies.patch(tx, study, change, services.clock()))

    return await write(services, key(), command)


@router.delete(
    "/{study}",
    operation_id="delete_study",
    summary="Delete a study that is over: trials, curves, events and checkpoints",
    response_model=StudyView,
)
async def delete_study(services: ServicesDep, study: StudyRef, key: KeyDep) -> Response:
    return await deletion.delete(services, study, key())


@router.post(
    "/{study}/extend",
    operation_id="extend_study",
    summary="Add to a study's budget; a finished study goes on",
    response_model=StudyView,
)
async def extend_study(
    services: ServicesDep, study: StudyRef, more: Json[Extend], key: KeyDep
) -> Response:
    def command(tx: Transaction) -> StudyView:
        return studies.show(tx, services, studies.extend(tx, study, more, services.clock()))

    return await write(services, key(), command)


@router.post(
    "/{study}/clone",
    operation_id="clone_study",
    summary="Submit the same document again, changed, under a new name",
    status_code=201,
    response_model=StudyView,
)
async def clone_study(
    services: ServicesDep, study: StudyRef, clone: Json[CloneStudy], key: KeyDep, user: UserDep
) -> Response:
    source = studies.find(services.ledger.memory, study)
    submission = await asyncio.to_thread(submit.prepare_clone, source, clone)

    def command(tx: Transaction) -> StudyView:
        made = submit.submit(tx, submission, user, services.clock())
        return studies.show(tx, services, made, submission.warnings)

    return await write(services, key(), command, status=201)


@router.get("/{study}/best", operation_id="get_best", summary="Show the best trial")
async def get_best(services: ServicesDep, study: StudyRef) -> BestView:
    memory = services.ledger.memory
    found = studies.find(memory, study)
    best = views.best(found, memory.trials(found.study_id))
    if best is None:
        raise NotFound(f"study {found.name!r} has no trial with a value yet")
    return await history.best_with_metrics(services, found.study_id, best)


@router.get("/{study}/events", operation_id="list_events", summary="List events, oldest first")
async def list_events(
    services: ServicesDep,
    study: StudyRef,
    after: Annotated[int, Query(description="Only events after this `seq`", ge=0, lt=2**62)] = 0,
    limit: Limit = 200,
) -> EventPage:
    found = studies.find(services.ledger.memory, study)
    return await history.event_page(services, found.study_id, after=after, limit=limit)


@router.get(
    "/{study}/export",
    operation_id="export_study",
    summary="Take results away: YAML that replays the best trial, everything as JSON, or tables",
    response_class=YamlResponse,
    responses={200: {"content": {"application/json": {}, CSV: {}, PARQUET: {}}}},
)
async def export_study(
    services: ServicesDep,
    study: StudyRef,
    format: Annotated[  # noqa: A002
        Literal["yaml", "json", "csv", "parquet"],
        Query(description="`yaml` replays the best trial"),
    ] = "yaml",
    table: Annotated[
        TableName | None, Query(description="Which rows `csv` and `parquet` hold [trials]")
    ] = None,
) -> Response:
    memory = services.ledger.memory
    found = studies.find(memory, study)
    if format in ("csv", "parquet"):
        return await _table(services, found, format, table or "trials")
    if table is not None:
        raise InvalidInput("query.table: goes with the formats csv and parquet")
    if format == "yaml":
        return Response(export.replay(found, memory.trials(found.study_id)), media_type=YAML)
    pieces = export.everything(memory, services, found)
    return StreamingResponse(pieces, media_type="application/json")


async def _table(services: Services, study: Study, form: str, name: TableName) -> Response:
    found = await tables.table_of(services, study, name)
    file = quote(f"{study.name}-{name}.{form}", safe="")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{file}"}
    if form == "csv":
        pieces = tables.as_csv(services, found)
        return StreamingResponse(pieces, media_type=CSV, headers=headers)
    whole = await tables.as_parquet(services, found)
    return StreamingResponse(whole, media_type=PARQUET, headers=headers)
