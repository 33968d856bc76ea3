"""Trains the networks of a study's trials again, and measures predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from tuner.handle import TrialHandle
from tuner.spec import AfterRun, Member
from tuner.train import device as devices
from tuner.train import presets
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
        task: what they learn.
        fixed: what the study's recipe fixes.
    """

    task: Task
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
        task: Task,
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
            task=task,
            run=run,
            options=options,
            fixed=presets.spread(task.info, recipe),
            sources=sources,
            device=devices.choose(options.device),
            leave=lambda: trial.should_stop,
        )

    @property
    def info(self) -> TaskInfo:
        """What is known of the task."""
        return self.task.info

    @property
    def classes(self) -> bool:
        """Whether a class is predicted of each row."""
        return self.info.targets == "classes"

    @property
    def logits(self) -> bool:
        """Whether logits are predicted, of classes or symbols, not numbers."""
        return self.info.targets in ("classes", "symbols")

    def arithmetic(self) -> AbstractContextManager[None]:
        """Compute as the study's trials did."""
        return devices.arithmetic(self.device, deterministic=self.options.deterministic)

    def networks(self, data: Data | None = None) -> Iterator[tuple[Member, Solo]]:
        """Yield each network of an ensemble once it is trained, with the member it belongs to.

        The next one may go on from the last: look at it before. It ends early if the trial is asked
        to leave.

        Args:
            data: trained on and measured with in place of the task's.
        """
        for member in self.run.members:
            if self.run.snapshots > 1:
                yield from ((member, engine) for engine in self.snapshots(member, data))
            elif (engine := self.fit(member, data)) is not None:
                yield member, engine
            if self.leave():
                return

    def fit(self, member: Member, data: Data | None = None, seed: int | None = None) -> Solo | None:
        """Train a member up to the step of its value; None if the trial is asked to leave.

        Args:
            member: the training.
            data: trained on and measured with in place of the task's.
            seed: in place of the member's.
        """
        engine = self._engine(self._recipe(member), member.seed if seed is None else seed, data)
        return engine if self._train(engine, member, member.until) else None

    def snapshots(self, member: Member, data: Data | None = None) -> Iterator[Solo]:
        """Yield one training at the end of each cosine cycle of its rate (Huang et al. 2017).

        Each cycle ends near a rate of 0, in a minimum of its own, and the next begins anew with the
        full rate. Cuts of the rate that the member had are left out.
        """
        cycle = self.run.steps // self.run.snapshots
        recipe = replace(self._recipe(member), schedule="cyclic", cycle=cycle, cycle_growth=1)
        engine = self._engine(recipe, member.seed, data)
        uncut = member.model_copy(update={"levels": []})
        for number in range(1, self.run.snapshots + 1):
            if not self._train(engine, uncut, number * cycle):
                return
            yield engine

    def _recipe(self, member: Member) -> Recipe:
        return Recipe.from_params(member.params, self.info.defaults, self.fixed)

    def _engine(self, recipe: Recipe, seed: int, data: Data | None) -> Solo:
        setting = Setting(
            info=self.info,
            recipe=recipe,
            seed=seed,
            device=self.device,
            precision=self.options.precision,
            steps=self.run.steps,
            sources=self.sources,
            measure_layers=False,
            task=self.task,
        )
        return Solo(setting, data)

    def _train(self, engine: Solo, member: Member, until: int) -> bool:
        """Train up to a step; tell whether it was reached, and the trial not asked to leave."""
        while engine.epoch < until:
            if not engine.run_epoch(level(member, engine.epoch), self.leave):
                return False
            engine.measure()
        return True


def level(member: Member, step: int) -> float:
    """Return the level of the rate that is in force after `step` finished steps."""
    return next((x.lr_factor for x in reversed(member.levels) if x.step <= step), 1.0)


def averaged(predictions: Sequence[Tensor], *, logits: bool) -> Tensor:
    """Return the mean of predictions [rows, ...]: of numbers, or of probabilities as logarithms.

    The logarithm of mean probabilities serves as logits: its softmax are those probabilities. The
    classes of logits are their second dimension.
    """
    stacked = torch.stack(list(predictions))  # [networks, rows, ...]
    if not logits:
        return stacked.mean(0)
    mean: Tensor = stacked.log_softmax(2).logsumexp(0) - torch.tensor(float(len(stacked))).log()
    return mean


def scored(task: Task, predictions: Tensor, split: Split, name: str) -> dict[str, float]:
    """Return all that is measured of a split, under the metrics' names, as `val_loss`."""
    y = split.y.to(predictions.device)
    found = {"loss": float(task.loss(predictions, y).mean())}
    if task.accuracy is not None:
        found["accuracy"] = float(task.accuracy(predictions, y).mean())
    if task.scores is not None:
        found |= task.scores.read((task.scores.count(predictions, y) / len(split)).tolist())
    return {f"{name}_{what}": value for what, value in found.items()}
