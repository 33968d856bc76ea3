"""From a file to tensors: rows split by a seed, columns prepared by the training rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tuner.errors import InvalidInput
from tuner.train.data import Data, Split
from tuner.train.table import columns as prepared_as
from tuner.train.table import target as targets
from tuner.train.table.columns import Column
from tuner.train.table.read import Cells, Table
from tuner.train.table.target import Kind, Target

MIN_ROWS = 10
MAX_NUMBERS = 250_000_000
MOST_UNLABELLED = 100_000
SHARE = 0.2  # of the rows in the validation and in the test split

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A table ready to be learned.

    Args:
        notes: sentences for the table's owner.
        rows: of each split, where its rows stand in the table, from 0.
        unlabelled_rows: where those of `data.unlabelled` stand.
    """

    data: Data
    columns: tuple[Column, ...]
    target: Target
    notes: tuple[str, ...]
    rows: tuple[Rows, Rows, Rows]
    unlabelled_rows: Rows

    @property
    def inputs(self) -> int:
        """Numbers a row has."""
        return sum(column.width for column in self.columns)

    def document(self) -> dict[str, Any]:
        """Return all that turns further rows into the network's inputs, in plain values."""
        return {
            "columns": [{"kind": c.kind, **_plain(asdict(c))} for c in self.columns],
            "target": {"kind": self.target.kind, **_plain(asdict(self.target))},
        }


def prepare(
    table: Table,
    target: str,
    *,
    kind: Kind | None = None,
    ignore: Sequence[str] = (),
    seed: int = 0,
) -> Prepared:
    """Split and prepare a table; rows whose target is unknown are in no split.

    Raises:
        InvalidInput: a column is not there, there are too few rows, or the target can't be learned.
    """
    _there(table, [target, *ignore])
    there = np.array([cell is not None for cell in table.columns[target]], dtype=bool)
    known, unknown = np.flatnonzero(there), np.flatnonzero(~there)[:MOST_UNLABELLED]
    if len(known) < MIN_ROWS:
        raise InvalidInput(
            f"{len(known)} rows have the target {target}; a table needs {MIN_ROWS} of them"
        )
    cells = _of(table.columns[target], known)
    found = targets.kind_of(target, cells, kind)
    parts = split(targets.strata(cells, found), seed)
    training = known[parts[0]]
    columns, notes = _fitted(table, training, (target, *ignore))
    notes += targets.remarks(target, cells, found)
    goal = targets.fit(target, cells, _of(table.columns[target], training), found)
    if lacking := len(table) - len(known):
        notes.append(f"{lacking} rows lack the target: pseudo_labels may use them, nothing else")
    if sum(column.width for column in columns) * len(known) > MAX_NUMBERS:
        raise InvalidInput(f"the prepared table has over {MAX_NUMBERS:,} numbers; sample its rows")
    rows = known[parts[0]], known[parts[1]], known[parts[2]]
    train, val, test = (_split(table, part, columns, target, goal) for part in rows)
    unlabelled = _inputs(table, unknown, columns) if len(unknown) else None
    data = Data(train=train, val=val, test=test, unlabelled=unlabelled)
    return Prepared(
        data=data,
        columns=tuple(columns),
        target=goal,
        notes=tuple(notes),
        rows=rows,
        unlabelled_rows=unknown,
    )


def split(strata: Rows, seed: int) -> tuple[Rows, Rows, Rows]:
    """Return the rows of training, validation and test; each stratum is shared out in proportion.

    Strata of one or two rows go to training as a whole.

    Raises:
        InvalidInput: no stratum is large enough to leave rows for validation.
    """
    # The legacy generator's stream is frozen by numpy's policy (NEP 19), so the split is too.
    draw = np.random.RandomState(seed)
    parts: tuple[list[Rows], ...] = ([], [], [])
    for stratum in np.unique(strata):
        rows = draw.permutation(np.flatnonzero(strata == stratum))
        size = int(SHARE * len(rows) + 0.5)
        pieces = np.split(rows, [size, 2 * size])
        for part, piece in zip(parts, (pieces[2], pieces[0], pieces[1]), strict=True):
            part.append(piece)
    train, val, test = (np.sort(np.concatenate(part)) for part in parts)
    if not len(val):
        raise InvalidInput("no class has the three rows that a split into three needs")
    return train, val, test


def _there(table: Table, names: Sequence[str]) -> None:
    for name in names:
        if name not in table.columns:
            known = ", ".join(list(table.columns)[:50])
            raise InvalidInput(f"the table has no column {name!r}; it has {known}")


def _fitted(table: Table, rows: Rows, left_out: Sequence[str]) -> tuple[list[Column], list[str]]:
    columns, notes = [], []
    for name, cells in table.columns.items():
        if name in left_out:
            continue
        column, note = prepared_as.fit(name, _of(cells, rows))
        columns += [] if column is None else [column]
        notes += [] if note is None else [note]
    if not columns:
        raise InvalidInput("no column is left to predict from: " + "; ".join(notes or ["none is"]))
    return columns, notes


def _split(table: Table, rows: Rows, columns: list[Column], target: str, goal: Target) -> Split:
    y = torch.tensor(goal.apply(_of(table.columns[target], rows)))
    return Split(x=_inputs(table, rows, columns), y=y)


def _inputs(table: Table, rows: Rows, columns: Sequence[Column]) -> Tensor:
    parts = [column.apply(_of(table.columns[column.name], rows)) for column in columns]
    return torch.tensor(np.concatenate(parts, axis=1), dtype=torch.float32)


def _of(cells: Cells, rows: Rows) -> Cells:
    return [cells[row] for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
