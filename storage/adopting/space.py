"""The search space behind trials: what each parameter ranged over, and when it was there.

Inside: names that a study document takes; one parameter's ranges as one; the conditions.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import Fault

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LONGEST = 64
_MOST_CONDITIONS = 50
_SETTLED = (TrialState.COMPLETE, TrialState.PRUNED)
Numbers = FloatDistribution | IntDistribution


@dataclass
class Findings:
    """What was found: the document's section, and what to say about it."""

    space: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def fixed_params(trial: FrozenTrial) -> dict[str, Any]:
    """Return the parameters that a trial was enqueued with."""
    found = trial.system_attrs.get("fixed_params")
    return dict(found) if isinstance(found, dict) else {}


def new_names(trials: Iterable[FrozenTrial]) -> dict[str, str]:
    """Return for each parameter, in order of first use, a name that a study document takes."""
    found: dict[str, str] = {}
    seen = dict.fromkeys(name for trial in trials for name in trial.distributions)
    kept = {name for name in seen if _NAME.fullmatch(name)}
    for name in seen:
        found[name] = name if name in kept else _fit(name, kept | set(found.values()))
    return found


def _fit(name: str, taken: set[str]) -> str:
    stem = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "p"
    if stem[0].isdigit():
        stem = f"_{stem}"
    for number in range(1, len(taken) + 2):
        suffix = "" if number == 1 else f"_{number}"
        if (found := stem[: _LONGEST - len(suffix)] + suffix) not in taken:
            return found
    raise AssertionError("one of n + 1 names is free")


def infer(trials: Sequence[FrozenTrial], names: Mapping[str, str]) -> Findings:
    """Return the space over which trials ranged, under their new names."""
    found = Findings()
    seen: dict[str, dict[BaseDistribution, int]] = defaultdict(dict)
    values: dict[str, set[Any]] = defaultdict(set)
    for trial in trials:
        for name, distribution in trial.distributions.items():
            seen[name].setdefault(distribution, trial.number)
            values[name].add(trial.params[name])
    for trial in trials:
        if trial.state is TrialState.WAITING:
            for name, value in fixed_params(trial).items():
                if name in seen:
                    values[name].add(value)
    for name, new in names.items():
        parameter = _parameter(new, seen[name], values[name], found)
        if parameter is not None:
            found.space[new] = parameter
    _conditions(trials, names, found)
    return found


# One parameter


def _parameter(
    name: str, seen: Mapping[BaseDistribution, int], values: set[Any], found: Findings
) -> dict[str, Any] | None:
    if len({type(d) for d in seen}) > 1:
        kinds = [f"{type(d).__name__} in trial {number}" for d, number in seen.items()]
        message = f"its kind changed between trials: {', '.join(kinds[:3])}"
        found.faults.append(Fault(where=f"space.{name}", message=message))
        return None
    numbers = [d for d in seen if isinstance(d, FloatDistribution | IntDistribution)]
    if not numbers:
        return _choices(name, seen, found)
    return _interval(name, numbers, {v for v in values if _is_number(v)}, found)


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)  # type: ignore[arg-type]


def _choices(
    name: str, seen: Mapping[BaseDistribution, int], found: Findings
) -> dict[str, Any] | None:
    listed = [c for d in seen if isinstance(d, CategoricalDistribution) for c in d.choices]
    bad = [c for c in listed if not isinstance(c, str | bool | int | float)]
    if bad:
        message = f"its choice {bad[0]!r} can't be adopted: choices are texts, numbers or booleans"
        found.faults.append(Fault(where=f"space.{name}", message=message))
        return None
    choices = list({(type(c), c): c for c in listed}.values())
    if len(seen) > 1:
        found.notes.append(f"{name}: its choices changed between trials; it gets all of them")
    return {"values": choices}


