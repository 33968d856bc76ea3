"""The network that learns a table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from tuner.train.models import Drop, Mlp
from tuner.train.recipe import PLAIN, Network


class TableMlp(Mlp):
    """Rows of numbers through hidden layers; without classes one number is predicted."""

    def __init__(self, network: Network = PLAIN, inputs: int = 1, classes: int = 0) -> None:
        super().__init__(network, inputs, classes or 1)
        self._classes = classes

    def stage(self, number: int, x: Tensor, drop: Drop) -> Tensor:
        """Map [rows, inputs] to [rows, width], in the last stage to [rows, classes] or [rows]."""
        found = super().stage(number, x, drop)
        last = number == len(self.hidden) and not self._classes
        return found.squeeze(1) if last else found


def rebuilt(training: Mapping[str, Any]) -> partial[TableMlp]:
    """Return what builds the network of a checkpoint's training."""
    table = training["table"]
    return partial(TableMlp, inputs=int(table["inputs"]), classes=int(table["classes"]))
