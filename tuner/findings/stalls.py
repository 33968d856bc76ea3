"""Rules on the curvature that was measured where the gradient is near zero.

The signs of the Hessian's extreme eigenvalues tell a saddle from a minimum (Dauphin et al. 2014);
the eigenvector of the lowest is the way out of a saddle.
"""

from __future__ import annotations

from tuner.findings.base import Course, Reported, Rule, Sign, Streak, short
from tuner.findings.rates import SOLVED

NEGATIVE = 0.01
"""A lowest eigenvalue below minus this part of the largest one's size makes a saddle."""


def _saddle(_: Course, report: Reported) -> Sign | None:
    m = report.metrics
    low, high = m.get("hessian_min"), m.get("hessian_max")
    if low is None or high is None or not low < -NEGATIVE * abs(high) or low == 0:
        return None
    numbers = {
        "lowest": low, "highest": high, "loss": m.get("escape_from"), "escaped": m.get("escape_to"),
        "along": m.get("escape_step"),
    }  # fmt: skip
    return Sign(-low, numbers)


def _say_saddle(_: Streak, sign: Sign) -> tuple[str, str]:
    n = sign.data
    seen = (
        f"the gradient is near zero and the Hessian's eigenvalues go from "
        f"{short(n['lowest'], 2)} to {short(n['highest'], 2)}, a saddle"
    )
    if n["loss"] is not None and n["escaped"] is not None and n["along"] is not None:
        seen += (
            f"; a step of {short(n['along'], 2)} along the eigenvector of the lowest takes the "
            f"loss from {short(n['loss'], 4)} to {short(n['escaped'], 4)}"
        )
    return seen, (
        "momentum, a smaller batch or a larger rate leads out of it; so does another start "
        "(init_scale, seed)"
    )


def _minimum(course: Course, report: Reported) -> Sign | None:
    m = report.metrics
    low, high = m.get("hessian_min"), m.get("hessian_max")
    if low is None or high is None or low < -NEGATIVE * abs(high):
        return None
    first, train = course.first_train, report.train
    if first is None or train is None or train < max(0.5, SOLVED) * first:
        return None
    return Sign(max(high, 1e-30), {"lowest": low, "train_loss": train, "part": train / first})


def _say_minimum(_: Streak, sign: Sign) -> tuple[str, str]:
    n = sign.data
    return (
        f"the gradient is near zero, no eigenvalue of the Hessian is far below zero (the lowest is "
        f"{short(n['lowest'], 2)}, the highest {short(sign.measure, 2)}), and the training loss is "
        f"still {short(n['train_loss'], 3)}, {n['part']:.0%} of its first",
        "a poor minimum or a flat place: start again with another seed or init_scale, or take a "
        "larger network",
    )


RULES = (
    Rule(name="saddle", patience=1, sign=_saddle, say=_say_saddle),
    Rule(name="minimum", patience=1, sign=_minimum, say=_say_minimum),
)
