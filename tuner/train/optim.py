"""Update rules over all weights as one vector, with torch's formulas (`torch.optim`).

A rule is a function of values: rate, momentum and decay are arguments of each step, not state. One
vector for the whole network makes a step a handful of operations, however many layers there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tuner.train.recipe import Recipe

State = dict[str, Tensor]


def start(recipe: Recipe, weights: Tensor) -> State:
    """Return the state before the first step, on the weights' device."""
    vectors = _VECTORS[recipe.optimizer] + (_AVERAGE if recipe.optimizer in _HEAVY else ())
    state = {name: torch.zeros_like(weights) for name in vectors}
    if recipe.optimizer in _HEAVY and recipe.decay_of_average == 0:
        del state["momentum"]
    if recipe.optimizer in ("adam", "adamw"):
        state["steps"] = torch.zeros((), dtype=torch.float64, device=weights.device)
    return state


def change(recipe: Recipe, state: State, weights: Tensor, gradient: Tensor, lr: float) -> Tensor:
    """Return what a step adds to the weights, [weights], and bring the state up to date."""
    decay = recipe.weight_decay
    if recipe.optimizer != "adamw" and decay > 0:
        gradient = gradient.add(weights, alpha=decay)
    if recipe.l2 > 0:
        gradient = gradient.add(weights, alpha=recipe.l2)
    if recipe.l1 > 0:
        gradient = gradient.add(weights.sign(), alpha=recipe.l1)
    step = _RULES[recipe.optimizer](recipe, state, gradient, lr)
    return step.sub_(weights, alpha=lr * decay) if recipe.optimizer == "adamw" else step


def _sgd(recipe: Recipe, state: State, gradient: Tensor, lr: float) -> Tensor:
    if not state:
        return gradient.mul(-lr)
    beta = recipe.decay_of_average
    average = state["momentum"].mul_(beta).add_(gradient)
    moved = gradient.add(average, alpha=beta) if recipe.optimizer == "nesterov" else average
    return moved.mul(-lr)


def _adagrad(recipe: Recipe, state: State, gradient: Tensor, lr: float) -> Tensor:
    # Duchi et al. 2011: each weight's rate falls with all the squared gradients it has seen.
    total = state["square"].addcmul_(gradient, gradient)
    return (gradient / total.sqrt().add_(recipe.epsilon)).mul_(-lr)


def _adadelta(recipe: Recipe, state: State, gradient: Tensor, lr: float) -> Tensor:
    # Zeiler 2012, algorithm 1: steps in the weights' own unit.
    rho, eps = recipe.decay_of_square, recipe.epsilon
    square = state["square"].mul_(rho).addcmul_(gradient, gradient, value=1 - rho)
    step = state["moved"].add(eps).sqrt_().div_(square.add(eps).sqrt_()).mul_(gradient)
    state["moved"].mul_(rho).addcmul_(step, step, value=1 - rho)
    return step.mul_(-lr)


def _rmsprop(recipe: Recipe, state: State, gradient: Tensor, lr: float) -> Tensor:
    # Tieleman & Hinton 2012, with the momentum that torch adds.
    alpha = recipe.decay_of_square
    square = state["square"].mul_(alpha).addcmul_(gradient, gradient, value=1 - alpha)
    step = gradient / square.sqrt().add_(recipe.epsilon)
    if "momentum" not in state:
        return step.mul_(-lr)
    return state["momentum"].mul_(recipe.decay_of_average).add_(step).mul(-lr)


def _adam(recipe: Recipe, state: State, gradient: Tensor, lr: float) -> Tensor:
    # Kingma & Ba 2015, algorithm 1, with both averages corrected for their start at 0.
    beta1, beta2 = recipe.decay_of_average, recipe.decay_of_square
    steps = state["steps"].add_(1)
    mean = state["mean"].lerp_(gradient, 1 - beta1)
    square = state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    spread = (square.sqrt() / (1 - beta2**steps).sqrt()).add_(recipe.epsilon)
    return (mean / spread).mul_(-lr / (1 - beta1**steps))


_AVERAGE = ("momentum",)
_HEAVY = frozenset({"sgd", "momentum", "nesterov", "rmsprop"})  # those with a momentum of torch's
_VECTORS: Mapping[str, tuple[str, ...]] = {
    "sgd": (),
    "momentum": (),
    "nesterov": (),
    "adagrad": ("square",),
    "adadelta": ("square", "moved"),
    "rmsprop": ("square",),
    "adam": ("mean", "square"),
    "adamw": ("mean", "square"),
}
_RULES: Mapping[str, Callable[[Recipe, State, Tensor, float], Tensor]] = {
    "sgd": _sgd,
    "momentum": _sgd,
    "nesterov": _sgd,
    "adagrad": _adagrad,
    "adadelta": _adadelta,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "adamw": _adam,
}
