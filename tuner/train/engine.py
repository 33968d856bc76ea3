"""What the loop over epochs needs of a training, whatever happens inside one.

Most tasks are supervised: `tuner.train.solo` trains them. A task whose steps differ (two networks,
episodes instead of rows) brings an `Engine` of its own and names it in `ENGINES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import torch

from tuner.handle import Resume
from tuner.train import state
from tuner.train.catalog import TaskInfo
from tuner.train.recipe import Recipe
from tuner.train.tasks import Task

Leave = Callable[[], bool]
"""Tells whether the trial is asked to leave; asked before each batch."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """All that a training follows from.

    Args:
        steps: epochs of the whole training; schedules that end somewhere end there.
        sources: checkpoints of other trials by the recipe's field that names them.
        task: a supervised task that is not in the catalogue as it is, made of a study's file.
        resumed: whether `restore` follows, so that the first weights need no work.
        measure_layers: whether layers are measured, where the engine can; of no influence.
    """

    info: TaskInfo
    recipe: Recipe
    seed: int
    device: torch.device
    precision: str
    steps: int
    sources: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    task: Task | None = None
    resumed: bool = False
    measure_layers: bool = True


class Engine(Protocol):
    """A training under way.

    Guarantees: two engines of the same setting give the same metrics, and an engine that was
    restored from `tree` goes on as if nothing had happened, to the last bit, also from the middle
    of an epoch. All randomness is derived from the seed, the epoch and the batch
    (`tuner.train.streams`), so that no random state need be kept.
    """

    @property
    def epoch(self) -> int:
        """Finished epochs."""

    def run_epoch(self, level: float, leave: Leave) -> bool:
        """Train one epoch, from where it stands, at `level` times the recipe's rate.

        Returns:
            Whether the epoch is finished; False if `leave` said so before.
        """

    def measure(self) -> dict[str, float]:
        """Close the epoch just finished: return the metrics that the task's `TaskInfo` names."""

    def tree(self) -> state.Tree:
        """Return the state as a checkpoint holds it: tensors and plain values in mappings."""

    def restore(self, resume: Resume) -> None:
        """Go to where a checkpoint was written.

        Raises:
            InvalidInput: the file can't be read, or is of another training or step.
        """


Start = Callable[[Setting], Engine]

ENGINES: Mapping[str, str] = MappingProxyType(
    {
        "digits-vae": "tuner.train.vae:start",
        "digits-critic": "tuner.train.critic:start",
        "cartpole": "tuner.train.cartpole:start",
    }
)
"""Tasks with an engine of their own: `module:function`, a `Start`, loaded when it is needed."""

_SUPERVISED = "tuner.train.solo:start"


def starter(task: str) -> Start:
    """Return what starts trainings of a task."""
    module, _, function = ENGINES.get(task, _SUPERVISED).partition(":")
    start: Start = getattr(import_module(module), function)
    return start
