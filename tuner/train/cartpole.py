"""Policy gradient on CartPole: a pole is to be balanced on carts that differ each episode.

The gradient is the score function's (Williams 1992, REINFORCE): the mean over episodes of
`-log_probability * (return to go - baseline)`. The baseline of an episode is the mean of the other
episodes' returns at the same step, which it can't influence, so the gradient stays unbiased.
Gravity, masses, length and force are drawn anew for each episode. What decides is the greedy
policy's return in environments that training never draws from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from torch import Tensor

from tuner.robust import aggregated
from tuner.train import streams
from tuner.train.engine import Setting
from tuner.train.models import Mlp, keep
from tuner.train.own import OwnEngine

LONGEST = 500
"""Steps after which an episode ends, as in CartPole-v1; the return is the steps survived."""
UPDATES = 5
"""Updates of an epoch."""
_SHAPE = ("gravity", "masscart", "masspole", "length", "force_mag")
_UNSEEN = (1.6, 2.2)  # factors, or one by them: farther than `randomise` reaches
_EVALUATED = 8  # environments, each with a start of its own


class Pole(CartPoleEnv):
    """A cart and pole whose quantities are `factors` times the usual ones."""

    def __init__(self, factors: Sequence[float]) -> None:
        super().__init__()
        for name, factor in zip(_SHAPE, factors, strict=True):
            setattr(self, name, getattr(self, name) * factor)
        self.total_mass = self.masspole + self.masscart
        self.polemass_length = self.masspole * self.length


def factors(draw: np.random.RandomState, low: float, high: float) -> list[float]:
    """Draw the factor of each quantity: between `low` and `high`, or one by that."""
    found = np.exp(draw.uniform(np.log(low), np.log(high), len(_SHAPE)))
    up = draw.random_sample(len(_SHAPE)) < 0.5
    return [float(f) if rises else float(1 / f) for f, rises in zip(found, up, strict=True)]


def returns_to_go(rewards: Tensor, discount: float) -> Tensor:
    """Return the discounted sum of the rewards from each step on, of [steps, episodes]."""
    found = torch.zeros_like(rewards)
    later = torch.zeros_like(rewards[0])
    for step in reversed(range(len(rewards))):
        later = rewards[step] + discount * later
        found[step] = later
    return found


def without_own(returns: Tensor) -> Tensor:
    """Return the mean of the other episodes' returns at each step, of [steps, episodes]."""
    episodes = returns.shape[1]
    if episodes < 2:
        return torch.zeros_like(returns)
    return (returns.sum(1, keepdim=True) - returns) / (episodes - 1)


def score_loss(log_probabilities: Tensor, returns: Tensor, alive: Tensor) -> Tensor:
    """Return what has the policy's gradient, []: all [steps, episodes], `alive` 1 in an episode."""
    advantage = (returns - without_own(returns)).detach()
    return -(log_probabilities * advantage * alive).sum() / alive.sum()


