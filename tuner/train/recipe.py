"""What a training is (`Recipe`) and where it runs (`Options`), as values, without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from tuner.errors import Fault, InvalidInput
from tuner.handle import ParamValue

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam", "adamw")
INITS = ("lecun", "xavier", "he")
PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Say how weights begin and change; two trainings of equal task, recipe and seed are the same.

    Args:
        lr: learning rate before any cut.
        batch_size: rows a gradient is the mean of; the last batch of an epoch may be smaller.
        init_scale: factor on the standard deviation of the initial weights.
        dropout: share of units set to 0 in training.
        clip_norm: largest norm of the whole gradient; above it the gradient is scaled down to it.
        init: rule of the initial weights, one of `INITS`.
        optimizer: one of `OPTIMIZERS`.
        momentum: beta1 for adam and adamw. None: 0 for sgd, else 0.9.
        beta2, eps: of adam and adamw.
        weight_decay: L2 term in the gradient, after the clip; decoupled for adamw.
    """

    lr: float
    batch_size: int
    init_scale: float
    dropout: float
    clip_norm: float
    init: str = "lecun"
    optimizer: str = "momentum"
    momentum: float | None = None
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    @property
    def decay_of_average(self) -> float:
        """The momentum in force."""
        if self.momentum is not None:
            return self.momentum
        return 0.0 if self.optimizer == "sgd" else 0.9

    @classmethod
    def from_params(
        cls, params: Mapping[str, ParamValue], defaults: Mapping[str, ParamValue]
    ) -> Self:
        """Build a recipe from a trial's parameters, over a task's defaults.

        Raises:
            InvalidInput: an unknown name or a value outside its range; `faults` has them all.
        """
        return cls(**_checked(_PARAMS, {**defaults, **params}, "parameter"))


@dataclass(frozen=True, kw_only=True)
class Options:
    """Say where and how a training runs.

    Args:
        device: auto (CUDA if there is one), cpu, cuda, or cuda:N.
        precision: fp32, or autocast to bf16 or fp16 in forward passes. Weights stay float32.
        checkpoint_every: seconds between checkpoints, at the ends of epochs. 0: after each epoch.
        deterministic: whether CUDA may use only kernels that give the same bits each time.
    """

    device: str = "auto"
    precision: str = "fp32"
    checkpoint_every: float = 10.0
    deterministic: bool = False

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Check and take options.

        Raises:
            InvalidInput: an unknown name or a value that is not allowed; `faults` has them all.
        """
        return cls(**_checked(_OPTIONS, given, "option"))


def _number(rule: str, holds: Callable[[float], bool]) -> Callable[[object], float]:
    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not holds(value):
            raise ValueError(f"must be a number {rule}")
        return float(value)

    return check


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
        raise ValueError("must be a whole number from 1")
    if not math.isfinite(value) or value != int(value):
        raise ValueError("must be a whole number from 1")
    return int(value)


def _word(words: tuple[str, ...]) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return check


def _device(value: object) -> str:
    kind, _, index = value.partition(":") if isinstance(value, str) else ("", "", "")
    if value in ("auto", "cpu", "cuda") or (kind == "cuda" and index.isdecimal()):
        return str(value)
    raise ValueError("must be auto, cpu, cuda or cuda:N")


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 (translated by `_checked`)
    return value


_Checks = Mapping[str, Callable[[object], Any]]

_POSITIVE = _number("above 0", lambda x: x > 0 and math.isfinite(x))
_FROM_0 = _number("from 0", lambda x: x >= 0 and math.isfinite(x))
_BELOW_1 = _number("from 0 to below 1", lambda x: 0 <= x < 1)

_PARAMS: _Checks = {
    "lr": _POSITIVE,
    "batch_size": _count,
    "init_scale": _POSITIVE,
    "dropout": _BELOW_1,
    "clip_norm": _number("above 0", lambda x: x > 0),
    "init": _word(INITS),
    "optimizer": _word(OPTIMIZERS),
    "momentum": _BELOW_1,
    "beta2": _BELOW_1,
    "eps": _POSITIVE,
    "weight_decay": _FROM_0,
}
_OPTIONS: _Checks = {
    "device": _device,
    "precision": _word(PRECISIONS),
    "checkpoint_every": _FROM_0,
    "deterministic": _flag,
}


def refusal(name: str, value: ParamValue) -> str | None:
    """Say why a known parameter can't have a value, None if it can."""
    try:
        _PARAMS[name](value)
    except ValueError as problem:
        return str(problem)
    return None


KNOWN_PARAMS = tuple(field.name for field in fields(Recipe))
KNOWN_OPTIONS = tuple(field.name for field in fields(Options))


def _checked(checks: _Checks, given: Mapping[str, Any], noun: str) -> dict[str, Any]:
    taken: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, value in given.items():
        if name not in checks:
            message = f"is not known; the {noun}s are {', '.join(checks)}"
            faults.append(Fault(where=name, message=message))
            continue
        try:
            taken[name] = checks[name](value)
        except ValueError as problem:
            faults.append(Fault(where=name, message=f"{problem}, not {value!r}"))
    if faults:
        said = "; ".join(f"{fault.where} {fault.message}" for fault in faults)
        raise InvalidInput(f"the trainer can't take this {noun}: {said}", faults)
    return taken
