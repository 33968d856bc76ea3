"""What a leased trial sends: reports, heartbeats, its end. All fenced by lease and attempt."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

from api import branching, by_hand, controls, findings, lifecycle
from api.fence import held_trial, last_held
from api.problems import problem_of
from api.services import Services
from api.workers import touch
from storage.memory import Reader
from storage.transaction import Transaction
from tuner.access import Identity
from tuner.decision import Action, Decision
from tuner.errors import (
    NotAllowed,
    NotFound,
    ReportMismatch,
    StaleAttempt,
    TrialEnded,
    TunerError,
)
from tuner.policies import steer
from tuner.study import Study
from tuner.terminal import plain
from tuner.trial import (
    Event,
    Report,
    Trial,
    TrialState,
)
from tuner.wire import (
    DecisionView,
    Heartbeat,
    HeartbeatReply,
    HeldLease,
    ReportItem,
    ReportResult,
    ReportResults,
)


class Branch(NamedTuple):
    """A control of halving that was created, and the trial it stands beside."""

    control: Trial
    halved: Trial


async def report(services: Services, items: Sequence[ReportItem], who: Identity) -> ReportResults:
    """Store reports and decide; each item succeeds or fails alone.

    Raises:
        Unavailable: the database is away; send all of them again.
    """
    write, branched = services.ledger.submit, list[Branch]()
    writes = [
        write(partial(_report, services=services, item=item, who=who, branched=branched))
        for item in items
    ]
    found = await asyncio.gather(*writes, return_exceptions=True)
    services.metrics.reported(found)
    for branch in branched:
        await branching.shorten(services, branch.control, branch.halved)
    return ReportResults(results=[_result(x) for x in found])


def _result(found: Decision | BaseException) -> ReportResult:
    if isinstance(found, TunerError) and found.status < 500:
        return ReportResult(problem=problem_of(found))
    if isinstance(found, BaseException):
        raise found
    return ReportResult(decision=_view(found))


def _view(decision: Decision) -> DecisionView:
    return DecisionView(
        action=decision.action,
        lr_factor=decision.lr_factor,
        reason=decision.reason,
        outcome=decision.outcome,
    )


def _report(
    tx: Transaction, services: Services, item: ReportItem, who: Identity, branched: list[Branch]
) -> Decision:
    value = math.nan if item.value is None or item.status == "diverged" else item.value
    try:
        trial = held_trial(tx, item.lease, item.attempt, who)
    except StaleAttempt:
        return _late(tx, item, value, who)
    services.deadlines.renew(item.lease)
    stored = tx.stored_report(trial.study_id, trial.number, item.attempt, item.step)
    if stored is None and item.step <= trial.last_step:
        stored = next((r for r in trial.reports if r.step == item.step), None)
    if stored is not None:
        _check_same(stored, value)
        return Decision(lr_factor=trial.lr_factor, reason=trial.reason)
    study = tx.study(trial.study_id)
    now = services.clock()
    new = Report(item.step, value, item.lr_factor, _read(study, item.metrics))
    tx.add_report(trial, item.attempt, new, item.metrics, now)
    trial = trial.evolve(reports=_insert(trial.reports, new))
    trial = findings.look(tx, study, trial, new, item.metrics, now=now)
    return _judge(tx, study, trial, item.step, now, branched=branched)


def _read(study: Study, metrics: Mapping[str, float]) -> Mapping[str, float] | None:
    """Return the metrics that the study's policies read."""
    if not study.watched:
        return None
    return {name: metrics[name] for name in study.watched & metrics.keys()} or None


def _judge(
    tx: Transaction,
    study: Study,
    trial: Trial,
    step: int,
    now: datetime,
    *,
    branched: list[Branch],
) -> Decision:
    judgement = steer.judge(study, trial, tx.peers(study.study_id), step)
    decision = judgement.decision
    for record in judgement.records:
        tx.add_event(
            Event(
                study_id=study.study_id,
                kind=record.kind,
                at=now,
                number=trial.number,
                attempt=trial.attempt,
                step=trial.last_step,
                data=record.data,
            )
        )
    trial = trial.evolve(
        marks=trial.marks + judgement.marks,
        lr_factor=decision.lr_factor,
        memo=judgement.memo,
        reason=decision.reason if step == trial.last_step else trial.reason,
    )
    halved = any(r.data["rule"] == "halve_on_plateau" for r in judgement.records)
    if (
        halved
        and not decision.stop
        and (made := controls.branch(tx, study, trial, now)) is not None
    ):
        branched.append(Branch(made, trial))
    if decision.outcome is None:
        tx.put_trial(trial)
    else:
        lifecycle.end_trial(
            tx,
            study,
            trial,
            decision.outcome,
            now,
            reason=decision.reason,
            data=judgement.grounds,
        )
    return decision


def _insert(reports: tuple[Report, ...], new: Report) -> tuple[Report, ...]:
    if not reports or new.step > reports[-1].step:
        return (*reports, new)
    return tuple(sorted((*reports, new)))


def _check_same(stored: Report, value: float) -> None:
    if stored.value != value and not (math.isnan(stored.value) and math.isnan(value)):
        raise ReportMismatch(f"step {stored.step} was reported as {stored.value}", step=stored.step)


def _late(tx: Transaction, item: ReportItem, value: float, who: Identity) -> Decision:
    """Answer a report whose lease is void: the last one gets its decision again."""
    trial = last_held(tx, item.lease, item.attempt, who)
    if trial.state is not TrialState.ENDED:
        raise StaleAttempt("the lease expired or was given back")
    stored = tx.stored_report(trial.study_id, trial.number, item.attempt, item.step)
    if stored is not None:
        _check_same(stored, value)
        if item.step == trial.last_step:
            return _final(trial)
    if by_hand.was_stopped(trial):
        return _final(trial)
    raise TrialEnded(f"the trial has ended as {trial.outcome}", outcome=trial.outcome)


def _final(trial: Trial) -> Decision:
    return Decision(
        action=Action.STOP,
        lr_factor=trial.lr_factor,
        reason=trial.reason,
        outcome=trial.outcome,
    )


async def heartbeat(services: Services, body: Heartbeat, who: Identity) -> HeartbeatReply:
    """Renew leases and say where their trials stand.

    Raises:
        NotAllowed: the worker registered with another access token; the leases are renewed.
        Unavailable: the leases are renewed, but that the worker was heard could not be stored.
    """
    results = [_result(_beat(services, held, who)) for held in body.leases]
    known = True
    if body.worker_id is not None:
        try:
            await touch(services, body.worker_id, who, plain(body.trouble))
        except NotFound:
            known = False
    return HeartbeatReply(results=results, known=known)


def _beat(services: Services, held: HeldLease, who: Identity) -> Decision | TunerError:
    memory = services.ledger.memory
    try:
        trial = held_trial(memory, held.lease, held.attempt, who)
    except StaleAttempt as exc:
        return _ended_meanwhile(memory, held, who) or exc
    except NotAllowed as exc:
        return exc
    services.deadlines.renew(held.lease)
    return Decision(lr_factor=trial.lr_factor, reason=trial.reason)


def _ended_meanwhile(reader: Reader, held: HeldLease, who: Identity) -> Decision | None:
    try:
        trial = last_held(reader, held.lease, held.attempt, who)
    except StaleAttempt:
        return None
    return _final(trial) if trial.state is TrialState.ENDED else None
