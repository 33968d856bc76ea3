"""Predictions for rows of further tables, by the network that a trial kept.

The file holds the weights of its best epoch and how the columns were prepared, so neither the
table that was learned nor a server is needed.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TextIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tuner.errors import InvalidInput
from tuner.train import reuse, scores, state
from tuner.train.models import Staged, keep
from tuner.train.prepare import Inputs
from tuner.train.table import columns as prepared_as
from tuner.train.table import target as targets
from tuner.train.table.columns import Column
from tuner.train.table.read import Table
from tuner.train.table.target import Amount, Classes, Target
from tuner.train.tasks import right_class

_CHUNK = 8192
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, RuntimeError)


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What a network says of rows.

    Args:
        values: of each row the likeliest class's name, or the number in the file's unit.
        probabilities: of the classes in the order of `names`, [rows, classes]; None for a number.
    """

    values: Sequence[str] | NDArray[np.float64]
    names: tuple[str, ...] = ()
    probabilities: NDArray[np.float64] | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network that learned a table, with the preparation of the columns it reads.

    Args:
        target: the column that it predicts.
        metrics: what was reported of it, `metric` being what it was chosen by.
    """

    target: str
    columns: tuple[Column, ...]
    goal: Target
    inputs: Inputs
    network: Staged
    step: int
    metric: str
    metrics: Mapping[str, float]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file `model.safetensors` of a trial.

        Raises:
            InvalidInput: it can't be read, or holds no network that learned a table.
        """
        tree = state.load(path)
        try:
            table: Mapping[str, Any] = tree["training"]["table"]
            document = table["prepared"]
            return cls(
                target=str(table["target"]),
                columns=tuple(prepared_as.recalled(one) for one in document["columns"]),
                goal=targets.recalled(document["target"]),
                inputs=Inputs(**tree.get("inputs", {})),
                network=reuse.load(path),
                step=int(tree["epoch"]),
                metric=str(tree["metric"]),
                metrics=dict(tree["metrics"]),
            )
        except _UNREADABLE as problem:
            raise InvalidInput(f"{path.name} is no model of a table") from problem

    def predict(self, table: Table) -> Predictions:
        """Predict the target of each row. Columns that the network does not read are ignored.

        Raises:
            InvalidInput: a column is missing.
        """
        missing = [c.name for c in self.columns if c.name not in table.columns]
        if missing:
            known = ", ".join(list(table.columns)[:50])
            names = ", ".join(map(repr, missing[:50]))
            raise InvalidInput(f"the table has no column {names}; it has {known}")
        return _read(self.goal, self._outputs(table))

    def remarks(self, table: Table) -> Iterator[str]:
        """Yield a sentence for each column with cells that the training rows had none like."""
        for column in self.columns:
            cells = table.columns[column.name]
            count = prepared_as.odd(column, cells)
            if count:
                sorts = {"category": "words that training did not have", "date": "no date"}
                what = sorts.get(column.kind, "no number")
                yield f"{column.name}: {what} in {count} of {len(cells)} cells"

    def measured(self, table: Table, found: Predictions) -> tuple[int, dict[str, float]]:
        """Return how many rows know their target, and how good their predictions are.

        Those of a class that training did not have are left out.
        """
        cells = table.columns.get(self.target, ())
        known = [row for row, cell in enumerate(cells) if self._is_one(cell)]
        if not known:
            return 0, {}
        truth = torch.as_tensor(self.goal.apply([cells[row] for row in known]))
        if isinstance(self.goal, Amount):
            said = (np.asarray(found.values)[known] - self.goal.mean) / self.goal.std
            return len(known), _scored(scores.distances(self.goal.std), torch.tensor(said), truth)
        assert found.probabilities is not None
        logits = torch.tensor(found.probabilities[known])
        accuracy = float(right_class(logits, truth).mean())
        balanced = _scored(scores.balanced(len(self.goal.names)), logits, truth)
        return len(known), {"accuracy": accuracy, **balanced}

    def _is_one(self, cell: str | None) -> bool:
        if isinstance(self.goal, Classes):
            return cell is not None and targets.class_name(cell) in self.goal.names
        return not np.isnan(prepared_as.number(cell))

    @torch.no_grad()
    def _outputs(self, table: Table) -> Tensor:
        found = []
        for first in range(0, len(table), _CHUNK):
            parts = [c.apply(table.columns[c.name][first : first + _CHUNK]) for c in self.columns]
            x = torch.tensor(np.concatenate(parts, axis=1), dtype=torch.float32)
            found.append(self.network(self.inputs.apply(x), keep))
        return torch.cat(found).double()


def write(file: TextIO, table: Table, target: str, found: Predictions) -> None:
    """Write a table as CSV with its predictions in further columns, the last ones.

    They are `predicted_TARGET` and, of classes, a `probability_CLASS` each; a name that is taken
    gets a `_` behind it.
    """
    names = [f"predicted_{target}", *(f"probability_{name}" for name in found.names)]
    taken = list(table.columns)
    for name in names:
        taken.append(_free(name, taken))
    lines = csv.writer(file, lineterminator="\n")
    lines.writerow(taken)
    rows = zip(*table.columns.values(), strict=True)
    for number, row in enumerate(rows):
        value = found.values[number]
        said = [value if isinstance(value, str) else f"{value:.7g}"]
        if found.probabilities is not None:
            said += [f"{chance:.6g}" for chance in found.probabilities[number]]
        lines.writerow(["" if cell is None else cell for cell in row] + said)


def _free(name: str, taken: Collection[str]) -> str:
    return _free(f"{name}_", taken) if name in taken else name


def _read(goal: Target, outputs: Tensor) -> Predictions:
    if isinstance(goal, Amount):
        return Predictions(values=outputs.numpy() * goal.std + goal.mean)
    chances = outputs.softmax(1).numpy()
    names = [goal.names[place] for place in chances.argmax(1)]
    return Predictions(values=names, names=goal.names, probabilities=chances)


def _scored(by: scores.Scores, predicted: Tensor, truth: Tensor) -> dict[str, float]:
    means = by.count(predicted, truth.to(predicted.dtype) if truth.is_floating_point() else truth)
    return dict(by.read((means / len(truth)).tolist()))
