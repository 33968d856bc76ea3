"""One parameter of a Katib Experiment. Its numbers stand in quotes."""

from __future__ import annotations

from typing import Any

from tuner.convert.ranges import choices, interval, stepped
from tuner.convert.source import Path, Source, fault, number_of

_LOG = ("logUniform",)
_EVEN = ("uniform",)
_NORMAL = ("normal", "logNormal")


def parameter_of(source: Source, path: Path) -> dict[str, Any] | None:
    """Return a parameter's range; None if nothing of it can be carried over.

    Raises:
        InvalidInput: it says nothing that has a meaning.
    """
    kind, space = source.text(*path, "parameterType"), (*path, "feasibleSpace")
    if kind == "categorical":
        return choices(source, source.items(*space, "list"), (*space, "list"))
    if kind == "discrete":
        return _discrete(source, (*space, "list"))
    if kind not in ("double", "int"):
        raise fault((*path, "parameterType"), f"{str(kind)[:60]!r} is none of Katib's")
    low, high = source.number(*space, "min"), source.number(*space, "max")
    step = source.number(*space, "step")
    if low is None or high is None:
        raise fault(space, "min and max are missing")
    log = _is_log(source, (*space, "distribution"))
    whole = kind == "int"
    if step is None or (whole and step == 1 and not log):
        return interval(low, high, space, whole=whole, log=log)
    if log:
        source.change((*space, "step"), "a logarithmic range has no steps")
        return interval(low, high, space, whole=whole, log=True)
    return stepped(source, low, high, step, space, origin=low, whole=whole)


def _is_log(source: Source, path: Path) -> bool:
    name = source.text(*path)
    if name in _NORMAL:
        source.change(path, f"{name} becomes even over the whole range")
    elif name is not None and name not in (*_LOG, *_EVEN):
        source.change(path, f"{name[:60]!r} is unknown; the range is even")
    return name in _LOG or name == "logNormal"


def _discrete(source: Source, path: Path) -> dict[str, Any] | None:
    numbers = [number_of(one, (*path, i)) for i, one in enumerate(source.items(*path))]
    return choices(source, numbers, path)
