"""What a study found: its best trial, and everything to take away."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from api import export, history, studies, tables, views
from api.access import needs
from api.deps import ServicesDep, StudyRef
from api.services import Services
from api.tables import TableName
from tuner.access import Role
from tuner.errors import InvalidInput, NotFound
from tuner.study import Study
from tuner.wire import BestView

router = APIRouter(prefix="/studies", tags=["studies"])
YAML = "application/yaml"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"


class YamlResponse(Response):
    """YAML, for the description of what a route answers."""

    media_type = YAML


@router.get("/{study}/best", operation_id="get_best", summary="Show the best trial")
@needs(Role.VIEWER)
async def get_best(services: ServicesDep, study: StudyRef) -> BestView:
    memory = services.ledger.memory
    found = studies.find(memory, study)
    best = views.best(found, memory.trials(found.study_id))
    if best is None:
        raise NotFound(f"study {found.name!r} has no trial with a value yet")
    return await history.best_with_metrics(services, found.study_id, best)


@router.get(
    "/{study}/export",
    operation_id="export_study",
    summary="Take results away: YAML that replays the best trial, everything as JSON, or tables",
    response_class=YamlResponse,
    responses={200: {"content": {"application/json": {}, CSV: {}, PARQUET: {}}}},
)
@needs(Role.VIEWER)
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
    trial: Annotated[
        int | None,
        Query(description="Which trial `yaml` replays [the best]", ge=0, lt=2**31),
    ] = None,
) -> Response:
    memory = services.ledger.memory
    found = studies.find(memory, study)
    if trial is not None and format != "yaml":
        raise InvalidInput("query.trial: goes with the format yaml")
    if format in ("csv", "parquet"):
        return await _table(services, found, format, table or "trials")
    if table is not None:
        raise InvalidInput("query.table: goes with the formats csv and parquet")
    if trial is not None:
        text = export.replay_of(found, memory.trial(found.study_id, trial))
        return Response(text, media_type=YAML)
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
