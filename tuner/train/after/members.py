"""Trains the networks of a study's trials again, and measures predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from tuner.handle import TrialHandle
from tuner.spec import AfterRun, Member
from tuner.train import device as devices
from tuner.train import presets, tasks
from tuner.train.catalog import TaskInfo
from tuner.train.data import Data, Split
from tuner.train.engine import Leave, Setting
from tuner.train.options import Options
from tuner.train.recipe import Recipe
from tuner.train.solo import Solo
from tuner.train.tasks import Task
from tuner.train.training import Sources


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Trains members of one study; all that they have in common.

    Args:
        fixed: what the study's recipe fixes.
    """

    info: TaskInfo
    run: AfterRun
    options: Options
    fixed: Mapping[str, Any]
    sources: Sources
    device: torch.device
    leave: Leave

    @classmethod
    def of(
        cls,
        trial: TrialHandle,
        info: TaskInfo,
        run: AfterRun,
        options: Options,
        *,
        recipe: Mapping[str, Any],
        sources: Sources,
    ) -> Self:
        """Return what trains the members that a trial names.

        Raises:
            InvalidInput: the device is not there.
        """
        return cls(
            info=info,
            run=run,
            options=options,
            fixed=presets.spread(info, recipe),
            sources=sources,
            device=devices.choose(options.device),
            leave=lambda: trial.should_stop,
        )

    @property
    def task(self) -> Task:
        """The task."""
        return tasks.get(self.info.name)

    @property
    def classes(self) -> bool:
        """Whether classes are predicted, not numbers."""
        return self.info.targets == "classes"

    def arithmetic(self) -> AbstractContextManager[None]:
        """Compute as the study's trials did."""
        return devices.arithmetic(self.device, deterministic=self.options.deterministic)

    def fit(self, member: Member, data: Data | None = None, seed: int | None = None) -> Solo | None:
        """Train a member up to the step of its value; None if the trial is asked to leave.

        Args:
            member: the training.
            data: trained on and measured with in place of the task's.
            seed: in place of the member's.
        """
        recipe = Recipe.from_params(member.params, self.info.defaults, self.fixed)
        setting = Setting(
            info=self.info,
            recipe=recipe,
            seed=member.seed if seed is None else seed,
            device=self.device,
            precision=self.options.precision,
            steps=self.run.steps,
            sources=self.sources,
            measure_layers=False,
        )
        engine = Solo(setting, data)
        while engine.epoch < member.until:
            if not engine.run_epoch(level(member, engine.epoch), self.leave):
                return None
            engine.measure()
        return engine


def level(member: Member, step: int) -> float:
    """Return the level of the rate that is in force after `step` finished steps."""
    return next((x.lr_factor for x in reversed(member.levels) if x.step <= step), 1.0)


def averaged(predictions: Sequence[Tensor], *, classes: bool) -> Tensor:
    """Return the mean of predictions [rows, ...]: of numbers, or of probabilities as logarithms.

    The logarithm of mean probabilities serves as logits: its softmax are those probabilities.
    """
    stacked = torch.stack(list(predictions))
    if not classes:
        return stacked.mean(0)
    mean: Tensor = stacked.log_softmax(-1).logsumexp(0) - torch.tensor(float(len(stacked))).log()
    return mean


def scored(task: Task, predictions: Tensor, split: Split, name: str) -> dict[str, float]:
    """Return loss, and accuracy if the task has one, under the metrics' names, as `val_loss`."""
    y = split.y.to(predictions.device)
    found = {f"{name}_loss": float(task.loss(predictions, y).mean())}
    if task.accuracy is not None:
        found[f"{name}_accuracy"] = float(task.accuracy(predictions, y).mean())
    return found
