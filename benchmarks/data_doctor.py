"""How well the data doctor finds label errors that were planted in the digits' training rows.

`python benchmarks/data_doctor.py` flips a share of the 1,078 labels to another class, lets the
doctor look, and prints precision and recall, by seed and as a mean. Takes about a minute.
"""

from __future__ import annotations

import argparse
from statistics import fmean

from tuner.spec import AfterRun
from tuner.train import TASKS, tasks
from tuner.train.after import doctor
from tuner.train.after.members import Trainer
from tuner.train.local import LocalTrial
from tuner.train.options import Options

CLASSES = 10


def measured(task: str, share: float, seed: int, folds: int, networks: int) -> tuple[float, float]:
    """Return precision and recall on the labels planted with a seed."""
    info = TASKS[task]
    member = {"trial": 0, "params": dict(info.defaults), "seed": seed, "until": info.steps}
    document = {"of": 0, "kind": "data_doctor", "steps": info.steps, "members": [member]}
    run = AfterRun.model_validate(document | {"folds": folds, "networks": networks})
    trial = LocalTrial(params={}, seed=seed)
    trainer = Trainer.of(trial, tasks.get(task), run, Options(device="cpu"), recipe={}, sources={})
    data, wrong = doctor.planted(tasks.get(task).data(), share, CLASSES, seed)
    *_, (rows, logits) = doctor.judged(trainer, data)
    found = doctor.flags(logits.softmax(-1), data.train.y[rows])
    return doctor.precision_recall({int(rows[flag.row]) for flag in found}, wrong)


def main() -> None:
    """Print a row for each seed, and the mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="digits-mlp")
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--networks", type=int, default=3)
    given = parser.parse_args()
    found = [
        measured(given.task, given.share, seed, given.folds, given.networks)
        for seed in range(given.seeds)
    ]
    print("seed  precision  recall")
    for seed, (precision, recall) in enumerate(found):
        print(f"{seed:4}  {precision:9.3f}  {recall:6.3f}")
    precision, recall = (fmean(column) for column in zip(*found, strict=True))
    print(f"mean  {precision:9.3f}  {recall:6.3f}")


if __name__ == "__main__":
    main()
