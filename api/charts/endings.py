"""How trials ended: the funnel of rungs, what stopping early saved, failures by their cause."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from api.charts.numbers import short, spread
from api.views import steps_saved
from tuner.decision import Outcome
from tuner.spec import AshaPruner, HyperbandPruner
from tuner.study import Study
from tuner.trial import Origin, RungMark, Trial, TrialState
from tuner.wire.charts import Cause, Endings, Rung

MOST_RUNGS = 60
MOST_CAUSES = 50
MOST_NUMBERS = 20
_LONGEST_REASON = 2000
_BAD = frozenset({Outcome.FAILED, Outcome.OOM, Outcome.DIVERGED})
_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


def endings(study: Study, trials: Sequence[Trial]) -> Endings:
    """Show how a study's trials ended. Fresh-seed runs of finalists are no part of it."""
    search = [t for t in trials if t.origin is not Origin.FINALIST]
    full = study.spec.budget.steps
    rungs = list(_rungs(study, search))
    groups: defaultdict[Outcome, list[Trial]] = defaultdict(list)
    for trial in search:
        if trial.outcome is not None:
            groups[trial.outcome].append(trial)
    saved = {outcome.value: steps_saved(full, group) for outcome, group in groups.items()}
    return Endings(
        trials=len(search),
        trained=sum(t.last_step for t in search),
        full=full,
        saved={outcome: n for outcome, n in saved.items() if n},
        rungs=rungs[:MOST_RUNGS],
        causes=causes(search)[:MOST_CAUSES],
    )


def _rungs(study: Study, trials: Sequence[Trial]) -> Iterator[Rung]:
    pruner = study.spec.pruner
    if isinstance(pruner, AshaPruner | HyperbandPruner):
        yield from _judged(study, pruner.eta, trials)
    else:
        yield from _passed(study, trials)


def _judged(study: Study, eta: int, trials: Sequence[Trial]) -> Iterator[Rung]:
    """Show the rungs of successive halving, with the worst value that would go on now."""
    stood: defaultdict[tuple[int, int], list[RungMark]] = defaultdict(list)
    pruned: defaultdict[tuple[int, int], list[Trial]] = defaultdict(list)
    for trial in trials:
        for mark in trial.marks:
            stood[mark.bracket, mark.rung].append(mark)
        if trial.outcome is Outcome.PRUNED and trial.marks:
            last = trial.marks[-1]
            pruned[last.bracket, last.rung].append(trial)
    worst_first = study.spec.objective.mode == "max"
    for (bracket, rung), marks in sorted(stood.items()):
        values = sorted((m.value for m in marks), reverse=worst_first)
        gone = pruned[bracket, rung]
        yield Rung(
            bracket=bracket,
            rung=rung,
            step=min(m.step for m in marks),
            reached=len(marks),
            pruned=len(gone),
            cutoff=short(values[max(len(values) // eta, 1) - 1]),
            saved=steps_saved(study.spec.budget.steps, gone),
        )


def _passed(study: Study, trials: Sequence[Trial]) -> Iterator[Rung]:
    """Show how many trials reached the steps at which a pruner without rungs pruned."""
    gone: defaultdict[int, list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.outcome is Outcome.PRUNED:
            gone[trial.last_step].append(trial)
    before = -1
    for rung, step in enumerate(spread(sorted(gone), MOST_RUNGS // 3)):
        pruned = [t for at in gone if before < at <= step for t in gone[at]]
        yield Rung(
            bracket=0,
            rung=rung,
            step=step,
            reached=sum(t.last_step > before for t in trials),
            pruned=len(pruned),
            cutoff=None,
            saved=steps_saved(study.spec.budget.steps, pruned),
        )
        before = step


def causes(trials: Sequence[Trial]) -> list[Cause]:
    """Group the trials that failed, ran out of memory or diverged by cause, most frequent first."""
    groups: defaultdict[tuple[Outcome, str], list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.outcome in _BAD and trial.state is TrialState.ENDED:
            groups[trial.outcome, cause(trial.reason)].append(trial)
    found = [
        Cause(
            outcome=outcome,
            cause=name,
            n=len(group),
            numbers=[t.number for t in group[-MOST_NUMBERS:]],
            reason=group[-1].reason[-_LONGEST_REASON:],
            steps=Counter(t.last_step for t in group).most_common(1)[0][0],
        )
        for (outcome, name), group in groups.items()
    ]
    return sorted(found, key=lambda c: (-c.n, c.outcome, c.cause))


def cause(reason: str) -> str:
    """Return what reasons of one cause have in common: the last line, its numbers left out."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    return _VARYING.sub("…", lines[-1])[:200] if lines else "no reason was given"
