"""Messages about tokens, sessions and the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from tuner.access import Role
from tuner.text import Name
from tuner.wire.base import Reply, Request

_TEN_YEARS_S = 10 * 366 * 86400


class CreateToken(Request):
    """POST /tokens. Without `expires_s` it is valid until it is revoked."""

    name: Name
    role: Annotated[Role, Field(strict=False)]
    project: Name | None = None
    expires_s: Annotated[int, Field(ge=1, le=_TEN_YEARS_S)] | None = None


class TokenView(Reply):
    """A token, without its secret."""

    token_id: str
    name: str
    role: Role
    project: str | None = None
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None
    expired: bool = False


class CreatedToken(TokenView):
    """Reply to POST /tokens, the only one that holds the secret."""

    secret: str


class TokenList(Reply):
    """GET /tokens, oldest first."""

    items: list[TokenView]
    next_cursor: str | None = None


class LogIn(Request):
    """POST /session."""

    token: Annotated[str, Field(min_length=1, max_length=1000)]


class SessionView(Reply):
    """A browser's session. Send `csrf` as the header `X-CSRF-Token` with every write."""

    name: str
    role: Role
    project: str | None = None
    csrf: str


class AuditView(Reply):
    """An entry of the audit log."""

    seq: int
    at: datetime
    who: str
    token_id: str
    address: str
    action: str
    study_id: int | None = None
    study: str | None = None
    detail: dict[str, Any]


class AuditPage(Reply):
    """GET /audit, newest first."""

    items: list[AuditView]
    next_cursor: str | None = None
