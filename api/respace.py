"""Changing a live study's space: its ranges become narrower or wider, its choices fewer or more.

Earlier trials keep what they ran with. What each parameter is stays: whether it is an interval or a
list, whole or real, on a log scale or a grid, of which types its choices are, when it exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from api import lifecycle, search
from api.views import document
from storage import Listing
from storage.changes import SpecChange
from storage.transaction import Transaction
from tuner.decision import Outcome
from tuner.errors import Fault, InvalidInput, PreconditionFailed
from tuner.space import Categorical, Numeric, Parameter, Params
from tuner.spec import StudySpec, check
from tuner.study import Study
from tuner.trial import Event, EventKind

REASON = "it lies outside of the study's changed space"


class Respaced(NamedTuple):
    """A study's document with another space, and the document it was made from."""

    before: StudySpec
    after: StudySpec


def prepare(study: Study, changes: Mapping[str, Any]) -> Respaced:
    """Return the document with these parameters replaced, checked whole. May take a second.

    Raises:
        InvalidInput: a parameter is added, taken away or becomes another kind; or the changed
            document breaks the rules, leaves nothing to search, or nothing of its conditions.
    """
    space = document(study.spec)["space"]
    faults = [f for name in changes if (f := _unknown(name, space, changes[name])) is not None]
    if faults:
        raise InvalidInput(f"{faults[0].where}: {faults[0].message}", faults)
    whole = {**document(study.spec), "space": {**space, **changes}}
    after = study.spec.model_copy(update={"space": check(whole).space})
    _same_kinds(study, after)
    search.check(after)
    return Respaced(study.spec, after)


def _unknown(name: str, space: Mapping[str, Any], given: object) -> Fault | None:
    where = f"space.{name[:100]}"
    if name not in space:
        known = ", ".join(space)
        return Fault(
            where=where, message=f"can't be added to a live study, clone it; known are {known}"
        )
    if given is None:
        return Fault(where=where, message="can't be taken from a live study; clone it")
    return None


def _same_kinds(study: Study, after: StudySpec) -> None:
    found = after.build_space().parameters
    faults = [
        Fault(where=f"space.{name}", message=f"a live study's {what} can't change; clone it")
        for name, old in study.space.parameters.items()
        if (what := _difference(old, found[name])) is not None
    ]
    if faults:
        raise InvalidInput(f"{faults[0].where}: {faults[0].message}", faults)


def _difference(old: Parameter, new: Parameter) -> str | None:
    if old.when != new.when:
        return "conditions"
    if isinstance(old, Categorical) and isinstance(new, Categorical):
        same = {type(v) for v in new.values} == {type(v) for v in old.values}
        return None if same else "types of choices"
    if isinstance(old, Numeric) and isinstance(new, Numeric):
        if (old.integer, old.log, old.step) != (new.integer, new.log, new.step):
            return "kinds of numbers, scales and steps"
        if old.step is not None and not old.integer and not _on_grid(old, new.low):
            return "grids"
        return None
    return "lists and intervals"


def _on_grid(old: Numeric, low: float) -> bool:
    steps = (low - old.low) / float(old.step or 1)
    return abs(steps - round(steps)) < 1e-6


def change(tx: Transaction, study: Study, made: Respaced, user: str, now: datetime) -> Study:
    """Give a study its changed space; end the waiting trials that lie outside and never began.

    Raises:
        PreconditionFailed: its space was changed since the new one was made.
    """
    if (study.spec.space, study.spec.constraints) != (made.before.space, made.before.constraints):
        raise PreconditionFailed(f"the space of study {study.name!r} was changed meanwhile")
    if made.after.space == study.spec.space:
        return study
    spec = study.spec.model_copy(update={"space": made.after.space})
    changed = study.evolve(spec=spec)
    tx.put_spec(SpecChange(study=study, spec=spec, at=now, by=user))
    tx.put_study(changed)
    dropped = [
        n for n in sorted(tx.listed(study.study_id, Listing.WAITING)) if _off(tx, changed, n)
    ]
    data = {"space": _moved(study, changed), "by": user, "cancelled": dropped}
    tx.add_event(Event(study_id=study.study_id, kind=EventKind.CHANGED, at=now, data=data))
    for number in dropped:
        trial = tx.trial(study.study_id, number)
        lifecycle.end_trial(tx, changed, trial, Outcome.CANCELLED, now, reason=REASON)
    return tx.study(study.study_id)


def _off(tx: Transaction, study: Study, number: int) -> bool:
    """Tell whether a waiting trial has not begun and lies outside."""
    trial = tx.trial(study.study_id, number)
    return trial.attempt == 0 and not fits(study, trial.params)


def fits(study: Study, params: Params) -> bool:
    """Tell whether `params` are a point of the study's present space, its constraints met."""
    return not study.space.faults(params) and study.allows(params)


def _moved(old: Study, new: Study) -> dict[str, Any]:
    before, after = document(old.spec)["space"], document(new.spec)["space"]
    return {name: [before[name], after[name]] for name in after if before[name] != after[name]}
