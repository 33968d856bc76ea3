"""What tasks with steps of their own share: epochs of steps, their records, and checkpoints.

A subclass says what a step is and what an epoch's records mean. Each step's randomness follows from
the seed, the epoch and the step's number, so a training goes on from the middle of an epoch to the
same bits.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any

import torch
from torch import Tensor, nn

from tuner.errors import InvalidInput
from tuner.handle import Resume
from tuner.torch.watch import LayerProbe
from tuner.train import schedules, state, streams
from tuner.train.engine import Leave, Setting
from tuner.train.health import SAMPLE, Layers
from tuner.train.init import initialise, rule_of
from tuner.train.recipe import Recipe
from tuner.train.update import Updater

_OTHER = (KeyError, TypeError, ValueError, AttributeError)


class OwnEngine(ABC):
    """An `Engine` of one or more networks, each with an update rule's state of its own."""

    def __init__(self, setting: Setting, networks: Mapping[str, nn.Module], steps: int) -> None:
        """Draw the networks' weights.

        Args:
            setting: all that the training follows from.
            networks: those that are trained, by name.
            steps: steps of an epoch.
        """
        recipe = setting.recipe
        self.recipe, self.seed, self.device = recipe, setting.seed, setting.device
        self._info, self._steps, self._epochs = setting.info, steps, setting.steps
        rule = rule_of(recipe.init, recipe.activation, recurrent=False)
        draw = streams.weights_generator(setting.seed)
        for network in networks.values():
            initialise(network, rule, recipe.init_scale, draw)
            network.to(setting.device)
        self.networks = networks
        self.updaters = {
            name: Updater.start(network, recipe, setting.precision)
            for name, network in networks.items()
        }
        self._layers: list[Layers] = []
        self._probe: LayerProbe | None = None
        if setting.measure_layers:
            self._watch(networks)
        self.dropout = streams.Dropout(recipe.dropout, setting.seed, setting.device)
        self.epoch = 0
        self._records: list[Tensor] = []
        self._lr = self._seconds = self._since = 0.0

    def _watch(self, networks: Mapping[str, nn.Module]) -> None:
        several = len(networks) > 1
        for name, updater in self.updaters.items():
            self._layers.append(Layers(networks[name], name if several else ""))
            updater.layers = self._layers[-1]
        whole = nn.ModuleDict(dict(networks)) if several else next(iter(networks.values()))
        self._probe = LayerProbe(whole)

    @abstractmethod
    def step(self, number: int, lr: float) -> Tensor:
        """Do a step of the epoch under way at a rate; return its record, a vector."""

    @abstractmethod
    def summary(self, means: Sequence[float]) -> dict[str, float]:
        """Return the metrics of an epoch from the means of its records and by evaluation."""

    @abstractmethod
    def sample(self, rows: int) -> None:
        """Run the networks once on `rows` rows, whose activations are measured."""

    def draw(self, name: str, *path: int) -> torch.Generator:
        """Return a generator of its own for a purpose, on the CPU, so alike on every device."""
        return torch.Generator().manual_seed(streams.derive(self.seed, name, *path))

    def run_epoch(self, level: float, leave: Leave) -> bool:
        """Do the epoch's steps: see `Engine.run_epoch`."""
        self._since = time.monotonic()
        self._lr = self.recipe.lr * level
        for number in range(len(self._records), self._steps):
            if leave():
                return False
            self.dropout.at(self.epoch, number)
            for layers in self._layers:
                layers.due = number == self._steps - 1
            self._records.append(self.step(number, self._rate(self.epoch, number)))
        self.epoch += 1
        return True

    def _rate(self, epoch: int, number: int) -> float:
        at = epoch + number / self._steps
        return self._lr * schedules.factor(self.recipe, at, self._epochs)

    def measure(self) -> dict[str, float]:
        """Close the epoch: see `Engine.measure`."""
        means = torch.stack(self._records).mean(0).tolist()
        for network in self.networks.values():
            network.eval()
        with torch.no_grad():
            metrics = self.summary(means)
            metrics |= self._measured()
        metrics["lr"] = self._rate(self.epoch - 1, self._steps - 1)
        metrics["epoch_seconds"] = self._seconds + time.monotonic() - self._since
        self._records, self._seconds = [], 0.0
        return metrics

    def _measured(self) -> dict[str, float]:
        """Return what the epoch's last step and a sample show of each layer."""
        if self._probe is None:
            return {}
        with self._probe.on():
            self.sample(SAMPLE)
        found = {name: x for layers in self._layers for name, x in layers.read().items()}
        found |= self._probe.read()
        numbers = torch.stack([x.float() for x in found.values()]).tolist()
        return dict(zip(found, numbers, strict=True))

    @property
    def _identity(self) -> dict[str, Any]:
        return {"task": self._info.name, "seed": self.seed, "recipe": self.recipe.document()}

    def tree(self) -> state.Tree:
        """Return the state as a checkpoint holds it."""
        under_way = time.monotonic() - self._since if self._records else 0.0
        tree: state.Tree = {
            "training": self._identity,
            "epoch": self.epoch,
            "batch": len(self._records),
            "seconds": self._seconds + under_way,
        }
        for name, network in self.networks.items():
            tree[name] = {"model": network.state_dict(), **self.updaters[name].tree()}
        if self._records:
            tree["records"] = torch.stack(self._records)
        return tree

    def restore(self, resume: Resume) -> None:
        """Go to where a checkpoint was written: see `Engine.restore`."""
        tree = state.load(resume.path)
        try:
            self._check(tree, resume)
            for name, network in self.networks.items():
                network.load_state_dict(tree[name]["model"])
                # Another trial's update rule may be another: then its memory stays behind.
                with suppress(*_OTHER) if resume.inherited else nullcontext():
                    self.updaters[name].take(tree[name])
            if not resume.inherited:
                self._records = [row.to(self.device) for row in tree.get("records", ())]
                self._seconds = float(tree["seconds"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as problem:
            raise InvalidInput(
                f"the checkpoint {resume.path.name} does not fit this training: {problem}"
            ) from problem
        self.epoch = resume.step

    def _check(self, tree: state.Tree, resume: Resume) -> None:
        saved, own = dict(tree["training"]), self._identity
        saved["recipe"] = Recipe.from_document(saved["recipe"]).document()
        if resume.inherited:
            saved, own = {"task": saved["task"]}, {"task": own["task"]}
        if saved != own or (not resume.inherited and tree["epoch"] != resume.step):
            raise InvalidInput(
                f"the checkpoint {resume.path.name} is not of this training at step {resume.step}"
            )
