"""Handing out trials: planned on memory, decided again inside the command that leases them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from functools import partial
from typing import NamedTuple

from starlette.responses import JSONResponse, Response

from api import idempotency, lifecycle, queue
from api.fence import new_token
from api.idempotency import Key
from api.plan import Caller, Pick, Plan, Space, plan
from api.sampling.ready import NoPoint
from api.services import Services
from api.studies import find
from api.workers import touch
from storage.changes import Committed
from storage.memory import Reader
from storage.transaction import Transaction
from tuner.access import Identity
from tuner.errors import InvalidInput, NotAuthenticated, NotFound, StudyState
from tuner.packing import Room, homes
from tuner.policies import steer
from tuner.space import Params
from tuner.study import Study
from tuner.trial import Event, EventKind, Lease, Origin, Trial, TrialState
from tuner.wire import AcquireLeases, CheckpointView, LeaseGrant, Leases


class _NothingGranted(Exception):
    """Others were faster: the command leases nothing and is undone."""


class Poll(NamedTuple):
    """Who asks, and how long: up to `wait_s` seconds, for as long as it is there and valid."""

    wait_s: float
    key: Key | None
    is_gone: Callable[[], Awaitable[bool]]
    who: Identity
    is_valid: Callable[[], bool]


async def acquire(services: Services, ask: AcquireLeases, poll: Poll) -> Response:
    """Lease up to `n` trials to a worker; wait for the first.

    Raises:
        InvalidInput: what it says is free is no part of it.
        NotAllowed: the worker registered with another token.
        NotAuthenticated: the token was revoked, or expired, in the meantime.
        NotFound: the worker is not registered.
    """
    await touch(services, ask.worker_id, poll.who)
    caller = Caller(
        n=ask.n,
        worker_id=ask.worker_id,
        token_id=poll.who.token_id,
        avoid=frozenset(ask.avoid),
        has_others=partial(_has_others, services, ask.worker_id),
        space=_space(services, ask),
    )
    return await _lease(services, caller, poll)


def _has_others(services: Services, worker_id: str, study: Study) -> bool:
    """Tell whether a live worker beside this one may serve a study."""
    return any(
        worker.worker_id != worker_id
        and services.deadlines.is_alive(worker)
        and not services.troubles.of(worker)
        and not services.cordons.holds(worker.worker_id)
        and queue.refusal(study, worker) is None
        for worker in services.ledger.memory.workers()
    )


def _space(services: Services, body: AcquireLeases) -> Space | None:
    free = body.free
    if free is None:
        return None
    worker = services.ledger.memory.worker(body.worker_id)
    if len(free.gpus) != len(worker.gpus):
        raise InvalidInput(f"the worker has {len(worker.gpus)} GPUs, not {len(free.gpus)}")
    own = homes(worker.slots, len(worker.gpus))
    if any(slot >= len(own) for slot in free.homes):
        raise InvalidInput(f"the worker has {worker.slots} slots, from 0 on")
    room = Room(
        places=body.n,
        free=tuple(free.gpus),
        homes=tuple(own[slot] for slot in dict.fromkeys(free.homes)),
    )
    shares = {one.study_id: one.share for one in free.shares}
    return Space(room=room, shares=shares, drains=services.drains)


async def ask(services: Services, ref: str, poll: Poll) -> Response:
    """Lease the next trial of an external study.

    Raises:
        NotFound: there is no such study.
        StudyState: its trials go to workers, or no further one starts.
    """
    study = find(services.ledger.memory, ref)
    if study.spec.run != "external":
        raise StudyState(f"the trials of {study.name!r} are run by workers")
    return await _lease(
        services, Caller(n=1, study_id=study.study_id, token_id=poll.who.token_id), poll
    )


async def _lease(services: Services, caller: Caller, poll: Poll) -> Response:
    """Try, and try again after each commit that may help; lease nothing to a caller that left."""
    memory, key = services.ledger.memory, poll.key
    news = asyncio.Event()
    unsubscribe = services.ledger.subscribe(lambda c: news.set() if _matters(c) else None)
    end = asyncio.get_running_loop().time() + poll.wait_s
    held, stack = False, ExitStack()
    stack.enter_context(services.cordons.watched(news.set))
    try:
        while True:
            news.clear()
            _check_valid(poll)
            if key is not None and memory.reply(key.value) is not None:
                return await _grant(services, caller, key)
            picks, idle, kept = _plan(services, memory, caller)
            if caller.worker_id is not None:
                services.drains.keep(caller.worker_id, kept)
            if picks and not await poll.is_gone():
                granted = await _try(services, caller, key, picks)
                if granted is not None:
                    return granted
                continue
            left = 0.0 if picks else end - asyncio.get_running_loop().time()
            if left > 0 and not held:
                stack.enter_context(services.polls.take(poll.who.token_id))
                held = True
            if left <= 0 or caller.is_vain(memory) or not await _news(services, news, left):
                _check_valid(poll)
                reply = Leases(leases=[], idle=idle, heartbeat_s=services.settings.heartbeat_s)
                return JSONResponse(reply.model_dump(mode="json"))
    finally:
        stack.close()
        unsubscribe()


def _plan(services: Services, reader: Reader, caller: Caller) -> Plan:
    """Plan what to lease: nothing to a worker that is drained."""
    if services.cordons.holds(caller.worker_id):
        return Plan([], idle=False, kept=frozenset())
    return plan(reader, caller, services.settings.limits)


def _check_valid(poll: Poll) -> None:
    if not poll.is_valid():
        raise NotAuthenticated("the token was revoked, or has expired")


def _matters(news: Committed) -> bool:
    """Tell whether a commit may have made a trial free to lease, or freed a place to run one."""
    return bool(
        news.reloaded
        or news.studies
        or news.tokens
        or any(t.state is not TrialState.RUNNING for t in news.trials)
    )


async def _news(services: Services, news: asyncio.Event, wait_s: float) -> bool:
    """Wait for news; False when the time is up or the server stops."""
    waits = {asyncio.create_task(e.wait()) for e in (news, services.closing)}
    try:
        await asyncio.wait(waits, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        return news.is_set() and not services.closing.is_set()
    finally:
        for task in waits:
            task.cancel()


async def _try(
    services: Services, caller: Caller, key: Key | None, picks: Sequence[Pick]
) -> Response | None:
    """Have points ready for what the plan wants proposed, and lease; None if others were faster."""
    proposed, memory = [p.study for p in picks if p.number is None], services.ledger.memory
    if not proposed:
        with suppress(_NothingGranted):
            return await _grant(services, caller, key)
        return None
    study = proposed[0]
    try:
        async with services.search.ready(memory, study, len(proposed)):
            return await _grant(services, caller, key)
    except NoPoint as exc:
        await services.ledger.write(partial(_exhaust, services=services, study=study, why=exc))
    except NotFound:
        if study.study_id in {s.study_id for s in memory.studies()}:
            raise
    except _NothingGranted:
        pass
    return None


def _exhaust(tx: Transaction, services: Services, study: Study, why: NoPoint) -> None:
    """End the search, unless a trial came in between or the space was changed."""
    current = tx.study(study.study_id)
    same = current.spec.space == study.spec.space
    if same and tx.next_number(study.study_id) == why.number and queue.is_open(current):
        lifecycle.exhaust(tx, current, why.reason, services.clock())


async def _grant(services: Services, caller: Caller, key: Key | None) -> Response:
    """Plan again inside the ledger and lease what is still free and has a point ready.

    Raises:
        _NothingGranted: nothing was free.
    """

    def command(tx: Transaction) -> Leases:
        now = services.clock()
        picks = _plan(services, tx, caller).picks
        leases: list[LeaseGrant] = []
        for study, number in picks:
            if number is None:
                point = services.search.point(tx, study)
                if point is None:
                    continue
                trial = _create(tx, study, point, now)
            else:
                trial = tx.trial(study.study_id, number)
            leases.append(grant(tx, study, trial, caller, now))
            services.deadlines.renew(leases[-1].lease)
        if not leases:
            raise _NothingGranted
        for study_id in {g.study_id for g in leases}:
            lifecycle.settle(tx, study_id, now)
        return Leases(leases=leases, heartbeat_s=services.settings.heartbeat_s)

    return await idempotency.write(services, key, command)


def _create(tx: Transaction, study: Study, point: Params, now: datetime) -> Trial:
    seed = study.trial_seed(tx.next_number(study.study_id))
    return tx.new_trial(study.study_id, point, Origin.SAMPLED, seed, now)


def grant(tx: Transaction, study: Study, trial: Trial, caller: Caller, now: datetime) -> LeaseGrant:
    """Lease a waiting trial: a new attempt on the lineage up to its checkpoint."""
    attempt, held = trial.attempt + 1, trial.checkpoint
    step = held.step if held is not None else 0
    level = steer.level_after(study, trial, step) if held is not None else 1.0
    lease = Lease(
        token=new_token(study.study_id, trial.number, attempt),
        study_id=study.study_id,
        number=trial.number,
        attempt=attempt,
        worker_id=caller.worker_id,
        token_id=caller.token_id,
    )
    tx.open_attempt(trial, lease, now)
    tx.put_trial(
        trial.evolve(
            state=TrialState.RUNNING,
            attempt=attempt,
            reason="",
            reports=tuple(r for r in trial.reports if held is not None and r.step <= step),
            marks=tuple(m for m in trial.marks if held is not None and m.step <= step),
            lr_factor=level,
            lease=lease,
            held_by=lease.token_id,
            started_at=trial.started_at or now,
        )
    )
    data = {"worker_id": caller.worker_id, "resumed_step": step if held is not None else None}
    tx.add_event(
        Event(
            study_id=study.study_id,
            kind=EventKind.LEASED,
            at=now,
            number=trial.number,
            attempt=attempt,
            data=data,
        )
    )
    return _view(study, trial, lease, level)


def _view(study: Study, trial: Trial, lease: Lease, level: float) -> LeaseGrant:
    run, held = study.spec.run, trial.checkpoint
    return LeaseGrant(
        lease=lease.token,
        study_id=study.study_id,
        study=study.name,
        number=trial.number,
        attempt=lease.attempt,
        params=dict(trial.params),
        seed=trial.seed,
        steps=study.spec.budget.steps,
        metric=study.spec.objective.metric,
        mode=study.spec.objective.mode,
        run=run if isinstance(run, str) else run.model_dump(mode="json"),
        lr_factor=level,
        resume=None
        if held is None
        else CheckpointView(
            attempt=held.attempt, step=held.step, sha256=held.sha256, size=held.size
        ),
        share=trial.share,
    )
