"""The state of a training under way, from its first weights to a checkpoint and back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor

from tuner.errors import InvalidInput
from tuner.handle import Resume
from tuner.train import optim, state, streams
from tuner.train.augment import Augment
from tuner.train.average import Average
from tuner.train.init import initialise, rule_of
from tuner.train.losses import PerRow, row_loss
from tuner.train.models import Staged, renamed
from tuner.train.precision import LossScale
from tuner.train.pseudo import Unlabelled
from tuner.train.recipe import Recipe
from tuner.train.reuse import Teachers, begin_from, hold
from tuner.train.tasks import Task
from tuner.train.update import Updater
from tuner.train.weights import Flat

Sources = Mapping[str, tuple[Path, ...]]
_NO_SOURCES: Sources = MappingProxyType({})
RECORDED = 3  # numbers in a step's record


@dataclass(kw_only=True)
class Training:
    """A training under way: all that its next step depends on.

    Args:
        epoch: finished epochs.
        records: for each finished batch of the epoch under way, a vector [3]: summed loss of its
            rows, gradient norm before the clip, update ratio.
        seconds: time spent on the epoch under way by earlier attempts.
    """

    task: Task
    recipe: Recipe
    seed: int
    device: torch.device
    precision: str
    steps: int
    model: Staged
    updater: Updater
    dropout: streams.Dropout
    augment: Augment
    average: Average | None = None
    teachers: Teachers | None = None
    unlabelled: Unlabelled | None = None
    epoch: int = 0
    records: list[Tensor] = field(default_factory=list)
    seconds: float = 0.0
    since: float = 0.0

    @classmethod
    def start(
        cls,
        task: Task,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        precision: str,
        *,
        steps: int | None = None,
        sources: Sources = _NO_SOURCES,
        resumed: bool = False,
    ) -> Self:
        """Return a training before its first step.

        Raises:
            InvalidInput: a checkpoint that the recipe names is not there or does not fit.
        """
        model = _network(task, recipe, seed, sources, resumed=resumed)
        model.to(device)
        updater = Updater.start(model, recipe, precision)
        teachers = _files(sources, "teacher") if recipe.teacher else ()
        return cls(
            task=task,
            recipe=recipe,
            seed=seed,
            device=device,
            precision=precision,
            steps=task.info.steps if steps is None else steps,
            model=model,
            updater=updater,
            dropout=streams.Dropout(recipe.dropout, seed, device),
            augment=Augment(recipe, seed, device),
            average=Average(model, updater.weights, recipe.average) if recipe.average else None,
            teachers=Teachers(teachers, task, device, recipe.temperature) if teachers else None,
        )

    @property
    def row_loss(self) -> PerRow:
        """What is minimised for each row, labels alone considered."""
        return row_loss(self.recipe, self.task.loss, classes=self.classes)

    @property
    def classes(self) -> bool:
        """Whether classes are predicted."""
        return self.task.info.targets in ("classes", "symbols")

    @property
    def first(self) -> int:
        """The stage that the data enters: past the held ones where their outputs are cached."""
        return self.recipe.freeze if self.recipe.cache_frozen else 0

    @property
    def weights(self) -> Flat:
        """The trained weights as one vector."""
        return self.updater.weights

    @property
    def optimizer(self) -> optim.State:
        """The update rule's state."""
        return self.updater.optimizer

    @property
    def scale(self) -> LossScale | None:
        """The loss scale of float16."""
        return self.updater.scale

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two trainings the same."""
        return {
            "task": self.task.info.name,
            "seed": self.seed,
            "recipe": self.recipe.document(),
            **self.task.identity,
        }

    def tree(self) -> state.Tree:
        """Return the state as a checkpoint holds it."""
        tree: state.Tree = {
            "training": self.identity,
            "epoch": self.epoch,
            "batch": len(self.records),
            "seconds": self.seconds + (time.monotonic() - self.since if self.records else 0.0),
            "model": self.model.state_dict(),
            **self.updater.tree(),
        }
        if self.average is not None:
            tree["average"] = self.average.tree()
        if self.records:
            tree["records"] = torch.stack(self.records)
        return tree

    def restore(self, resume: Resume) -> None:
        """Go to where a checkpoint was written.

        Raises:
            InvalidInput: the file can't be read, or is of another training or step.
        """
        tree = state.load(resume.path)
        if resume.inherited:
            self._inherit(tree, resume)
            return
        if not self._is_mine(tree.get("training")) or tree.get("epoch") != resume.step:
            raise InvalidInput(
                f"the checkpoint {resume.path.name} is not of this training at step {resume.step}"
            )
        try:
            self._take(tree)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as problem:
            raise InvalidInput(
                f"the checkpoint {resume.path.name} does not fit this training: {problem}"
            ) from problem

    def _is_mine(self, saved: object) -> bool:
        """Tell whether a checkpoint's training is this one; versions before knew fewer fields."""
        if not isinstance(saved, Mapping) or not isinstance(saved.get("recipe"), Mapping):
            return False
        try:
            recipe = Recipe.from_document(saved["recipe"]).document()
        except (InvalidInput, TypeError):
            return False
        return {**saved, "recipe": recipe} == self.identity

    def _inherit(self, tree: state.Tree, resume: Resume) -> None:
        """Take another trial's weights, and its optimizer's memory if it has the same rule.

        The epoch that the checkpoint was written in begins again, with this trial's own order.

        Raises:
            InvalidInput: it is of another task, or the weights do not fit.
        """
        of = tree.get("training")
        if not isinstance(of, Mapping) or of.get("task") != self.task.info.name:
            raise InvalidInput(
                f"the checkpoint {resume.path.name} is not of the task {self.task.info.name}"
            )
        try:
            self.model.load_state_dict(renamed(tree["model"]))
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as problem:
            raise InvalidInput(
                f"the checkpoint {resume.path.name} does not fit this network: {problem}"
            ) from problem
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            self.updater.take(tree)
        self.epoch = resume.step

    def _take(self, tree: state.Tree) -> None:
        self.model.load_state_dict(renamed(tree["model"]))
        if self.average is not None:
            self.average.take(tree["average"])
        self.updater.take(tree)
        records = tree.get("records", torch.empty(0, RECORDED))
        if records.shape != (tree["batch"], RECORDED):
            raise ValueError(f"{tree['batch']} batches with records of {list(records.shape)}")
        self.records = list(records.to(self.device).unbind())
        self.seconds = float(tree["seconds"])
        self.epoch = int(tree["epoch"])


def _network(task: Task, recipe: Recipe, seed: int, sources: Sources, *, resumed: bool) -> Staged:
    model = task.model(recipe)
    rule = rule_of(recipe.init, recipe.activation, recurrent=task.info.network == "recurrent")
    draw = streams.weights_generator(seed)
    initialise(model, rule, recipe.init_scale, draw, forget_bias=recipe.forget_bias)
    if recipe.start_from is not None and not resumed:
        begin_from(model, _files(sources, "start_from")[0], recipe.fresh_layers)
    hold(model, recipe.freeze)
    return model


def _files(sources: Sources, field: str) -> tuple[Path, ...]:
    files = sources.get(field, ())
    if not files:
        raise InvalidInput(f"{field}: the checkpoint was not handed to this trial")
    return files
