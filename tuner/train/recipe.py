"""What a training is (`Recipe`) and where it runs (`Options`), as values, without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tuner.errors import Fault, InvalidInput
from tuner.handle import ParamValue
from tuner.robust import Rule
from tuner.spec.recipe import OptimizerName, RecipeSpec, searchable_fields

OPTIMIZERS: tuple[str, ...] = get_args(OptimizerName)
PRECISIONS = ("fp32", "bf16", "fp16")
_AVERAGING = ("momentum", "nesterov", "adam", "adamw")
_BETA2 = {"rmsprop": 0.99, "adadelta": 0.9}
_EPS = {"adadelta": 1e-6, "adagrad": 1e-10}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Say how weights begin and change; two trainings of equal task, recipe and seed are the same.

    The fields are those of `tuner.spec.recipe`, which says what each means. None leaves a choice to
    the task, or to the properties below.
    """

    lr: float
    batch_size: int
    init_scale: float
    dropout: float
    clip_norm: float
    init: str = "lecun"
    optimizer: str = "momentum"
    momentum: float | None = None
    beta2: float | None = None
    eps: float | None = None
    weight_decay: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    max_norm: float | None = None
    clip_value: float | None = None
    average: float | None = None
    schedule: str = "constant"
    warmup: float = 0.0
    gamma: float | None = None
    milestones: str = "0.5, 0.75"
    cycle: int | None = None
    cycle_growth: int = 1
    lr_floor: float = 0.0
    width: int | None = None
    depth: int | None = None
    activation: str = "relu"
    norm: str = "none"
    norm_groups: int = 8
    skip: bool = False
    forget_bias: float = 1.0
    standardise: bool = False
    log1p: bool = False
    flip: float = 0.0
    crop: float = 0.0
    shift: float = 0.0
    rotate: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0
    mix_noise: float = 0.0
    test_augment: int = 0
    loss: str | None = None
    focal_gamma: float = 2.0
    label_smoothing: float = 0.0
    flooding: float = 0.0
    adversary: float = 0.0
    labelled: float = 1.0
    pseudo_labels: float | None = None
    pseudo_weight: float = 1.0
    teacher: tuple[str, ...] = ()
    teacher_weight: float = 0.5
    temperature: float = 2.0
    start_from: str | None = None
    fresh_layers: int = 0
    freeze: int = 0
    cache_frozen: bool = False
    pretrain: int = 0
    pretrain_noise: float = 0.0
    latent: int = 8
    kl_weight: float = 1.0
    critic_steps: int = 5
    penalty: float = 10.0
    discount: float = 0.99
    reward_scale: float = 0.05
    randomise: float = 0.3
    seeds: int = 1
    aggregate: Rule = "mean"
    aggregate_k: float = 1.0

    @property
    def decay_of_average(self) -> float:
        """The momentum in force."""
        if self.momentum is not None:
            return self.momentum
        return 0.9 if self.optimizer in _AVERAGING else 0.0

    @property
    def decay_of_square(self) -> float:
        """The beta2 in force; torch calls it alpha for RMSprop and rho for Adadelta."""
        return _BETA2.get(self.optimizer, 0.999) if self.beta2 is None else self.beta2

    @property
    def epsilon(self) -> float:
        """The eps in force."""
        return _EPS.get(self.optimizer, 1e-8) if self.eps is None else self.eps

    @classmethod
    def from_params(
        cls,
        params: Mapping[str, ParamValue],
        defaults: Mapping[str, ParamValue],
        fixed: Mapping[str, Any] | None = None,
    ) -> Self:
        """Build a recipe from a trial's parameters, over what its study fixes and the task's own.

        Raises:
            InvalidInput: an unknown name or a value outside its range; `faults` has them all.
        """
        return cls(**_read({**defaults, **(fixed or {}), **params}))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `document` returned; what an older version did not know gets its default.

        Raises:
            InvalidInput: it is none.
        """
        return cls(**_read({name: value for name, value in document.items() if value is not None}))

    def document(self) -> dict[str, Any]:
        """Return the recipe in plain values, as a checkpoint holds it."""
        whole = asdict(self) | {"beta2": self.decay_of_square, "eps": self.epsilon}
        return whole | {"teacher": list(self.teacher)}


def refusal(name: str, value: ParamValue) -> str | None:
    """Say why a known parameter can't have a value, None if it can."""
    faults = _faults({name: value})
    return faults[0].message if faults else None


KNOWN_FIELDS = tuple(field.name for field in fields(Recipe))
"""All that a recipe fixes or searches."""
KNOWN_PARAMS = tuple(name for name in KNOWN_FIELDS if name in searchable_fields())
"""What a trial's parameters may name."""
_COUNTS = frozenset(field.name for field in fields(Recipe) if str(field.type).startswith("int"))


def _read(given: Mapping[str, Any]) -> dict[str, Any]:
    faults = _faults(given)
    if faults:
        said = "; ".join(f"{fault.where} {fault.message}" for fault in faults)
        raise InvalidInput(f"the trainer can't take this parameter: {said}", faults)
    spec = RecipeSpec.model_validate(_whole(given))
    values = {name: getattr(spec, name) for name in given}
    if isinstance(teacher := values.get("teacher"), str | list):
        values["teacher"] = (teacher,) if isinstance(teacher, str) else tuple(teacher)
    return values


def _faults(given: Mapping[str, Any]) -> list[Fault]:
    unknown = [name for name in given if name not in KNOWN_FIELDS]
    known = {name: value for name, value in given.items() if name in KNOWN_FIELDS}
    found = []
    try:
        RecipeSpec.model_validate(_whole(known))
    except ValidationError as problem:
        found = [_fault(error) for error in problem.errors(include_url=False)]
    message = f"is not known; the parameters are {', '.join(KNOWN_PARAMS)}"
    return found + [Fault(where=name, message=message) for name in unknown]


_WORDS: Mapping[str, str] = {
    "greater_than": "must be a number above {gt:g}",
    "greater_than_equal": "must be a number from {ge:g}",
    "less_than": "must be a number below {lt:g}",
    "less_than_equal": "must be a number up to {le:g}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
}


def _fault(error: ErrorDetails) -> Fault:
    context = error.get("ctx", {})
    if error["type"] == "literal_error":
        words = context["expected"].replace("'", "").replace(" or ", ", ")
        message = f"must be one of {words}"
    else:
        known = _WORDS.get(error["type"])
        message = known.format(**context) if known else error["msg"].removeprefix("Value error, ")
    return Fault(where=str(error["loc"][0]), message=f"{message}, not {error['input']!r}")


def _whole(given: Mapping[str, Any]) -> dict[str, Any]:
    """Make whole numbers of those that came as floats, where a count is asked for."""
    return {
        name: int(value)
        if name in _COUNTS and isinstance(value, float) and value.is_integer()
        else value
        for name, value in given.items()
    }


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

_FROM_0 = _number("from 0", lambda x: x >= 0 and math.isfinite(x))
_OPTIONS: _Checks = {
    "device": _device,
    "precision": _word(PRECISIONS),
    "checkpoint_every": _FROM_0,
    "deterministic": _flag,
}


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