def _interval(
    name: str, seen: Sequence[Numbers], values: set[Any], found: Findings
) -> dict[str, Any]:
    integer, log = isinstance(seen[0], IntDistribution), seen[-1].log
    low = min([d.low for d in seen] + [v for v in values if v > 0 or not log])
    high = max([d.high for d in seen] + list(values))
    if len(seen) > 1:
        found.notes.append(
            f"{name}: its range changed between trials; it gets {low:g} to {high:g}, all of them"
        )
    elif (low, high) != (seen[0].low, seen[0].high):
        found.notes.append(
            f"{name}: a trial lies outside {seen[0].low:g} to {seen[0].high:g}; "
            f"it gets {low:g} to {high:g}"
        )
    if low == high:
        return {"value": low}
    kind: dict[str, Any] = {"min": low, "max": high, "type": "int" if integer else "float"}
    if log:
        return kind | {"log": True}
    step = _whole_step(seen, low, values) if integer else _real_step(seen, low, values)
    if step is None and any(d.step is not None and d.step != 1 for d in seen):
        found.notes.append(f"{name}: its grid changed between trials; it gets none")
    return kind if step is None else kind | {"step": step}


def _whole_step(seen: Sequence[Numbers], low: float, values: set[Any]) -> int | None:
    """Return the widest grid from `low` on that holds all that was seen; None for every number."""
    parts = [int(d.step or 1) for d in seen]
    parts += [int(d.low) - int(low) for d in seen] + [int(v) - int(low) for v in values]
    step = reduce(math.gcd, parts)
    return step if step > 1 else None


def _real_step(seen: Sequence[Numbers], low: float, values: set[Any]) -> float | None:
    steps = {d.step for d in seen}
    step = steps.pop()
    if steps or step is None:
        return None
    points = [x for d in seen for x in (d.low, d.high)] + list(values)
    offsets = ((x - low) / step for x in points)
    whole = all(math.isclose(x, round(x), rel_tol=1e-9, abs_tol=1e-6) for x in offsets)
    return float(step) if whole else None


# Conditions


def _conditions(trials: Sequence[FrozenTrial], names: Mapping[str, str], found: Findings) -> None:
    """Find for each parameter that some trials lack an earlier one whose value explains it."""
    settled = [t for t in trials if t.state in _SETTLED]
    for name in names:
        missing = [t for t in settled if name not in t.params]
        if not missing or len(missing) == len(settled) or names[name] not in found.space:
            continue
        when = _reason(name, settled, names, found)
        if when is None:
            found.notes.append(
                f"{names[name]}: {len(missing)} trials lack it and no choice explains why; "
                "new trials always get it"
            )
            continue
        found.space[names[name]]["when"] = when
        told = ", ".join(f"{parent} is {_either(wanted)}" for parent, wanted in when.items())
        found.notes.append(f"{names[name]}: new trials get it where {told}")


def _either(values: Sequence[object]) -> str:
    texts = [str(v) for v in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def _reason(
    name: str, settled: Sequence[FrozenTrial], names: Mapping[str, str], found: Findings
) -> dict[str, list[Any]] | None:
    for parent in _parents(name, names, found):
        having = [t for t in settled if parent in t.params]
        present = {(type(v), v) for t in having if name in t.params for v in [t.params[parent]]}
        absent = {(type(v), v) for t in having if name not in t.params for v in [t.params[parent]]}
        alone = any(name in t.params and parent not in t.params for t in settled)
        if absent and not present & absent and not alone and len(present) <= _MOST_CONDITIONS:
            values = [v for _, v in present]
            others = [v for _, v in absent]
            return {names[parent]: _wanted(found.space[names[parent]], values, others)}
    return None


def _parents(name: str, names: Mapping[str, str], found: Findings) -> Iterator[str]:
    """Yield the parameters before `name` that have few values."""
    for parent in names:
        if parent == name:
            return
        spec = found.space.get(names[parent], {})
        if "values" in spec or spec.get("type") == "int":
            yield parent


def _wanted(parent: Mapping[str, Any], present: list[Any], absent: list[Any]) -> list[Any]:
    """Return the parent's values in order; of whole numbers those between that were not seen too.

    `layers` of 2 and 4 having it and 1 not means from 2 on.
    """
    if "values" in parent:
        return [c for c in parent["values"] if any(c == v and type(c) is type(v) for v in present)]
    low, high, step = parent["min"], parent["max"], parent.get("step", 1)
    grid = range(low, high + 1, step)
    if min(present) > max(absent):
        found = [v for v in grid if v >= min(present)]
    elif max(present) < min(absent):
        found = [v for v in grid if v <= max(present)]
    else:
        found = sorted(present)
    return found if len(found) <= _MOST_CONDITIONS else sorted(present)
