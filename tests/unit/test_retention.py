"""Which checkpoints stay: the last two, and the one at the best value's step."""

from __future__ import annotations

from typing import Literal

import pytest

from api.files.retention import best_of, sort
from tuner.trial import Checkpoint, Report

NAN = float("nan")


def checkpoint(step: int, attempt: int = 1) -> Checkpoint:
    return Checkpoint(attempt, step, "0" * 64, 1, f"1/0/{attempt}-{step}")


def reports(*values: float) -> list[Report]:
    return [Report(step, value, 1.0) for step, value in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("steps", "values", "mode", "stay", "best"),
    [
        # nothing is there
        ((), (), "min", (), None),
        # one is last and best
        ((1,), (0.5,), "min", (1,), 1),
        # the last two stay although nothing was reported
        ((1, 2, 3), (), "min", (2, 3), None),
        # the best is older than the last two
        ((1, 2, 3, 4), (0.1, 0.4, 0.3, 0.2), "min", (1, 3, 4), 1),
        # the best is one of the last two
        ((1, 2, 3, 4), (0.4, 0.3, 0.1, 0.2), "min", (3, 4), 3),
        # largest is best
        ((1, 2, 3, 4), (0.1, 0.4, 0.3, 0.2), "max", (2, 3, 4), 2),
        # of equal values the earliest
        ((1, 2, 3, 4), (0.2, 0.2, 0.2, 0.2), "min", (1, 3, 4), 1),
        # the best step has no checkpoint: the best of those that have one
        ((2, 4, 6), (0.3, 0.2, 0.0, 0.5, 0.1, 0.4), "min", (2, 4, 6), 2),
        # what is not finite is never the best
        ((1, 2, 3), (NAN, float("-inf"), 0.5), "min", (2, 3), 3),
        ((1, 2, 3), (NAN, NAN, NAN), "min", (2, 3), None),
    ],
)
def test_what_stays(
    steps: tuple[int, ...],
    values: tuple[float, ...],
    mode: Literal["min", "max"],
    stay: tuple[int, ...],
    best: int | None,
) -> None:
    kept = sort(map(checkpoint, steps), reports(*values), mode)
    assert tuple(c.step for c in kept.stay) == stay
    assert sorted(c.step for c in (*kept.stay, *kept.go)) == sorted(steps)
    assert (kept.best.step if kept.best else None) == best


def test_a_later_attempt_comes_after_an_earlier_one() -> None:
    kept = sort([checkpoint(9), checkpoint(10), checkpoint(2, 2), checkpoint(4, 2)], [], "min")
    assert [(c.attempt, c.step) for c in kept.stay] == [(2, 2), (2, 4)]


def test_the_best_one_by_one_is_the_best_of_all() -> None:
    """Dropping as they come loses nothing: what was worse once never becomes the best."""
    values = [0.9, 0.5, 0.7, 0.4, 0.6, 0.45, 0.8, 0.41]
    held: tuple[Checkpoint, ...] = ()
    for step in range(1, len(values) + 1):
        held = sort([*held, checkpoint(step)], reports(*values[:step]), "min").stay
        every = [checkpoint(s) for s in range(1, step + 1)]
        best = best_of(every, reports(*values[:step]), "min")
        assert best in held
