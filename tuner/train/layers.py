"""Parts of networks by name: activations and normalisations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own convention)
from torch.nn.utils import parametrizations

from tuner.train.recipe import Network


class SoftThreshold(nn.Module):
    """Shrink toward 0 by a learned threshold: `sign(x) * max(|x| - t, 0)`.

    The threshold of a unit is a learned share, a sigmoid, of the mean size of its row, so that it
    is never negative nor so large that all vanish: residual shrinkage (Zhao et al. 2020, section
    III-B), with the share a weight of its own in place of a small network.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.full((width,), -2.0))  # sigmoid: 0.12

    def forward(self, x: Tensor) -> Tensor:
        """Map [rows, width, ...] to the same shape."""
        size = x.abs().mean(dim=tuple(range(1, x.ndim)), keepdim=True)
        share = self.share.sigmoid().view(-1, *[1] * (x.ndim - 2))
        return x.sign() * F.relu(x.abs() - size * share)


ACTIVATIONS: Mapping[str, Callable[[int], nn.Module]] = {
    "relu": lambda width: nn.ReLU(),
    "leaky_relu": lambda width: nn.LeakyReLU(),
    "elu": lambda width: nn.ELU(),
    "selu": lambda width: nn.SELU(),
    "tanh": lambda width: nn.Tanh(),
    "sigmoid": lambda width: nn.Sigmoid(),
    "soft_threshold": SoftThreshold,
}


class _RowsOrRunning(nn.modules.batchnorm._BatchNorm):
    """Batch norm that takes the running statistics where the rows are too few to have their own."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 (torch's name)
        pass

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        if self.training and input.numel() == input.shape[1]:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


def _instance(width: int, groups: int) -> nn.Module:
    return nn.GroupNorm(width, width)  # a group a channel: instance norm with gain and bias


NORMS: Mapping[str, Callable[[int, int], nn.Module]] = {
    "batch": lambda width, groups: _RowsOrRunning(width),
    "group": lambda width, groups: nn.GroupNorm(groups, width),
    "layer": lambda width, groups: nn.GroupNorm(1, width),
    "instance": _instance,
}
"""Normalisations of sums, [rows, width, ...]; `spectral` acts on weights instead."""


class Layer(nn.Module):
    """A linear map or convolution with its norm and activation, its input added where it fits."""

    def __init__(self, map_: nn.Module, width: int, network: Network, *, skip: bool) -> None:
        super().__init__()
        spectral = network.norm == "spectral"
        self.map = parametrizations.spectral_norm(map_) if spectral else map_
        norm = NORMS.get(network.norm)
        self.norm = nn.Identity() if norm is None else norm(width, network.norm_groups)
        self.activation = ACTIVATIONS[network.activation](width)
        self._skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """Map [rows, in, ...] to [rows, width, ...]."""
        out: Tensor = self.activation(self.norm(self.map(x)))
        return x + out if self._skip else out


_SETTLING = 15


def settle_spectral(model: nn.Module, generator: torch.Generator) -> None:
    """Bring the spectral norms' vectors in line with new weights, from a generator of the trial's.

    torch draws them from its global generator, before the weights are what they will be.
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.utils.parametrize.ParametrizationList):
                _settle(module, generator)


def _settle(parametrized: nn.utils.parametrize.ParametrizationList, draw: torch.Generator) -> None:
    weight = parametrized.original
    assert isinstance(weight, Tensor)
    for part in parametrized:
        for name, vector in part.named_buffers():
            drawn = torch.randn(vector.shape, generator=draw)
            part.get_buffer(name).copy_(F.normalize(drawn, dim=0))
        part.train()
        for _ in range(_SETTLING):
            part(weight)  # in training, a call is one step of the power iteration
