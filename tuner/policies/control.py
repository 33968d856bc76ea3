"""What halving is worth in a study: some trials run a second time without it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tuner.decision import Outcome
from tuner.interval import Mean, mean_of
from tuner.spec import HalveOnPlateau
from tuner.study import Study
from tuner.trial import Origin, Trial, TrialState, objective_value

_ITS_OWN_END = frozenset({Outcome.COMPLETE, Outcome.CONVERGED})
_MEASURED = _ITS_OWN_END | {Outcome.PRUNED, Outcome.DIVERGED}


class Pair(NamedTuple):
    """A trial that was halved, and the one that trained on without: same parameters and seed."""

    halved: Trial
    control: Trial


class Worth(NamedTuple):
    """What halving was worth: the control's value less the halved trial's, positive if it helped.

    For `mode: max` the other way round. `open` pairs are still to be measured; `mean` is None until
    one is. In `better` of the pairs the halved trial was the better one.
    """

    mean: Mean | None
    better: int
    open: int


def share(study: Study) -> float:
    """Return the share of a study's halved trials that get a control."""
    policies = study.spec.policies or ()
    return next((p.control for p in policies if isinstance(p, HalveOnPlateau)), 0.0)


def is_drawn(study: Study, trial: Trial) -> bool:
    """Tell whether a trial gets a control once it is halved for the first time.

    The study's seed and the trial's number alone decide. The runs of finalists get none.
    """
    if trial.origin in (Origin.FINALIST, Origin.CONTROL):
        return False
    digest = hashlib.sha256(f"control:{study.spec.sampler.seed}:{trial.number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share(study)


def pairs(trials: Sequence[Trial]) -> Iterator[Pair]:
    """Yield each control with the trial it stands beside."""
    controls = [t for t in trials if t.origin is Origin.CONTROL]
    if not controls:
        return
    seeds = {t.seed for t in controls}
    others = [t for t in trials if t.seed in seeds and t.origin is not Origin.CONTROL]
    for control in controls:
        for trial in others:
            if trial.seed == control.seed and trial.params == control.params:
                yield Pair(trial, control)
                break


def difference(study: Study, pair: Pair) -> float | None:
    """Return what halving was worth to a pair, None if that can't be told (yet).

    Where the halved trial went to its own end, the two final values are compared; where it was
    ended before, the values both had up to the last step they have in common.
    """
    halved, control = pair
    if {halved.state, control.state} != {TrialState.ENDED}:
        return None
    if halved.outcome not in _MEASURED or control.outcome not in _MEASURED:
        return None
    last = min(halved.last_step, control.last_step)
    if halved.outcome in _ITS_OWN_END and control.outcome in _ITS_OWN_END:
        last = max(halved.last_step, control.last_step)
    objective, mode = study.spec.objective, study.spec.objective.mode
    values = [
        objective_value(tuple(r for r in t.reports if r.step <= last), mode, objective.value)
        for t in pair
    ]
    if values[0] is None or values[1] is None:
        return None
    return values[1] - values[0] if mode == "min" else values[0] - values[1]


def worth(study: Study, trials: Sequence[Trial]) -> Worth | None:
    """Return what halving was worth so far, None for a study without controls."""
    found = list(pairs(trials)) if share(study) > 0 else []
    if not found:
        return None
    values = [d for pair in found if (d := difference(study, pair)) is not None]
    unfinished = sum(any(t.state is not TrialState.ENDED for t in pair) for pair in found)
    better = sum(v > 0 for v in values)
    return Worth(mean_of(values) if values else None, better, unfinished)


def sentence(found: Worth, metric: str) -> str:
    """Say in words what halving was worth."""
    if found.mean is None:
        return f"what halving is worth: {found.open} controls under way"
    mean, low, high, n = found.mean
    if low is None or high is None:
        return f"halving was worth {mean:+.4g} of {metric} in the one trial with a control"
    sure = "" if low > 0 or high < 0 else ", which may be chance"
    return (
        f"halving was worth {mean:+.4g} of {metric} a trial "
        f"(95 %: {low:+.4g} to {high:+.4g}{sure}), better in {found.better} of {n} with a control"
    )
