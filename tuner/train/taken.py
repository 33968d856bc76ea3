"""Whether what a recipe takes from another study's trial suits its own network, told without torch.

What is not known before the data is read, a worker finds: the inputs of a table, say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tuner.handle import ParamValue
from tuner.spec import RunTask, StudySpec
from tuner.train import asked
from tuner.train.catalog import TASKS, TaskInfo
from tuner.train.presets import spread
from tuner.train.recipe import Recipe

_WITH_WEIGHTS = {
    "batch": "batch", "spectral": "spectral", "soft_threshold": "soft_threshold",
    "group": "affine", "layer": "affine", "instance": "affine",
}  # fmt: skip
"""Norms and activations with weights of their own; those of a word have them in the same shapes."""


def unfit(
    field: str, spec: StudySpec, source: StudySpec, params: Mapping[str, ParamValue]
) -> str | None:
    """Say why a study can't take a trial's network as `start_from` or `teacher`, None if it can.

    Args:
        field: which of the two.
        spec: the study that takes it.
        source: the study of the trial.
        params: the trial's.
    """
    info, given = _task(spec), _task(source)
    if info is None:
        return None
    if given is None or _follows(source):
        return "its trials train no network of a built-in task with rows and targets"
    if field == "teacher":
        same = info.name == given.name
        return None if same else f"it learns {given.name}, this study {info.name}"
    fixed = spread(given, asked.fixed(source))
    theirs = Recipe.from_params(params, given.defaults, fixed)
    return next(_misfits(asked.in_force(spec, info), info, theirs, given), None)


def _follows(source: StudySpec) -> bool:
    return isinstance(source.run, RunTask) and source.run.after is not None


def _task(spec: StudySpec) -> TaskInfo | None:
    info = TASKS.get(spec.run.task) if isinstance(spec.run, RunTask) else None
    return info if info is not None and info.supervised else None


def _misfits(
    ours: Mapping[str, Collection[Any]], info: TaskInfo, theirs: Recipe, given: TaskInfo
) -> Iterator[str]:
    other = info.name != given.name
    recurrent = info.network == "recurrent"
    if (info.network, info.inputs) != (given.network, given.inputs) or (other and recurrent):
        yield f"it learns {given.name}, whose network is another one than that of {info.name}"
    fresh = min(ours["fresh_layers"])
    if other and fresh == 0:
        yield f"it learns {given.name}, which predicts other things: give fresh_layers: 1 or more"
    width, depth = theirs.width or given.width, theirs.depth or given.depth
    for wanted in ours["width"]:
        if (wanted or info.width) != width:
            yield f"its width is {width}, this study's {wanted or info.width}: give width: {width}"
    for wanted in ours["depth"]:
        hidden = wanted or info.depth
        if hidden != depth and (recurrent or fresh == 0 or hidden + 1 - fresh > depth):
            yield f"its depth is {depth}, this study's {hidden}: give depth: {depth}"
    for name in ("norm", "activation"):
        own = getattr(theirs, name)
        for wanted in ours[name]:
            if _WITH_WEIGHTS.get(wanted) != _WITH_WEIGHTS.get(own):
                yield f"its {name} is {own}, this study's {wanted}: give {name}: {own}"
