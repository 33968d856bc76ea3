"""The benchmark of halving: what it counts, and that stacked trainings don't touch each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from benchmarks.halvings.schemes import SCHEMES
from benchmarks.halvings.stack import TASKS, Task, train
from benchmarks.halvings.worth import compare, waits


@pytest.mark.parametrize(
    ("curve", "wait"),
    [
        ([3, 2, 1], 0),
        ([3, 4, 4, 2, 3, 1], 2),  # two without a minimum before 2, one before 1
        ([1, 2, 3, 4], 0),  # the best comes first: nothing was waited for
        ([2, 1, 3, 3, 3], 0),  # nor after the best
    ],
)
def test_the_longest_wait_before_the_best(curve: list[float], wait: int) -> None:
    assert waits(np.array([curve], dtype=float)).tolist() == [wait]


def rows(losses: list[list[float]]) -> list[dict[str, str]]:
    """Return rows of the trainings with these best losses, by rate and seed."""
    return [
        {"rate": str(rate), "seed": str(seed), "best": str(x), "last": str(x), "test_at_best": "1"}
        for rate, seeds in enumerate(losses, start=1)
        for seed, x in enumerate(seeds)
    ]


def test_changes_are_paired_by_rate_and_seed() -> None:
    found = compare(rows([[1.0, 2.0], [0.5, 0.5]]), rows([[1.1, 2.2], [0.25, 0.5]]))
    assert found.typical.value == pytest.approx(math.sqrt(1.1) - 1)  # of 1.1, 1.1, 0.5 and 1
    assert found.best.value == pytest.approx(math.sqrt(0.5) - 1)  # 0.5 and 1 at the best rate
    assert (found.helped, found.hurt) == (0.25, 0.5)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_slot_trains_as_it_would_alone(task: Task) -> None:
    rates, seeds = [0.1, 0.01, 0.1], [0, 0, 1]
    together = train(task, rates, seeds, 2, SCHEMES["cosine"](rates, 2))
    alone = train(task, rates[2:], seeds[2:], 2, SCHEMES["cosine"](rates[2:], 2))
    assert torch.allclose(together.val[2], alone.val[0], rtol=1e-3)
    assert together.level.tolist() == [[1.0, 0.5]] * 3
    assert not torch.allclose(together.val[0], together.val[2], rtol=1e-3)


def test_halving_is_the_services_own() -> None:
    levels = SCHEMES["÷2 patience 1"]([0.1, 0.1], 9)
    said = [levels(n, torch.tensor([1.0, 1.0 / n]), torch.zeros(2)) for n in range(1, 6)]
    assert said == [[1.0, 1.0], [1.0, 1.0], [0.5, 1.0], [0.5, 1.0], [0.25, 1.0]]
