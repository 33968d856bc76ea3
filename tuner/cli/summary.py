"""What came out of a study, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tuner.cli.output import params_text
from tuner.client import StudyHandle
from tuner.decision import Outcome
from tuner.trial import EventKind
from tuner.wire import BestView, EventView, StudyView, TrialView

_MOST_STEPS = 6


def summary(study: StudyHandle) -> str:
    """Return the best trial, what was pruned and halved and when, and the rules of thumb's best."""
    view = study.refresh().view
    lines = [f"Study {view.name!r}: {view.state}, {_counts(view)}"]
    best = study.best
    if best is not None:
        lines += ["", *_best("Best trial", study, best)]
    lines += ["", *_steering(view, study.trials(), list(study.events()))]
    if best is not None and view.best_folk is not None:
        lines += ["", *_comparison(study, best, view.best_folk)]
    return "\n".join(lines)


def schedule_text(found: BestView) -> str:
    """Return the rates a trial ran with: `0.1 from the start, 0.05 after step 12`."""
    rate = found.params.get("lr")
    parts = []
    for point in found.schedule:
        factor = point.lr_factor
        is_number = isinstance(rate, float | int)
        text = f"{rate * factor:.4g}" if is_number and rate is not None else f"x{factor:g}"
        parts.append(f"{text} after step {point.step}" if point.step else f"{text} from the start")
    return ", ".join(parts)


def pruned_text(trials: Sequence[TrialView]) -> str:
    """Return how many trials were pruned, and after which steps."""
    steps = [t.last_step for t in trials if t.outcome is Outcome.PRUNED]
    return f"{_count(len(steps), 'trial')} pruned{_when(steps)}"


def halved_text(events: Iterable[EventView]) -> str:
    """Return how many cuts of the rate there were, in how many trials, after which steps."""
    cuts = [(e.number, e.step) for e in events if e.kind is EventKind.HALVED]
    trials = {number for number, _ in cuts}
    when = _when([step for _, step in cuts if step is not None])
    return f"{_count(len(cuts), 'cut')} of the rate in {_count(len(trials), 'trial')}{when}"


def findings_text(events: Iterable[EventView]) -> list[str]:
    """Return a line on what was found of trainings, the most frequent first; none for nothing."""
    found = {(e.number, str(e.data.get("rule"))) for e in events if e.kind is EventKind.FINDING}
    if not found:
        return []
    rules = Counter(rule.replace("_", " ") for _, rule in found)
    said = ", ".join(f"{rule} ({n})" for rule, n in rules.most_common(_MOST_STEPS))
    trials = len({number for number, _ in found})
    return [f"findings in {_count(trials, 'trial')}: {said}"]


def _best(title: str, study: StudyHandle, found: BestView) -> list[str]:
    metric = study.view.spec.get("objective", {}).get("metric", "value")
    metrics = metrics_of(study, found)
    value = f"{metric} {found.value:.5g} at step {found.step}"
    accuracy = metrics.get("test_accuracy")
    if accuracy is not None:
        value += f", test accuracy {accuracy:.2%}"
    return [
        f"{title}: {found.number} ({found.origin}, {found.outcome})",
        f"  {value}",
        f"  params    {params_text(found.params)}",
        f"  schedule  {schedule_text(found)}",
    ]


def metrics_of(study: StudyHandle, found: BestView) -> dict[str, float]:
    """Return what a trial reported at the step its value comes from."""
    if found.metrics:
        return found.metrics
    reports = study.trial(found.number).reports
    return next((r.metrics for r in reversed(reports) if r.step == found.step), {})


def _steering(
    view: StudyView, trials: Sequence[TrialView], events: Sequence[EventView]
) -> list[str]:
    total = view.steps_done + view.steps_saved
    share = f" ({view.steps_saved / total:.0%})" if total else ""
    return [
        pruned_text(trials),
        halved_text(events),
        *findings_text(events),
        f"{view.steps_done} epochs trained, {view.steps_saved} saved{share}",
        *([view.halving_worth.text] if view.halving_worth is not None else []),
    ]


def _comparison(study: StudyHandle, best: BestView, folk: BestView) -> list[str]:
    lines = _best("Best rule of thumb", study, folk)
    if best.number == folk.number:
        return [*lines, "The search found nothing better than the rules of thumb."]
    if best.value > 0 and folk.value > 0:
        ratio = best.value / folk.value
        lines.append(f"The best trial's value is {ratio:.0%} of the best rule of thumb's.")
    return lines


def _counts(view: StudyView) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in view.counts.items() if n)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _when(steps: Sequence[int]) -> str:
    """Return `: 30 after epoch 3, 7 after epoch 9`; a range where there are too many."""
    if not steps:
        return ""
    found = sorted(Counter(steps).items())
    if len(found) > _MOST_STEPS:
        return f", after epochs {found[0][0]} to {found[-1][0]}"
    return ": " + ", ".join(f"{n} after epoch {step}" for step, n in found)
