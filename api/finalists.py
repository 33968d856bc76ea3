"""Running the best configurations again with fresh seeds, and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from tuner.decision import Outcome
from tuner.space import Params
from tuner.study import Study
from tuner.trial import Origin, Trial, TrialState

_MEASURED = (Outcome.COMPLETE, Outcome.CONVERGED)
Key = tuple[tuple[str, object], ...]


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A configuration's result over fresh seeds. `source` is the number of the trial it repeats.

    `std` is the sample standard deviation, 0 for a single run.
    """

    source: int
    mean: float
    std: float
    n: int


def missing(study: Study, trials: Sequence[Trial]) -> list[Trial]:
    """Return the trial to repeat for each run that is still to be created, best first.

    Empty without `repeats`, and once each of the best configurations has its runs.
    """
    if study.spec.repeats is None:
        return []
    runs = _runs(trials)
    seeds = study.spec.repeats.seeds
    return [
        t for t in chosen(study, trials) for _ in range(seeds - len(runs.get(_key(t.params), [])))
    ]


def chosen(study: Study, trials: Sequence[Trial]) -> list[Trial]:
    """Return the best trial of each of the `repeats.finalists` best distinct configurations.

    Those that lie outside of a space that was changed meanwhile can't be run again.
    """
    if study.spec.repeats is None:
        return []
    sign = 1.0 if study.spec.objective.mode == "min" else -1.0
    ranked = sorted(
        (sign * t.value, t.number, t)
        for t in trials
        if t.searches and t.outcome in _MEASURED and t.value is not None
        if not study.space.faults(t.params)
    )
    distinct: dict[Key, Trial] = {}
    for _, _, trial in ranked:
        distinct.setdefault(_key(trial.params), trial)
    return list(distinct.values())[: study.spec.repeats.finalists]


def summary(study: Study, trials: Sequence[Trial]) -> list[Finalist]:
    """Return the finalists that have a finished run, ranked by mean; the first is the winner.

    A finalist with a run that gave no value (diverged, failed, out of memory) ranks behind all
    whose runs all did: a configuration that breaks on some seeds is no winner.
    """
    runs = _runs(trials)
    rows = []
    for source in chosen(study, trials):
        ended = [t for t in runs.get(_key(source.params), []) if t.state is TrialState.ENDED]
        values = [t.value for t in ended if t.outcome in _MEASURED and t.value is not None]
        if values:
            spread = stdev(values) if len(values) > 1 else 0.0
            row = Finalist(source=source.number, mean=fmean(values), std=spread, n=len(values))
            rows.append((len(values) < len(ended), row))
    sign = 1.0 if study.spec.objective.mode == "min" else -1.0
    return [row for _, row in sorted(rows, key=lambda r: (r[0], sign * r[1].mean, r[1].source))]


def _runs(trials: Sequence[Trial]) -> dict[Key, list[Trial]]:
    found: dict[Key, list[Trial]] = {}
    for trial in trials:
        if trial.origin is Origin.FINALIST:
            found.setdefault(_key(trial.params), []).append(trial)
    return found


def _key(params: Params) -> Key:
    return tuple(sorted(params.items()))
