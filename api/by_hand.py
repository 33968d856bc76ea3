"""What a person does to one trial: stop it, cut its rate. Events and audit entries tell of both."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import lifecycle
from api.studies import find
from storage.transaction import Transaction
from tuner.decision import Outcome
from tuner.errors import Conflict, InvalidInput, TrialEnded
from tuner.policies.by_hand import RULE
from tuner.spec import HalveOnPlateau
from tuner.study import Study
from tuner.text import headline
from tuner.trial import Event, EventKind, HandCut, Trial, TrialState
from tuner.wire.actions import CutRate, StopTrial

STOPPED = "stopped by hand"
"""How the reason begins of a trial that a person stopped."""
MOST_CUTS = 50
LOWEST = 1e-6
"""The least level to which people may cut."""


def was_stopped(trial: Trial) -> bool:
    """Tell whether a person stopped this trial."""
    return trial.outcome is Outcome.CANCELLED and trial.reason.startswith(STOPPED)


def stop(  # noqa: PLR0917
    tx: Transaction, ref: str, number: int, wish: StopTrial, user: str, now: datetime
) -> Trial:
    """End a trial as cancelled; the same again if a person stopped it before.

    What runs it is told by the answer to its next report or heartbeat.

    Raises:
        NotFound: there is no such study or trial.
        TrialEnded: it has ended otherwise.
    """
    study = find(tx, ref)
    trial = tx.trial(study.study_id, number)
    if was_stopped(trial):
        return trial
    if trial.state is TrialState.ENDED:
        raise TrialEnded(f"trial {number} has ended as {trial.outcome}", outcome=trial.outcome)
    reason = _said(f"{STOPPED} by {user}", wish.why)
    data = {"rule": RULE, "by": user, "why": wish.why}
    return lifecycle.end_trial(tx, study, trial, Outcome.CANCELLED, now, reason=reason, data=data)


def cut_rate(  # noqa: PLR0917
    tx: Transaction, ref: str, number: int, wish: CutRate, user: str, now: datetime
) -> Trial:
    """Multiply a running trial's rate; the answer to its next report says so.

    Raises:
        Conflict: the trial waits.
        InvalidInput: it was cut too often, or too far.
        NotFound: there is no such study or trial.
        TrialEnded: it has ended.
    """
    study = find(tx, ref)
    trial = tx.trial(study.study_id, number)
    if trial.state is TrialState.ENDED:
        raise TrialEnded(f"trial {number} has ended as {trial.outcome}", outcome=trial.outcome)
    if trial.state is TrialState.WAITING:
        raise Conflict(f"trial {number} waits: its rate can be cut while it runs")
    if len(trial.hand) >= MOST_CUTS:
        raise InvalidInput(f"a trial's rate is cut by hand {MOST_CUTS} times at most")
    level = trial.lr_factor * wish.factor
    if level < LOWEST:
        raise InvalidInput(f"factor: the rate would be less than {LOWEST:g} of its start")
    data = _cut_data(study, trial, level, user, wish)
    cut = HandCut(trial.last_step, wish.factor)
    after = trial.evolve(lr_factor=level, hand=(*trial.hand, cut), reason=data["reason"])
    tx.put_trial(after)
    tx.add_event(
        Event(
            study_id=study.study_id,
            kind=EventKind.HALVED,
            at=now,
            number=number,
            attempt=trial.attempt,
            step=trial.last_step,
            data=data,
        )
    )
    return after


def _cut_data(study: Study, trial: Trial, level: float, user: str, wish: CutRate) -> dict[str, Any]:
    name, base = _base_rate(study, trial)
    old, new = (None if base is None else base * x for x in (trial.lr_factor, level))
    change = f"{name} {old:.6g} → {new:.6g}" if base is not None else f"times {wish.factor:.6g}"
    return {
        "rule": RULE,
        "reason": _said(f"cut by hand by {user}: {change}", wish.why),
        "by": user,
        "why": wish.why,
        "step": trial.last_step,
        "old_rate": old,
        "new_rate": new,
        "old_factor": trial.lr_factor,
        "new_factor": level,
    }


def _base_rate(study: Study, trial: Trial) -> tuple[str, float | None]:
    """Return the name and the starting value of the rate that the study's halving steers."""
    policies = study.spec.policies or ()
    name = next((p.rate for p in policies if isinstance(p, HalveOnPlateau)), "lr")
    rate = trial.params.get(name)
    known = isinstance(rate, int | float) and not isinstance(rate, bool)
    return name, float(rate) if known and rate is not None else None


def _said(what: str, why: str) -> str:
    return f"{what}: {headline(why)}" if why.strip() else what
