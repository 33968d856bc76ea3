"""Update rules over all weights as one vector, with torch's formulas (`torch.optim`).

A rule is a function of values: rate, momentum and decay are arguments of each step, not state. One
vector for the whole network makes a step a handful of operations, however many layers there are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tuner.train.recipe import Recipe

State = dict[str, Tensor]


def start(recipe: Recipe, weights: Tensor) -> State:
    """Return the state before the first step, on the weights' device."""
    if recipe.optimizer in ("adam", "adamw"):
        return {
            "mean": torch.zeros_like(weights),
            "square": torch.zeros_like(weights),
            "steps": torch.zeros((), dtype=torch.float64, device=weights.device),
        }
    return {"momentum": torch.zeros_like(weights)} if recipe.decay_of_average > 0 else {}


def change(recipe: Recipe, state: State, weights: Tensor, gradient: Tensor, lr: float) -> Tensor:
    """Return what a step adds to the weights, [weights], and bring the state up to date."""
    decay = recipe.weight_decay
    if decay > 0 and recipe.optimizer != "adamw":
        gradient = gradient.add(weights, alpha=decay)
    if recipe.optimizer not in ("adam", "adamw"):
        return _sgd(recipe, state, gradient).mul(-lr)
    step = _adam(recipe, state, gradient, lr)
    return step.sub_(weights, alpha=lr * decay) if recipe.optimizer == "adamw" else step


def _sgd(recipe: Recipe, state: State, gradient: Tensor) -> Tensor:
    if not state:
        return gradient
    beta = recipe.decay_of_average
    average = state["momentum"].mul_(beta).add_(gradient)
    return gradient.add(average, alpha=beta) if recipe.optimizer == "nesterov" else average


def _adam(recipe: Recipe, state: State, gradient: Tensor, lr: float) -> Tensor:
    # Kingma & Ba 2015, algorithm 1, with both averages corrected for their start at 0.
    beta1, beta2 = recipe.decay_of_average, recipe.beta2
    steps = state["steps"].add_(1)
    mean = state["mean"].lerp_(gradient, 1 - beta1)
    square = state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    spread = (square.sqrt() / (1 - beta2**steps).sqrt()).add_(recipe.eps)
    return (mean / spread).mul_(-lr / (1 - beta1**steps))
