"""What a recipe may ask of a task: refused where it would mean nothing, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from tuner.errors import Fault, InvalidInput
from tuner.train.catalog import TaskInfo
from tuner.train.recipe import Recipe

_IMAGES = frozenset({"flip", "crop", "shift", "rotate", "contrast", "brightness"})
_CLASSES = frozenset({"label_smoothing", "focal_gamma", "pseudo_labels", "temperature"})
_LAYERED = frozenset({"activation", "skip"})
_LOSSES = MappingProxyType(
    {"classes": ("cross_entropy", "focal"), "numbers": ("squared", "absolute", "huber")}
)
_NORMS = MappingProxyType(
    {
        "dense": ("none", "batch", "group", "layer", "spectral"),
        "convolutional": ("none", "batch", "group", "layer", "instance", "spectral"),
        "recurrent": ("none", "layer"),
    }
)
AUGMENTATIONS = (*sorted(_IMAGES), "noise", "mix_noise")

_NEEDS: Mapping[str, tuple[str, tuple[Any, ...]]] = MappingProxyType(
    {
        "focal_gamma": ("loss", ("focal",)),
        "norm_groups": ("norm", ("group",)),
        "gamma": ("schedule", ("exponential", "milestones")),
        "milestones": ("schedule", ("milestones",)),
        "cycle": ("schedule", ("cyclic",)),
        "cycle_growth": ("schedule", ("cyclic",)),
        "lr_floor": ("schedule", ("linear", "cosine", "cyclic")),
    }
)
_GOES_WITH: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pseudo_labels": ("labelled",),
        "pseudo_weight": ("pseudo_labels",),
        "teacher_weight": ("teacher",),
        "temperature": ("teacher",),
        "fresh_layers": ("start_from",),
        "freeze": ("start_from", "pretrain"),
        "cache_frozen": ("freeze",),
        "pretrain_noise": ("pretrain",),
        "test_augment": AUGMENTATIONS,
    }
)
_NOT_BOTH = (
    ("cache_frozen", AUGMENTATIONS, "cached outputs are those of the plain inputs"),
    ("cache_frozen", ("adversary",), "an adversary changes the inputs"),
    ("pretrain", ("start_from",), "both give the first weights"),
)


def misfit(info: TaskInfo, name: str, value: Any) -> str | None:
    """Say why a task can't use a field with this value, None if it can."""
    if info.own is not None:
        return None if name in info.own else f"{info.name} has no use for it"
    if name in _IMAGES and info.inputs != "images":
        return f"is for images, and the inputs of {info.name} are {info.inputs}"
    if name == "mix_noise" and info.inputs != "sequences":
        return f"is for sequences, and the inputs of {info.name} are {info.inputs}"
    if name in _CLASSES and info.targets != "classes":
        return f"is for classes, and {info.name} predicts {info.targets}"
    if name in _LAYERED and info.network == "recurrent":
        return f"is for layers, and {info.name} is {info.network}"
    if name == "forget_bias" and info.network != "recurrent":
        return f"is for an LSTM, and {info.name} is {info.network}"
    if name == "loss" and value not in _LOSSES[info.targets]:
        return f"{info.name} predicts {info.targets}: give {' or '.join(_LOSSES[info.targets])}"
    if name == "norm" and value not in _NORMS[info.network]:
        return f"{info.name} is {info.network}: give {', '.join(_NORMS[info.network])}"
    return None


def clashes(choices: Mapping[str, Collection[Any]]) -> Iterator[Fault]:
    """Yield what can't go together, of fields with all values that each may take in a study."""
    for name, (other, words) in _NEEDS.items():
        if name in choices and not set(words) & set(choices.get(other, ())):
            yield Fault(where=name, message=f"means nothing without {other}: {' or '.join(words)}")
    for name, others in _GOES_WITH.items():
        if name in choices and not any(other in choices for other in others):
            yield Fault(where=name, message=f"means nothing without {' or '.join(others)}")
    for name, others, why in _NOT_BOTH:
        found = [other for other in others if other in choices]
        if name in choices and found:
            yield Fault(where=name, message=f"does not go with {found[0]}: {why}")
    if "focal" in choices.get("loss", ()) and "label_smoothing" in choices:
        yield Fault(where="label_smoothing", message="does not go with loss: focal")


def check(info: TaskInfo, recipe: Recipe) -> None:
    """Refuse a trial's recipe that asks a task for what it can't use.

    Raises:
        InvalidInput: with the fields.
    """
    plain = Recipe.from_params({}, info.defaults)
    changed = {name: value for name, value in vars(recipe).items() if value != getattr(plain, name)}
    reasons = {name: misfit(info, name, value) for name, value in changed.items()}
    faults = [Fault(where=name, message=why) for name, why in reasons.items() if why is not None]
    if faults:
        said = "; ".join(f"{fault.where} {fault.message}" for fault in faults)
        raise InvalidInput(f"{info.name} can't be trained so: {said}", faults)
