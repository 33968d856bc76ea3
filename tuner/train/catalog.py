"""The tasks' names and what is known of them without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from tuner.handle import ParamValue
from tuner.spec.recipe import NetworkFields, RobustFields, ScheduleFields, StepFields

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
_OF_RARE = tuple(
    f"{split}_rare_{what}" for split in ("val", "test") for what in ("recall", "precision", "f1")
)
_OF_VAE = tuple(
    f"{split}_{what}"
    for split in ("val", "test")
    for what in ("loss", "elbo", "reconstruction", "kl")
)
_OF_POLES = (
    "policy_loss", "train_return", "known_return", "gap",
    *(f"{split}_{what}return" for split in ("val", "test") for what in ("", "mean_", "worst_")),
)  # fmt: skip
_OF_CRITIC = (
    "train_distance", "val_distance", "test_distance", "penalty", "val_loss", "test_loss",
)  # fmt: skip
_STEPPED = frozenset(
    {
        *StepFields.model_fields,
        *ScheduleFields.model_fields,
        *NetworkFields.model_fields,
        *RobustFields.model_fields,
    }
    - {"average", "norm", "norm_groups", "forget_bias"}
)
"""What each task with steps of its own takes of the recipe."""
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
        width, depth: of its network, if nothing is said.
        inputs, targets, network: what the task is made of, which says what a recipe may ask of it.
            Targets that are `symbols` are a class at each place of a sequence.
        needs: a package that is no part of the extra `torch`.
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
    width: int = 64
    depth: int = 1
    own: frozenset[str] | None = None
    needs: str | None = None
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
        width=16,
        depth=2,
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
        width=32,
        description="Sum of two marked numbers in a sequence of 20; an LSTM of 32 units",
        steps=27,
        defaults=MappingProxyType(
            {"lr": 0.1, "batch_size": 32, "init_scale": 1.0, "dropout": 0.0, "clip_norm": 5.0}
        ),
    ),
    TaskInfo(
        name="digits-rare",
        description="Is a digit an 8? 20 of the 989 training rows are; a layer of 64 ReLU",
        steps=18,
        defaults=MappingProxyType(
            {"lr": 0.02, "batch_size": 128, "init_scale": 1.0, "dropout": 0.0, "clip_norm": 5.0}
        ),
        metrics=(*ALWAYS_REPORTED, *_OF_RARE),
        objectives=MappingProxyType({**OBJECTIVES, "val_rare_f1": "max", "val_rare_recall": "max"}),
    ),
    TaskInfo(
        name="text-lstm",
        inputs="sequences",
        targets="symbols",
        network="recurrent",
        description="The next character of a page of Alice in Wonderland; an LSTM of 64 units",
        steps=27,
        defaults=MappingProxyType(
            {"lr": 1.0, "batch_size": 32, "init_scale": 1.0, "dropout": 0.0, "clip_norm": 5.0}
        ),
    ),
    TaskInfo(
        name="digits-vae",
        description="A variational autoencoder of the digits; a layer of 64 ReLU each way, 8 codes",
        steps=27,
        defaults=MappingProxyType(
            {"lr": 0.02, "batch_size": 64, "init_scale": 1.0, "dropout": 0.0, "clip_norm": 15.0}
        ),
        metrics=(*_OF_STEPS, *_OF_VAE),
        objectives=MappingProxyType({"val_loss": "min", "val_elbo": "max"}),
        own=_STEPPED | {"norm", "norm_groups", "latent", "kl_weight"},
    ),
    TaskInfo(
        name="cartpole",
        description="Balance a pole by policy gradient; each episode has a cart of its own",
        steps=27,
        defaults=MappingProxyType(
            {"lr": 0.1, "batch_size": 16, "init_scale": 1.0, "dropout": 0.0, "clip_norm": 5.0}
        ),
        metrics=(*_OF_STEPS[1:], *_OF_POLES),
        objectives=MappingProxyType({"val_return": "max"}),
        own=_STEPPED | {"discount", "reward_scale", "randomise"},
        needs="gymnasium",
    ),
    TaskInfo(
        name="digits-critic",
        description="Digits made by a generator that a (Wasserstein) critic teaches; 64 ReLU each",
        steps=27,
        defaults=MappingProxyType(
            {
                "lr": 0.001,
                "batch_size": 64,
                "init_scale": 1.0,
                "dropout": 0.0,
                "clip_norm": 100.0,
                "optimizer": "adam",
                "momentum": 0.5,
                "beta2": 0.9,
            }
        ),
        metrics=(*_OF_STEPS, *_OF_CRITIC),
        objectives=MappingProxyType({"val_loss": "min"}),
        own=_STEPPED | {"latent", "critic_steps", "critic", "penalty", "soft_label", "flip_labels"},
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
