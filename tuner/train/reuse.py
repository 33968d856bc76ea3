"""What trainings take from checkpoints of others: first weights, held layers, teachers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tuner.errors import InvalidInput
from tuner.train import state
from tuner.train.average import apply_saved
from tuner.train.data import Data, Split
from tuner.train.models import Staged, keep, renamed
from tuner.train.recipe import Recipe
from tuner.train.table.network import rebuilt
from tuner.train.tasks import Task, get, names
from tuner.train.weights import Flat

_CHUNK = 8192


def load(path: Path, task: str | None = None) -> Staged:
    """Return the network of a built-in task's checkpoint, with its averaged weights if it has any.

    Raises:
        InvalidInput: the file can't be read, is no such checkpoint, or not one of `task`.
    """
    tree = state.load(path)
    try:
        return _network(tree, task)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as problem:
        raise InvalidInput(f"the checkpoint {path.name} can't be taken: {problem}") from problem


def _network(tree: Mapping[str, Any], task: str | None) -> Staged:
    training = tree["training"]
    if task is not None and training["task"] != task:
        raise ValueError(f"its task is {training['task']!r}, not {task!r}")
    build = rebuilt(training) if "table" in training else None
    if build is None and training["task"] not in names():
        raise ValueError(f"its task is {training['task']!r}")
    recipe = Recipe.from_document(training["recipe"])
    model = (build or get(training["task"]).model)(recipe)
    hold(model, recipe.freeze)
    model.load_state_dict(renamed(tree["model"]))
    apply_saved(model, Flat(model), tree)
    return model.requires_grad_(False).eval()


def begin_from(model: Staged, path: Path, fresh: int) -> None:
    """Give a network the weights of a checkpoint's, layer by layer, all but the `fresh` uppermost.

    Raises:
        InvalidInput: the checkpoint is none, or a layer of it has another shape.
    """
    source, layers = load(path).layers(), model.layers()
    for number, layer in enumerate(layers[: len(layers) - fresh]):
        try:
            layer.load_state_dict(source[number].state_dict())
        except (IndexError, RuntimeError) as problem:
            raise InvalidInput(
                f"layer {number + 1} of {len(layers)} does not fit the checkpoint {path.name}: "
                "give the network the same width, depth and norm, or more fresh_layers"
            ) from problem


def hold(model: Staged, count: int) -> None:
    """Keep the `count` lower layers as they are.

    Raises:
        InvalidInput: no layer is left to train.
    """
    layers = model.layers()
    if count >= len(layers):
        raise InvalidInput(f"freeze: the network has {len(layers)} layers, one must be left")
    for layer in layers[:count]:
        layer.requires_grad_(False)


def training_mode(model: Staged, held: int) -> None:
    """Put a network into training, its held layers' statistics excepted."""
    model.train()
    for layer in model.layers()[:held]:
        layer.eval()


@torch.no_grad()
def cached(model: Staged, data: Data, held: int, device: torch.device) -> Data:
    """Return the data with the held layers' outputs as inputs."""
    model.eval()

    def of(split: Split) -> Split:
        parts = [
            model.between(x.to(device), 0, held, keep).to(x.device)
            for x in torch.split(split.x, _CHUNK)
        ]
        return replace(split, x=torch.cat(parts))

    return Data(train=of(data.train), val=of(data.val), test=of(data.test))


class Teachers:
    """Networks whose mean prediction another learns from."""

    def __init__(
        self, paths: Sequence[Path], task: Task, device: torch.device, temperature: float
    ) -> None:
        self._networks = nn.ModuleList(load(path, task.info.name) for path in paths).to(device)
        self._temperature = temperature
        self._classes = task.info.targets in ("classes", "symbols")

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Return their mean prediction: numbers, or log-probabilities at the temperature."""
        predictions = torch.stack([network(x, keep).float() for network in self._networks])
        if not self._classes:
            return predictions.mean(0)
        logs = (predictions / self._temperature).log_softmax(2)
        return logs.logsumexp(0) - torch.tensor(float(len(logs)), device=x.device).log()
