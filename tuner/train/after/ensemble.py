"""Averages networks' predictions, and says what that gains over the best of them."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from tuner.handle import TrialHandle
from tuner.train.after.members import Trainer, averaged, scored
from tuner.train.catalog import TaskInfo
from tuner.train.data import Data, Split
from tuner.train.tasks import Task

_LISTED = 200


def run(trial: TrialHandle, trainer: Trainer, metric: str) -> None:
    """Train one network after another; report after each what those so far are worth together.

    The reported value is the ensemble's. Its metrics say what the best member so far has
    (`best_member`) and how much better the ensemble is (`gain`, negative if worse), the same on the
    test rows (`test_gain`, over the member that is best in validation), and which trial it is.
    """
    val: list[Tensor] = []
    test: list[Tensor] = []
    asked: list[Tensor] = []
    alone: list[dict[str, float]] = []
    of: list[int] = []
    sign, whole = sign_of(trainer.info, metric), trainer.task.data()
    for step, (member, engine) in enumerate(trainer.networks(_with_unlabelled(trainer)), start=1):
        val.append(engine.predict(engine.data.val.x))
        seen = engine.predict(engine.data.test.x)
        test.append(seen[: len(whole.test)])
        asked.append(seen[len(whole.test) :])
        alone.append(_measured(trainer, whole, val[-1:], test[-1:]))
        of.append(member.trial)
        together = _measured(trainer, whole, val, test)
        best = min(range(step), key=lambda i: sign * alone[i][metric])
        gains = gained(together, alone[best], metric, sign)
        metrics = together | gains | {"members": float(step), "best_trial": float(of[best])}
        if step == trainer.run.length and trainer.classes:
            _keep(trial, trainer.task, "disagreement", "test", test, whole.test.y)
            if len(asked[0]):
                _keep(trial, trainer.task, "worth_labelling", "unlabelled", asked, None)
        if trial.report(step, together[metric], metrics).stop:
            return


def _with_unlabelled(trainer: Trainer) -> Data | None:
    """Return the task's data with the rows without a target behind those of the test split.

    So they are prepared as all others are. None if there are none, or no classes to dispute.
    """
    data = trainer.task.data()
    more = data.unlabelled
    if more is None or not trainer.classes:
        return None
    y = torch.cat((data.test.y, data.test.y.new_zeros((len(more), *data.test.y.shape[1:]))))
    return replace(data, test=Split(x=torch.cat((data.test.x, more)), y=y))


def _measured(
    trainer: Trainer, data: Data, val: Sequence[Tensor], test: Sequence[Tensor]
) -> dict[str, float]:
    """Measure what networks predict together of both splits."""
    seen = averaged(val, logits=trainer.logits), averaged(test, logits=trainer.logits)
    return scored(trainer.task, seen[0], data.val, "val") | scored(
        trainer.task, seen[1], data.test, "test"
    )


def sign_of(info: TaskInfo, metric: str) -> float:
    """Return 1 if a smaller metric is better, -1 if a larger one is."""
    return 1.0 if info.objectives[metric] == "min" else -1.0


def gained(
    together: dict[str, float], best: dict[str, float], metric: str, sign: float
) -> dict[str, float]:
    """Return what an ensemble gains over its best member, positive if it is better."""
    test = metric.replace("val_", "test_")
    return {
        "best_member": best[metric],
        "gain": sign * (best[metric] - together[metric]),
        "test_gain": sign * (best[test] - together[test]),
    }


def disagreement(predictions: Sequence[Tensor]) -> Tensor:
    """Return how much members disagree on each row, [rows], in nats from 0 to the log of classes.

    It is the entropy of the mean probabilities less the mean of their entropies: high where each
    member is sure of something else, low where all are unsure alike (Houlsby et al. 2011, BALD).

    Args:
        predictions: logits of each member, [rows, classes].
    """
    each = torch.stack(list(predictions)).softmax(-1)  # [members, rows, classes]
    found: Tensor = (_entropy(each.mean(0)) - _entropy(each).mean(0)).clamp_min(0.0)
    return found


def most_disputed(predictions: Sequence[Tensor], count: int) -> Tensor:
    """Return the rows that are worth a label most, the most disputed first, [count or fewer]."""
    return disagreement(predictions).argsort(descending=True, stable=True)[:count]


def _entropy(probabilities: Tensor) -> Tensor:
    return -torch.xlogy(probabilities, probabilities).sum(-1)


def _keep(  # noqa: PLR0917
    trial: TrialHandle,
    task: Task,
    name: str,
    split: str,
    predictions: Sequence[Tensor],
    labels: Tensor | None,
) -> None:
    """Keep the most disputed rows of a split as a CSV, with what the networks say."""
    disputed, rows = disagreement(predictions), task.rows.get(split)
    votes = torch.stack([p.argmax(-1) for p in predictions])  # [networks, rows]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            where = f"{split}_row" if rows is None else "file_row"
            head = [where, "disagreement_nats", *(["label"] if labels is not None else []), "votes"]
            writer.writerow(head)
            for row in most_disputed(predictions, _LISTED).tolist():
                place = row if rows is None else rows[row]
                known = [] if labels is None else [task.label(int(labels[row]))]
                said = " ".join(task.label(vote) for vote in votes[:, row].tolist())
                writer.writerow([place, f"{float(disputed[row]):.4f}", *known, said])
        trial.artifact(path)
