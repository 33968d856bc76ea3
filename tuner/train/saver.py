"""When a checkpoint is written, and where; and what a trial keeps of its best epoch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tuner.handle import TrialHandle
from tuner.train import state
from tuner.train.best import Best
from tuner.train.engine import Engine


class Saver:
    """Write checkpoints and hand them over, at most one for each step of an attempt.

    Args:
        every: seconds between two checkpoints at least.
        folder: where files are written; a new temporary one if None.
        best: what keeps the best epoch's network, in trainings whose network is of use.
    """

    def __init__(
        self,
        engine: Engine,
        trial: TrialHandle,
        every: float,
        folder: Path | None,
        best: Best | None = None,
    ) -> None:
        self._engine = engine
        self._trial = trial
        self._every = every
        self._folder = folder
        self._best = best
        self._last_step = 0
        self._due = time.monotonic() + every

    def saw(self, value: float, metrics: Mapping[str, float]) -> None:
        """Take in what was reported of the newest epoch."""
        if self._best is not None:
            self._best.saw(value, metrics)

    def hand_over_if_due(self) -> None:
        """Write a checkpoint if enough time has passed since the last."""
        if time.monotonic() >= self._due:
            self.hand_over()

    def hand_over(self) -> None:
        """Write a checkpoint, unless one of this step exists or there is nothing to keep yet."""
        step = self._engine.epoch
        if step <= self._last_step:
            return
        path = self._place() / f"step-{step}.safetensors"
        best = {} if self._best is None else self._best.tree()
        state.save(path, self._engine.tree() | best)
        self._trial.checkpoint(step, path)
        self._last_step = step
        self._due = time.monotonic() + self._every

    def finish(self) -> None:
        """Hand the best epoch's network over: the training is at its end."""
        if self._best is not None:
            self._best.hand_over(self._trial, self._place())

    def _place(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="tuner-trial-"))
        return self._folder
