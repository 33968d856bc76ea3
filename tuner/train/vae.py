"""A variational autoencoder on the digits (Kingma & Welling 2014).

The encoder maps 64 pixels in [0, 1] to mean and log-variance of a normal distribution over codes,
the decoder maps a code to the logits of the pixels. What is minimised is the negative of the
evidence's lower bound in nats a digit: reconstruction (Bernoulli) plus the divergence (KL) of the
codes from a standard normal. Its gradient is reparameterised: `code = mean + std * noise`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from tuner.train import streams
from tuner.train.data import digit_pixels
from tuner.train.engine import Setting
from tuner.train.models import Drop, Mlp, keep
from tuner.train.own import OwnEngine
from tuner.train.recipe import Network

PIXELS = 64


class Vae(nn.Module):
    """Encoder and decoder, each with hidden layers of the recipe's shape."""

    def __init__(self, network: Network, latent: int) -> None:
        super().__init__()
        self.encoder = Mlp(network, PIXELS, 2 * latent)
        self.decoder = Mlp(network, latent, PIXELS)

    def forward(self, x: Tensor, noise: Tensor, drop: Drop = keep) -> tuple[Tensor, Tensor]:
        """Return reconstruction and divergence of each row in nats, both [rows].

        Args:
            x: pixels, [rows, 64].
            noise: standard normal, [rows, latent].
            drop: applied to the hidden units.
        """
        mean, log_variance = self.encoder(x, drop).chunk(2, dim=1)
        logits = self.decoder(code(mean, log_variance, noise), drop)
        lost = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
        return lost, divergence(mean, log_variance)


def code(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Return codes as a function of standard normal noise, so that gradients pass through."""
    return mean + (log_variance / 2).exp() * noise


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the KL divergence of normal distributions from the standard normal, [rows].

    Kingma & Welling 2014, appendix B.
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2


class VaeEngine(OwnEngine):
    """Trains it: a step is a batch."""

    def __init__(self, setting: Setting) -> None:
        recipe = setting.recipe
        self._data = digit_pixels().resident(setting.device)
        rows = len(self._data.train)
        self._vae = Vae(recipe, recipe.latent)
        super().__init__(setting, {"model": self._vae}, -(-rows // recipe.batch_size))

    def step(self, number: int, lr: float) -> Tensor:
        """Return loss, gradient norm and update ratio, [3]."""
        size, rows = self.recipe.batch_size, len(self._data.train)
        order = streams.order(self.seed, self.epoch, rows)[number * size : (number + 1) * size]
        noise = self._noise(len(order), "noise", self.epoch, number)
        self._vae.train()
        lost, apart = self._vae(self._data.train.x[order.to(self.device)], noise, self.dropout)
        loss = (lost + self.recipe.kl_weight * apart).mean()
        self.updaters["model"].backward(loss)
        share = len(order) * self._steps / rows  # the last batch is smaller
        bound = (lost + apart).mean().detach() * share
        return torch.cat((bound[None], self.updaters["model"].step(lr)))

    def _noise(self, rows: int, name: str, *path: int) -> Tensor:
        draw = self.draw(name, *path)
        return torch.randn(rows, self.recipe.latent, generator=draw).to(self.device)

    def summary(self, means: Sequence[float]) -> dict[str, float]:
        """Return the bound and its parts; validation's noise is the same each time."""
        found = dict(zip(("train_loss", "grad_norm", "update_ratio"), means, strict=True))
        for name, rows in (("val", self._data.val), ("test", self._data.test)):
            lost, apart = self._vae(rows.x, self._noise(len(rows), f"noise of {name}"))
            found[f"{name}_reconstruction"] = lost.mean().item()
            found[f"{name}_kl"] = apart.mean().item()
            found[f"{name}_loss"] = (lost + apart).mean().item()
            found[f"{name}_elbo"] = -found[f"{name}_loss"]
        return found

    def sample(self, rows: int) -> None:
        """Run it on validation digits."""
        x = self._data.val.x[:rows]
        self._vae(x, self._noise(len(x), "noise of val"))


def start(setting: Setting) -> VaeEngine:
    """Return a training before its first step."""
    return VaeEngine(setting)
