"""Tokens and the audit log, for admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api import tokens
from api.access import ActorDep, needs
from api.body import Json
from api.deps import Cursor, Limit, ServicesDep
from storage.audit import AuditFilter
from tuner.access import Role
from tuner.wire import AuditPage, CreatedToken, CreateToken, TokenList, TokenView

router = APIRouter(tags=["access"])
TokenRef = Annotated[
    str, Path(description="A token's id or its name", min_length=1, max_length=100)
]


@router.post(
    "/tokens",
    operation_id="create_token",
    summary="Make a token; its secret is in this answer and nowhere else",
    status_code=201,
)
@needs(Role.ADMIN)
async def create_token(
    services: ServicesDep, body: Json[CreateToken], actor: ActorDep
) -> CreatedToken:
    return await tokens.create(services, body, actor)


@router.get(
    "/tokens",
    operation_id="list_tokens",
    summary="List tokens, oldest first, without their secrets",
)
@needs(Role.ADMIN)
async def list_tokens(
    services: ServicesDep, limit: Limit = 1000, cursor: Cursor = None
) -> TokenList:
    return tokens.page(services, limit=limit, cursor=cursor)


@router.delete("/tokens/{token}", operation_id="revoke_token", summary="Make a token void at once")
@needs(Role.ADMIN)
async def revoke_token(services: ServicesDep, token: TokenRef, actor: ActorDep) -> TokenView:
    return await tokens.revoke(services, token, actor)


@router.get("/audit", operation_id="list_audit", summary="Who did what to which study, when")
@needs(Role.ADMIN)
async def list_audit(  # noqa: PLR0917
    services: ServicesDep,
    limit: Limit = 100,
    cursor: Cursor = None,
    study: Annotated[str | None, Query(description="An id or name", max_length=100)] = None,
    who: Annotated[str | None, Query(description="A token's name", max_length=100)] = None,
    action: Annotated[
        str | None, Query(description="Such as submit", max_length=40, pattern=r"^[a-z-]+$")
    ] = None,
) -> AuditPage:
    chosen = AuditFilter(study=study, who=who, action=action)
    return await tokens.audit_page(services, chosen, limit=limit, cursor=cursor)
