"""What attempts ran on and with: recorded under the fence, shown with the trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from api.fence import held_trial, last_held
from api.listing import Order, cut
from api.services import Services
from storage import environments
from storage.changes import EnvironmentPart, StoredEnvironment
from storage.environments import EnvironmentRecord
from storage.transaction import Transaction
from tuner.access import Identity
from tuner.environment import digest_of
from tuner.errors import InvalidInput, StaleAttempt
from tuner.trial import Trial
from tuner.wire import (
    Code,
    EnvironmentPage,
    EnvironmentRecorded,
    EnvironmentView,
    Machine,
    RecordEnvironment,
)
from tuner.wire.environments import Part


class Held(NamedTuple):
    """A lease, as a request names it."""

    token: str
    attempt: int
    who: Identity


async def record(services: Services, held: Held, body: RecordEnvironment) -> EnvironmentRecorded:
    """Record what an attempt runs on and with; ask for the parts that the study does not have.

    An attempt that has ended is told of too, until another one of its trial begins.

    Raises:
        InvalidInput: a part is not the one whose digest the machine names.
        NotAllowed: the lease was given to another access token.
        StaleAttempt: the lease was never given, or another attempt came after it.
    """
    parts = _parts(body)
    named = {"packages": body.machine.packages, "code": body.machine.code}
    trial = await _trial_of(services, held)
    digest = next(d for d, part in parts.items() if part.kind == "machine")
    lacking = await _lacking(services, trial.study_id, {digest, *named.values()})
    kinds: tuple[Part, ...] = ("packages", "code")
    missing = [kind for kind in kinds if named[kind] in lacking and named[kind] not in parts]
    if missing:
        return EnvironmentRecorded(missing=missing)
    new = tuple(parts[d] for d in lacking)

    def command(tx: Transaction) -> None:
        current = tx.trial(trial.study_id, trial.number)
        if current.attempt != held.attempt:
            raise StaleAttempt(f"attempt {current.attempt} came after it")
        tx.put_environment(
            StoredEnvironment(
                trial_id=trial.trial_id,
                study_id=trial.study_id,
                attempt=held.attempt,
                digest=digest,
                parts=new,
                devices=tuple(body.machine.devices),
            )
        )

    await services.ledger.write(command)
    services.parts.add(trial.study_id, {digest, *named.values()})
    return EnvironmentRecorded()


async def page(
    services: Services, trial: Trial, *, limit: int, cursor: str | None
) -> EnvironmentPage:
    """Show the environments recorded for a trial's attempts, newest first.

    Raises:
        InvalidInput: the cursor is none of this list's.
    """
    found = await services.ledger.read(
        lambda c: environments.read_environments(c, trial.study_id, trial.number)
    )
    order: Order[EnvironmentRecord] = Order(
        value=lambda e: e.attempt, ident=lambda e: e.attempt, reverse=True
    )
    scope = ("environments", trial.study_id, trial.number)
    items, more = cut(found, order, scope, limit=limit, cursor=cursor)
    return EnvironmentPage(items=[_view(one) for one in items], next_cursor=more)


def _parts(body: RecordEnvironment) -> dict[str, EnvironmentPart]:
    """Return the parts that came, by digest."""
    found = [_part("machine", body.machine, None)]
    if body.packages is not None:
        found.append(_part("packages", body.packages, body.machine.packages))
    if body.code is not None:
        found.append(_part("code", body.code, body.machine.code))
    return {part.digest: part for part in found}


def _part(kind: str, part: BaseModel | Mapping[str, str], named: str | None) -> EnvironmentPart:
    document: Mapping[str, Any] = (
        part.model_dump(mode="json", exclude_unset=True) if isinstance(part, BaseModel) else part
    )
    digest = digest_of(document)
    if named is not None and digest != named:
        raise InvalidInput(f"{kind}: is not the part whose digest machine.{kind} names")
    return EnvironmentPart(digest=digest, kind=kind, body=json.dumps(document, sort_keys=True))


async def _trial_of(services: Services, held: Held) -> Trial:
    memory = services.ledger.memory
    try:
        return held_trial(memory, held.token, held.attempt, held.who)
    except StaleAttempt:
        trial = last_held(memory, held.token, held.attempt, held.who)

    holder = await services.ledger.read(
        lambda c: environments.attempt_holder(c, trial.trial_id, held.attempt)
    )
    if holder != (held.token, held.who.token_id):
        raise StaleAttempt("the lease was never given")
    return trial


async def _lacking(services: Services, study_id: int, digests: set[str]) -> set[str]:
    unknown = services.parts.missing(study_id, digests)
    if not unknown:
        return set()
    stored = await services.ledger.read(
        lambda c: environments.known_parts(c, study_id, sorted(unknown))
    )
    services.parts.add(study_id, stored)
    return unknown - stored


def _view(record: EnvironmentRecord) -> EnvironmentView:
    return EnvironmentView(
        attempt=record.attempt,
        started_at=record.started_at,
        machine=Machine.model_validate(record.machine),
        packages=record.packages,
        code=Code.model_validate(record.code),
    )
