"""Rules on the rate: the update ratio, and a loss that no longer falls.

A step should change the weights by about a thousandth of their norm (Karpathy, "Building makemore",
part 3). Where the training loss rests, the gradient tells why: far from zero, it bounces; near
zero, it is at a saddle or a minimum (Dauphin et al. 2014, section 2).
"""

from __future__ import annotations

import math
from itertools import pairwise

from tuner.findings.base import (
    WINDOW,
    Course,
    Reported,
    Rule,
    Sign,
    Streak,
    for_reports,
    short,
    times,
)

HEALTHY = 1e-3
LOW, HIGH = 1e-4, 3e-2
LOWERED = 0.5
"""A rate below this part of the trial's largest was lowered on purpose."""
FADED = 0.01
"""A gradient norm below this part of the trial's largest makes small updates at any rate."""
RESTS = 0.01
"""A training loss that fell by less than this part over the window rests."""
START = 0.1
"""A training loss within this part of its first never left it: too little is known of its gradient
to call it large."""
FALLING = 0.9
"""An update ratio below this part of the least before is on its way down, as at each start."""
QUICK = 0.95
"""A training loss below this part of that of the report before falls quickly."""
SOLVED = 0.02
"""A training loss below this part of its first is no reason for advice."""
FLAT = 1e-3
"""A gradient norm below this part of the trial's largest is near zero."""


def _ratio_low(course: Course, report: Reported) -> Sign | None:
    ratio = report.metrics.get("update_ratio")
    if ratio is None or not 0 < ratio < LOW or report.level < 1 or solved(course, report):
        return None
    if course.rate < LOWERED * course.top_rate:
        return None
    gradient = report.metrics.get("grad_norm")
    if gradient is not None and gradient < FADED * course.top_grad:
        return None
    return Sign(ratio)


def _say_low(streak: Streak, _: Sign) -> tuple[str, str]:
    return (
        f"update ratio {short(streak.mean)}{for_reports(streak.length)}",
        f"the rate is about {times(HEALTHY / streak.mean)} times too low",
    )


def _ratio_high(course: Course, report: Reported) -> Sign | None:
    ratio = report.metrics.get("update_ratio")
    if ratio is None or not ratio > HIGH or _learns(course, report):
        return None
    falls = math.isfinite(course.least_ratio) and ratio < FALLING * course.least_ratio
    return None if falls else Sign(ratio)


def _learns(course: Course, report: Reported) -> bool:
    """Tell whether large updates do good: the loss falls quickly, or has yet to leave its start."""
    before = course.window[-1].train if course.window else None
    if before is None or report.train is None:
        return False
    return report.train < QUICK * before or _stays(course, report)


def _say_high(streak: Streak, _: Sign) -> tuple[str, str]:
    return (
        f"update ratio {short(streak.mean)}{for_reports(streak.length)}",
        f"the rate is about {times(streak.mean / HEALTHY)} times too high",
    )


def solved(course: Course, report: Reported) -> bool:
    """Tell whether the training loss is so far down that nothing is wrong."""
    first = course.first_train
    return None not in (first, report.train) and abs(report.train or 0) < SOLVED * abs(first or 0)


def rests(course: Course, report: Reported) -> bool:
    """Tell whether the training loss has not fallen over the window; not so when it is solved."""
    if report.train is None or len(course.window) < WINDOW or solved(course, report):
        return False
    before = course.window[0].train
    if before is None:
        return False
    before = min(before, course.best_train)
    recent = [past.train for past in course.window[1:] if past.train is not None]
    return min([*recent, report.train]) > before - RESTS * abs(before)


def _stays(course: Course, report: Reported) -> bool:
    """Tell whether the training loss is about what it was at first."""
    first = course.first_train or 0.0
    return abs((report.train or 0.0) - first) < START * abs(first)


def _bounces(course: Course, report: Reported) -> Sign | None:
    gradient = report.metrics.get("grad_norm")
    if gradient is None or gradient < 0.1 * course.top_grad or not rests(course, report):
        return None
    if not course.told.keys().isdisjoint(("saddle", "minimum")) or _stays(course, report):
        return None
    losses = [p.train for p in course.window if p.train is not None] + [report.train or 0.0]
    if sum(after > before for before, after in pairwise(losses)) < 2:
        return None
    return Sign(gradient, {"train_loss": report.train, "top_grad": course.top_grad})


def _say_bounces(streak: Streak, sign: Sign) -> tuple[str, str]:
    loss, top = short(sign.data["train_loss"], 3), short(sign.data["top_grad"], 2)
    return (
        f"the training loss, {loss}, goes up and down and has not fallen for "
        f"{WINDOW + streak.length - 1} reports, while the gradient norm, {short(streak.mean, 2)}, "
        f"is not near zero (at most {top} before)",
        "it bounces: halve the rate, or let halve_on_plateau do it; if that gains nothing, the "
        "network is too small or the data too noisy",
    )


def _flat(course: Course, report: Reported) -> Sign | None:
    gradient = report.metrics.get("grad_norm")
    if gradient is None or gradient > FLAT * course.top_grad or not rests(course, report):
        return None
    if "hessian_min" in report.metrics:
        return None
    return Sign(max(gradient, 1e-30), {"train_loss": report.train, "top_grad": course.top_grad})


def _say_flat(streak: Streak, sign: Sign) -> tuple[str, str]:
    return (
        f"the training loss rests at {short(sign.data['train_loss'], 3)} and the gradient norm, "
        f"{short(streak.mean)}, is near zero beside its largest, {short(sign.data['top_grad'], 2)}",
        "it is at a saddle, in a minimum, or its units are dead: tuner.torch.examine says which",
    )


RULES = (
    Rule(name="update_ratio_low", patience=5, sign=_ratio_low, say=_say_low),
    Rule(name="update_ratio_high", patience=5, sign=_ratio_high, say=_say_high),
    Rule(name="bounces", patience=2, sign=_bounces, say=_say_bounces),
    Rule(name="flat", patience=2, sign=_flat, say=_say_flat),
)
