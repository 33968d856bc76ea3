"""The state of a training under way, from its first weights to a checkpoint and back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
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
    model: nn.Module
    weights: Flat
    optimizer: optim.State
    dropout: streams.Dropout
    scale: LossScale | None
    epoch: int = 0
    records: list[Tensor] = field(default_factory=list)
    seconds: float = 0.0
    since: float = 0.0

    @classmethod
    def start(
        cls, task: Task, recipe: Recipe, seed: int, device: torch.device, precision: str
    ) -> Self:
        """Return a training before its first step."""
        model = task.model()
        initialise(model, recipe.init, recipe.init_scale, streams.weights_generator(seed))
        model.to(device)
        weights = Flat(model)
        return cls(
            task=task,
            recipe=recipe,
            seed=seed,
            device=device,
            precision=precision,
            model=model,
            weights=weights,
            optimizer=optim.start(recipe, weights.value),
            dropout=streams.Dropout(recipe.dropout, seed, device),
            scale=LossScale(device) if precision == "fp16" else None,
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two trainings the same."""
        return {"task": self.task.info.name, "seed": self.seed, "recipe": asdict(self.recipe)}

    def tree(self) -> state.Tree:
        """Return the state as a checkpoint holds it."""
        tree: state.Tree = {
            "training": self.identity,
            "epoch": self.epoch,
            "batch": len(self.records),
            "seconds": self.seconds + (time.monotonic() - self.since if self.records else 0.0),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer,
        }
        if self.records:
            tree["records"] = torch.stack(self.records)
        if self.scale is not None:
            tree["scale"] = {"scale": self.scale.scale, "good": self.scale.good}
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
        if tree.get("training") != self.identity or tree.get("epoch") != resume.step:
            raise InvalidInput(
                f"the checkpoint {resume.path.name} is not of this training at step {resume.step}"
            )
        try:
            self._take(tree)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as problem:
            raise InvalidInput(
                f"the checkpoint {resume.path.name} does not fit this training: {problem}"
            ) from problem

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
            self.model.load_state_dict(tree["model"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as problem:
            raise InvalidInput(
                f"the checkpoint {resume.path.name} does not fit this network: {problem}"
            ) from problem
        with suppress(TypeError, ValueError, AttributeError):
            _fill(self.optimizer, tree.get("optimizer", {}))
        self.epoch = resume.step

    def _take(self, tree: state.Tree) -> None:
        self.model.load_state_dict(tree["model"])
        _fill(self.optimizer, tree.get("optimizer", {}))
        if self.scale is not None and "scale" in tree:
            _fill({"scale": self.scale.scale, "good": self.scale.good}, tree["scale"])
        records = tree.get("records", torch.empty(0, RECORDED))
        if records.shape != (tree["batch"], RECORDED):
            raise ValueError(f"{tree['batch']} batches with records of {list(records.shape)}")
        self.records = list(records.to(self.device).unbind())
        self.seconds = float(tree["seconds"])
        self.epoch = int(tree["epoch"])


def _fill(target: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> None:
    if target.keys() != source.keys():
        raise ValueError(f"{sorted(source)} instead of {sorted(target)}")
    for name, tensor in target.items():
        if tensor.shape != source[name].shape:
            raise ValueError(f"{name} has the shape {list(source[name].shape)}")
        tensor.copy_(source[name])
