"""The study document's schema, from which forms are made."""

from __future__ import annotations

from functools import cache

from fastapi import APIRouter
from starlette.responses import Response

from api.access import needs
from tuner.access import Role
from tuner.spec import StudySpec
from tuner.train import TASKS
from tuner.wire import DocumentSchema, TaskView

router = APIRouter(tags=["studies"])
_HEADERS = {"Cache-Control": "private, max-age=600"}


@cache
def _body() -> bytes:
    tasks = [
        TaskView(
            name=task.name,
            description=task.description,
            steps=task.steps,
            objectives=dict(task.objectives),
        )
        for task in TASKS.values()
    ]
    found = DocumentSchema(document=StudySpec.model_json_schema(), tasks=tasks)
    return found.model_dump_json().encode()


@router.get(
    "/schema",
    operation_id="get_schema",
    summary="Show the JSON schema of the study document, and the built-in tasks",
    response_model=DocumentSchema,
)
@needs(Role.VIEWER, any_project=True)
async def get_schema() -> Response:
    return Response(_body(), media_type="application/json", headers=_HEADERS)
