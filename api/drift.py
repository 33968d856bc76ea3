"""The world drifts: whether the best configuration of another study is the best here, too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, variance

from api import finalists
from tuner.decision import Outcome
from tuner.interval import student
from tuner.study import Study
from tuner.trial import Trial
from tuner.wire import DriftView


def verdict(study: Study, trials: Sequence[Trial]) -> DriftView | None:
    """Say how the old best does here, and whether a new search pays; None without `again`.

    It pays where another configuration is better beyond chance: by more than half of the 95 %
    interval of the difference of two means, with the variance of both samples together. A value
    that was chosen for being good counts only where there are no fresh seeds.
    """
    again = study.spec.again
    if again is None or again.study is None or not again.trials or not trials:
        return None
    found = DriftView(
        study=again.study, of=again.of, trial=again.trials[0], then=again.then, text=""
    )
    name, old = f"trial {found.trial} of {found.of}, the best there,", trials[0]
    if not study.is_over:
        return found.model_copy(update={"text": f"{name} runs here again"})
    known = _values(study, trials)
    if old.number in known:
        sign = 1.0 if study.spec.objective.mode == "min" else -1.0
        return _compared(found, name, known, old.number, sign)
    if finalists.measured(old) or old.outcome is Outcome.DIVERGED:
        how = "diverged on a fresh seed" if finalists.measured(old) else "diverged"
        return found.model_copy(
            update={"pays": True, "text": f"{name} {how} here: a new search pays"}
        )
    how = old.state.value if old.outcome is None else old.outcome.value
    return found.model_copy(update={"text": f"{name} was not trained to its end here ({how})"})


def _compared(
    found: DriftView, name: str, known: Mapping[int, Sequence[float]], old: int, sign: float
) -> DriftView:
    """Compare the old best with whichever configuration is best here."""
    repeated = {number: values for number, values in known.items() if len(values) > 1} or known
    first = min({old, *repeated}, key=lambda n: (sign * fmean(known[n]), n != old))
    now = fmean(known[old])
    was = "" if found.then is None else f" ({found.then:.4g} there)"
    said = f"{name} has {now:.4g} here{was}"
    found = found.model_copy(update={"now": now})
    if first == old:
        text = f"{said} and is the best of {len(known)}: no new search is needed"
        return found.model_copy(update={"pays": False, "text": text})
    gain, half = sign * (now - fmean(known[first])), _half(known[old], known[first])
    said = f"{said}; trial {first} is better by {gain:.3g}"
    found = found.model_copy(update={"rival": first, "gain": gain})
    if half is None:
        return found.model_copy(
            update={"text": f"{said} in one run each: give repeats to tell it from chance"}
        )
    pays = gain > half
    so = "a new search pays" if pays else "that may be chance, so no new search is needed yet"
    text = f"{said} (95 %: {gain - half:.3g} to {gain + half:.3g}): {so}"
    return found.model_copy(
        update={"low": gain - half, "high": gain + half, "pays": pays, "text": text}
    )


def _half(one: Sequence[float], two: Sequence[float]) -> float | None:
    """Return half of the 95 % interval of two samples' difference; None of single values."""
    degrees = len(one) + len(two) - 2
    if degrees < 1:
        return None
    squares = sum((len(v) - 1) * variance(v) for v in (one, two) if len(v) > 1)
    return student(degrees) * math.sqrt(squares / degrees * (1 / len(one) + 1 / len(two)))


def _values(study: Study, trials: Sequence[Trial]) -> dict[int, list[float]]:
    """Return what each configuration had: on fresh seeds if it ran on some, else in the search.

    One that diverged on a fresh seed is left out; runs that failed otherwise say nothing of it.
    """
    ran = finalists.runs(trials)
    found: dict[int, list[float]] = {}
    for trial in finalists.distinct(study, trials):
        own = ran.get(finalists.key(trial.params), ())
        values = [t.value for t in own if finalists.measured(t) and t.value is not None]
        diverged = any(t.outcome is Outcome.DIVERGED for t in own)
        if not diverged and trial.value is not None:
            found[trial.number] = values or [trial.value]
    return found
