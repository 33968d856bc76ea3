"""Trials that a person asks for: parameters of one's own, or another trial's, changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import lifecycle
from api.inherit import Start, take_over
from api.services import Services
from api.studies import find
from storage.transaction import Transaction
from tuner.errors import InvalidInput, StudyState
from tuner.handle import ParamValue
from tuner.space import Params, middle
from tuner.study import Study
from tuner.trial import Event, EventKind, Origin, Trial
from tuner.wire import Enqueue


def enqueue(
    tx: Transaction,
    services: Services,
    ref: str,
    wish: Enqueue,
    start: Start | None,
) -> Trial:
    """Create a waiting trial that runs before anything sampled, from `start` on if there is one.

    Raises:
        InvalidInput: the parameters lie outside of the space or break a constraint.
        NotFound: there is no such study or trial.
        QuotaReached: the project has no room for the checkpoint.
        StudyState: the study is over, stopping, or has no budget left.
    """
    study, now = find(tx, ref), services.clock()
    _check_open(tx, study)
    source = None if wish.like is None else tx.trial(study.study_id, wish.like)
    if source is None and start is not None:
        source = start.trial
    params = point(study, wish.params, source.params if source else {})
    number = tx.next_number(study.study_id)
    note = "" if source is None else _like(study, source, start)
    seed = study.trial_seed(number)
    trial = tx.new_trial(study.study_id, params, Origin.ENQUEUED, seed, now, note=note)
    if start is not None:
        trial = take_over(tx, services, trial, start, now)
    tx.add_event(
        Event(
            study_id=study.study_id,
            kind=EventKind.ENQUEUED,
            at=now,
            number=number,
            data=_told(trial, wish, start),
        )
    )
    return trial


def _like(study: Study, source: Trial, start: Start | None) -> str:
    foreign = start is not None and start.study.study_id != study.study_id
    return f"like trial {source.number}" + (f" of {start.study.name}" if foreign and start else "")


def _told(trial: Trial, wish: Enqueue, start: Start | None) -> Mapping[str, Any]:
    told = {"origin": trial.origin.value, "like": wish.like, "from_checkpoint": start is not None}
    if start is None:
        return told
    where = {"study": start.study.name, "study_id": start.study.study_id}
    named = {**where, "trial": start.trial.number, "step": start.held.step, "steps": start.steps}
    return {**told, "source": named}


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
