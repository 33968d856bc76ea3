"""The callback for Keras, with Keras on torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras", reason="the extra `keras` is not installed")
import keras

from tests.frameworks.trials import STEPS, curve, leaving_at, resumed, stopping_at, trial
from tuner.errors import InvalidInput, TrialInterrupted
from tuner.keras import TunerCallback
from tuner.train.local import LocalTrial

# Keras on torch warns of parts of numpy and torch that it uses.
pytestmark = pytest.mark.filterwarnings("ignore")


def watched(rate: Any) -> tuple[Any, list[float]]:
    """Return an optimizer and the rates at which its steps run."""
    seen: list[float] = []

    class Watched(keras.optimizers.SGD):  # type: ignore[misc]
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            seen.append(float(keras.ops.convert_to_numpy(learning_rate)))
            super().update_step(gradient, variable, learning_rate)

    return Watched(rate, momentum=0.9), seen


def fit(
    trial: LocalTrial, *, rate: Any = 0.1, monitor: str = "val_loss", seed: int = 5, **options: Any
) -> tuple[Any, list[float]]:
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Dense(8, activation="tanh"),
            layers.Dropout(0.3),
            layers.BatchNormalization(),
            layers.Dense(1),
        ]
    )
    optimizer, seen = watched(rate)
    model.compile(optimizer, "mse", jit_compile=False)
    x = np.random.default_rng(1).normal(size=(32, 4)).astype("float32")
    y = x.sum(1, keepdims=True)
    callbacks = [*options.pop("callbacks", []), TunerCallback(trial, monitor)]
    model.fit(
        x,
        y,
        validation_data=(x, y),
        batch_size=8,
        epochs=trial.steps,
        callbacks=callbacks,
        verbose=0,
        **options,
    )
    return model, seen


def weights(model: Any) -> list[Any]:
    return [weight.tolist() for weight in model.get_weights()]


def epochs_of(seen: list[float]) -> list[float]:
    """Return the rate of each epoch, the same in all its 4 batches and all variables."""
    size = len(seen) // STEPS
    groups = [set(seen[epoch * size : (epoch + 1) * size]) for epoch in range(STEPS)]
    return [one for (one,) in groups]


def test_each_epoch_is_a_step_and_halves() -> None:
    one = trial()
    _, seen = fit(one)
    assert [report.step for report in one.reports] == list(range(1, STEPS + 1))
    assert set(one.reports[0].metrics) == {"loss"}
    levels = [0.5 ** (epoch // 2) for epoch in range(STEPS)]
    assert epochs_of(seen) == pytest.approx([0.1 * level for level in levels], rel=1e-6)


def test_it_halves_beside_a_schedule_and_beside_callbacks() -> None:
    levels = [0.5 ** (epoch // 2) for epoch in range(STEPS)]
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 4, 0.7, staircase=True)
    _, seen = fit(trial(), rate=decay)
    expected = [0.1 * 0.7**epoch * level for epoch, level in enumerate(levels)]
    assert epochs_of(seen) == pytest.approx(expected, rel=1e-5)

    recursive = keras.callbacks.LearningRateScheduler(lambda epoch, lr: lr * 0.9)
    _, seen = fit(trial(), callbacks=[recursive])
    expected = [0.1 * 0.9 ** (epoch + 1) * level for epoch, level in enumerate(levels)]
    assert epochs_of(seen) == pytest.approx(expected, rel=1e-5)

    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=1e9)
    _, seen = fit(trial(), callbacks=[plateau])
    expected = [0.1 * 0.1 ** max(0, epoch - 1) * level for epoch, level in enumerate(levels)]
    assert epochs_of(seen) == pytest.approx(expected, rel=1e-4)


def test_a_decision_to_stop_ends_the_training() -> None:
    one = trial(decide=stopping_at(3))
    fit(one)
    assert [report.step for report in one.reports] == [1, 2, 3]


@pytest.mark.parametrize("poll", [0, 5, 14, 4 * STEPS - 1])
def test_it_leaves_and_goes_on_bit_equal(poll: int) -> None:
    whole = trial()
    last = weights(fit(whole)[0])
    left = trial(leave=leaving_at(poll))
    with pytest.raises(TrialInterrupted):
        fit(left)
    assert [one.step for one in left.checkpoints] == list(range(1, poll // 4 + 1))
    again = resumed(left)
    seed = 5 if again.resume is None else 99  # all that is random comes from the checkpoint
    assert weights(fit(again, seed=seed)[0]) == last
    assert curve(left, again) == curve(whole)


def test_epochs_without_validation_are_no_steps() -> None:
    one = trial()
    fit(one, validation_freq=2)
    assert [report.step for report in one.reports] == [1, 2, 3]


def test_a_metric_that_is_never_there_is_named() -> None:
    with pytest.raises(InvalidInput, match="'val_los'; the nearest name is 'val_loss'"):
        fit(trial(), monitor="val_los")
