"""What a training is, as a value, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, get_args

from pydantic import ValidationError

from tuner.errors import Fault, InvalidInput
from tuner.handle import ParamValue
from tuner.robust import Rule
from tuner.spec.recipe import RecipeSpec, searchable_fields
from tuner.spec.recipe_values import OptimizerName
from tuner.spec.words import words
from tuner.text import unknown

OPTIMIZERS: tuple[str, ...] = get_args(OptimizerName)
_AVERAGING = ("momentum", "nesterov", "adam", "adamw")
_BETA2 = {"rmsprop": 0.99, "adadelta": 0.9}
_EPS = {"adadelta": 1e-6, "adagrad": 1e-10}


@dataclass(frozen=True, kw_only=True)
class Network:
    """Say how a network is made: see `tuner.spec.recipe.NetworkFields`. None: the task's own."""

    width: int | None = None
    depth: int | None = None
    activation: str = "relu"
    norm: str = "none"
    norm_groups: int = 8
    skip: bool = False


PLAIN = Network()


@dataclass(frozen=True, kw_only=True)
class Recipe(Network):
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
    critic: str = "wasserstein"
    penalty: float = 10.0
    soft_label: float = 1.0
    flip_labels: float = 0.0
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
        given = {name: value for name, value in document.items() if value not in (None, [])}
        return cls(**_read(given))

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
_SEARCHABLE = searchable_fields()
KNOWN_PARAMS = tuple(name for name in KNOWN_FIELDS if name in _SEARCHABLE)
"""What a trial's parameters may name."""
_COUNTS = frozenset(field.name for field in fields(Recipe) if str(field.type).startswith("int"))


def _read(given: Mapping[str, Any]) -> dict[str, Any]:
    faults = _faults(given)
    if faults:
        said = "; ".join(f"{fault.where}: {fault.message}" for fault in faults)
        raise InvalidInput(f"the trainer can't take these parameters: {said}", faults)
    spec = RecipeSpec.model_validate(_whole(given))
    values = {name: getattr(spec, name) for name in given}
    if isinstance(teacher := values.get("teacher"), str | list):
        values["teacher"] = (teacher,) if isinstance(teacher, str) else tuple(teacher)
    return values


def _faults(given: Mapping[str, Any]) -> list[Fault]:
    known = {name: value for name, value in given.items() if name in KNOWN_FIELDS}
    found: dict[str, Fault] = {}
    try:
        RecipeSpec.model_validate(_whole(known))
    except ValidationError as problem:
        for error in problem.errors(include_url=False):
            name = str(error["loc"][0])
            found.setdefault(name, Fault(where=name, message=words(error)))
    strange = [name for name in given if name not in KNOWN_FIELDS]
    return [
        *found.values(),
        *(Fault(where=n, message=unknown("parameter", n, KNOWN_PARAMS)) for n in strange),
    ]


def _whole(given: Mapping[str, Any]) -> dict[str, Any]:
    """Make whole numbers of those that came as floats, where a count is asked for."""
    return {
        name: int(value)
        if name in _COUNTS and isinstance(value, float) and value.is_integer()
        else value
        for name, value in given.items()
    }
