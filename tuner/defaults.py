"""Filling in a study document: what its author left open gets the service's own choice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

from tuner.errors import Fault, InvalidInput
from tuner.space import Space
from tuner.spec import (
    SETS_RATE,
    After,
    AshaPruner,
    Divergence,
    EarlyStopping,
    HalveOnPlateau,
    HyperbandPruner,
    MedianPruner,
    Policy,
    Pruner,
    RunCommand,
    RunTask,
    StudySpec,
    patience_of,
    watched,
)
from tuner.spec.space import space_document
from tuner.train import TASKS, asked
from tuner.train.catalog import TaskInfo, told

_NEVER_NEGATIVE = re.compile(
    r"loss|err|acc|mse|mae|auc|f1|perplexity|ppl|precision|recall|rate", re.I
)
_Rungs = AshaPruner | HyperbandPruner


def normalise(spec: StudySpec) -> tuple[StudySpec, list[str]]:
    """Return the document with nothing left open but its name, and warnings in sentences.

    Raises:
        InvalidInput: the document asks for what can't be, such as an unknown task or metric.
    """
    faults = list(_faults(spec))
    if faults:
        first = f"{faults[0].where}: {faults[0].message}"
        raise InvalidInput(first if len(faults) == 1 else f"{first} (and more)", faults)
    steps = spec.budget.steps
    if steps is None and isinstance(spec.run, RunTask):
        steps = TASKS[spec.run.task].steps
    space = spec.build_space()
    policies = spec.policies
    if policies is None:
        policies = _default_policies(spec, space, steps)
    full = spec.model_copy(
        update={
            "space": spec.space if spec.space is not None else space_document(space),
            "budget": spec.budget.model_copy(update={"steps": steps}),
            "pruner": _fill_pruner(spec.pruner, steps),
            "policies": [_fill_policy(policy, steps) for policy in policies],
        }
    )
    return full, [w for check in _WARNINGS for w in check(spec, full)]


def _default_policies(spec: StudySpec, space: Space, steps: int | None) -> list[Policy]:
    rate = space.parameters.get("lr")
    values = asked.probes(rate) if rate is not None else ()
    lowest = min((v for v in values if not isinstance(v, bool | str)), default=0.0)
    found: list[Policy] = []
    if lowest > 0 and not _is_deaf(spec):
        # A task's scale is known: there an amount serves where a share would mislead.
        signed = isinstance(spec.run, RunTask) and _may_be_negative(spec)
        mode: Literal["rel", "abs"] = "abs" if signed else "rel"
        found.append(
            HalveOnPlateau(name="halve_on_plateau", min_lr=lowest / 10, threshold_mode=mode)
        )
    if isinstance(spec.run, RunTask) and asked.fixed(spec).get("preset") == "default":
        found.append(_early_stopping(spec, TASKS[spec.run.task], steps))
    return [*found, Divergence(name="divergence")]


def _early_stopping(spec: StudySpec, info: TaskInfo, steps: int | None) -> EarlyStopping:
    """Return the rule on the training's value of the objective, of its loss if it reports none.

    Its patience lets the default halving cut the rate twice before.
    """
    patience = 2 * patience_of(HalveOnPlateau(name="halve_on_plateau"), steps) + 2
    found = EarlyStopping(name="early_stopping", patience=patience)
    same = spec.objective.metric.replace("val_", "train_", 1)
    if same not in info.metrics:
        return found
    return found.model_copy(update={"train": same, "train_mode": spec.objective.mode})


def _may_be_negative(spec: StudySpec) -> bool:
    return _NEVER_NEGATIVE.search(spec.objective.metric) is None


def _fill_policy(policy: Policy, steps: int | None) -> Policy:
    if not isinstance(policy, HalveOnPlateau):
        return policy
    return policy.model_copy(update={"patience": patience_of(policy, steps)})


def _is_deaf(spec: StudySpec) -> bool:
    """Tell whether a trial's program is one that no change of the rate is told to."""
    run = spec.run
    return isinstance(run, RunCommand) and run.report is not None and run.on_rate is None


def _fill_pruner(pruner: Pruner | None, steps: int | None) -> Pruner:
    if pruner is None:
        if steps is None:
            return MedianPruner(name="median")
        pruner = AshaPruner(name="asha")
    if not isinstance(pruner, _Rungs):
        return pruner
    longest = pruner.max if pruner.max is not None else steps
    first = pruner.min
    if first is None and longest is not None:
        first = max(1, round(longest / 10))
    return pruner.model_copy(update={"min": first, "max": longest})


def _faults(spec: StudySpec) -> Iterator[Fault]:
    if isinstance(spec.run, RunTask):
        yield from _task_faults(spec, spec.run.task)
    yield from _after_faults(spec)
    if spec.again is not None and spec.again.top > spec.budget.trials:
        message = f"{spec.again.top} trials, but budget.trials is {spec.budget.trials}"
        yield Fault(where="again.top", message=message)
    steps_known = spec.budget.steps is not None or isinstance(spec.run, RunTask)
    if isinstance(spec.pruner, _Rungs) and spec.pruner.max is None and not steps_known:
        yield Fault(where="pruner", message=f"{spec.pruner.name} needs budget.steps, or max")
    names = spec.build_space().parameters
    for i, policy in enumerate(spec.policies or ()):
        if isinstance(policy, HalveOnPlateau) and policy.rate not in names and policy.min_lr > 0:
            hint = f"add it to the space (a fixed one as {policy.rate}: {{value: 0.1}})"
            yield Fault(
                where=f"policies.{i}.min_lr",
                message=f"needs the rate, but there is no parameter {policy.rate!r}: {hint}, "
                "or name another by `rate`",
            )


