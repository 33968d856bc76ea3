"""What is minimised: losses of rows, and what is done to their mean.

Reported losses are the task's own, whatever is minimised, so that trials of a study compare.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from tuner.train.recipe import Recipe

PerRow = Callable[[Tensor, Tensor], Tensor]


def nats(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy of each row, or of each place of each row, in nats.

    Args:
        logits: [rows, classes], or [rows, classes, places].
        labels: [rows], or [rows, places].
        smoothing: share of the label spread over all classes.
    """
    # Places are taken as rows: torch has no deterministic kernel for three dimensions on CUDA.
    flat = logits if logits.ndim == 2 else logits.transpose(1, 2).flatten(0, 1)
    found = F.cross_entropy(flat, labels.flatten(), reduction="none", label_smoothing=smoothing)
    return found.view_as(labels)


def _cross_entropy(recipe: Recipe, logits: Tensor, labels: Tensor) -> Tensor:
    return nats(logits, labels, recipe.label_smoothing)


def _focal(recipe: Recipe, logits: Tensor, labels: Tensor) -> Tensor:
    # Lin et al. 2017, equation 4: rows that are right already count less.
    lost = nats(logits, labels)
    return (1 - (-lost).exp()).pow(recipe.focal_gamma) * lost


def _squared(recipe: Recipe, predicted: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(predicted, target, reduction="none")


def _absolute(recipe: Recipe, predicted: Tensor, target: Tensor) -> Tensor:
    return F.l1_loss(predicted, target, reduction="none")


def _huber(recipe: Recipe, predicted: Tensor, target: Tensor) -> Tensor:
    return F.huber_loss(predicted, target, reduction="none")


LOSSES: Mapping[str, Callable[[Recipe, Tensor, Tensor], Tensor]] = {
    "cross_entropy": _cross_entropy,
    "focal": _focal,
    "squared": _squared,
    "absolute": _absolute,
    "huber": _huber,
}


def row_loss(recipe: Recipe, own: PerRow, *, classes: bool) -> PerRow:
    """Return the loss of rows that a recipe minimises, [rows]; the task's own if it names none."""
    name = recipe.loss or ("cross_entropy" if classes and recipe.label_smoothing > 0 else None)
    if name is None:
        return own
    chosen = LOSSES[name]
    return lambda predicted, target: of_row(chosen(recipe, predicted, target))


def of_row(losses: Tensor) -> Tensor:
    """Return the mean over the places of each row, [rows], of losses [rows] or [rows, places]."""
    return losses if losses.ndim == 1 else losses.flatten(1).mean(1)


def flooded(mean: Tensor, level: float) -> Tensor:
    """Return `|mean - level| + level`: below the level the gradient turns (Ishida et al. 2020)."""
    return mean if level == 0 else (mean - level).abs() + level


def taught(predicted: Tensor, teacher: Tensor, temperature: float, *, classes: bool) -> Tensor:
    """Return how far predictions lie from a teacher's, [rows].

    For classes `teacher` holds log-probabilities of a temperature, and the loss is the divergence
    from them times the temperature's square, which keeps the gradient's size (Hinton et al. 2015,
    section 2); for numbers it is the squared difference.
    """
    if not classes:
        return (predicted - teacher).square()
    own = F.log_softmax(predicted / temperature, dim=1)
    apart = F.kl_div(own, teacher, reduction="none", log_target=True).sum(1)
    return of_row(apart) * temperature**2
