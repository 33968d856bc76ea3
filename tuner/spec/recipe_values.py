"""What the fields of a recipe hold: their words and ranges, fixed or searched."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from tuner.spec.space import ParameterSpec

T = TypeVar("T")

OptimizerName = Literal[
    "sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw"
]
ActivationName = Literal[
    "relu", "leaky_relu", "elu", "selu", "tanh", "sigmoid", "soft_threshold"
]  # fmt: skip
NormName = Literal["none", "batch", "group", "layer", "instance", "spectral"]
InitName = Literal["lecun", "xavier", "he", "by_activation", "small"]
ScheduleName = Literal["constant", "linear", "exponential", "milestones", "cosine", "cyclic"]
LossName = Literal["cross_entropy", "focal", "squared", "absolute", "huber"]
PresetName = Literal["default"]
CriticName = Literal["wasserstein", "plain"]


def _trial_name(text: str) -> str:
    if re.fullmatch(r".+/(best|[0-9]+)", text) is None:
        raise ValueError("name a trial as STUDY/NUMBER or STUDY/best")
    return text


def _teacher_name(text: str) -> str:
    if re.fullmatch(r".+/(best|[0-9]+|top([2-9]|[1-9][0-9]))", text) is None:
        raise ValueError("name trials as STUDY/NUMBER, STUDY/best, or STUDY/top5 for the best five")
    return text


TrialName = Annotated[str, Field(max_length=300), AfterValidator(_trial_name)]
TeacherName = Annotated[str, Field(max_length=300), AfterValidator(_teacher_name)]


def _teachers_kind(value: Any) -> str:
    return "several" if isinstance(value, list | tuple) else "one"


Teachers = Annotated[
    Annotated[TeacherName, Tag("one")]
    | Annotated[list[TeacherName], Field(min_length=1, max_length=100), Tag("several")],
    Discriminator(_teachers_kind),
]


def _kind(value: Any) -> str:
    return "searched" if isinstance(value, dict | ParameterSpec) else "fixed"


Searchable = Annotated[
    Annotated[T, Tag("fixed")] | Annotated[ParameterSpec, Tag("searched")], Discriminator(_kind)
]

Above0 = Annotated[float, Field(gt=0)]
From0 = Annotated[float, Field(ge=0)]
Below1 = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Few = Annotated[int, Field(ge=0, le=1000)]
Width = Annotated[int, Field(ge=8, le=8192, multiple_of=8)]


def _listed(given: Any) -> Any:
    return ", ".join(map(str, given)) if isinstance(given, list) else given


def _milestones(text: str) -> str:
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if not shares or not all(
        0 < a < b for a, b in zip([1e-9, *shares], [*shares, 1.0], strict=True)
    ):
        raise ValueError("give rising shares of the training between 0 and 1, as '0.5, 0.75'")
    return text


Milestones = Annotated[
    str, BeforeValidator(_listed), Field(max_length=200), AfterValidator(_milestones)
]


def fixed_type(annotation: Any) -> Any:
    """Return the type of a searchable field's fixed values, None if it is no such type."""
    args = get_args(annotation)
    if get_origin(annotation) is Annotated and any(isinstance(a, Discriminator) for a in args):
        tagged = [get_args(one) for one in get_args(args[0])]
        fixed = [one for one in tagged if one[-1] == Tag("fixed")]
        return Annotated[fixed[0][:-1]] if fixed and len(fixed[0]) > 2 else fixed and fixed[0][0]
    return None
