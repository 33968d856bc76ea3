"""Rules on the two curves: over-fitting and under-fitting."""

from __future__ import annotations

from tuner.findings.base import Course, Reported, Rule, Sign, Streak, short
from tuner.findings.rates import HIGH, LOW, rests

RISEN = 1.05
"""A validation loss this much above its lowest has risen."""
FALLEN = 0.95
"""A training loss this much below the one at that report went on falling."""
HIGH_PART = 0.5
"""A training loss that rests above this part of its first has learned little."""
CLOSE = 1.1
"""A validation loss up to this much above the training loss shows no over-fitting."""


def _over(course: Course, report: Reported) -> Sign | None:
    best = course.best
    if best is None or best.val is None or best.train is None:
        return None
    if report.val is None or report.train is None or not (best.val > 0 and best.train > 0):
        return None
    if not (report.val > RISEN * best.val and report.train < FALLEN * best.train):
        return None
    numbers = {
        "best": best.val, "best_step": best.step, "best_train": best.train,
        "val_loss": report.val, "train_loss": report.train,
    }  # fmt: skip
    return Sign(report.val / best.val, numbers)


def _say_over(_: Streak, sign: Sign) -> tuple[str, str]:
    n = sign.data
    risen, fallen = sign.measure - 1, 1 - _part(n["train_loss"], n["best_train"])
    return (
        f"the validation loss rose by {risen:.0%} from its best, {short(n['best'], 3)} at step "
        f"{n['best_step']}, to {short(n['val_loss'], 3)}, while the training loss fell by "
        f"{fallen:.0%} to {short(n['train_loss'], 3)}",
        f"over-fitting: more dropout, weight decay, augmentation or data, or stop near step "
        f"{n['best_step']} (policy early_stopping)",
    )


def _under(course: Course, report: Reported) -> Sign | None:
    first, train, val = course.first_train, report.train, report.val
    if first is None or train is None or val is None or not rests(course, report):
        return None
    ratio = report.metrics.get("update_ratio", 1e-3)
    if not (first > 0 and train > HIGH_PART * first and val < CLOSE * train):
        return None
    if not LOW <= ratio <= HIGH or "hessian_min" in report.metrics:
        return None
    return Sign(train / first, {"train_loss": train, "val_loss": val, "first": first})


def _say_under(_: Streak, sign: Sign) -> tuple[str, str]:
    n = sign.data
    return (
        f"the training loss rests at {short(n['train_loss'], 3)}, {sign.measure:.0%} of its first, "
        f"and the validation loss is as high, {short(n['val_loss'], 3)}",
        "under-fitting: a larger network, less dropout and weight decay, or another rate",
    )


def _part(a: object, b: object) -> float:
    return a / b if isinstance(a, float) and isinstance(b, float) and b else 0.0


RULES = (
    Rule(name="over_fitting", patience=5, sign=_over, say=_say_over, again=1.5),
    Rule(name="under_fitting", patience=5, sign=_under, say=_say_under, again=1.5),
)
