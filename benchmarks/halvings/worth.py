"""What a scheme is worth beside a constant rate: paired changes, and how sure they are.

A change is `best loss under the scheme / best loss at the constant rate - 1`, of the same task,
rate and seed: -0.1 is a loss lower by a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
Row = Mapping[str, str]
DRAWS = 2000
GOOD = 3
"""How many rates, the best of the task at the constant rate, count as good."""
SMALLEST, DIVERGED = 1e-9, 1e9


@dataclass(frozen=True, kw_only=True)
class Worth:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.1%} [{self.low:+.1%}, {self.high:+.1%}]"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A scheme beside a constant rate on one task at one length.

    Args:
        typical: median of the changes over all rates and seeds; interval by resampling seeds.
        good: the same over the best rates.
        best: the change of the best loss over all rates, as a search would pick it; geometric
            mean over seeds, interval by Student's t.
        best_tested: the same for the test loss of the picked training.
        last: the change of the best last loss over all rates, the objective being `value: last`.
        helped, hurt: shares of trainings whose loss fell, or rose, by more than 1 %.
    """

    typical: Worth
    good: Worth
    best: Worth
    best_tested: Worth
    last: Worth
    helped: float
    hurt: float


def grid(rows: Sequence[Row], column: str) -> Floats:
    """Return a column of one task, length and scheme as [rates, seeds], rates ascending."""
    ordered = sorted(rows, key=lambda r: (float(r["rate"]), int(r["seed"])))
    seeds = len({r["seed"] for r in rows})
    return np.array([float(r[column]) for r in ordered]).reshape(-1, seeds)


def compare(constant: Sequence[Row], scheme: Sequence[Row]) -> Compared:
    """Compare the rows of a scheme with those of the constant rate."""
    before, after = grid(constant, "best"), grid(scheme, "best")
    logs = np.log(np.maximum(after, SMALLEST) / np.maximum(before, SMALLEST))
    good = np.argsort(np.median(before, axis=1))[:GOOD]
    lasts = [np.minimum(grid(rows, "last"), DIVERGED) for rows in (constant, scheme)]
    return Compared(
        typical=_median(logs),
        good=_median(logs[good]),
        best=_mean(_picked(after, after) - _picked(before, before)),
        best_tested=_mean(
            _picked(after, grid(scheme, "test_at_best"))
            - _picked(before, grid(constant, "test_at_best"))
        ),
        last=_mean(_picked(lasts[1], lasts[1]) - _picked(lasts[0], lasts[0])),
        helped=float((logs < -0.01).mean()),
        hurt=float((logs > 0.01).mean()),
    )


def _picked(by: Floats, shown: Floats) -> Floats:
    """Return for each seed the logarithm of what is shown at the rate with the best value."""
    found = shown[by.argmin(0), np.arange(shown.shape[1])]
    logs: Floats = np.log(np.maximum(found, SMALLEST))
    return logs


def _median(logs: Floats) -> Worth:
    rng = np.random.default_rng(0)
    draws = rng.integers(0, logs.shape[1], (DRAWS, logs.shape[1]))
    medians = np.array([np.median(logs[:, draw]) for draw in draws])
    low, high = np.quantile(medians, (0.025, 0.975))
    return Worth(
        value=math.expm1(float(np.median(logs))), low=math.expm1(low), high=math.expm1(high)
    )


def _mean(logs: Floats) -> Worth:
    mean, n = float(logs.mean()), len(logs)
    half = float(stats.t.ppf(0.975, n - 1)) * float(logs.std(ddof=1)) / math.sqrt(n)
    return Worth(value=math.expm1(mean), low=math.expm1(mean - half), high=math.expm1(mean + half))


# The tables of real curves


def waits(losses: Floats) -> npt.NDArray[np.int_]:
    """Return the longest wait for a new minimum before the best epoch of each curve, in epochs.

    A rule with less patience would have cut the rate before the curve was at its best.
    """
    found = []
    for curve in losses:
        best, since, longest = math.inf, 0, 0
        for value in curve[: int(np.argmin(curve)) + 1]:
            if value < best:
                best, longest, since = value, max(longest, since), 0
            else:
                since += 1
        found.append(longest)
    return np.array(found)


def real_curves(path: Path) -> dict[str, Any]:
    """Return what a table of real curves says of a patience of 1, and of longer ones.

    `best` and `best_last` compare the best configurations by the mean of their two seeds.
    """
    with np.load(path) as table:
        names = ("val_loss", "halve_val_loss")
        plain, halved = (np.nan_to_num(table[n].astype(np.float64), nan=DIVERGED) for n in names)
    before, after = (np.maximum(x.min(2), SMALLEST).ravel() for x in (plain, halved))
    ends = np.maximum(plain[:, :, -1], halved[:, :, -1]).ravel() < DIVERGED
    logs = np.log(after / before)
    good = ends & (before <= np.quantile(before, 0.25))
    waited = waits(plain.reshape(-1, plain.shape[2])[good])
    lasts = [x[:, :, -1].mean(1).min() for x in (plain, halved)]
    bests = [np.maximum(x.min(2), SMALLEST).mean(1).min() for x in (plain, halved)]
    return {
        "trainings": int(ends.sum()),
        "typical": math.expm1(float(np.median(logs[ends]))),
        "good": math.expm1(float(np.median(logs[good]))),
        "good_hurt": float((logs[good] > 0.01).mean()),
        "good_helped": float((logs[good] < -0.01).mean()),
        "best": float(bests[1] / bests[0] - 1),
        "best_last": float(lasts[1] / lasts[0] - 1),
        "cut_too_soon": {p: round(float((waited > p).mean()), 3) for p in (1, 2, 3, 5, 8, 12)},
    }
