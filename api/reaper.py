"""The sweep: leases past their deadline, workers long gone, studies whose hours are over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from operator import methodcaller

from api import lifecycle, queue
from api.services import Services
from storage.transaction import Transaction
from tuner.decision import Outcome
from tuner.errors import NotFound, StaleAttempt, TunerError
from tuner.trial import AttemptEnd, Lease, TrialState

FORGET_AFTER = 20.0
"""Lengths of a lease after which a silent worker is forgotten."""

_log = logging.getLogger(__name__)


@asynccontextmanager
async def running(services: Services) -> AsyncIterator[None]:
    """Sweep in the background for as long as the context is open."""
    task = asyncio.create_task(run(services), name="reaper")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def run(services: Services) -> None:
    """Sweep every `sweep_s` seconds until cancelled."""
    while True:
        try:
            await sweep(services)
        except TunerError as exc:
            _log.warning("the sweep failed and will be tried again: %s", exc.detail)
        except Exception:
            _log.exception("the sweep failed and will be tried again")
        await asyncio.sleep(services.settings.sweep_s)


async def sweep(services: Services) -> None:
    """Close what is over, once.

    Raises:
        Unavailable: the database is away.
    """
    memory = services.ledger.memory
    for lease in services.deadlines.past(memory.leases()):
        await services.ledger.write(partial(_lose, services=services, lease=lease))
    await _forget_workers(services)
    now = services.clock()
    await services.day.follow(services.ledger, now, services.monotonic())
    await _end_by_hours(services, now)
    services.search.keep({s.study_id for s in memory.studies() if queue.is_open(s)})


def _lose(tx: Transaction, services: Services, lease: Lease) -> None:
    """Take the trial from a lease that was not renewed, unless it was in the meantime."""
    if not services.deadlines.is_past(lease.token):
        return
    try:
        tx.lease(lease.token)
    except StaleAttempt:
        return
    now = services.clock()
    trial = tx.trial(lease.study_id, lease.number)
    study = tx.study(lease.study_id)
    reason = f"nothing was heard for {services.settings.lease_s:g} s"
    data = {"worker_id": lease.worker_id}
    lost = lifecycle.requeue(tx, trial, AttemptEnd.LOST, now, reason=reason, data=data)
    if lost.state is TrialState.WAITING and lost.failures > study.spec.retry.max:
        why = f"lost or failed {lost.failures} times, at last: {reason}"
        why = why if lost.failures > 1 else reason
        lifecycle.end_trial(tx, study, lost, Outcome.FAILED, now, reason=why, data=data)


async def _forget_workers(services: Services) -> None:
    limit = FORGET_AFTER * services.settings.lease_s
    for worker in services.ledger.memory.workers():
        if services.deadlines.silence(worker) > limit:
            with suppress(NotFound):  # it signed off meanwhile
                await services.ledger.write(methodcaller("drop_worker", worker.worker_id))
            services.deadlines.forget(worker.worker_id)
            services.troubles.forget(worker.worker_id)
            services.cordons.forget(worker.worker_id)


async def _end_by_hours(services: Services, now: datetime) -> None:
    for study in services.ledger.memory.studies():
        if not study.is_over and study.stopping is None and lifecycle.hours_over(study, now):
            await services.ledger.write(
                partial(lifecycle.end_by_hours, study_id=study.study_id, now=now)
            )
