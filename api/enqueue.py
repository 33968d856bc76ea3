"""Trials that a person asks for: parameters of one's own, or another trial's, changed."""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime

from api import lifecycle
from api.files.places import SUFFIX
from api.services import Services
from api.studies import find
from storage.artifacts import kept_checkpoints
from storage.transaction import Transaction
from tuner.errors import Conflict, InvalidInput, NotFound, StudyState, TunerError
from tuner.handle import ParamValue
from tuner.space import Params, middle
from tuner.study import Study
from tuner.trial import Checkpoint, Event, EventKind, Origin, Trial, TrialState
from tuner.wire import Enqueue

INHERITED = 0
"""The attempt under which a trial keeps what it took over from another one."""


async def keep(services: Services, ref: str, wish: Enqueue) -> Checkpoint | None:
    """Keep the checkpoint a trial shall go on from, so that its own trial can't drop it.

    Raises:
        Conflict: the trial has no such checkpoint, or its file is gone.
        InvalidInput: no trial is named.
        NotFound: there is no such study or trial.
    """
    if not wish.from_checkpoint:
        if wish.step is not None:
            raise InvalidInput("step says which checkpoint is meant: set from_checkpoint, too")
        return None
    if wish.like is None:
        raise InvalidInput("from_checkpoint needs `like`, the trial whose checkpoint it is")
    memory = services.ledger.memory
    source = memory.trial(find(memory, ref).study_id, wish.like)
    return await keep_of(services, source, wish.step)


async def keep_of(services: Services, source: Trial, step: int | None) -> Checkpoint:
    """Keep a trial's checkpoint, the newest if no step is named, for another trial.

    Raises:
        Conflict: the trial has no such checkpoint, or its file is gone.
    """
    async with services.locks.of(source):
        held = await _chosen(services, source, step)
        path = f"{source.study_id}/kept/{secrets.token_hex(8)}{SUFFIX}"
        try:
            await asyncio.to_thread(services.store.copy, held.path, path)
        except NotFound as exc:
            raise Conflict("the checkpoint's file is gone") from exc
    return held._replace(attempt=INHERITED, path=path)


async def _chosen(services: Services, source: Trial, step: int | None) -> Checkpoint:
    if step is None:
        if source.checkpoint is None:
            raise Conflict(f"trial {source.number} has no checkpoint")
        return source.checkpoint
    kept = [k.checkpoint for k in await kept_checkpoints(services.ledger, source.trial_id)]
    found = [c for c in kept if c.step == step]
    if not found:
        steps = ", ".join(str(c.step) for c in kept) or "none"
        raise Conflict(
            f"trial {source.number} keeps no checkpoint of step {step}; it keeps {steps}"
        )
    return found[-1]


def enqueue(
    tx: Transaction, ref: str, wish: Enqueue, kept: Checkpoint | None, now: datetime
) -> Trial:
    """Create a waiting trial that runs before anything sampled, from `kept` on if there is one.

    Raises:
        InvalidInput: the parameters lie outside of the space or break a constraint.
        NotFound: there is no such study or trial.
        StudyState: the study is over, stopping, or has no budget left.
    """
    study = find(tx, ref)
    _check_open(tx, study)
    source = None if wish.like is None else tx.trial(study.study_id, wish.like)
    params = point(study, wish.params, source.params if source else {})
    number = tx.next_number(study.study_id)
    note = "" if source is None else f"like trial {source.number}"
    seed = study.trial_seed(number)
    trial = tx.new_trial(study.study_id, params, Origin.ENQUEUED, seed, now, note=note)
    if kept is not None and source is not None:
        trial = inherit(tx, trial, source, kept, now)
    data = {
        "origin": trial.origin.value,
        "like": wish.like,
        "from_checkpoint": wish.from_checkpoint,
    }
    tx.add_event(
        Event(study_id=study.study_id, kind=EventKind.ENQUEUED, at=now, number=number, data=data)
    )
    return trial


def _check_open(tx: Transaction, study: Study) -> None:
    if study.is_over or study.stopping is not None:
        state = "stopping" if study.stopping else study.state.value
        raise StudyState(f"study {study.name!r} is {state}; extend it first", state=state)
    budget = study.spec.budget.trials
    if lifecycle.tally(tx, study.study_id).searched >= budget:
        raise StudyState(f"the budget of {budget} trials is used up; extend it first")


def point(study: Study, given: Params, base: Params) -> dict[str, ParamValue]:
    """Return a point of the study's space: what is given, else the base's, else the middle.

    Raises:
        InvalidInput: it lies outside of the space or breaks a constraint.
    """
    found: dict[str, ParamValue] = {}
    for name in study.space.active(found):
        parameter = study.space.parameters[name]
        found[name] = given.get(name, base.get(name, middle(parameter)))
    faults = study.space.faults({**found, **{k: v for k, v in given.items() if k not in found}})
    faults += [
        f"constraint {c.text!r} does not hold" for c in study.constraints if not c.holds(found)
    ]
    if faults:
        raise InvalidInput("; ".join(faults)[:2000])
    return found


def inherit(
    tx: Transaction, trial: Trial, source: Trial, checkpoint: Checkpoint, now: datetime
) -> Trial:
    """Give a trial a checkpoint of another, with the curve and the rate level up to it."""
    reports = tuple(r for r in source.reports if r.step <= checkpoint.step)
    later = (r.lr_factor for r in source.reports if r.step > checkpoint.step)
    trial = trial.evolve(
        checkpoint=checkpoint,
        reports=reports,
        marks=tuple(m for m in source.marks if m.step <= checkpoint.step),
        lr_factor=next(later, source.lr_factor),
    )
    for report in reports:
        tx.add_report(trial, INHERITED, report, report.metrics or {}, now)
    tx.put_trial(trial)
    tx.add_checkpoint(trial, checkpoint, now)
    return trial


async def shorten(services: Services, made: Trial, source: Trial) -> None:
    """Let a waiting control go on from a checkpoint of before the halving, where that is there."""
    if source.checkpoint is None:
        return
    try:
        kept = await keep_of(services, source, source.checkpoint.step)
        await services.ledger.write(lambda tx: _take(tx, made, source, kept, services.clock()))
    except TunerError:
        return  # it trains from its start


def _take(tx: Transaction, made: Trial, source: Trial, kept: Checkpoint, now: datetime) -> None:
    waiting = tx.trial(made.study_id, made.number)
    if waiting.state is TrialState.WAITING and waiting.attempt == 0:
        inherit(tx, waiting, source, kept, now)
