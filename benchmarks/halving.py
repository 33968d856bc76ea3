"""What halving on a plateau is worth, beside a constant rate and schedules given in advance.

    python benchmarks/halving.py train [--scheme NAME ...]   # quarter of an hour on one core
    python benchmarks/halving.py show                        # the tables and plots of the page

`train` trains 8 rates with 10 seeds each, on three small tasks, under each scheme at equal epochs,
and writes `benchmarks/halvings/runs.csv`, a line a training. `show` reads it, and the tables of
real curves in `benchmarks/data/`, and writes the plots in `docs/why/`. docs/why/halving.md is what
came out.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from benchmarks.halvings.schemes import SCHEMES
from benchmarks.halvings.stack import TASKS, Curves, Task, train

RUNS = Path(__file__).parent / "halvings" / "runs.csv"
RATES = [10 ** (-3 + 3 * i / 7) for i in range(8)]
SEEDS = 10
LENGTHS = {"digits-mlp": (27, 81), "cancer-deep": (27, 81), "adding-lstm": (27,)}
COLUMNS = (
    "task", "epochs", "scheme", "rate", "seed",
    "best", "best_epoch", "last", "test_at_best", "cuts", "first_cut", "last_level",
)  # fmt: skip


def measure(task: Task, epochs: int, scheme: str) -> Iterator[list[str]]:
    """Train a task under a scheme; yield a row of `COLUMNS` for each training."""
    rates = [rate for rate in RATES for _ in range(SEEDS)]
    seeds = [seed for _ in RATES for seed in range(SEEDS)]
    curves = train(task, rates, seeds, epochs, SCHEMES[scheme](rates, epochs))
    for slot, (rate, seed) in enumerate(zip(rates, seeds, strict=True)):
        yield [task.name, str(epochs), scheme, f"{rate:.4g}", str(seed), *_summary(curves, slot)]


def _summary(curves: Curves, slot: int) -> list[str]:
    val, level = curves.val[slot].nan_to_num(torch.inf), curves.level[slot]
    best = int(val.argmin())
    cuts = (level[1:] < level[:-1]).nonzero().flatten() + 1  # finished epochs before each
    return [
        f"{val[best]:.5g}",
        str(best + 1),
        f"{val[-1]:.5g}",
        f"{curves.test[slot][best]:.5g}",
        str(len(cuts)),
        str(int(cuts[0])) if len(cuts) else "",
        f"{level[-1]:.4g}",
    ]


def train_all(schemes: Sequence[str]) -> None:
    """Train under the schemes and put their rows in place of those there were."""
    kept = [row for row in read() if row["scheme"] not in schemes]
    with RUNS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([row[name] for name in COLUMNS] for row in kept)
        for scheme in schemes:
            for task in TASKS:
                for epochs in LENGTHS[task.name]:
                    since = time.monotonic()
                    writer.writerows(measure(task, epochs, scheme))
                    file.flush()
                    print(f"{scheme}, {task.name}, {epochs}: {time.monotonic() - since:.0f} s")


def read() -> list[dict[str, str]]:
    """Return the rows that are there."""
    if not RUNS.exists():
        return []
    with RUNS.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("command", choices=("train", "show"))
    parser.add_argument("--scheme", action="append", choices=list(SCHEMES))
    arguments = parser.parse_args()
    if arguments.command == "train":
        train_all(arguments.scheme or list(SCHEMES))


if __name__ == "__main__":
    main()
