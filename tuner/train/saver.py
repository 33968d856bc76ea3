"""When a checkpoint is written, and where."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tuner.handle import TrialHandle
from tuner.train import state
from tuner.train.engine import Engine


class Saver:
    """Write checkpoints and hand them over, at most one for each step of an attempt."""

    def __init__(
        self, engine: Engine, trial: TrialHandle, every: float, folder: Path | None
    ) -> None:
        self._engine = engine
        self._trial = trial
        self._every = every
        self._folder = folder
        self._last_step = 0
        self._due = time.monotonic() + every

    def hand_over_if_due(self) -> None:
        """Write a checkpoint if enough time has passed since the last."""
        if time.monotonic() >= self._due:
            self.hand_over()

    def hand_over(self) -> None:
        """Write a checkpoint, unless one of this step exists or there is nothing to keep yet."""
        step = self._engine.epoch
        if step <= self._last_step:
            return
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="tuner-trial-"))
        path = self._folder / f"step-{step}.safetensors"
        state.save(path, self._engine.tree())
        self._trial.checkpoint(step, path)
        self._last_step = step
        self._due = time.monotonic() + self._every
