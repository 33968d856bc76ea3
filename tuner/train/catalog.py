"""The tasks' names and what is known of them without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
_OF_STEPS = ("train_loss", "lr", "grad_norm", "update_ratio", "epoch_seconds")
OF_CLASSES = (*ALWAYS_REPORTED, "val_balanced_accuracy", "test_balanced_accuracy")
OF_AMOUNTS = (*_OF_STEPS, "val_loss", "test_loss", "val_rmse", "test_rmse", "val_r2", "test_r2")


@dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """Describe a task.

    Args:
        steps: epochs of a full training, if the study names no number.
        defaults: parameters used where a trial names none; the rules of thumb.
        metrics: reported each epoch; on a GPU also `GPU_REPORTED`.
        objectives: the metrics a study may be tuned on. Test metrics are none of them.
        inputs, targets, network: what the task is made of, which says what a recipe may ask of it.
            Targets that are `symbols` are a class at each place of a sequence.
        file: whether its data is a file that the study names, which also settles the targets.
        own: recipe fields that it takes, of a task with an engine of its own; None if supervised.
    """

    name: str
    description: str
    steps: int
    defaults: Mapping[str, ParamValue]
    metrics: tuple[str, ...] = ALWAYS_REPORTED
    objectives: Mapping[str, Direction] = field(default_factory=lambda: OBJECTIVES)
    inputs: Literal["numbers", "images", "sequences"] = "numbers"
    targets: Literal["classes", "symbols", "numbers", "unknown"] = "classes"
    network: Literal["dense", "convolutional", "recurrent"] = "dense"
    own: frozenset[str] | None = None
    file: bool = False

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
    TaskInfo(
        name="table",
        targets="unknown",
        file=True,
        description="Rows of a CSV or Parquet file, a column predicted; one layer of 64 ReLU",
        steps=27,
        defaults=MappingProxyType(
            {"lr": 0.05, "batch_size": 64, "init_scale": 1.0, "dropout": 0.0, "clip_norm": 5.0}
        ),
        metrics=tuple(dict.fromkeys((*OF_CLASSES, *OF_AMOUNTS))),
        objectives=MappingProxyType(
            {
                "val_loss": "min",
                "val_accuracy": "max",
                "val_balanced_accuracy": "max",
                "val_rmse": "min",
                "val_r2": "max",
            }
        ),
    ),
)

TASKS: Mapping[str, TaskInfo] = MappingProxyType({info.name: info for info in _ALL})


def told(info: TaskInfo, kind: str | None) -> TaskInfo:
    """Return what is known of a task of files once its study says what the target is."""
    if kind is None or not info.file:
        return info
    metrics = OF_AMOUNTS if kind == "regression" else OF_CLASSES
    return replace(
        info,
        targets="numbers" if kind == "regression" else "classes",
        metrics=metrics,
        objectives={name: best for name, best in info.objectives.items() if name in metrics},
    )
