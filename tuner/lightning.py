"""The callback for Lightning's Trainer.

Lightning's checkpoints are dictionaries of tensors and plain values; they are kept in tuner's own
format, so that nothing is pickled on the way.
"""

from __future__ import annotations

from typing import Any

from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer

from tuner.handle import TrialHandle
from tuner.steering import Steering
from tuner.torch import LRController

_NOT_NEEDED = ("hparams_", "hyper_parameters", "datamodule_hparams_", "datamodule_hyper_parameters")
_HERE = "tuner:checkpoint"


class TunerCallback(Callback):
    """Report each validation, apply what is decided, keep a checkpoint of each epoch.

    A step is a validation run. Every optimizer runs at its scheduler's rate times the level. Pass
    `ckpt_path=callback.ckpt_path` to `fit`, so that a trial goes on where its last attempt was.
    When the trial is asked to leave, `fit` raises `errors.TrialInterrupted`.
    """

    def __init__(self, trial: TrialHandle, monitor: str, *, checkpoint: bool = True) -> None:
        """Tie a trial to the training.

        Args:
            trial: the trial that trains here.
            monitor: the logged metric that is the objective.
            checkpoint: whether to keep checkpoints.
        """
        self._steering = Steering(trial, monitor)
        self._trial = trial
        self._checkpoint = checkpoint
        self._over = False

    @property
    def ckpt_path(self) -> str | None:
        """What to pass to `fit`: the checkpoint to go on from, None for a fresh start."""
        return None if self._trial.resume is None else str(self._trial.resume.path)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Read and write the trial's checkpoints."""
        if stage == "fit":
            io = trainer.strategy.checkpoint_io
            inner = io.inner if isinstance(io, _TrialIO) else io
            trainer.strategy.checkpoint_io = _TrialIO(inner, self._trial)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the trial's level on every optimizer."""
        for optimizer in trainer.optimizers:
            LRController(optimizer, self._steering)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what the epochs before made, their schedulers' steps included."""
        self._save(trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Leave if asked to."""
        if self._steering.speaks_in_each_of(trainer.world_size):
            self._steering.leave_if_asked()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report a validation."""
        if not trainer.sanity_checking and trainer.state.fn == "fit":
            self._report(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report an epoch where there is no validation."""
        if not trainer.enable_validation:
            self._report(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the end."""
        self._steering.ended()
        self._save(trainer)

    def _report(self, trainer: Trainer) -> None:
        decision = self._steering.report_for_all(
            trainer.callback_metrics,
            trainer.world_size,
            trainer.global_rank,
            trainer.strategy.broadcast,
        )
        if decision is not None and decision.stop:
            self._over = trainer.should_stop = True

    def _save(self, trainer: Trainer) -> None:
        steering = self._steering
        if not self._checkpoint or self._over or steering.step <= steering.saved:
            return
        steering.saved = steering.step
        trainer.save_checkpoint(_HERE)
        io = trainer.strategy.checkpoint_io
        taken = io.give() if isinstance(io, _TrialIO) else None
        if trainer.is_global_zero or steering.speaks_in_each_of(trainer.world_size):
            self._trial.checkpoint(steering.step, lightning=taken)


class _TrialIO(CheckpointIO):
    """Takes the trial's checkpoints for the trial, and leaves all others to `inner`."""

    def __init__(self, inner: CheckpointIO, trial: TrialHandle) -> None:
        self.inner = inner
        self._trial = trial
        self._taken: dict[str, Any] | None = None

    def give(self) -> dict[str, Any] | None:
        """Return the trial's checkpoint saved last, and forget it; None on other ranks than 0."""
        taken, self._taken = self._taken, None
        return taken

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        if str(path) != _HERE:
            self.inner.save_checkpoint(checkpoint, path, storage_options)
            return
        kept = {name: one for name, one in checkpoint.items() if not name.startswith(_NOT_NEEDED)}
        _end_epoch(kept["loops"]["fit_loop"]["epoch_progress"])
        self._taken = kept

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        resume = self._trial.resume
        if resume is None or str(path) != str(resume.path):
            return self.inner.load_checkpoint(path, map_location, weights_only)
        found: dict[str, Any] = self._trial.restore().state["lightning"]
        return found

    def remove_checkpoint(self, path: Any) -> None:
        self.inner.remove_checkpoint(path)


def _end_epoch(progress: dict[str, dict[str, int]]) -> None:
    """Let a checkpoint be of the end of an epoch, not of the start of the next.

    Lightning would take the last epoch's count of batches for that of the next, and skip it.
    """
    for count in progress.values():
        count["ready"] = count["started"]
