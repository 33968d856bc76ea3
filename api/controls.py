"""Controls of halving: a halved trial's second run, at the rate it had before."""

from __future__ import annotations

from datetime import datetime

from storage import Transaction
from tuner.policies import control
from tuner.study import Study
from tuner.trial import Event, EventKind, Origin, Trial


def branch(tx: Transaction, study: Study, trial: Trial, now: datetime) -> Trial | None:
    """Create the control of a trial that is halved for the first time, if it is drawn.

    It has the trial's parameters and seed, and waits to be trained from its start, or, after
    `branching.shorten`, from the trial's checkpoint on. Where a new attempt is halved for the first
    time again, there is one already.
    """
    if not control.is_drawn(study, trial) or trial.halvings > 1 or study.stopping is not None:
        return None
    if any(pair.halved.number == trial.number for pair in control.pairs(tx.trials(study.study_id))):
        return None
    note = f"trial {trial.number} without its halvings"
    made = tx.new_trial(study.study_id, trial.params, Origin.CONTROL, trial.seed, now, note=note)
    data = {"origin": Origin.CONTROL.value, "control_of": trial.number, "step": trial.last_step}
    tx.add_event(
        Event(
            study_id=study.study_id, kind=EventKind.ENQUEUED, at=now, number=made.number, data=data
        )
    )
    return made


def compare(tx: Transaction, study: Study, ended: Trial, now: datetime) -> None:
    """Tell what halving was worth to a pair whose second trial just ended, and on average."""
    if control.share(study) <= 0:
        return
    trials = tx.trials(study.study_id)
    for pair in control.pairs(trials):
        if ended.number not in (pair.halved.number, pair.control.number):
            continue
        difference, found = control.difference(study, pair), control.worth(study, trials)
        if difference is None or found is None or found.mean is None:
            continue
        mean, low, high, n = found.mean
        data = {
            "rule": "halve_on_plateau",
            "reason": control.sentence(found, study.spec.objective.metric),
            "control": pair.control.number,
            "difference": difference,
            "mean": mean,
            "low": low,
            "high": high,
            "pairs": n,
        }
        tx.add_event(
            Event(
                study_id=study.study_id,
                kind=EventKind.COMPARED,
                at=now,
                number=pair.halved.number,
                data=data,
            )
        )
