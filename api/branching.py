"""A control of halving begins where the halved trial was before: a copy of its checkpoint."""

from __future__ import annotations

import asyncio
import secrets

from api import inherit
from api.files.places import SUFFIX
from api.services import Services
from storage import Transaction
from tuner.errors import TunerError
from tuner.trial import INHERITED, Trial, TrialState


async def shorten(services: Services, control: Trial, source: Trial) -> None:
    """Let a waiting control go on from a checkpoint of before the halving, where that is there.

    Otherwise it trains from its start: the same curve, for more time.
    """
    if source.checkpoint is None:
        return
    try:
        start = await _copied(services, source, source.checkpoint.step)
        await services.ledger.write(lambda tx: _begin(tx, services, control, start))
    except TunerError:
        return


async def _copied(services: Services, source: Trial, step: int) -> inherit.Start:
    async with services.locks.of(source):
        held = await inherit.chosen(services, source, step)
        path = f"{source.study_id}/kept/{secrets.token_hex(8)}{SUFFIX}"
        await asyncio.to_thread(services.store.copy, held.path, path)
    copy = held._replace(attempt=INHERITED, path=path)
    study = services.ledger.memory.study(source.study_id)
    return inherit.Start(study=study, trial=source, held=held, copy=copy, steps="on")


def _begin(tx: Transaction, services: Services, control: Trial, start: inherit.Start) -> None:
    waiting = tx.trial(control.study_id, control.number)
    if waiting.state is TrialState.WAITING and waiting.attempt == 0:
        inherit.take_over(tx, services, waiting, start, services.clock())
