"""One parameter of a W&B sweep.

https://docs.wandb.ai/guides/sweeps/sweep-config-keys#distribution-options-for-random-and-bayesian-search
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tuner.convert.ranges import choices, constant, interval, stepped
from tuner.convert.source import Path, Source, fault

_SIGMAS = 3.0
"""Of a normal distribution the range within so many standard deviations is taken."""
_LARGEST_EXPONENT = 500.0
Range = dict[str, Any]


def parameter_of(source: Source, path: Path) -> Range | None:
    """Return a parameter's range; None if nothing of it can be carried over.

    Raises:
        InvalidInput: it says nothing that has a meaning.
    """
    given = source.mapping(*path)
    source.leave((*path, "description"), "parameters have no description")
    named = source.text(*path, "distribution")
    if "value" in given and named in (None, "constant"):
        return constant(source, given["value"], (*path, "value"))
    if "values" in given:
        return _listed(source, path, named)
    kind = named or _implied(source, path)
    reader = _READERS.get(kind)
    if reader is None:
        raise fault(path, f"the distribution {kind[:60]!r} is unknown")
    return reader(source, path)


def _listed(source: Source, path: Path, named: str | None) -> Range | None:
    if named not in (None, "categorical", "categorical_w_probabilities"):
        raise fault(path, f"values do not go with the distribution {named[:60]!r}" if named else "")
    source.leave((*path, "probabilities"), "all values are equally likely at first")
    return choices(source, source.items(*path, "values"), (*path, "values"))


def _implied(source: Source, path: Path) -> str:
    low, high = source.peek(*path, "min"), source.peek(*path, "max")
    if low is None and high is None:
        if source.peek(*path, "mu") is not None:
            return "normal"
        raise fault(path, "gives neither value, values, nor min and max")
    whole = all(isinstance(x, int) and not isinstance(x, bool) for x in (low, high))
    return "int_uniform" if whole else "uniform"


def _bounds(source: Source, path: Path) -> tuple[float | int, float | int]:
    low, high = source.number(*path, "min"), source.number(*path, "max")
    if low is None or high is None:
        raise fault(path, "min and max go together")
    return low, high


def _step(source: Source, path: Path) -> float | int:
    step = source.number(*path, "q")
    return 1 if step is None else step


def _int_uniform(source: Source, path: Path) -> Range:
    low, high = _bounds(source, path)
    return interval(math.ceil(low), math.floor(high), path, whole=True)


def _uniform(source: Source, path: Path) -> Range:
    return interval(*_bounds(source, path), path)


def _q_uniform(source: Source, path: Path) -> Range:
    low, high = _bounds(source, path)
    step = _step(source, path)
    whole = step == int(step) if math.isfinite(step) else False
    return stepped(source, low, high, step, path, origin=0, whole=whole)


def _log(source: Source, path: Path, low: float, high: float) -> Range:
    step = source.number(*path, "q")
    if step is None:
        return interval(low, high, path, log=True)
    if step == 1 and high >= 1:
        return interval(max(1, math.ceil(low)), math.floor(high), path, whole=True, log=True)
    source.left.append(_unstepped(path))
    return interval(low, high, path, log=True)


def _unstepped(path: Path) -> Any:
    from tuner.convert.source import Remark, dotted

    return Remark(dotted((*path, "q")), "a logarithmic range has no steps")


def _log_uniform(source: Source, path: Path) -> Range:
    low, high = _bounds(source, path)
    source.change(path, "its bounds were exponents of e, here they are the values")
    return _log(source, path, _exp(low, path), _exp(high, path))


def _inv_log_uniform(source: Source, path: Path) -> Range:
    low, high = _bounds(source, path)
    source.change(path, "its bounds were exponents of 1/e, here they are the values")
    return _log(source, path, _exp(-high, path), _exp(-low, path))


def _log_uniform_values(source: Source, path: Path) -> Range:
    return _log(source, path, *_bounds(source, path))


def _normal(source: Source, path: Path) -> Range:
    low, high = _normal_bounds(source, path)
    step = source.number(*path, "q")
    if step is None:
        return interval(low, high, path)
    return stepped(source, low, high, step, path, origin=0, whole=step == int(step))


def _log_normal(source: Source, path: Path) -> Range:
    low, high = _normal_bounds(source, path)
    return _log(source, path, _exp(low, path), _exp(high, path))


def _normal_bounds(source: Source, path: Path) -> tuple[float, float]:
    mu, sigma = source.number(*path, "mu"), source.number(*path, "sigma")
    centre, width = 0.0 if mu is None else mu, 1.0 if sigma is None else sigma
    if not width > 0:
        raise fault(path, f"sigma must be positive, not {width}")
    source.change(path, f"was a normal distribution, is even over {_SIGMAS:g} sigma each way")
    return centre - _SIGMAS * width, centre + _SIGMAS * width


def _beta(source: Source, path: Path) -> Range:
    source.leave((*path, "a"), "there is no beta distribution")
    source.leave((*path, "b"), "there is no beta distribution")
    source.change(path, "was a beta distribution, is even from 0 to 1")
    step = source.number(*path, "q")
    if step is None:
        return interval(0.0, 1.0, path)
    return stepped(source, 0.0, 1.0, step, path, origin=0)


def _exp(exponent: float, path: Path) -> float:
    if exponent > _LARGEST_EXPONENT:
        raise fault(path, f"e to the power of {exponent:g} is too large")
    return math.exp(exponent)


_READERS: dict[str, Callable[[Source, Path], Range]] = {
    "int_uniform": _int_uniform,
    "uniform": _uniform,
    "q_uniform": _q_uniform,
    "log_uniform": _log_uniform,
    "log_uniform_values": _log_uniform_values,
    "q_log_uniform": _log_uniform,
    "q_log_uniform_values": _log_uniform_values,
    "inv_log_uniform": _inv_log_uniform,
    "inv_log_uniform_values": _log_uniform_values,
    "normal": _normal,
    "q_normal": _normal,
    "log_normal": _log_normal,
    "q_log_normal": _log_normal,
    "beta": _beta,
    "q_beta": _beta,
}
