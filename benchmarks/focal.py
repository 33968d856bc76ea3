"""What focal loss buys on a rare class: `digits-rare` over seeds, beside cross-entropy.

Prints a table of the rare class's F1 and recall on the validation rows after some epochs, mean and
standard deviation over the seeds. Everything else is equal: network, rate, batches, order, first
weights. Run with `python benchmarks/focal.py [SEEDS] [RATE]`.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence

from tuner.train import run
from tuner.train.local import LocalTrial

EPOCHS = (6, 9, 12, 18, 27)
LOSSES: Mapping[str, Mapping[str, object]] = {
    "cross-entropy": {"loss": "cross_entropy"},
    "focal, gamma 1": {"loss": "focal", "focal_gamma": 1.0},
    "focal, gamma 2": {"loss": "focal", "focal_gamma": 2.0},
    "focal, gamma 5": {"loss": "focal", "focal_gamma": 5.0},
}


def curves(recipe: Mapping[str, object], seeds: Sequence[int], rate: float) -> list[LocalTrial]:
    """Train once for each seed."""
    trials = []
    for seed in seeds:
        trial = LocalTrial(params={"lr": rate}, seed=seed, steps=max(EPOCHS))
        run(trial, "digits-rare", {"device": "cpu"}, recipe=recipe)
        trials.append(trial)
    return trials


def _spread(trials: Sequence[LocalTrial], metric: str, epoch: int) -> str:
    values = [trial.reports[epoch - 1].metrics[metric] for trial in trials]
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def main() -> None:
    """Print the table."""
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
    rate = float(sys.argv[2]) if len(sys.argv) > 2 else 0.02
    head = " | ".join(f"epoch {epoch}" for epoch in EPOCHS)
    print(f"rate {rate}, {len(seeds)} seeds")
    print(f"| loss | metric | {head} |\n|---|---|{'---|' * len(EPOCHS)}")
    for name, recipe in LOSSES.items():
        trials = curves(recipe, seeds, rate)
        for metric in ("val_rare_f1", "val_rare_recall", "val_accuracy"):
            cells = " | ".join(_spread(trials, metric, epoch) for epoch in EPOCHS)
            print(f"| {name} | `{metric}` | {cells} |", flush=True)


if __name__ == "__main__":
    main()
