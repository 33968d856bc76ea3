"""Tokens: made, listed, revoked; and the audit log, shown."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from api.access import Actor
from api.credentials import digest_of, new_secret
from api.listing import Order, cut, refuse
from api.services import Services
from storage.audit import AuditFilter, audit_entries
from storage.memory import Reader
from storage.transaction import Transaction
from tuner.access import ADMIN_NAME, WORKER_NAME, AuditEntry, Role, Token
from tuner.errors import Conflict, InvalidInput, NotFound
from tuner.wire import AuditPage, AuditView, CreatedToken, CreateToken, TokenList, TokenView

_FUTURE = 2**62
_BUILT_IN = (ADMIN_NAME, WORKER_NAME)


async def create(services: Services, body: CreateToken, actor: Actor) -> CreatedToken:
    """Make a token, and return its secret, which is kept nowhere.

    Raises:
        Conflict: a token of this name exists.
        InvalidInput: an admin's token is given a project.
    """
    if body.role is Role.ADMIN and body.project is not None:
        raise InvalidInput("project: an admin's token is of all projects")
    if body.name in _BUILT_IN:
        raise Conflict(f"{body.name!r} is a built-in token's name")
    secret, now = new_secret(), services.clock()
    token = Token(
        token_id=f"t-{secrets.token_hex(6)}",
        digest=digest_of(secret),
        name=body.name,
        role=body.role,
        project=body.project,
        created_by=actor.identity.name,
        created_at=now,
        expires_at=None if body.expires_s is None else now + timedelta(seconds=body.expires_s),
    )

    def command(tx: Transaction) -> None:
        tx.new_token(token)
        actor.note(tx, services, "token-create", **_detail(token))

    await services.ledger.write(command)
    return CreatedToken(**_view(token, now).model_dump(), secret=secret)


def page(services: Services, *, limit: int, cursor: str | None) -> TokenList:
    """Show a page of tokens, oldest first. Raises InvalidInput for a foreign cursor."""
    now = services.clock()
    oldest: Order[Token] = Order(
        value=lambda t: f"{t.created_at.isoformat()} {t.token_id}", ident=lambda _: 0
    )
    tokens = services.ledger.memory.tokens()
    found, more = cut(tokens, oldest, ("tokens",), limit=limit, cursor=cursor)
    return TokenList(items=[_view(t, now) for t in found], next_cursor=more)


async def revoke(services: Services, ref: str, actor: Actor) -> TokenView:
    """Make a token void at once, with the sessions and streams that were opened with it.

    Raises:
        NotFound: there is none of this id or name.
    """

    def command(tx: Transaction) -> Token:
        token = _find(tx, ref)
        tx.drop_token(token.digest)
        actor.note(tx, services, "token-revoke", **_detail(token))
        return token

    token = await services.ledger.write(command)
    services.hub.end("revoked", token_id=token.token_id)
    return _view(token, services.clock())


def _find(reader: Reader, ref: str) -> Token:
    for token in reader.tokens():
        if ref in (token.token_id, token.name):
            return token
    if ref in _BUILT_IN:
        raise NotFound(
            f"{ref!r} is built in and in no list: to change it, change the server's variable or "
            "file, and restart the server"
        )
    raise NotFound(f"no token has the id or name {ref!r}")


def _detail(token: Token) -> dict[str, str | None]:
    return {
        "token_id": token.token_id,
        "name": token.name,
        "role": token.role.value,
        "project": token.project,
        "expires_at": None if token.expires_at is None else token.expires_at.isoformat(),
    }


def _view(token: Token, now: datetime) -> TokenView:
    return TokenView(
        token_id=token.token_id,
        name=token.name,
        role=token.role,
        project=token.project,
        created_by=token.created_by,
        created_at=token.created_at,
        expires_at=token.expires_at,
        expired=not token.is_valid(now),
    )


async def audit_page(
    services: Services, chosen: AuditFilter, *, limit: int, cursor: str | None
) -> AuditPage:
    """Show entries of the audit log, newest first. Raises InvalidInput for a foreign cursor."""
    before = _FUTURE if cursor is None else _number_of(cursor)
    found = await audit_entries(services.ledger, chosen, before=before, limit=limit + 1)
    more = str(found[limit - 1].seq) if len(found) > limit else None
    return AuditPage(items=[_entry(e) for e in found[:limit]], next_cursor=more)


def _number_of(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
        refuse()
    return int(cursor)


def _entry(entry: AuditEntry) -> AuditView:
    return AuditView(
        seq=entry.seq or 0,
        at=entry.at,
        who=entry.who,
        token_id=entry.token_id,
        address=entry.address,
        action=entry.action,
        study_id=entry.study_id,
        study=entry.study,
        detail=dict(entry.detail),
    )
