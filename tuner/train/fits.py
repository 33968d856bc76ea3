"""What a recipe may ask of a task: refused where it would mean nothing, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from types import MappingProxyType
from typing import Any

from tuner.errors import Fault, InvalidInput
from tuner.spec.recipe import OwnFields
from tuner.train.catalog import TaskInfo
from tuner.train.recipe import Recipe

_IMAGES = ("flip", "crop", "shift", "rotate", "contrast", "brightness")
AUGMENTATIONS = (*_IMAGES, "noise", "mix_noise")
OWN = frozenset(OwnFields.model_fields)
_UNKNOWN = "unknown"  # until the data is read

_WANTS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        **dict.fromkeys(_IMAGES, ("inputs", ("images",))),
        "mix_noise": ("inputs", ("sequences",)),
        "label_smoothing": ("targets", ("classes", "symbols")),
        "focal_gamma": ("targets", ("classes", "symbols")),
        "pseudo_labels": ("targets", ("classes",)),
        "temperature": ("targets", ("classes", "symbols")),
        "activation": ("network", ("dense", "convolutional")),
        "skip": ("network", ("dense", "convolutional")),
        "forget_bias": ("network", ("recurrent",)),
    }
)
"""Fields and what a task must be made of to use them."""

_VALUES: Mapping[str, tuple[str, Mapping[str, tuple[str, ...]]]] = MappingProxyType(
    {
        "loss": (
            "targets",
            {
                "classes": ("cross_entropy", "focal"),
                "symbols": ("cross_entropy", "focal"),
                "numbers": ("squared", "absolute", "huber"),
            },
        ),
        "norm": (
            "network",
            {
                "dense": ("none", "batch", "group", "layer", "spectral"),
                "convolutional": ("none", "batch", "group", "layer", "instance", "spectral"),
                "recurrent": ("none", "layer"),
            },
        ),
    }
)
"""Fields of which some values suit some tasks."""

_NEEDS: Mapping[str, tuple[str, tuple[Any, ...]]] = MappingProxyType(
    {
        "focal_gamma": ("loss", ("focal",)),
        "norm_groups": ("norm", ("group",)),
        "gamma": ("schedule", ("exponential", "milestones")),
        "milestones": ("schedule", ("milestones",)),
        "cycle": ("schedule", ("cyclic",)),
        "cycle_growth": ("schedule", ("cyclic",)),
        "lr_floor": ("schedule", ("linear", "cosine", "cyclic")),
        "aggregate_k": ("aggregate", ("mean_minus_std",)),
        "penalty": ("critic", ("wasserstein",)),
        "soft_label": ("critic", ("plain",)),
        "flip_labels": ("critic", ("plain",)),
        "momentum": ("optimizer", ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")),
        "beta2": ("optimizer", ("adadelta", "rmsprop", "adam", "adamw")),
        "eps": ("optimizer", ("adagrad", "adadelta", "rmsprop", "adam", "adamw")),
    }
)
"""Fields that mean something with some values of another alone."""
_GOES_WITH: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pseudo_labels": ("labelled",),  # below 1
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
    ("cache_frozen", ("teacher",), "teachers see the plain inputs"),
    ("cache_frozen", ("pseudo_labels",), "rows without labels are not cached"),
    ("freeze", ("adversary",), "an adversary changes the inputs of the held layers"),
    ("pretrain", ("start_from",), "both give the first weights"),
)


def misfit(info: TaskInfo, name: str, value: Any) -> str | None:
    """Say why a task can't use a field with this value, None if it can."""
    if info.own is not None:
        return None if name in info.own else f"{info.name} has no use for it"
    if name in OWN:
        return f"{info.name} has no use for it"
    if name in _WANTS:
        what, wanted = _WANTS[name]
        found = getattr(info, what)
        if found not in (*wanted, _UNKNOWN):
            return f"is for tasks whose {_be(what)} {_or(wanted)}; {info.name}: {found}"
    if name in _VALUES:
        what, suiting = _VALUES[name]
        found = getattr(info, what)
        if found != _UNKNOWN and value not in suiting[found]:
            return f"can't be {value!r} where the {_be(what)} {found}: give {_or(suiting[found])}"
    return None


def _be(what: str) -> str:
    return f"{what} is" if what == "network" else f"{what} are"


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def clashes(
    info: TaskInfo, given: Mapping[str, Collection[Any]], choices: Mapping[str, Collection[Any]]
) -> Iterator[Fault]:
    """Yield what can't go together, of fields with all values that each may take in a study.

    Args:
        info: the task.
        given: what the study says.
        choices: what is in force: of fields that it says nothing of, too.
    """
    used = {name for name, values in choices.items() if any(map(partial(_is_on, name), values))}
    for name, (other, words) in _NEEDS.items():
        if name in given and not set(words) & set(choices[other]):
            yield Fault(where=name, message=f"means nothing without {other}: {_or(words)}")
    for name, others in _GOES_WITH.items():
        if name == "pseudo_labels" and info.file:
            continue  # a table may have rows without a target
        if name in given and any(given[name]) and not used & set(others):
            yield Fault(where=name, message=f"means nothing without {_or(others)}")
    for name, others, why in _NOT_BOTH:
        found = [other for other in others if other in used]
        if name in given and name in used and found:
            yield Fault(where=name, message=f"does not go with {found[0]}: {why}")
    yield from _other_faults(info, given)
    if info.supervised:
        yield from _depth_faults(info, given)


def _other_faults(info: TaskInfo, given: Mapping[str, Collection[Any]]) -> Iterator[Fault]:
    if "focal" in given.get("loss", ()) and "label_smoothing" in given:
        yield Fault(where="label_smoothing", message="does not go with loss: focal")
    if "aggregate" in given and "seeds" not in given and "randomise" not in (info.own or ()):
        yield Fault(where="aggregate", message="means nothing without seeds: there is one value")


_OFF: Mapping[str, Any] = {field.name: field.default for field in fields(Recipe)}


def _is_on(name: str, value: Any) -> bool:
    """Tell whether a value is another one than that of a recipe that says nothing."""
    return bool(value != _OFF[name])


_SKIPS = {"dense": 2, "convolutional": 3}  # layers from which two have the same shape


def _depth_faults(info: TaskInfo, given: Mapping[str, Collection[Any]]) -> Iterator[Fault]:
    """Yield what asks more of a network's layers than it has at its deepest."""
    hidden = max(given.get("depth", (info.depth,)))
    layers = 1 + (1 if info.network == "recurrent" else hidden)
    freeze, fresh = (given.get(name, (0,)) for name in ("freeze", "fresh_layers"))
    if max(freeze) >= layers:
        yield Fault(where="freeze", message=f"the network has {layers} layers, one must be left")
    elif max(fresh) >= layers:
        message = f"the network has {layers} layers, one must be taken over"
        yield Fault(where="fresh_layers", message=message)
    elif min(freeze) + min(fresh) > layers and "start_from" in given:
        message = f"the network has {layers} layers: what begins anew would be held"
        yield Fault(where="freeze", message=message)
    deep = _SKIPS.get(info.network, 1)
    if any(given.get("skip", ())) and hidden < deep:
        yield Fault(where="skip", message=f"means nothing without depth: {deep} or more")


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
