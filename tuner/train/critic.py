"""A critic of digits, and the generator that it teaches.

The critic maps 64 pixels to a number. A Wasserstein critic is trained to tell real digits from
generated ones by as much as a slope of 1 allows (Gulrajani et al. 2017, algorithm 1); the
difference of its means is the distance that the generator lessens. To a plain one the number is a
logit that a digit is real (Goodfellow et al. 2014, algorithm 1, with the generator's loss of
section 3 that does not saturate); soft and noisy labels keep it from being sure (Salimans et al.
2016, section 3.4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from tuner.train import streams
from tuner.train.data import digit_pixels
from tuner.train.engine import Setting
from tuner.train.models import Mlp, keep
from tuner.train.own import OwnEngine

PIXELS = 64
_DIRECTIONS = 128


def slope_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, share: Tensor
) -> Tensor:
    """Return the squared distance of the critic's slope from 1 between pairs of rows, [rows].

    Args:
        critic: maps rows to numbers, [rows].
        real: one of each pair, [rows, features].
        fake: the other.
        share: where between them the slope is taken, [rows, 1].
    """
    between = torch.lerp(real, fake, share).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    found: Tensor = (slope.norm(dim=1) - 1).square()
    return found


def sliced_distance(one: Tensor, other: Tensor, directions: Tensor) -> Tensor:
    """Return the mean Wasserstein distance of two sets along directions, [] (Bonneel et al. 2015).

    Args:
        one: rows, [rows, features].
        other: as many.
        directions: unit vectors, [features, directions].
    """
    a, b = (one @ directions).sort(0).values, (other @ directions).sort(0).values
    return (a - b).abs().mean()


def labels(rows: int, soft: float, flip: float, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return what a plain critic is told of real and of made digits, [rows] each.

    Args:
        rows: how many of each.
        soft: the label of a real one; that of a made one is 0.
        flip: the share that gets the other's label.
        draw: decides which.
    """
    swapped = torch.rand(2, rows, generator=draw) < flip
    real = torch.where(swapped[0], 0.0, soft)
    made = torch.where(swapped[1], soft, 0.0)
    return real, made


def plain_loss(real: Tensor, made: Tensor, told: tuple[Tensor, Tensor]) -> Tensor:
    """Return the cross-entropy of logits, [rows] each, with what the critic is told of them, []."""
    cross_entropy = F.binary_cross_entropy_with_logits
    found: Tensor = cross_entropy(real, told[0]) + cross_entropy(made, told[1])
    return found


def generator_loss(judged: Tensor, *, plain: bool) -> Tensor:
    """Return what a generator minimises, of the critic's numbers of made digits, [].

    It is their mean with the other sign, or of a plain critic `-log(probability of real)`.
    """
    return (F.softplus(-judged) if plain else -judged).mean()


class CriticEngine(OwnEngine):
    """Trains both: a step is a few batches for the critic, then one for the generator."""

    def __init__(self, setting: Setting) -> None:
        recipe = setting.recipe
        self._data = digit_pixels().resident(setting.device)
        self._generator = Mlp(recipe, recipe.latent, PIXELS)
        self._critic = Mlp(recipe, PIXELS, 1)
        steps = -(-len(self._data.train) // recipe.batch_size)
        super().__init__(setting, {"generator": self._generator, "critic": self._critic}, steps)
        draw = torch.Generator().manual_seed(streams.derive(0, "directions"))
        ways = torch.randn(PIXELS, _DIRECTIONS, generator=draw)
        self._directions = (ways / ways.norm(dim=0)).to(self.device)

    @property
    def _is_plain(self) -> bool:
        return self.recipe.critic == "plain"

    def _judge(self, x: Tensor) -> Tensor:
        judged: Tensor = self._critic(x, self.dropout if self._critic.training else keep)
        return judged.squeeze(1)

    def _make(self, rows: int, draw: torch.Generator) -> Tensor:
        noise = torch.randn(rows, self.recipe.latent, generator=draw).to(self.device)
        made: Tensor = self._generator(noise, self.dropout if self._critic.training else keep)
        return made.sigmoid()

    def step(self, number: int, lr: float) -> Tensor:
        """Return distance, penalty, and the critic's gradient norm and update ratio, [4]."""
        draw = self.draw("step", self.epoch, number)
        for network in self.networks.values():
            network.train()
        records = torch.stack([self._teach(draw, lr) for _ in range(self.recipe.critic_steps)])
        generator = self.updaters["generator"]
        judged = self._judge(self._make(self.recipe.batch_size, draw))
        generator.backward(generator_loss(judged, plain=self._is_plain))
        generator.step(lr)
        self.updaters["critic"].weights.gradient.zero_()  # what the generator's loss left there
        return records.mean(0)

    def _teach(self, draw: torch.Generator, lr: float) -> Tensor:
        """Train the critic on real digits, drawn with replacement, and generated ones."""
        size, train = self.recipe.batch_size, self._data.train.x
        real = train[torch.randint(len(train), (size,), generator=draw).to(self.device)]
        with torch.no_grad():
            fake = self._make(size, draw)
        judged, of_fake = self._judge(real), self._judge(fake)
        distance = judged.mean() - of_fake.mean()
        if self._is_plain:
            soft, flip = self.recipe.soft_label, self.recipe.flip_labels
            real_told, fake_told = labels(size, soft, flip, draw)
            told = real_told.to(self.device), fake_told.to(self.device)
            penalty, loss = torch.zeros_like(distance), plain_loss(judged, of_fake, told)
        else:
            share = torch.rand(size, 1, generator=draw).to(self.device)
            penalty = slope_penalty(self._judge, real, fake, share).mean()
            loss = self.recipe.penalty * penalty - distance
        updater = self.updaters["critic"]
        updater.backward(loss)
        return torch.cat((torch.stack((distance, penalty)).detach(), updater.step(lr)))

    def summary(self, means: Sequence[float]) -> dict[str, float]:
        """Return the critic's distances, and one that needs no critic as the loss."""
        distance, penalty, norm, ratio = means
        found = {
            "train_distance": distance, "penalty": penalty,
            "grad_norm": norm, "update_ratio": ratio,
        }  # fmt: skip
        for name in ("train", "val", "test"):
            real = getattr(self._data, name).x
            made = self._make(len(real), self.draw(f"made for {name}"))
            found[f"{name}_loss"] = sliced_distance(real, made, self._directions).item()
            if name != "train":
                apart = self._judge(real).mean() - self._judge(made).mean()
                found[f"{name}_distance"] = apart.item()
        return found

    def sample(self, rows: int) -> None:
        """Let the critic judge digits that are made."""
        self._judge(self._make(rows, self.draw("made for val")))


def start(setting: Setting) -> CriticEngine:
    """Return a training before its first step."""
    return CriticEngine(setting)
