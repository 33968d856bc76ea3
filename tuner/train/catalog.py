"""The tasks' names and what is known of them without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from tuner.handle import ParamValue

Direction = Literal["min", "max"]

ALWAYS_REPORTED = (
    "val_loss",
    "val_accuracy",
    "test_loss",
    "test_accuracy",
    "train_loss",
    "lr",
    "grad_norm",
    "update_ratio",
    "epoch_seconds",
)
GPU_REPORTED = ("gpu_util", "gpu_mem_peak_mb")
OBJECTIVES: Mapping[str, Direction] = MappingProxyType({"val_loss": "min", "val_accuracy": "max"})


@dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """Describe a task.

    Args:
        steps: epochs of a full training, if the study names no number.
        defaults: parameters used where a trial names none; the rules of thumb.
        metrics: reported each epoch; on a GPU also `GPU_REPORTED`.
        objectives: the metrics a study may be tuned on. Test metrics are none of them.
        inputs, targets, network: what the task is made of, which says what a recipe may ask of it.
        own: recipe fields that it takes, of a task with an engine of its own; None if supervised.
    """

    name: str
    description: str
    steps: int
    defaults: Mapping[str, ParamValue]
    metrics: tuple[str, ...] = ALWAYS_REPORTED
    objectives: Mapping[str, Direction] = field(default_factory=lambda: OBJECTIVES)
    inputs: Literal["numbers", "images", "sequences"] = "numbers"
    targets: Literal["classes", "numbers"] = "classes"
    network: Literal["dense", "convolutional", "recurrent"] = "dense"
    own: frozenset[str] | None = None

    @property
    def supervised(self) -> bool:
        """Whether rows with targets are learned, one network, one loss."""
        return self.own is None


_ALL = (
    TaskInfo(
        name="digits-mlp",
        description="Handwritten digits of 8 by 8 pixels, 10 classes; one hidden layer of 64 ReLU",
        steps=27,
        defaults=MappingProxyType(
            {"lr": 0.1, "batch_size": 128, "init_scale": 1.0, "dropout": 0.2, "clip_norm": 5.0}
        ),
    ),
    TaskInfo(
        name="digits-cnn",
        inputs="images",
        network="convolutional",
        description="The same digits; two convolutions of 16 and 32 channels with max-pooling",
        steps=27,
        defaults=MappingProxyType(
            {"lr": 0.1, "batch_size": 128, "init_scale": 1.0, "dropout": 0.0, "clip_norm": 5.0}
        ),
    ),
    TaskInfo(
        name="adding-lstm",
        inputs="sequences",
        targets="numbers",
        network="recurrent",
        description="Sum of two marked numbers in a sequence of 20; an LSTM of 32 units",
        steps=27,
        defaults=MappingProxyType(
            {"lr": 0.1, "batch_size": 32, "init_scale": 1.0, "dropout": 0.0, "clip_norm": 5.0}
        ),
    ),
)

TASKS: Mapping[str, TaskInfo] = MappingProxyType({info.name: info for info in _ALL})
