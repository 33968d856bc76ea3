"""Requests that may be sent again: the same `Idempotency-Key` gets the same answer.

The reply is stored in the transaction of the write it answers, so that there is never one without
the other. An error is not stored: what failed changed nothing, and may be tried again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, NamedTuple

from fastapi import Depends, Header, Request
from pydantic import BaseModel
from starlette.responses import Response

from api.services import Services
from storage.transaction import Transaction
from tuner.access import ADMIN_NAME
from tuner.errors import InvalidInput, KeyInFlight

_MEDIA = "application/json"


class Key(NamedTuple):
    """An `Idempotency-Key` of one token, and a digest of the request it came with."""

    value: str
    digest: str


Given = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key with the same request gets the same reply for a day.",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
    ),
]


async def key_of(request: Request, given: Given = None) -> Callable[[], Key | None]:
    """Return a function that gives the key; call it when the body has been read."""

    def key() -> Key | None:
        if given is None:
            return None
        head = f"{request.method} {request.url.path}?{request.url.query}\n"
        sender = request.state.token_id
        if sender != ADMIN_NAME:
            head = f"{sender} {head}"
        # A space is in no key that is given, so that nobody's keys meet another's.
        value = given if sender == ADMIN_NAME else f"{sender} {given}"
        body: bytes = getattr(request.state, "body", b"")
        return Key(value, hashlib.sha256(head.encode() + body).hexdigest())

    return key


KeyDep = Annotated[Callable[[], Key | None], Depends(key_of)]


async def write(
    services: Services,
    key: Key | None,
    command: Callable[[Transaction], BaseModel],
    *,
    status: int = 200,
) -> Response:
    """Run a ledger command once for its key, and answer with what it returns.

    Raises:
        InvalidInput: the key was used for another request.
        KeyInFlight: a request with this key is being answered.
    """
    if key is None:
        reply = await services.ledger.write(command)
        return Response(reply.model_dump_json(), status_code=status, media_type=_MEDIA)
    if key.value in services.keys_in_flight:
        raise KeyInFlight("wait for the answer to the first request", retry_after=1)
    services.keys_in_flight.add(key.value)
    try:
        code, body = await services.ledger.write(
            lambda tx: _once(tx, services, key, command, status)
        )
    finally:
        services.keys_in_flight.discard(key.value)
    return Response(body, status_code=code, media_type=_MEDIA)


def _once(
    tx: Transaction,
    services: Services,
    key: Key,
    command: Callable[[Transaction], BaseModel],
    status: int,
) -> tuple[int, bytes]:
    stored = tx.reply(key.value)
    if stored is not None:
        if stored.digest != key.digest:
            raise InvalidInput("this Idempotency-Key was used for another request")
        return stored.status, stored.body
    body = command(tx).model_dump_json().encode()
    tx.put_reply(key.value, key.digest, status, body, services.clock())
    return status, body
