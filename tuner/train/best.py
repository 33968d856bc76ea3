"""The network of a trial's best epoch: kept while it trains, handed over as a file at its end.

A checkpoint is of the newest epochs and is there to go on from; people who want to use what was
learned want the best one. It goes into checkpoints, too, so that an interrupted trial still has it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from tuner.errors import TunerError
from tuner.handle import Resume, TrialHandle
from tuner.train import state
from tuner.train.catalog import Direction
from tuner.train.engine import Engine

MODEL = "model.safetensors"
"""The name under which a trial keeps its best network."""
_PARTS = ("epoch", "model", "average", "inputs")


class Best:
    """The best epoch's network so far, by the reported value; of equal ones the first.

    A training that goes on from a checkpoint of its own takes it from there.
    """

    def __init__(
        self, engine: Engine, metric: str, direction: Direction, resume: Resume | None
    ) -> None:
        self._engine = engine
        self._metric = metric
        self._sign = 1.0 if direction == "min" else -1.0
        self._found: state.Tree | None = None
        if resume is not None and not resume.inherited:
            self._found = state.load(resume.path).get("best")

    def saw(self, value: float, metrics: Mapping[str, float]) -> None:
        """Take in what was reported of the engine's newest epoch."""
        if not math.isfinite(value):
            return
        if self._found is not None and self._sign * value >= self._sign * self._found["value"]:
            return
        tree = self._engine.tree()
        told = {"metric": self._metric, "value": value, "metrics": dict(metrics)}
        self._found = told | {part: _copied(tree[part]) for part in _PARTS if part in tree}

    def tree(self) -> state.Tree:
        """Return what a checkpoint holds of it."""
        return {} if self._found is None else {"best": self._found}

    def hand_over(self, trial: TrialHandle, folder: Path) -> None:
        """Keep the network with the trial; a file that can't be kept is only logged."""
        if self._found is None:
            return
        path = folder / MODEL
        state.save(path, {"training": self._engine.tree()["training"], **self._found})
        try:
            trial.artifact(path, MODEL)
        except TunerError as problem:
            trial.log(f"{MODEL} was not kept: {problem.detail}")


def _copied(part: Any) -> Any:
    if isinstance(part, Tensor):
        return part.detach().clone()
    if isinstance(part, Mapping):
        return {name: _copied(one) for name, one in part.items()}
    return part
