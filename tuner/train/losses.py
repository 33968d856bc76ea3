"""What is minimised: losses of rows, and what is done to their mean.

Reported losses are the task's own, whatever is minimised, so that trials of a study compare.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from tuner.train.recipe import Recipe

PerRow = Callable[[Tensor, Tensor], Tensor]


def _cross_entropy(recipe: Recipe, logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="none", label_smoothing=recipe.label_smoothing)


def _focal(recipe: Recipe, logits: Tensor, labels: Tensor) -> Tensor:
    # Lin et al. 2017, equation 4: rows that are right already count less.
    nats = F.cross_entropy(logits, labels, reduction="none")
    return (1 - (-nats).exp()).pow(recipe.focal_gamma) * nats


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
    return lambda predicted, target: chosen(recipe, predicted, target)


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
    return apart * temperature**2
