"""Lets the nearest training rows decide where a network is unsure: a fallback for rare classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from tuner.errors import InvalidInput
from tuner.handle import TrialHandle
from tuner.train.after.members import Trainer, scored
from tuner.train.models import Staged, keep
from tuner.train.solo import Solo

_RARE = 0.5
_FLOOR = 1e-6
_CHUNK = 8192
_PAIRS = 2**26
"""Cosines that are in memory at once: 256 MB."""


def run(trial: TrialHandle, trainer: Trainer, metric: str) -> None:
    """Train the best configuration, and report what its neighbours change on the validation rows.

    The reported value is that of network and fallback together; `network_loss` and
    `network_accuracy` are the network's alone, `gain` is what the fallback adds to the accuracy,
    `unsure` the share of rows it decided; `rare_recall` and `network_rare_recall` are those of the
    rare classes, where there are some.

    Raises:
        InvalidInput: the task has no classes.
    """
    if not trainer.classes:
        raise InvalidInput(f"{trainer.info.name} predicts numbers: neighbours decide on classes")
    engine = trainer.fit(trainer.run.members[0])
    if engine is None:
        return
    task, data = trainer.task, engine.data
    logits = engine.predict(data.val.x)
    probabilities = logits.softmax(-1)
    together = fallback(
        probabilities,
        embedding(engine, data.val.x),
        embedding(engine, data.train.x),
        data.train.y.to(logits.device),
        neighbours=trainer.run.neighbours,
        below=trainer.run.below,
    )
    mixed = together.clamp_min(_FLOOR).log()
    metrics = scored(task, mixed, data.val, "val") | scored(task, logits, data.val, "network")
    labels = data.val.y.to(logits.device)
    rare = rare_classes(data.train.y)
    if len(rare):
        metrics["rare_recall"] = recalls(mixed, labels, rare)
        metrics["network_rare_recall"] = recalls(logits, labels, rare)
    metrics["gain"] = metrics["val_accuracy"] - metrics["network_accuracy"]
    metrics["unsure"] = float((probabilities.amax(1) < trainer.run.below).float().mean())
    trial.report(1, metrics[metric], metrics)


@torch.no_grad()
def embedding(engine: Solo, x: Tensor) -> Tensor:
    """Return what the network's last layer sees of rows of its data, [rows, features]."""
    model: Staged = engine.model
    model.eval()
    device = next(model.parameters()).device
    first, last = engine.first_stage, len(model.layers()) - 1
    return torch.cat(
        [
            model.between(part.to(device), first, last, keep).flatten(1)
            for part in torch.split(x, _CHUNK)
        ]
    )


def fallback(
    probabilities: Tensor,
    embedded: Tensor,
    known: Tensor,
    labels: Tensor,
    *,
    neighbours: int,
    below: float,
) -> Tensor:
    """Return probabilities, in unsure rows the shares of the nearest known rows' labels.

    Nearest are those of the largest cosine; each has a say of its cosine, but at least none.

    Args:
        probabilities: of the network, [rows, classes].
        embedded: the rows, [rows, features].
        known: labelled rows, [known, features].
        labels: [known].
        neighbours: how many have a say.
        below: a row is unsure if its largest probability is below this.
    """
    unsure = probabilities.amax(1) < below
    if not bool(unsure.any()):
        return probabilities
    known = F.normalize(known, dim=1).T
    found = probabilities.clone()
    for rows in torch.split(unsure.nonzero()[:, 0], max(1, _PAIRS // known.shape[1])):
        cosines = F.normalize(embedded[rows], dim=1) @ known
        near, which = cosines.topk(min(neighbours, known.shape[1]), dim=1)  # [rows, neighbours]
        shares = torch.zeros_like(probabilities[rows])
        shares.scatter_add_(1, labels[which], near.clamp_min(_FLOOR).to(shares.dtype))
        found[rows] = shares / shares.sum(1, keepdim=True)
    return found


def rare_classes(labels: Tensor) -> Tensor:
    """Return the classes that have fewer than half of the rows of an even share."""
    counts = torch.bincount(labels)
    return (counts < _RARE * counts.float().mean()).nonzero().flatten()


def recalls(scores: Tensor, labels: Tensor, classes: Tensor) -> float:
    """Return the share of rows of these classes that are found, 0 without any."""
    among = torch.isin(labels, classes.to(labels.device))
    right = scores.argmax(1) == labels
    return float(right[among].float().mean()) if bool(among.any()) else 0.0
