"""Rules of thumb: what practitioners try first, as the first trials of a study."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from tuner.handle import ParamValue
from tuner.space import Categorical, Params, Space, default_space

MOST = 6

_SGD = ("momentum", "nesterov", "sgd")
_ADAM = ("adam", "adamw", "rmsprop")
_OTHERS = ("adagrad", "adadelta")
_RATES = {"adam": 0.01, "adamw": 0.01, "rmsprop": 0.01, "adagrad": 0.1, "adadelta": 10.0}
"""What the rates for SGD are multiplied by."""
_COMMON: Params = MappingProxyType({"momentum": 0.9, "weight_decay": 0.005})
_WISHES: tuple[Params, ...] = (
    {"lr": 0.1, "batch_size": 128, "init_scale": 1.0, "dropout": 0.5, "clip_norm": 15.0},
    {"lr": 0.1, "batch_size": 128, "init_scale": 1.0, "dropout": 0.2, "clip_norm": 5.0},
    {"lr": 0.1, "batch_size": 32, "init_scale": 1.0, "dropout": 0.2, "clip_norm": 5.0},
    {"lr": 0.1, "batch_size": 128, "init_scale": 0.1, "dropout": 0.5, "clip_norm": 15.0},
    {"lr": 0.01, "batch_size": 128, "init_scale": 1.0, "dropout": 0.2, "clip_norm": 5.0},
)


def rules_of_thumb(
    space: Space,
    allows: Callable[[Params], bool],
    limit: int = MOST,
    optimizer: ParamValue | None = None,
    own: Params | None = None,
) -> list[dict[str, ParamValue]]:
    """Return the rules of thumb as points of a space, best known first, at most 6.

    The values are the field's: a rate of 0.1 is good for surprisingly many networks with SGD, 0.01
    where that is too much, 1e-3 for Adam, 1 for Adadelta; batches of 128, and 32 for small data;
    weights drawn with `init_scale / sqrt(fan_in)` at a scale of 1 or 0.1; dropout 0.5 to be
    cautious and 0.2 for simple networks; the gradient's norm clipped at 15 or 5; momentum 0.9;
    weight decay 0.005.

    Each is moved into the space (`Space.nearest`); what that makes equal is kept once; parameters
    without a rule get their middle. If the space has no SGD, rates are those the other rule needs.

    Args:
        space: the study's space. If it shares no name with the default space there are no rules.
        allows: tells whether a point meets the study's constraints; the others are left out.
        limit: the most points to return.
        optimizer: the one that the study fixes, if it does.
        own: what the training's author does where nothing is said; the first point, unless it is
            one of the rules.
    """
    if not space.parameters.keys() & default_space().parameters.keys():
        return []
    points: list[dict[str, ParamValue]] = []
    for wish in _wishes(_optimizers(space, optimizer)):
        point = space.nearest(wish)
        if point not in points and allows(point):
            points.append(point)
    if own is not None and (point := space.nearest(own)) not in points and allows(point):
        points.insert(0, point)
    return points[: max(0, min(limit, MOST))]


def _optimizers(space: Space, fixed: ParamValue | None) -> frozenset[ParamValue]:
    if fixed is not None:
        return frozenset({fixed})
    parameter = space.parameters.get("optimizer")
    return frozenset(parameter.values) if isinstance(parameter, Categorical) else frozenset()


def _wishes(optimizers: frozenset[ParamValue]) -> list[dict[str, ParamValue]]:
    sgd = next((x for x in _SGD if x in optimizers), None)
    adam = next((x for x in _ADAM if x in optimizers), None)
    first = sgd or adam or next((x for x in _OTHERS if x in optimizers), None)
    wishes = [_with(wish, first) for wish in _WISHES]
    if sgd is not None and adam is not None:
        wishes.insert(2, _with(_WISHES[1], adam))
    return wishes


def _with(wish: Params, optimizer: str | None) -> dict[str, ParamValue]:
    full = {**_COMMON, **wish}
    if optimizer is not None:
        full["optimizer"] = optimizer
        full["lr"] = float(wish["lr"]) * _RATES.get(optimizer, 1.0)
    return full
