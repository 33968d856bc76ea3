"""The state of a training under way, from its first weights to a checkpoint and back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn

from tuner.errors import InvalidInput
from tuner.handle import Resume
from tuner.train import optim, state, streams
from tuner.train.init import initialise
from tuner.train.precision import LossScale
from tuner.train.recipe import Recipe
from tuner.train.tasks import Task
from tuner.train.update import Updater
from tuner.train.weights import Flat

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
    model: nn.Module
    updater: Updater
    dropout: streams.Dropout
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
        steps: int | None = None,
    ) -> Self:
        """Return a training before its first step."""
        model = task.model()
        initialise(model, recipe.init, recipe.init_scale, streams.weights_generator(seed))
        model.to(device)
        return cls(
            task=task,
            recipe=recipe,
            seed=seed,
            device=device,
            precision=precision,
            steps=task.info.steps if steps is None else steps,
            model=model,
            updater=Updater.start(model, recipe, precision),
            dropout=streams.Dropout(recipe.dropout, seed, device),
        )

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
        return {"task": self.task.info.name, "seed": self.seed, "recipe": self.recipe.document()}

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
        if self.records:
            tree["records"] = torch.stack(self.records)
        return tree

    def restore(self, resume: Resume) -> None:
        """Go to where a checkpoint was written.

        Raises:
            InvalidInput: the file can't be read, or is of another training or step.
        """
        tree = state.load(resume.path)
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

    def _take(self, tree: state.Tree) -> None:
        self.model.load_state_dict(tree["model"])
        self.updater.take(tree)
        records = tree.get("records", torch.empty(0, RECORDED))
        if records.shape != (tree["batch"], RECORDED):
            raise ValueError(f"{tree['batch']} batches with records of {list(records.shape)}")
        self.records = list(records.to(self.device).unbind())
        self.seconds = float(tree["seconds"])
        self.epoch = int(tree["epoch"])
