"""What halving on a plateau is worth, beside a constant rate and schedules given in advance.

    python benchmarks/halving.py train [--scheme NAME ...]   # half an hour on one core
    python benchmarks/halving.py check                       # the defaults on fresh seeds
    python benchmarks/halving.py show                        # the tables and plots of the page

`train` trains 8 rates with 10 seeds each, on three small tasks, under each scheme at equal epochs,
and writes `benchmarks/halvings/runs.csv`, a line a training. `show` reads it, and the tables of
real curves in `benchmarks/data/`, and writes the plots in `docs/images/`. docs/why/halving.md says
what came out.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from benchmarks.halvings.figures import dots
from benchmarks.halvings.schemes import LONG, SCHEMES
from benchmarks.halvings.stack import TASKS, Curves, Task, train
from benchmarks.halvings.worth import GOOD, Compared, compare, real_curves

DATA = Path(__file__).parent / "data"
IMAGES = Path(__file__).parents[1] / "docs" / "images"
PLOTS = {
    "typical": "Change of the typical training's loss (median), beside a constant rate",
    "best": "Change of the best loss over all rates, beside the best constant rate",
}
RUNS = Path(__file__).parent / "halvings" / "runs.csv"
RATES = [10 ** (-3 + 3 * i / 7) for i in range(8)]
SEEDS = 10
LENGTHS = (27, 81)
SLOW = "adding-lstm"
"""The task that is trained for the shortest length alone."""
CHECK = RUNS.with_name("check.csv")
COLUMNS = (
    "task", "epochs", "scheme", "rate", "seed",
    "best", "best_epoch", "last", "test_at_best", "cuts",
)  # fmt: skip


def measure(task: Task, epochs: int, scheme: str, first_seed: int) -> Iterator[list[str]]:
    """Train a task under a scheme; yield a row of `COLUMNS` for each training."""
    rates = [rate for rate in RATES for _ in range(SEEDS)]
    seeds = [first_seed + seed for _ in RATES for seed in range(SEEDS)]
    curves = train(task, rates, seeds, epochs, SCHEMES[scheme](rates, epochs))
    for slot, (rate, seed) in enumerate(zip(rates, seeds, strict=True)):
        yield [task.name, str(epochs), scheme, f"{rate:.4g}", str(seed), *_summary(curves, slot)]


def _summary(curves: Curves, slot: int) -> list[str]:
    val, level = curves.val[slot].nan_to_num(torch.inf), curves.level[slot]
    best = int(val.argmin())
    cuts = int((level[1:] < level[:-1]).sum())
    tested = curves.test[slot][best]
    return [f"{val[best]:.4g}", str(best + 1), f"{val[-1]:.4g}", f"{tested:.4g}", str(cuts)]


def train_all(schemes: Sequence[str], lengths: Sequence[int], runs: Path, first_seed: int) -> None:
    """Train under the schemes and put their rows in place of those there were."""
    again = {(scheme, str(epochs)) for scheme in schemes for epochs in lengths}
    kept = [row for row in read(runs) if (row["scheme"], row["epochs"]) not in again]
    with runs.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([row[name] for name in COLUMNS] for row in kept)
        for scheme, task, epochs in product(schemes, TASKS, lengths):
            if epochs > min(LENGTHS) and (scheme not in LONG or task.name == SLOW):
                continue
            since = time.monotonic()
            writer.writerows(measure(task, epochs, scheme, first_seed))
            file.flush()
            print(f"{scheme}, {task.name}, {epochs}: {time.monotonic() - since:.0f} s")


def read(runs: Path) -> list[dict[str, str]]:
    """Return the rows that are there."""
    if not runs.exists():
        return []
    with runs.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def compared(runs: Path) -> dict[str, dict[str, Compared]]:
    """Return each scheme beside the constant rate, by task and length."""
    groups: dict[tuple[str, str], dict[str, list[dict[str, str]]]] = {}
    for row in read(runs):
        schemes = groups.setdefault((row["task"], row["epochs"]), {})
        schemes.setdefault(row["scheme"], []).append(row)
    return {
        f"{task}, {epochs}": {
            name: compare(schemes["constant"], rows)
            for name, rows in schemes.items()
            if name != "constant"
        }
        for (task, epochs), schemes in sorted(groups.items(), key=lambda g: (g[0][0], int(g[0][1])))
    }


WHAT = {
    "typical": "Median over rates and seeds",
    "good": f"Median over the best {GOOD} rates",
    "best": "Best loss over the rates",
    "best_tested": "Test loss of that training",
    "last": "Best last loss over the rates",
}


def show(runs: Path) -> None:
    """Print the tables of the page, and write its plots."""
    found = compared(runs)
    names = [n for n in SCHEMES if n != "constant" and any(n in of for of in found.values())]
    for what, title in WHAT.items():
        print(f"\n{title}\n\n| scheme | {' | '.join(found)} |\n|---|{'---|' * len(found)}")
        for name in names:
            cells = [str(getattr(of[name], what)) if name in of else "" for of in found.values()]
            print(f"| {name} | {' | '.join(cells)} |")
    for of in found.values():
        print({name: f"{c.helped:.0%} / {c.hurt:.0%}" for name, c in of.items()})
    for path in sorted(DATA.glob("*.npz")):
        print(f"\n{path.stem}: {real_curves(path)}")
    for what, title in PLOTS.items():
        panels = {
            task: {name: getattr(c, what) for name, c in of.items()} for task, of in found.items()
        }
        picture = dots(title, panels, names, (-0.2, 0.2))
        (IMAGES / f"halving-{what}.svg").write_text(picture, encoding="utf-8")


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("command", choices=("train", "check", "show"))
    parser.add_argument("--scheme", action="append", choices=list(SCHEMES))
    parser.add_argument("--epochs", action="append", type=int)
    parser.add_argument("--runs", type=Path, default=RUNS, help="the file of the trainings")
    arguments = parser.parse_args()
    if arguments.command == "train":
        schemes = arguments.scheme or [name for name in SCHEMES if name != "default"]
        lengths = arguments.epochs or LENGTHS
        train_all(schemes, lengths, arguments.runs, first_seed=0)
    elif arguments.command == "check":
        train_all(["constant", "default"], [27, 54, 81], CHECK, first_seed=100)
    else:
        show(arguments.runs)
        for task, of in compared(CHECK).items():
            worth = of["default"]
            cells = (worth.typical, worth.best, worth.best_tested, worth.last)
            print(f"| fresh seeds | {task} | {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main()