class PoleEngine(OwnEngine):
    """Trains a policy: a step is a batch of whole episodes and one update."""

    def __init__(self, setting: Setting) -> None:
        self._policy = Mlp(setting.recipe, 4, 2)
        super().__init__(setting, {"model": self._policy}, UPDATES)
        self._seen = torch.zeros(1, 4)
        known = np.random.RandomState(1)
        reach = 1 + self.recipe.randomise
        self._known = [Pole(factors(known, 1.0, reach)) for _ in range(_EVALUATED)]
        unseen = {"val": np.random.RandomState(2), "test": np.random.RandomState(3)}
        self._unseen = {
            name: [Pole(factors(draw, *_UNSEEN)) for _ in range(_EVALUATED)]
            for name, draw in unseen.items()
        }

    def step(self, number: int, lr: float) -> Tensor:
        """Return loss, mean return, gradient norm and update ratio, [4]."""
        draw = self.draw("actions", self.epoch, number)
        start = streams.derive(self.seed, "episodes", self.epoch, number) % 2**31
        shapes = np.random.RandomState(start)
        reach = 1 + self.recipe.randomise
        poles = [Pole(factors(shapes, 1.0, reach)) for _ in range(self.recipe.batch_size)]
        self._policy.train()
        seen, actions, alive = self._play(poles, start, draw)
        self._seen = seen
        logits = self._logits(seen)
        log_probabilities = logits.log_softmax(-1).gather(-1, actions.to(self.device)[..., None])
        steps, episodes = alive.shape
        returns = returns_to_go(alive * self.recipe.reward_scale, self.recipe.discount)
        loss = score_loss(
            log_probabilities.view(steps, episodes), returns.to(self.device), alive.to(self.device)
        )
        self.updaters["model"].backward(loss)
        means = torch.stack((loss.detach(), alive.sum(0).mean().to(self.device)))
        return torch.cat((means, self.updaters["model"].step(lr)))

    def _logits(self, seen: Tensor) -> Tensor:
        """Return the policy's logits, [rows, 2]; in training the same units are off for an update.

        One that dropped others at each step would not be the policy whose gradient is taken.
        """
        drop = keep
        if self._policy.training and self.recipe.dropout > 0:
            draw = self.draw("units", self.epoch, len(self._records))
            stay = 1 - self.recipe.dropout

            def drop(hidden: Tensor) -> Tensor:
                kept = torch.empty(1, hidden.shape[1]).bernoulli_(stay, generator=draw) / stay
                return hidden * kept.to(hidden.device)

        found: Tensor = self._policy(seen.to(self.device), drop)
        return found

    @torch.no_grad()
    def _play(
        self, poles: Sequence[Pole], start: int, draw: torch.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Play an episode in each environment, all in step, greedily where `draw` is None.

        Returns:
            What was seen [steps * episodes, 4], done [steps * episodes], and 1 where an episode was
            under way, [steps, episodes].
        """
        states: list[Any] = [pole.reset(seed=start + i)[0] for i, pole in enumerate(poles)]
        on = np.ones(len(poles), dtype=bool)
        seen: list[Tensor] = []
        actions: list[Tensor] = []
        alive: list[Tensor] = []
        while on.any() and len(alive) < LONGEST:
            now = torch.tensor(np.stack(states))
            logits = self._logits(now).cpu()
            choice = (
                logits.argmax(1)
                if draw is None
                else torch.multinomial(logits.softmax(1), 1, generator=draw)[:, 0]
            )
            seen.append(now)
            actions.append(choice)
            alive.append(torch.tensor(on, dtype=torch.float32))
            for i in np.flatnonzero(on).tolist():
                states[i], _, fallen, _, _ = poles[i].step(int(choice[i]))  # type: ignore[no-untyped-call]
                on[i] = not fallen
        return torch.cat(seen), torch.cat(actions), torch.stack(alive)

    def sample(self, rows: int) -> None:
        """Run the policy on what the last update's episodes began with."""
        self._policy.eval()
        self._logits(self._seen[:rows])

    def summary(self, means: Sequence[float]) -> dict[str, float]:
        """Return the returns in known and unseen environments, and the gap between them."""
        # Its gradient is the policy's, its value means nothing: it is not to be taken for a loss.
        names = ("policy_loss", "train_return", "grad_norm", "update_ratio")
        found = dict(zip(names, means, strict=True))
        known = self._lived(self._known)
        found["known_return"] = self._aggregated(known)
        for name, poles in self._unseen.items():
            lived = self._lived(poles)
            found[f"{name}_return"] = self._aggregated(lived)
            found[f"{name}_mean_return"] = float(np.mean(lived))
            found[f"{name}_worst_return"] = min(lived)
        found["gap"] = float(np.mean(known)) - found["val_mean_return"]
        return found

    def _aggregated(self, lived: Sequence[float]) -> float:
        rule, k = self.recipe.aggregate, self.recipe.aggregate_k
        return aggregated(lived, rule, k, smaller_is_better=False)

    def _lived(self, poles: Sequence[Pole]) -> list[float]:
        self._policy.eval()
        alive = self._play(poles, 10_000, None)[2]
        return [float(steps) for steps in alive.sum(0)]


def start(setting: Setting) -> PoleEngine:
    """Return a training before its first step."""
    return PoleEngine(setting)
