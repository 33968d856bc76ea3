"""Finds wrong training labels: those that networks which never saw them confidently contradict."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from tuner.errors import InvalidInput
from tuner.handle import TrialHandle
from tuner.train import streams
from tuner.train.after.members import Trainer, averaged, scored
from tuner.train.data import Data, Split
from tuner.train.tasks import Task


class Flag(NamedTuple):
    """A training row whose label is doubted: what it is, and what it should rather be."""

    row: int
    label: int
    suggested: int
    probability: float
    own: float


def run(trial: TrialHandle, trainer: Trainer, metric: str) -> None:
    """Judge the training rows part by part; keep the doubted ones as `doubted_labels.csv`.

    The reported value is the metric on the training rows judged so far, by networks that did not
    see them; `flagged` counts the doubted ones among them.

    Raises:
        InvalidInput: the task has no classes.
    """
    data = trainer.task.data()
    for step, (rows, logits) in enumerate(judged(trainer, data), start=1):
        labels = data.train.y[rows]
        found = flags(logits.softmax(-1), labels)
        metrics = scored(trainer.task, logits, Split(x=rows, y=labels), "val")
        metrics |= {"flagged": float(len(found)), "rows": float(len(rows))}
        if step == trainer.run.folds:
            _keep(trial, trainer.task, [f._replace(row=int(rows[f.row])) for f in found])
        if trial.report(step, metrics[metric], metrics).stop:
            return


def judged(trainer: Trainer, data: Data) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield, part after part, the training rows judged so far and the logarithms of probabilities.

    It ends early if the trial is asked to leave. Validation rows are only looked at.

    Raises:
        InvalidInput: the task has no classes.
    """
    if not trainer.classes:
        raise InvalidInput(f"{trainer.info.name} predicts numbers: there are no labels to doubt")
    member, run = trainer.run.members[0], trainer.run
    order = torch.randperm(len(data.train), generator=_generator(member.seed))
    parts, seen, said = torch.tensor_split(order, run.folds), [], []
    for number, part in enumerate(parts):
        others = torch.cat([p for i, p in enumerate(parts) if i != number])
        held = _of(data.train, part)
        fold = replace(data, train=_of(data.train, others), val=held)
        opinions = []
        for network in range(run.networks):
            seed = streams.derive(member.seed, "doctor", number, network) % 2**31
            engine = trainer.fit(member, fold, seed)
            if engine is None:
                return
            opinions.append(engine.predict(engine.data.val.x).cpu())
        seen.append(part)
        said.append(averaged(opinions, logits=True))
        yield torch.cat(seen), torch.cat(said)


def flags(probabilities: Tensor, labels: Tensor) -> list[Flag]:
    """Return the rows whose label is confidently contradicted, the surest first.

    A row is sure to be of a class if its probability is at least the mean that rows labelled so
    have. A row is doubted if it is sure to be of some class and the likeliest of those is not its
    label (confident learning: Northcutt, Jiang & Chuang 2021, section 3.1).

    Args:
        probabilities: of networks that did not see the rows, [rows, classes].
        labels: [rows].
    """
    classes = probabilities.shape[1]
    thresholds = torch.stack(
        [
            of.mean() if len(of := probabilities[labels == c, c]) else torch.tensor(2.0)
            for c in range(classes)
        ]
    )  # [classes]; of a class without rows nothing is sure
    sure = torch.where(probabilities >= thresholds, probabilities, -1.0)
    highest, suggested = sure.max(1)
    doubted = (highest >= 0) & (suggested != labels)
    found = [
        Flag(
            row=row,
            label=int(labels[row]),
            suggested=int(suggested[row]),
            probability=float(highest[row]),
            own=float(probabilities[row, labels[row]]),
        )
        for row in doubted.nonzero().flatten().tolist()
    ]
    return sorted(found, key=lambda f: (f.own - f.probability, f.row))


def precision_recall(flagged: set[int], wrong: set[int]) -> tuple[float, float]:
    """Return the share of flagged rows that are wrong, and of wrong rows that are flagged."""
    hits = len(flagged & wrong)
    return hits / len(flagged) if flagged else 0.0, hits / len(wrong) if wrong else 0.0


def planted(data: Data, share: float, classes: int, seed: int) -> tuple[Data, set[int]]:
    """Return the data with a share of its training labels changed to other classes, and which."""
    generator = _generator(seed)
    y = data.train.y.clone()
    rows = torch.randperm(len(y), generator=generator)[: round(share * len(y))]
    away = torch.randint(1, classes, (len(rows),), generator=generator)
    y[rows] = (y[rows] + away) % classes
    changed = replace(data, train=Split(x=data.train.x, y=y))
    return changed, set(rows.tolist())


def _of(split: Split, rows: Tensor) -> Split:
    return Split(x=split.x[rows], y=split.y[rows])


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(streams.derive(seed, "doctor"))


def _keep(trial: TrialHandle, task: Task, found: list[Flag]) -> None:
    rows = task.rows.get("train")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "doubted_labels.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            where = "training_row" if rows is None else "file_row"
            writer.writerow([where, "label", "suggested", "probability", "of_the_label"])
            writer.writerows(
                [
                    f.row if rows is None else rows[f.row],
                    task.label(f.label),
                    task.label(f.suggested),
                    f"{f.probability:.4f}",
                    f"{f.own:.4f}",
                ]
                for f in found
            )
        trial.artifact(path)
    trial.log(f"{len(found)} training labels are doubted: see doubted_labels.csv")
