"""Rules on what was measured layer by layer, from the input upward.

Gradients and activations should keep their size from layer to layer (Glorot and Bengio 2010,
section 4.2; He et al. 2015, section 2.2). A ReLU that no row of a batch activates gets no gradient.
"""

from __future__ import annotations

from collections.abc import Mapping

from tuner.findings.base import (
    Course,
    Number,
    Reported,
    Rule,
    Sign,
    Streak,
    for_reports,
    short,
    times,
)

APART = 1e4
"""Layers whose numbers are this many times apart."""
DEAD = 0.5
"""A part of a layer's ReLUs that is too large to be idle."""
_SMALLEST = 1e-30
_CAUSES = ("update_ratio_high", "bounces", "dead_units")
"""What was found already, and has layers far apart as a consequence."""


def _apart(course: Course, found: Mapping[str, float], *, lower_is_small: bool) -> Sign | None:
    """Compare the extreme layers; their order says which way size is lost."""
    if len(found) < 2 or not course.told.keys().isdisjoint(_CAUSES):
        return None
    order = list(found)
    small, large = min(order, key=found.__getitem__), max(order, key=found.__getitem__)
    if found[large] < APART * max(found[small], _SMALLEST):
        return None
    if (order.index(small) < order.index(large)) is not lower_is_small:
        return None
    numbers: dict[str, Number] = {
        "small": small,
        "large": large,
        "least": found[small],
        "most": found[large],
    }
    return Sign(found[large] / max(found[small], _SMALLEST), numbers)


def _words(streak: Streak, sign: Sign, what: str) -> str:
    n = sign.data
    much = f"{times(streak.mean)} times that of" if n["least"] else "beside"
    return (
        f"the {what} of {n['large']} is {short(n['most'])}, {much} {n['small']}, "
        f"{short(n['least'])}"
        f"{for_reports(streak.length)}"
    )


_VANISHES = (
    "gradients vanish on their way down: activations that do not saturate (relu, elu), init he, "
    "a norm in each layer, or skip connections"
)
_EXPLODES = (
    "gradients explode on their way down: a lower init_scale, clip_norm, or a norm in each layer"
)
_FADES = "the signal fades from layer to layer: a larger init_scale (init he), or a norm in each"
_SWELLS = "the signal grows from layer to layer: a lower init_scale, or a norm in each layer"


def _dead(_: Course, report: Reported) -> Sign | None:
    dead = report.layers.get("dead")
    if not dead or max(dead.values()) < DEAD:
        return None
    worst = max(dead, key=dead.__getitem__)
    many = sum(part >= DEAD for part in dead.values())
    return Sign(dead[worst], {"layer": worst, "layers": many, "of": len(dead)})


def _say_dead(streak: Streak, sign: Sign) -> tuple[str, str]:
    n = sign.data
    more = f" ({n['layers']} of {n['of']} layers are like it)" if n["layers"] != 1 else ""
    return (
        f"{sign.measure:.0%} of the ReLUs of {n['layer']} answered to no row"
        f"{for_reports(streak.length)}{more}",
        "dead units learn nothing: a lower rate, leaky_relu or elu, or a norm in each layer",
    )


RULES = (
    Rule(
        name="gradients_vanish",
        patience=5,
        sign=lambda c, r: _apart(c, r.layers.get("grad", {}), lower_is_small=True),
        say=lambda k, s: (_words(k, s, "gradient norm"), _VANISHES),
    ),
    Rule(
        name="gradients_explode",
        patience=5,
        sign=lambda c, r: _apart(c, r.layers.get("grad", {}), lower_is_small=False),
        say=lambda k, s: (_words(k, s, "gradient norm"), _EXPLODES),
    ),
    Rule(
        name="signal_fades",
        patience=5,
        sign=lambda c, r: _apart(c, r.layers.get("var", {}), lower_is_small=False),
        say=lambda k, s: (_words(k, s, "activation variance"), _FADES),
    ),
    Rule(
        name="signal_explodes",
        patience=5,
        sign=lambda c, r: _apart(c, r.layers.get("var", {}), lower_is_small=True),
        say=lambda k, s: (_words(k, s, "activation variance"), _SWELLS),
    ),
    Rule(name="dead_units", patience=3, sign=_dead, say=_say_dead, again=1.3),
)