def _after_faults(spec: StudySpec) -> Iterator[Fault]:
    run = spec.run
    follows = isinstance(run, RunTask) and run.after is not None
    if spec.after is None and not follows:
        return
    where = "after" if spec.after is not None else "run.after"
    info = TASKS.get(run.task) if isinstance(run, RunTask) else None
    if info is None or not info.supervised:
        yield Fault(where=where, message="needs a built-in task with rows and targets")
    elif follows:
        for name in ("after", "repeats", "again"):
            if getattr(spec, name) is not None:
                message = "a study that follows another one has none of its own"
                yield Fault(where=name, message=message)
    elif spec.after is not None:
        yield from _what_follows_faults(spec.after, told(info, getattr(run, "kind", None)), spec)


def _what_follows_faults(after: After, info: TaskInfo, spec: StudySpec) -> Iterator[Fault]:
    for name in ("data_doctor", "neighbours"):
        if getattr(after, name) is not None and info.targets not in ("classes", "unknown"):
            message = f"needs a class of each row; {info.name} predicts {info.targets}"
            yield Fault(where=f"after.{name}", message=message)
    steps = info.steps if spec.budget.steps is None else spec.budget.steps
    asked = after.ensemble.snapshots if after.ensemble is not None else None
    if asked is not None and asked > steps:
        message = f"{asked} snapshots need as many steps; a trial of this study trains {steps}"
        yield Fault(where="after.ensemble.snapshots", message=message)


def _task_faults(spec: StudySpec, task: str) -> Iterator[Fault]:
    if task not in TASKS:
        known = ", ".join(sorted(TASKS))
        yield Fault(where="run.task", message=f"there is no task {task!r}; there are {known}")
        return
    info = told(TASKS[task], getattr(spec.run, "kind", None))
    modes = info.objectives
    metric, mode = spec.objective.metric, spec.objective.mode
    if metric not in modes:
        message = f"{task} can be tuned on {', '.join(modes)}, not on {metric!r}"
        yield Fault(where="objective.metric", message=message)
    elif modes[metric] != mode:
        yield Fault(where="objective.mode", message=f"the best {metric} is its {modes[metric]}")
    for name in sorted(watched(spec.policies or ()) - set(info.metrics)):
        message = f"{task} reports no {name!r}; it reports {', '.join(info.metrics)}"
        yield Fault(where="policies", message=message)
    yield from asked.faults(spec, info)


def _warn_pruner(_: StudySpec, full: StudySpec) -> Iterator[str]:
    steps, pruner = full.budget.steps, full.pruner
    if isinstance(pruner, _Rungs) and pruner.min is not None and pruner.max is not None:
        if pruner.min >= pruner.max:
            yield f"pruner: no rung lies between min ({pruner.min}) and max ({pruner.max})"
        if steps is not None and pruner.max != steps:
            yield f"pruner.max is {pruner.max}, but a trial trains for budget.steps = {steps}"


def _warn_threshold(spec: StudySpec, full: StudySpec) -> Iterator[str]:
    metric = spec.objective.metric
    for policy in full.policies or ():
        relative = isinstance(policy, HalveOnPlateau) and policy.threshold_mode == "rel"
        if relative and _may_be_negative(spec):
            yield (
                f"halve_on_plateau: a relative threshold misleads where {metric} can be negative; "
                "set threshold_mode: abs if it can"
            )


def _warn_hasty(_: StudySpec, full: StudySpec) -> Iterator[str]:
    policies = full.policies or ()
    cut = next((p.patience for p in policies if isinstance(p, HalveOnPlateau)), None)
    stop = next((p.patience for p in policies if isinstance(p, EarlyStopping)), None)
    if cut is not None and stop is not None and stop <= cut:
        yield (
            f"early_stopping (patience {stop}) may end trials before halve_on_plateau "
            f"(patience {cut}) cuts their rate; give it more patience"
        )


def _warn_deaf(spec: StudySpec, full: StudySpec) -> Iterator[str]:
    steers = [p.name for p in full.policies or () if isinstance(p, SETS_RATE)]
    if _is_deaf(spec) and steers:
        yield (
            f"{steers[0]} changes a rate that the program is not told of, unless it reads "
            "TUNER_DECISION_FILE: set run.on_rate, let it report by `tuner report` or "
            "tuner.current_trial(), or leave the policy out"
        )


def _warn_sampler(spec: StudySpec, full: StudySpec) -> Iterator[str]:
    if spec.sampler.startup is not None and spec.sampler.name in ("random", "qmc", "grid"):
        yield f"sampler.startup means nothing to {spec.sampler.name}"
    if full.sampler.name == "gp" and isinstance(full.pruner, AshaPruner | HyperbandPruner):
        yield "the gp sampler learns from complete trials only; a gentler pruner (median) suits it"


def _warn_recipe(spec: StudySpec, full: StudySpec) -> Iterator[str]:
    if isinstance(spec.run, RunTask) and full.budget.steps is not None:
        yield from asked.doubts(spec, full.budget.steps)


_WARNINGS: tuple[Callable[[StudySpec, StudySpec], Iterator[str]], ...] = (
    _warn_pruner,
    _warn_threshold,
    _warn_sampler,
    _warn_deaf,
    _warn_hasty,
    _warn_recipe,
)
