"""Projects: what each uses of its quotas."""

from __future__ import annotations

from fastapi import APIRouter, Request

from api.access import needs
from api.deps import ServicesDep
from api.limits import quotas
from api.live.access import view_of
from tuner.access import Role
from tuner.wire import ProjectPage

router = APIRouter(prefix="/projects", tags=["projects"])


@router.get("", operation_id="list_projects", summary="List projects, what they use and may use")
@needs(Role.VIEWER, any_project=True)
async def list_projects(request: Request, services: ServicesDep) -> ProjectPage:
    seen = view_of(request.scope, None).projects
    return quotas.page(services.ledger.memory, services.settings.limits, seen)
