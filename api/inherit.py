"""What a trial takes over from another one: its checkpoint, and its curve and rate up to there."""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime
from typing import Literal, NamedTuple

from api import views
from api.access import find_seen
from api.fence import lease_of
from api.files.places import SUFFIX
from api.limits import quotas
from api.services import Services
from api.studies import find, no_study
from storage.artifacts import kept_checkpoints
from storage.memory import Reader
from storage.transaction import Transaction
from tuner.access import Identity
from tuner.errors import Conflict, InvalidInput, NotFound
from tuner.study import Study
from tuner.trial import INHERITED, Checkpoint, Trial
from tuner.wire import CheckpointSource, Enqueue


class Start(NamedTuple):
    """A copy of a trial's checkpoint, and how another one counts its steps from there."""

    study: Study
    trial: Trial
    held: Checkpoint
    copy: Checkpoint
    steps: Literal["on", "anew"]


async def start_of(services: Services, ref: str, wish: Enqueue, who: Identity) -> Start | None:
    """Copy the checkpoint that a trial shall start from, so that nothing can take it away.

    Raises:
        Conflict: the trial has no such checkpoint, or its file is gone.
        InvalidInput: no trial is named, or its steps can't be counted on here.
        NotFound: there is no such study or trial, or it is not for the caller to see.
        QuotaReached: the project has no room for it.
    """
    named = _named(ref, wish)
    if named is None:
        return None
    memory = services.ledger.memory
    study, target = find_seen(memory, named.study, who), find_seen(memory, ref, who)
    source = memory.trial(study.study_id, named.trial)
    async with services.locks.of(source):
        held = await chosen(services, source, named.step)
        steps = named.steps or ("on" if study.study_id == target.study_id else "anew")
        if steps == "on":
            _check_comparable(study, target, held)
        limits, project = services.settings.limits, target.spec.queue.project
        quotas.check_artifact(memory, limits, project, size=held.size)
        path = f"{target.study_id}/kept/{secrets.token_hex(8)}{SUFFIX}"
        try:
            await asyncio.to_thread(services.store.copy, held.path, path)
        except NotFound as exc:
            raise Conflict("the checkpoint's file is gone") from exc
    step = held.step if steps == "on" else 0
    copy = held._replace(attempt=INHERITED, step=step, path=path)
    return Start(study=study, trial=source, held=held, copy=copy, steps=steps)


def _named(ref: str, wish: Enqueue) -> CheckpointSource | None:
    """Return the trial whose checkpoint is wished for, in either of the two ways to say it."""
    if wish.source is not None:
        if wish.from_checkpoint or wish.step is not None:
            raise InvalidInput("source says which checkpoint is meant: leave out from_checkpoint")
        return wish.source
    if not wish.from_checkpoint:
        if wish.step is not None:
            raise InvalidInput("step says which checkpoint is meant: set from_checkpoint, too")
        return None
    if wish.like is None:
        raise InvalidInput("from_checkpoint needs `like`, the trial whose checkpoint it is")
    return CheckpointSource(study=ref, trial=wish.like, step=wish.step)


def _check_comparable(study: Study, target: Study, held: Checkpoint) -> None:
    if study.spec.objective != target.spec.objective:
        raise InvalidInput(
            "source.steps: the other study has another objective, so its curve can't go on here; "
            "give `anew`"
        )
    most = target.spec.budget.steps
    if most is not None and held.step >= most:
        raise InvalidInput(
            f"source.steps: the checkpoint is of step {held.step}, and a trial of this study "
            f"trains for {most}; give `anew`, or an earlier step"
        )


async def source_of(
    services: Services, token: str, who: Identity, named: tuple[str, str], step: int | None
) -> Checkpoint:
    """Return the checkpoint of another trial that a leased one wants, its own project's alone.

    Args:
        services: of this server.
        token: the lease.
        who: whose lease it is.
        named: a study, by name or id, and the number of its trial or `best`.
        step: which checkpoint, the newest if None.

    Raises:
        Conflict: the trial keeps no such checkpoint.
        InvalidInput: that is no number of a trial.
        NotAllowed: the lease was given to another access token.
        NotFound: there is no such study or trial in the project.
        StaleAttempt: the lease is void.
    """
    memory, (ref, which) = services.ledger.memory, named
    lease = lease_of(memory, token, who)
    study = find(memory, ref)
    if study.spec.queue.project != memory.study(lease.study_id).spec.queue.project:
        raise no_study(ref)
    return await chosen(services, _trial(memory, study, which), step)


def _trial(reader: Reader, study: Study, which: str) -> Trial:
    if which != "best":
        if not which.isdecimal() or len(which) > 9:
            raise InvalidInput("query.trial: give the number of a trial, or best")
        return reader.trial(study.study_id, int(which))
    best = views.best(study, reader.trials(study.study_id))
    if best is None:
        raise NotFound(f"study {study.name!r} has no trial with a value yet")
    return reader.trial(study.study_id, best.number)


async def chosen(services: Services, source: Trial, step: int | None) -> Checkpoint:
    """Return a trial's newest checkpoint, or the one it keeps of a step.

    Raises:
        Conflict: it keeps none such.
    """
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


def take_over(
    tx: Transaction, services: Services, trial: Trial, start: Start, now: datetime
) -> Trial:
    """Give a waiting trial the copied checkpoint; with steps counted on, the curve and rate, too.

    Raises:
        QuotaReached: the project has no room for it any more.
    """
    project = tx.study(trial.study_id).spec.queue.project
    quotas.check_artifact(tx, services.settings.limits, project, size=start.copy.size)
    trial = trial.evolve(checkpoint=start.copy)
    if start.steps == "on":
        trial = _with_curve(trial, _current(tx, start), start.held.step)
    for report in trial.reports:
        tx.add_report(trial, INHERITED, report, report.metrics or {}, now)
    tx.put_trial(trial)
    tx.add_checkpoint(trial, start.copy, now)
    return trial


def _current(reader: Reader, start: Start) -> Trial:
    """Return the source as it is now, or as it was if its study was deleted meanwhile."""
    try:
        return reader.trial(start.trial.study_id, start.trial.number)
    except NotFound:
        return start.trial


def _with_curve(trial: Trial, source: Trial, step: int) -> Trial:
    later = (r.lr_factor for r in source.reports if r.step > step)
    return trial.evolve(
        reports=tuple(r for r in source.reports if r.step <= step),
        marks=tuple(m for m in source.marks if m.step <= step),
        hand=tuple(c for c in source.hand if c.step < step),
        lr_factor=next(later, source.lr_factor),
    )
