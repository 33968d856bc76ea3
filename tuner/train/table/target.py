"""The column that is predicted: whether it is a class or a number, and what the network sees."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from tuner.errors import InvalidInput
from tuner.train.table.columns import LARGEST, number
from tuner.train.table.read import Cells

Kind = Literal["classification", "regression"]
MAX_CLASSES = 1000
FEW = 20
"""Up to so many different whole numbers are classes, unless the study says otherwise."""
IN_THREE = 3
"""A class of fewer rows can't be in all three splits."""
_BINS = 10
_FAR, _FARTHEST = 100.0, 1e12  # of the middle row's distance from the median


@dataclass(frozen=True, kw_only=True)
class Classes:
    """Names of the classes, in the order of the network's outputs."""

    kind: ClassVar = "classification"
    names: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """Numbers the network predicts."""
        return len(self.names)

    def apply(self, cells: Cells) -> NDArray[np.int64]:
        """Return each row's class, [rows]."""
        places = {name: i for i, name in enumerate(self.names)}
        return np.array([places[class_name(cell or "")] for cell in cells], dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Mean and standard deviation of the training rows, in the file's unit."""

    kind: ClassVar = "regression"
    mean: float
    std: float
    outputs: ClassVar = 1

    def apply(self, cells: Cells) -> NDArray[np.float32]:
        """Return each row's value with mean 0 and variance 1 on the training rows, [rows]."""
        values = np.array([number(cell) for cell in cells])
        return ((values - self.mean) / self.std).astype(np.float32)


Target = Classes | Amount


def recalled(document: Mapping[str, Any]) -> Target:
    """Return a target from the document that a checkpoint holds of it.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    if document["kind"] == Classes.kind:
        return Classes(names=tuple(document["names"]))
    return Amount(mean=float(document["mean"]), std=float(document["std"]))


def kind_of(name: str, cells: Cells, wanted: Kind | None) -> Kind:
    """Tell what a target is: what the study says, else what its values look like.

    Args:
        name: the target's.
        cells: all of them, none unknown.
        wanted: what the study says.

    Raises:
        InvalidInput: it is constant, has too many classes, or should be a number and is none.
    """
    words = {class_name(cell or "") for cell in cells}
    if len(words) < 2:
        raise InvalidInput(f"the target {name} is the same in all rows: nothing is to be learned")
    values = [number(cell) for cell in words]
    odd = sum(map(math.isnan, values))
    few = len(words) <= FEW and all(value.is_integer() for value in values)
    kind = wanted or ("classification" if odd or few else "regression")
    if kind == "regression" and odd:
        raise InvalidInput(f"the target {name} has {_odd(words)}")
    if kind == "classification" and len(words) > min(MAX_CLASSES, len(cells) // 2):
        hint = ""
        if not odd:
            hint = "; give kind: regression if it is a number"
        elif odd < len(words) / 2:
            hint = f"; to be a number it has {_odd(words)}; mend or clear those cells"
        raise InvalidInput(
            f"the target {name} has {len(words)} classes in {len(cells)} rows; "
            f"there may be half as many as rows, {MAX_CLASSES} at most{hint}"
        )
    return kind


def _odd(words: Iterable[str]) -> str:
    """Return what of a target's values keeps it from being a number, in words."""
    odd = sorted(word for word in words if math.isnan(number(word)))
    some = ", ".join(repr(word[:40]) for word in odd[:3]) + (", ..." if len(odd) > 3 else "")
    which = (
        "a value that is no number" if len(odd) == 1 else f"{len(odd)} values that are no numbers"
    )
    return f"{which} below {LARGEST:g}: {some}"


def strata(cells: Cells, kind: Kind) -> NDArray[np.int64]:
    """Return of each row what the split keeps in proportion: its class, or tenth of the values."""
    if kind == "classification":
        return Classes(names=_names(cells)).apply(cells)
    values = np.array([number(cell) for cell in cells])
    ranks = values.argsort(kind="stable").argsort(kind="stable")
    found: NDArray[np.int64] = ranks * min(_BINS, max(1, len(cells) // 5)) // len(cells)
    return found


def fit(name: str, cells: Cells, training: Cells, kind: Kind) -> Target:
    """Return what the network predicts; a number's mean and spread are those of `training`.

    Raises:
        InvalidInput: the training rows all have the same number.
    """
    if kind == "classification":
        return Classes(names=_names(cells))
    values = np.array([number(cell) for cell in training])
    if values.std() == 0:
        raise InvalidInput(f"the target {name} is the same in all training rows")
    return Amount(mean=float(values.mean()), std=float(values.std()))


def remarks(name: str, cells: Cells, kind: Kind) -> list[str]:
    """Return what a target's owner should know of its rarest classes or farthest number, if any.

    Raises:
        InvalidInput: a number is so far from the others that its squared error is no float32.
    """
    if kind == "classification":
        counts = Counter(class_name(cell or "") for cell in cells)
        rare = sorted(word for word, count in counts.items() if count < IN_THREE)
        some = ", ".join(rare[:5]) + (", ..." if len(rare) > 5 else "")
        return [f"{name}: too rare to be held out, so only trained on: {some}"] if rare else []
    values = np.array([number(cell) for cell in cells])
    distances = np.abs(values - np.median(values))
    far = distances / (np.median(distances) or values.std())  # a slip moves no median
    worst = int(far.argmax())
    where = f"{name}: {values[worst]:g} lies {far[worst]:.2g} times as far out as the middle row"
    if far[worst] > _FARTHEST:
        raise InvalidInput(f"the target {where}: mend it, or leave the row out")
    return [f"{where}; loss: huber weighs such rows less"] if far[worst] > _FAR else []


def _names(cells: Cells) -> tuple[str, ...]:
    words = {class_name(cell or "") for cell in cells}
    values = {word: number(word) for word in words}
    if any(map(math.isnan, values.values())):
        return tuple(sorted(words))
    return tuple(sorted(words, key=values.__getitem__))


def class_name(cell: str) -> str:
    """Return a value as a class's name: whole numbers without a fraction."""
    value = number(cell)
    if math.isnan(value):
        return cell
    return str(int(value)) if value.is_integer() else repr(value)
