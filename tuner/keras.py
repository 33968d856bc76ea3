"""The callback for Keras 3, with the backends torch and TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras.optimizers.schedules import LearningRateSchedule

from tuner.errors import InvalidInput
from tuner.handle import TrialHandle
from tuner.steering import Steering


class TunerCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Report each validation, apply what is decided, keep a checkpoint of each.

    A step is an epoch with the metric in its logs. While a batch is trained on, the optimizer's
    rate is what its schedule or other callbacks make of it, times the level. `fit` goes on by
    itself where the trial's last attempt was. Put this callback last, after those that change the
    rate. When the trial is asked to leave, `fit` raises `errors.TrialInterrupted`.
    """

    def __init__(
        self, trial: TrialHandle, monitor: str = "val_loss", *, checkpoint: bool = True
    ) -> None:
        """Tie a trial to the training.

        Args:
            trial: the trial that trains here.
            monitor: the metric in an epoch's logs that is the objective.
            checkpoint: whether to keep checkpoints.

        Raises:
            InvalidInput: the backend reads the rate once an epoch.
        """
        super().__init__()
        if keras.backend.backend() == "jax":
            raise InvalidInput("tuner.keras works with the backends torch and TensorFlow, not jax")
        self._steering = Steering(trial, monitor)
        self._trial = trial
        self._checkpoint = checkpoint
        self._rate: float | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Put the trial's level on the schedule, and go on from the last checkpoint."""
        optimizer = self._optimizer
        schedule = optimizer._learning_rate
        if isinstance(schedule, LearningRateSchedule):
            inner = schedule.inner if isinstance(schedule, _Levelled) else schedule
            optimizer.learning_rate = _Levelled(inner)
        if self._trial.resume is not None:
            self._go_on()

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Train on a batch at the level in force."""
        self._put_back()
        optimizer, level = self._optimizer, self._steering.lr_factor
        schedule = optimizer._learning_rate
        if isinstance(schedule, _Levelled):
            schedule.level.assign(level)
        elif level != 1.0:
            self._rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
            optimizer.learning_rate = self._rate * level

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Leave if asked to."""
        self._put_back()
        self._steering.leave_if_asked()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Report an epoch, and keep it."""
        self._put_back()
        decision = self._steering.report(logs or {})
        if decision is None:
            return
        if decision.stop:
            self.model.stop_training = True
        elif self._checkpoint:
            self._trial.checkpoint(
                self._steering.step,
                epoch=epoch + 1,
                model=_values(self.model.variables),
                optimizer=_values(self.model.optimizer.variables),
            )

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Check that there was something to report."""
        self.model._initial_epoch = None
        self._steering.ended()

    @property
    def _optimizer(self) -> Any:
        return getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)

    def _put_back(self) -> None:
        if self._rate is not None:
            self._optimizer.learning_rate = self._rate
            self._rate = None

    def _go_on(self) -> None:
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        state = self._trial.restore().state
        _assign(self.model.variables, state["model"], "the model")
        _assign(optimizer.variables, state["optimizer"], "the optimizer")
        self.model._initial_epoch = state["epoch"]  # as keras.callbacks.BackupAndRestore does


class _Levelled(LearningRateSchedule):  # type: ignore[misc]
    """A schedule times the trial's level."""

    def __init__(self, inner: LearningRateSchedule) -> None:
        self.inner = inner
        self.level = keras.Variable(1.0, trainable=False, name="tuner_level")

    def __call__(self, step: Any) -> Any:
        return self.inner(step) * self.level

    def get_config(self) -> Any:
        return self.inner.get_config()


def _values(variables: list[Any]) -> list[Any]:
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def _assign(variables: list[Any], values: list[Any], what: str) -> None:
    saved, here = [tuple(v.shape) for v in values], [tuple(v.shape) for v in variables]
    if saved != here:
        raise InvalidInput(f"the checkpoint does not fit {what}: it has variables of other shapes")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
