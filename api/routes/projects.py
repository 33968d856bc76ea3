"""Projects: what each uses of its quotas."""

from __future__ import annotations

from fastapi import APIRouter, Request

from api.access import needs
from api.deps import Cursor, Limit, ServicesDep
from api.limits import quotas
from api.live.access import view_of
from tuner.access import Role
from tuner.wire import ProjectPage

router = APIRouter(prefix="/projects", tags=["projects"])


@router.get("", operation_id="list_projects", summary="List projects, what they use and may use")
@needs(Role.VIEWER, any_project=True)
async def list_projects(
    request: Request, services: ServicesDep, limit: Limit = 100, cursor: Cursor = None
) -> ProjectPage:
    seen = view_of(request.scope, None).projects
    memory, limits = services.ledger.memory, services.settings.limits
    return quotas.page(memory, limits, seen, limit=limit, cursor=cursor)
