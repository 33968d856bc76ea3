"""Choices of a recipe that go together, under one word."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tuner.train.catalog import TaskInfo
from tuner.train.fits import misfit

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "default": MappingProxyType(
            {
                "init": "by_activation",  # He for ELU
                "activation": "elu",
                "norm": "batch",
                "dropout": 0.2,
                "optimizer": "nesterov",
            }
        )
    }
)


def spread(info: TaskInfo, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a recipe fixes, its preset's choices under its own.

    Of a preset a task gets what it can use: an LSTM gets no batch norm.
    """
    given = {name: value for name, value in recipe.items() if value is not None}
    preset = PRESETS[given.pop("preset")] if "preset" in given else {}
    usable = {k: v for k, v in preset.items() if misfit(info, k, v) is None}
    return {**usable, **given}
