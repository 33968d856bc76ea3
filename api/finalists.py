"""Running the best configurations again with fresh seeds, and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import stdev

from tuner.decision import Outcome
from tuner.interval import mean_of
from tuner.robust import aggregated
from tuner.space import Params
from tuner.spec import Repeats
from tuner.study import Study
from tuner.trial import Origin, Trial, TrialState

_MEASURED = (Outcome.COMPLETE, Outcome.CONVERGED)
Key = tuple[tuple[str, object], ...]


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A configuration's result over fresh seeds. `source` is the number of the trial it repeats.

    `first` is the value it was chosen for. `low` and `high` are the ends of the mean's 95 %
    interval by Student's t, None for a single run; `std` is the sample standard deviation, else 0.
    `worst` is the worst run; `decides` is what the finalists are ranked by, as `repeats.choose`
    says.
    """

    source: int
    first: float
    mean: float
    low: float | None
    high: float | None
    std: float
    n: int
    worst: float
    decides: float


def missing(study: Study, trials: Sequence[Trial]) -> list[Trial]:
    """Return the trial to repeat for each run that is still to be created, best first.

    Empty without `repeats`, and once each of the best configurations has its runs.
    """
    if study.spec.repeats is None:
        return []
    ran = runs(trials)
    seeds = study.spec.repeats.seeds
    return [
        t for t in chosen(study, trials) for _ in range(seeds - len(ran.get(key(t.params), [])))
    ]


def chosen(study: Study, trials: Sequence[Trial]) -> list[Trial]:
    """Return the best trial of each of the `repeats.finalists` best distinct configurations.

    Those that lie outside of a space that was changed meanwhile can't be run again. Of a study that
    runs another one's best `again`, that one is among them, so that fresh seeds judge it.
    """
    if study.spec.repeats is None:
        return []
    ranked, most = distinct(study, trials), study.spec.repeats.finalists
    old = [t for t in ranked[most:] if study.spec.again is not None and t.number == 0]
    return ranked[:most] + old


def distinct(study: Study, trials: Sequence[Trial]) -> list[Trial]:
    """Return the best trial of each configuration of the search that still can run, best first."""
    sign = 1.0 if study.spec.objective.mode == "min" else -1.0
    ranked = sorted(
        (sign * t.value, t.number, t)
        for t in trials
        if t.searches and measured(t) and t.value is not None
        if not study.space.faults(t.params)
    )
    found: dict[Key, Trial] = {}
    for _, _, trial in ranked:
        found.setdefault(key(trial.params), trial)
    return list(found.values())


def summary(study: Study, trials: Sequence[Trial]) -> list[Finalist]:
    """Return the finalists that have a finished run, ranked; the first is the winner.

    The mean decides, or what `repeats.choose` says. A finalist with a run that gave no value
    (diverged, failed, out of memory) ranks behind all whose runs all did: a configuration that
    breaks on some seeds is no winner.
    """
    if study.spec.repeats is None:
        return []
    sign = 1.0 if study.spec.objective.mode == "min" else -1.0
    ran = runs(trials)
    rows = []
    for source in chosen(study, trials):
        ended = [t for t in ran.get(key(source.params), []) if t.state is TrialState.ENDED]
        values = [t.value for t in ended if measured(t) and t.value is not None]
        if values and source.value is not None:
            row = _row(study.spec.repeats, source.number, source.value, values, small=sign > 0)
            rows.append((len(values) < len(ended), row))
    return [r for _, r in sorted(rows, key=lambda r: (r[0], sign * r[1].decides, r[1].source))]


def _row(
    wish: Repeats, source: int, first: float, values: Sequence[float], *, small: bool
) -> Finalist:
    mean = mean_of(values)
    return Finalist(
        source=source,
        first=first,
        mean=mean.value,
        low=mean.low,
        high=mean.high,
        std=stdev(values) if mean.n > 1 else 0.0,
        n=mean.n,
        worst=aggregated(values, "worst", smaller_is_better=small),
        decides=aggregated(values, wish.choose, wish.k, smaller_is_better=small),
    )


def runs(trials: Sequence[Trial]) -> dict[Key, list[Trial]]:
    """Return the finalists' runs by configuration."""
    found: dict[Key, list[Trial]] = {}
    for trial in trials:
        if trial.origin is Origin.FINALIST:
            found.setdefault(key(trial.params), []).append(trial)
    return found


def key(params: Params) -> Key:
    """Return what two trials of the same configuration have in common."""
    return tuple(sorted(params.items()))


def measured(trial: Trial) -> bool:
    """Tell whether a trial trained to its end."""
    return trial.outcome in _MEASURED
